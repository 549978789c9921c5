"""Which photos make a batch: scenes, anchors, partners, and who is nobody's partner (method.md 5.3, 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.dataset.format import Dataset, SceneEntry
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.overlap.measured import NONE, STRONG, WEAK
from mirror_sfm.photos import shown


@dataclass(frozen=True)
class Column:
    """What was drawn for one column of a batch.

    Attributes:
        scene: its place in the data set.
        photos: rows of the scene: anchor, strong partner, weak partner.
        masks: rows of the scene's masks: of anchor and strong partner, of anchor and weak partner.
        overlaps: combined overlap of the same pairs.
    """

    scene: int
    photos: tuple[int, int, int]
    masks: tuple[int, int]
    overlaps: tuple[float, float]


class Sampler:
    """Draws batches; each is a pure function of data set, seed and step.

    Args:
        dataset: what `open_dataset` gives.
        columns: of a batch.
        seed: at least 0.
        scenes: only these, by name; None: all.
        without: not these.

    Raises:
        UsageError: there is no such scene.
        MirrorError: no scene has an anchor.
    """

    def __init__(
        self,
        dataset: Dataset,
        columns: int,
        seed: int,
        scenes: Sequence[str] | None = None,
        without: Sequence[str] = (),
    ) -> None:
        self.columns, self.seed = columns, seed
        chosen = _chosen(dataset, scenes, without)
        found = {place: _Partners(dataset.scenes[place]) for place in chosen}
        self.partners = {place: partners for place, partners in found.items() if len(partners.anchors)}
        if not self.partners:
            raise MirrorError(
                f"no photo of {len(chosen)} scenes has both a strong and a weak partner: nothing to train on; add "
                "scenes, or photos further apart"
            )

    @property
    def usable(self) -> dict[str, int]:
        """Anchors by name of the scene, of scenes that have any."""
        return {partners.scene.name: len(partners.anchors) for partners in self.partners.values()}

    def draw(self, step: int) -> list[Column]:
        """The columns of a step. No scene comes again before all had their turn."""
        rng = generator(self.seed, step)
        scenes = list(self.partners)
        turns: list[int] = []
        while len(turns) < self.columns:
            turns += [scenes[k] for k in rng.permutation(len(scenes))]
        return [self.partners[scene].draw(rng, scene) for scene in turns[: self.columns]]

    def negatives(self, drawn: Sequence[Column]) -> NDArray[np.bool_]:
        """[B, 3B] whether image s, of row s // B and column s % B, shares nothing with any of column i's three."""
        scenes = np.array([column.scene for column in drawn])
        same = scenes[:, None] == scenes[None, :]
        negatives = np.repeat(~same[:, None, :], 3, axis=1)
        for i, j in zip(*np.nonzero(same), strict=True):
            partners = self.partners[drawn[i].scene]
            for row, photo in enumerate(drawn[j].photos):
                negatives[i, row, j] = not any(partners.share(photo, own) for own in drawn[i].photos)
        return negatives.reshape(len(drawn), -1)


def generator(seed: int, *place: int) -> np.random.Generator:
    """Random numbers of one place: a step, or a step, a column and a row."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))


class _Partners:
    """Who may be drawn with whom in one scene; photos that are held out are not."""

    def __init__(self, scene: SceneEntry) -> None:
        self.scene = scene
        labels, pairs = np.asarray(scene.array("labels")), np.asarray(scene.array("pairs"))
        rows = np.flatnonzero(labels != NONE)  # row k of the masks belongs to pair rows[k]
        self.pairs, self.overlap = np.array(pairs[rows]), np.array(scene.array("overlap")[rows])
        if len(rows) != scene.labelled or not ((pairs >= 0) & (pairs < len(scene.photos))).all():
            raise MirrorError(
                f"{shown(str(scene.folder))} is damaged: its pairs or labels do not fit scene.json; build it again"
            )
        trained = ~scene.held_out[self.pairs].any(axis=1)
        masks = {label: np.flatnonzero(trained & (labels[rows] == label)) for label in (STRONG, WEAK)}
        self.anchors = np.intersect1d(self.pairs[masks[STRONG]], self.pairs[masks[WEAK]])
        self.partners = {label: self._by_anchor(rows) for label, rows in masks.items()}

    def _by_anchor(self, masks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Anchor k has the pairs masks[offsets[k] : offsets[k + 1]] of the result (offsets, masks)."""
        anchors = self.pairs[masks].T.ravel()
        order = np.argsort(anchors, kind="stable")
        order = order[np.isin(anchors[order], self.anchors)]
        ends = np.append(self.anchors, len(self.scene.photos))
        return np.searchsorted(anchors[order], ends), np.tile(masks, 2)[order]

    def draw(self, rng: np.random.Generator, scene: int) -> Column:
        place = int(rng.integers(len(self.anchors)))
        anchor = int(self.anchors[place])
        photos, rows = [anchor], []
        for label in (STRONG, WEAK):
            offsets, masks = self.partners[label]
            row = int(masks[rng.integers(offsets[place], offsets[place + 1])])
            rows.append(row)
            photos.append(int(self.pairs[row].sum()) - anchor)
        overlaps = (float(self.overlap[rows[0]]), float(self.overlap[rows[1]]))
        return Column(scene, (photos[0], photos[1], photos[2]), (rows[0], rows[1]), overlaps)

    def share(self, a: int, b: int) -> bool:
        """Whether two photos are one, or have anything in common by any measure."""
        key = min(a, b) * len(self.scene.photos) + max(a, b)
        place = int(np.searchsorted(self._sharing, key))
        return a == b or (place < len(self._sharing) and int(self._sharing[place]) == key)

    @cached_property
    def _sharing(self) -> NDArray[np.int64]:
        """Sorted keys low * photos + high. Only data sets with fewer scenes than columns ask for them."""
        scene, listed = self.scene, np.array(self.scene.array("pairs"), np.int64)
        anything = np.asarray(scene.array("overlap")) > 0
        for measure in scene.measures:
            anything |= (scene.array(f"halves_{measure}") > 0).any(axis=1)
        return np.sort(listed[anything] @ np.array([len(scene.photos), 1]))


def _chosen(dataset: Dataset, scenes: Sequence[str] | None, without: Sequence[str]) -> list[int]:
    known = {scene.name: place for place, scene in enumerate(dataset.scenes)}
    if strange := sorted({*(scenes or ()), *without} - known.keys()):
        raise UsageError(f"no scene {shown(strange[0])} in {shown(str(dataset.folder))}; it has {', '.join(known)}")
    return [place for name, place in known.items() if (scenes is None or name in scenes) and name not in without]
