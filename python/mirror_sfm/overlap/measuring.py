"""Measures the overlap of a scene: from its tracks, and from its surface or, without one, its depth maps."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError
from mirror_sfm.overlap.depth import Depths
from mirror_sfm.overlap.measured import Overlap
from mirror_sfm.overlap.options import OverlapOptions
from mirror_sfm.overlap.pixels import Looks, Sight, look
from mirror_sfm.overlap.tracks import shared_tracks
from mirror_sfm.overlap.visibility import Surface
from mirror_sfm.photos import shown
from mirror_sfm.scenes.scene import Scene

__all__ = ["OverlapOptions", "measure_overlap", "sight_of"]


def measure_overlap(scene: Scene, options: OverlapOptions | None = None) -> Overlap:
    """Measures who sees what, in every measure the scene allows (docs/overlap.md has the definitions).

    The surface is `scene.mesh`; only without one are the depth maps used. Photos without a pose see nothing.

    Raises:
        MirrorError: the scene has neither tracks nor surface nor depth, or something of it cannot be used.
    """
    options = options or OverlapOptions()
    views, named = len(scene.views), [view.name for view in scene.views]
    if named != sorted({*named} - {*scene.unregistered}):
        raise MirrorError(f"scene {shown(scene.name)}: expected every photo once, views sorted by name")
    shared: dict[str, NDArray[np.float64]] = {}
    if scene.tracks is not None:
        shared["tracks"] = shared_tracks(scene.tracks).astype(np.float64)
    sight = sight_of(scene, options)
    if sight is None:
        if not shared:
            raise MirrorError(
                f"scene {shown(scene.name)}: neither tracks, nor a mesh, nor depth maps say who sees what"
            )
        return _overlap(scene, _pairs(list(shared.values()), views), shared, None, "")
    shared |= sight.shared
    pairs = _pairs([*shared.values(), sight.candidates], views)
    looks = Looks.prepare(views, pairs, options.masks)
    look(sight, looks, options)
    overlap = _overlap(scene, pairs, shared, looks, sight.surface)
    if overlap.masks is not None:
        overlap.masks[overlap.combined(options.labels) < options.labels.weak[0]] = 0
    return overlap


def sight_of(scene: Scene, options: OverlapOptions, views: Collection[int] | None = None) -> Sight | None:
    """What these views, by default all, see: of the mesh; without one, of the depth maps; None without either."""
    views = range(len(scene.views)) if views is None else views
    if scene.mesh is not None:
        return Surface(scene, scene.mesh, options, views)
    return Depths(scene, options, views) if scene.depths else None


def _pairs(shared: list[NDArray[np.float64]], views: int) -> NDArray[np.int32]:
    """[P, 2] the pairs i < j of views that share anything, sorted."""
    anything = np.zeros((views, views), bool)
    for both in shared:
        anything |= (both > 0) | (both.T > 0)
    return np.argwhere(np.triu(anything, 1)).astype(np.int32)


def _overlap(
    scene: Scene,
    pairs: NDArray[np.int32],
    shared: dict[str, NDArray[np.float64]],
    looks: Looks | None,
    surface: str,
) -> Overlap:
    """Shares instead of amounts, rows of names instead of rows of views, and pairs that share nothing left out."""
    seen = {measure: both.diagonal().copy() for measure, both in shared.items()}
    found = {measure: np.stack([both[tuple(pairs.T)]] * 2, 1) for measure, both in shared.items()}
    if looks is not None:
        seen["pixels"], found["pixels"] = looks.seen.astype(np.float64), looks.shared.astype(np.float64)
    halves = {measure: _shares(found[measure], seen[measure][pairs]) for measure in found}
    names = tuple(sorted([*(view.name for view in scene.views), *scene.unregistered]))
    place = {name: row for row, name in enumerate(names)}
    row = np.array([place[view.name] for view in scene.views], np.int32)
    kept = np.flatnonzero(np.any([half.any(1) for half in halves.values()], axis=0))
    # Views are sorted by name as names are: i < j stays, and so does the order of the pairs.
    masks, covered = (None, None) if looks is None else (looks.masks, looks.covered)
    return Overlap(
        names,
        row[pairs[kept]].reshape(-1, 2),
        {measure: half[kept] for measure, half in halves.items()},
        {measure: _spread(values, row, len(names)) for measure, values in seen.items()},
        masks if masks is None or len(kept) == len(pairs) else masks[kept],
        None if covered is None else _spread(covered, row, len(names)),
        surface,
    )


def _shares(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """[P, 2], 0 where there is nothing to see; a sum of areas may exceed the sum over more faces by a rounding."""
    return np.minimum(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0), 1)


def _spread(values: NDArray[np.generic], row: NDArray[np.int32], names: int) -> NDArray:
    """Values of the views as values of all names."""
    spread = np.zeros((names, *values.shape[1:]), values.dtype)
    spread[row] = values
    return spread
