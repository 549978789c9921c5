"""What there is to know about the labels of a scene before training on them, and about its mesh before trusting it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mirror_sfm.overlap.measured import MEASURES, STRONG, WEAK, LabelOptions, Overlap
from mirror_sfm.overlap.visibility import face_areas
from mirror_sfm.scenes.scene import Mesh


@dataclass(frozen=True)
class OverlapStatistics:
    """Labels of one scene.

    Attributes:
        photos: how many.
        blind: of them see nothing: no pose, or no surface and no point in view.
        pairs: of photos there are.
        sharing: of them share anything.
        strong, weak: positives; between: above weak and below strong, used in no way; below: share less.
        forced: pairs whose common-track ratio made them overlap wholly.
        forced_tiny: of them have a surface overlap below that of weak positives.
        without_positive: photos without a strong positive.
        anchors_without_weak: photos with a strong positive and no weak one, which cannot be anchors of a triplet.
        spearman: rank correlation of two measures ("triangles pixels", ...) over the pairs that share anything; None
            where one of them is the same for all.
    """

    photos: int
    blind: int
    pairs: int
    sharing: int
    strong: int
    weak: int
    between: int
    below: int
    forced: int
    forced_tiny: int
    without_positive: int
    anchors_without_weak: int
    spearman: dict[str, float | None]

    @property
    def forced_tiny_share(self) -> float:
        """Share of the strong positives that only tracks vouch for: their masks are small or empty."""
        return self.forced_tiny / self.strong if self.strong else 0.0


def overlap_statistics(overlap: Overlap, options: LabelOptions | None = None) -> OverlapStatistics:
    """Counts what the labels are."""
    options = options or LabelOptions()
    combined, labels = overlap.combined(options), overlap.labels(options)
    count = len(overlap.names)
    has = {
        label: np.bincount(overlap.pairs[labels == label].reshape(-1), minlength=count) > 0 for label in (STRONG, WEAK)
    }
    forced = np.zeros(len(labels), bool)
    surface = np.zeros(len(labels))
    weight = options.weight if options.weight in overlap.halves else "pixels"
    if "tracks" in overlap.halves and weight in overlap.halves:
        forced = overlap.averaged("tracks", options.average) >= options.t_sfm
        surface = overlap.averaged(weight, options.average)
    averages = {name: overlap.averaged(name, options.average) for name in MEASURES if name in overlap.halves}
    strong, weak = int((labels == STRONG).sum()), int((labels == WEAK).sum())
    below = int((combined < options.weak[0]).sum())
    seeing = np.any([seen > 0 for seen in overlap.seen.values()], axis=0)
    return OverlapStatistics(
        photos=count,
        blind=int(count - np.sum(seeing)),
        pairs=count * (count - 1) // 2,
        sharing=len(overlap.pairs),
        strong=strong,
        weak=weak,
        between=len(labels) - strong - weak - below,
        below=below,
        forced=int(forced.sum()),
        forced_tiny=int((forced & (surface < options.weak[0])).sum()),
        without_positive=int((~has[STRONG]).sum()),
        anchors_without_weak=int((has[STRONG] & ~has[WEAK]).sum()),
        spearman={f"{a} {b}": spearman(averages[a], averages[b]) for a, b in combinations(averages, 2)},
    )


@dataclass(frozen=True)
class MeshStatistics:
    """A mesh.

    Attributes:
        faces: how many.
        degenerate: of them have no area, a corner twice, or one that is not finite: no pixel shows them.
        duplicate: of the others lie in the same three places as another, which hides them or is hidden.
    """

    faces: int
    degenerate: int
    duplicate: int


def mesh_statistics(mesh: Mesh) -> MeshStatistics:
    """Counts faces that are of no use."""
    vertices = np.asarray(mesh.vertices, np.float64)
    sound = face_areas(vertices, mesh.faces) > 0
    corners = np.sort(_places(vertices)[mesh.faces[sound]], axis=1)
    return MeshStatistics(len(mesh.faces), int((~sound).sum()), len(corners) - int(_new(corners)[1].sum()))


def _places(vertices: NDArray[np.float64]) -> NDArray[np.int64]:
    """[V] a number for each place: vertices in the same place have the same."""
    order, new = _new(vertices)
    place = np.empty(len(vertices), np.int64)
    place[order] = np.cumsum(new)
    return place


def _new(rows: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """An order in which equal rows [n, 3] stand together, and in that order where other ones begin."""
    order = np.lexsort(rows.T)
    new = np.ones(len(rows), bool)
    new[1:] = (rows[order[1:]] != rows[order[:-1]]).any(1)
    return order, new


def spearman(a: ArrayLike, b: ArrayLike) -> float | None:
    """Rank correlation, ties in the middle of their ranks; None where all values of one are the same."""
    x, y = (_ranks(np.asarray(values, np.float64)) for values in (a, b))
    x, y = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
    norm = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / norm) if norm > 0 else None


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse.reshape(-1)]
