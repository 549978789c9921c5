"""How well a tower finds photos it was not trained on: mean average precision, scene by scene."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mirror_ext.numpy import pr_mac
from mirror_sfm.colour import turned_upright
from mirror_sfm.dataset.crops import Crop
from mirror_sfm.dataset.format import Dataset, SceneEntry
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evaluation import mean_average_precision
from mirror_sfm.learning.config import ValidationOptions
from mirror_sfm.photos import shown


@dataclass(frozen=True)
class Validation:
    """What is asked: in each scene, photos the tower was not trained on look for their partners among all photos.

    Attributes:
        dataset: that it is asked of.
        positive: by place of the scene in the data set, [N, N] bool; rows of photos that do not ask are empty.
        size: side of the images in pixels.
        upright: whether photos are turned by their EXIF orientation.
        batch: photos at once.
    """

    dataset: Dataset
    positive: dict[int, NDArray[np.bool_]]
    size: int
    upright: bool
    batch: int

    def measure(self, vectors: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """mAP of every scene, by name.

        Args:
            vectors: images [B, 3, S, S] in 0..1 -> unit vectors [B, R, C] float32, on the CPU; photos are compared by
                PR-MAC in both directions, the cosine where R is 1.
        """
        measured = {}
        for place, positive in self.positive.items():
            scene = self.dataset.scenes[place]
            seen = np.concatenate([vectors(images).numpy() for images in self._images(scene)])
            scores = np.asarray(pr_mac(seen, symmetric=True))
            measured[scene.name] = mean_average_precision(scores + scores.T, positive)
        return measured

    def _images(self, scene: SceneEntry) -> Iterator[Tensor]:
        stored, whole = scene.array("photos"), Crop(0, 0, self.dataset.size, self.dataset.size)
        count = len(scene.photos)

        def image(row: int) -> NDArray[np.uint8]:
            turn = int(scene.orientations[row]) if self.upright else 1
            upright = np.ascontiguousarray(turned_upright(stored[row], turn))
            return whole.of_photo(upright, self.size).transpose(2, 0, 1)

        starts = range(0, count, self.batch)
        rows = (range(start, min(count, start + self.batch)) for start in starts)
        yield from (torch.from_numpy(np.stack([image(row) for row in part]) / np.float32(255)) for part in rows)


def validation_of(
    dataset: Dataset, trained: Collection[str], options: ValidationOptions, size: int, upright: bool
) -> Validation:
    """What can be asked of a data set.

    Args:
        dataset: what `open_dataset` gives.
        trained: names of the scenes that are trained on: only photos held out ask there.
        options: see `ValidationOptions`.
        size, upright: of the images, as in training.

    Raises:
        UsageError: there is no such scene, or a scene that was named has nothing to ask.
    """
    names = {scene.name for scene in dataset}
    if strange := sorted(set(options.scenes or ()) - names):
        raise UsageError(f"validation: scenes: no scene {shown(strange[0])}; there are {', '.join(sorted(names))}")
    positive = {}
    for place, scene in enumerate(dataset.scenes):
        if options.scenes is not None and scene.name not in options.scenes:
            continue
        asks = scene.held_out if scene.name in trained else np.ones(len(scene.photos), bool)
        wanted = _positive(scene, options.positive) & asks[:, None]
        if wanted.any():
            positive[place] = wanted
        elif options.scenes is not None:
            raise UsageError(
                f"validation: scenes: no photo of {shown(scene.name)} that is not trained on overlaps another by "
                f"{options.positive:g}; build the data set with --holdout"
            )
    return Validation(dataset, positive, size, upright, options.batch)


def _positive(scene: SceneEntry, least: float) -> NDArray[np.bool_]:
    pairs = np.asarray(scene.array("pairs"))[np.asarray(scene.array("overlap")) >= least]
    if not ((pairs >= 0) & (pairs < len(scene.photos))).all():
        raise MirrorError(f"{shown(str(scene.folder))} is damaged: its pairs do not fit scene.json; build it again")
    positive = np.zeros((len(scene.photos), len(scene.photos)), bool)
    positive[pairs[:, 0], pairs[:, 1]] = positive[pairs[:, 1], pairs[:, 0]] = True
    return positive
