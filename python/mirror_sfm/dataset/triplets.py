"""Graded triplets for training: one batch per step, a column of anchor, strong and weak partner per scene.

A batch is a pure function of data set, seed and step: any number of workers yields the same batches in the same
order, and a run goes on at any step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from mirror_sfm.colour import turned_upright
from mirror_sfm.dataset.crops import Crop, random_crop
from mirror_sfm.dataset.format import Dataset
from mirror_sfm.dataset.jitter import NO_JITTER, Jitter, jittered
from mirror_sfm.dataset.sampling import Column, Sampler, generator
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.overlap.measured import MASK_SIDE

# Masks of a column: on whose grid, towards whom; 0 anchor, 1 strong partner, 2 weak partner.
MASKS = ((0, 1), (1, 0), (0, 2), (2, 0))


class Batch(NamedTuple):
    """B columns of three photos each; image s of the batch is row s // B, column s % B.

    Attributes:
        images: [3, B, 3, S, S] float32, RGB in 0..1, not normalised: anchors, strong partners, weak partners.
        masks: [4, B, s, s] float32 coverage: on the anchor towards the strong partner, on that towards the anchor, on
            the anchor towards the weak partner, on that towards the anchor (`MASKS`).
        has_mask: [2, B] bool: whether the strong, the weak pair has masks, with something in both.
        negatives: [B, 3B] bool: image s shares nothing with any of column i's three (V of the batched loss).
        scenes: [B] int64, places in `Dataset.scenes`.
        photos: [3, B] int64, rows of the scene.
        overlaps: [2, B] float32: combined overlap of the strong, of the weak pair.
        step: which batch this is; the next one is step + 1.
    """

    images: Tensor
    masks: Tensor
    has_mask: Tensor
    negatives: Tensor
    scenes: Tensor
    photos: Tensor
    overlaps: Tensor
    step: int


class GradedTriplets(IterableDataset[Batch]):
    """Batches without end, or up to a step. Give it to a `DataLoader` with `batch_size=None`.

    Scenes are drawn uniformly among those with an anchor, none again before all had their turn; then an anchor among
    the photos with a strong and a weak partner, and one of each of these (`sampling`).

    Args:
        dataset: what `open_dataset` gives.
        columns: Nb. With fewer scenes some have several columns; `negatives` says who shares nothing with whom.
        size: side of the images in pixels.
        mask_side: cells of the masks: the side of the feature map, 7, 14 or 28, or any other up to 56.
        crop: least share of a photo's width and of its height that a random crop keeps; 1: the whole photo.
        flip: probability of a mirrored image.
        jitter: of colours; None: none.
        upright: turn photos by their EXIF orientation, as networks see them later.
        seed: of everything.
        scenes: only these, by name; None: all.
        without: not these.
        steps: end before this step; None: never.
        part: (r, n): images, masks and has_mask of the r-th of n equal parts of the columns only, for n processes
            that train together; everything else is of all columns.
        threads: photos of a batch that are made ready at once.

    Raises:
        UsageError: an argument is out of range, or there is no such scene.
        MirrorError: no scene has an anchor.
    """

    def __init__(
        self,
        dataset: Dataset,
        columns: int = 16,
        size: int = 224,
        mask_side: int = 7,
        crop: float = 1.0,
        flip: float = 0.5,
        jitter: Jitter | None = Jitter(),  # noqa: B008  it is frozen
        upright: bool = True,
        seed: int = 0,
        scenes: Sequence[str] | None = None,
        without: Sequence[str] = (),
        steps: int | None = None,
        part: tuple[int, int] = (0, 1),
        threads: int = 1,
    ) -> None:
        super().__init__()
        _within("columns", columns, 2, 1 << 16)
        _within("size", size, 1, 1 << 14)
        _within("mask_side", mask_side, 1, MASK_SIDE)
        _within("crop", crop, 0.01, 1)
        _within("flip", flip, 0, 1)
        _within("seed", seed, 0, 1 << 63)
        _within("threads", threads, 1, 1 << 10)
        if not 0 <= part[0] < part[1] or columns % part[1]:
            raise UsageError(f"part: expected (r, n) with r < n, and {columns} columns a multiple of n, got {part}")
        self.sampler = Sampler(dataset, columns, seed, scenes, without)
        self.dataset, self.columns, self.size, self.mask_side = dataset, columns, size, mask_side
        self.crop, self.flip, self.jitter, self.upright = crop, flip, jitter or NO_JITTER, upright
        self.seed, self.steps, self.part, self.threads = seed, steps, part, threads
        self.step = 0  # of the next batch

    def __iter__(self) -> Iterator[Batch]:
        """Batches from `step` on. Of n workers each makes every n-th, and the loader puts them in order."""
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        step = self.step + first
        while self.steps is None or step < self.steps:
            self.step = step + stride  # already now: who stops after this batch goes on behind it
            yield self.batch(step)
            step += stride

    def state_dict(self) -> dict[str, int]:
        """Where it is. With workers, which run ahead in processes of their own, it is still at the first step: keep
        {"seed": seed, "step": batch.step + 1} of the last batch that was used instead."""
        return {"seed": self.seed, "step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on there.

        Raises:
            MirrorError: the state is of another seed.
        """
        if state["seed"] != self.seed:
            raise MirrorError(f"the state is of a run with seed {state['seed']}, this one has {self.seed}")
        self.step = int(state["step"])

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        drawn = self.sampler.draw(step)
        part, parts = self.part
        mine = range(part * self.columns // parts, (part + 1) * self.columns // parts)
        images = np.empty((3, len(mine), 3, self.size, self.size), np.float32)
        masks = np.zeros((4, len(mine), self.mask_side, self.mask_side), np.float32)

        def fill(place: int) -> None:
            crops = self._fill_images(images[:, place], drawn[mine[place]], step, mine[place])
            self._fill_masks(masks[:, place], drawn[mine[place]], crops)

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(fill, range(len(mine))))
        something: NDArray[np.bool_] = np.asarray(masks.any(axis=(2, 3)))
        return Batch(
            images=torch.from_numpy(images),
            masks=torch.from_numpy(masks),
            has_mask=torch.from_numpy(something[0::2] & something[1::2]),
            negatives=torch.from_numpy(self.sampler.negatives(drawn)),
            scenes=torch.tensor([column.scene for column in drawn]),
            photos=torch.tensor([column.photos for column in drawn]).T.contiguous(),
            overlaps=torch.tensor([column.overlaps for column in drawn]).T.contiguous(),
            step=step,
        )

    def _fill_images(self, images: NDArray[np.float32], column: Column, step: int, place: int) -> list[Crop]:
        """Images [3, 3, S, S] of a column; gives how they were cropped."""
        stored, crops = self.dataset.scenes[column.scene].array("photos"), []
        for row, photo in enumerate(column.photos):
            rng = generator(self.seed, step, place, row)
            crops.append(random_crop(rng, self.dataset.size, self.crop, self.flip))
            upright = np.ascontiguousarray(turned_upright(stored[photo], self._turn(column, photo)))
            pixels = crops[row].of_photo(upright, self.size)
            rgb = np.ascontiguousarray(pixels.transpose(2, 0, 1)) / np.float32(255)
            images[row] = jittered(rgb, *self.jitter.draw(rng))
        return crops

    def _fill_masks(self, masks: NDArray[np.float32], column: Column, crops: Sequence[Crop]) -> None:
        """Masks [4, s, s] of a column; they stay 0 where the scene has none."""
        scene = self.dataset.scenes[column.scene]
        if not scene.has_masks:
            return
        stored = scene.array("masks")
        for place, (of, towards) in enumerate(MASKS):
            photo, other = column.photos[of], column.photos[towards]
            mask = stored[column.masks[place // 2], int(photo > other)]  # pairs are (lower, higher)
            upright = turned_upright(mask, self._turn(column, photo))
            masks[place] = crops[of].of_mask(upright, self.dataset.size, self.mask_side)

    def _turn(self, column: Column, photo: int) -> int:
        return int(self.dataset.scenes[column.scene].orientations[photo]) if self.upright else 1


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"{name} must be within {least}..{most}, got {value}")
