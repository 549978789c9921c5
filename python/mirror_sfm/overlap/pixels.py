"""The second pass: which pixels of every photo show what its partners see too. Gives pixel overlap and masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mirror_ext import numpy as ext
from mirror_sfm.overlap.masks import stored
from mirror_sfm.overlap.measured import MASK_SIDE
from mirror_sfm.overlap.options import OverlapOptions

PAIRS_AT_ONCE = 256  # of coverage: 12.5 kB each


class Sight(Protocol):
    """What the views of a scene see, as sets of things with numbers: triangles of a mesh, pixels of a depth map.

    Attributes:
        surface: what `Overlap.surface` shall say.
        shared: by measure [N, N], how much two views both see.
        candidates: [N, N] what is above 0 may share pixels.
    """

    surface: str
    shared: dict[str, NDArray[np.float64]]
    candidates: NDArray[np.float64]

    def batches(self, views: NDArray[np.integer]) -> Iterator[tuple[list[int], NDArray[np.int32]]]:
        """Views in some order, and for each its photo [height, width]: which thing a pixel shows, -1 for none."""

    def sets(self, view: int, partners: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sets of things [rows, words], and for every partner the row with what it sees of the view's things."""


@dataclass(frozen=True)
class Looks:
    """What is gathered.

    Attributes:
        pairs: [P, 2] views, sorted.
        seen: [N] pixels of each photo that show anything.
        shared: [P, 2] pixels of the first photo that show what the second sees too, and the reverse.
        masks: [P, 2, 56, 56] uint8, covered: [N, 56, 56] uint8; None where not asked for.
    """

    pairs: NDArray[np.int32]
    seen: NDArray[np.int64]
    shared: NDArray[np.int64]
    masks: NDArray[np.uint8] | None
    covered: NDArray[np.uint8] | None

    @classmethod
    def prepare(cls, views: int, pairs: NDArray[np.int32], masks: bool) -> Looks:
        """All 0: memory is taken when it is written to."""
        cells = (MASK_SIDE, MASK_SIDE)
        return cls(
            pairs,
            np.zeros(views, np.int64),
            np.zeros((len(pairs), 2), np.int64),
            np.zeros((len(pairs), 2, *cells), np.uint8) if masks else None,
            np.zeros((views, *cells), np.uint8) if masks else None,
        )


def look(sight: Sight, looks: Looks, options: OverlapOptions) -> None:
    """Fills `looks`."""
    views = np.arange(len(looks.seen))
    bar = tqdm(total=len(views), desc="masks", unit="photo", disable=not options.progress, leave=False)
    with bar:
        for batch, ids in sight.batches(views):
            for view, photo in zip(batch, ids, strict=True):
                _look(sight, looks, view, photo[None], options.workers)
                bar.update()


def _look(sight: Sight, looks: Looks, view: int, photo: NDArray[np.int32], workers: int) -> None:
    """One photo [1, height, width]."""
    side, pixels = MASK_SIDE if looks.masks is not None else 1, photo.size
    whole = _coverage(photo, everything(photo), np.zeros(1, np.int64), side, workers)
    looks.seen[view] = _pixels(whole, pixels)[0]
    if looks.covered is not None:
        looks.covered[view] = stored(whole)[0]
    rows, ends = np.nonzero(looks.pairs == view)
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        row, end = rows[start : start + PAIRS_AT_ONCE], ends[start : start + PAIRS_AT_ONCE]
        sets, places = sight.sets(view, looks.pairs[row, 1 - end])
        coverage = _coverage(photo, sets, places, side, workers)
        looks.shared[row, end] = _pixels(coverage, pixels)
        if looks.masks is not None:
            looks.masks[row, end] = stored(coverage)


def everything(photo: NDArray[np.int32]) -> NDArray[np.int64]:
    """[1, words] the set of all things that a photo shows, and more."""
    return np.full((1, int(photo.max(initial=-1)) // 64 + 1), -1, np.int64)


def contains(row: NDArray[np.int64], photo: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which pixels show something of a set [words]."""
    inside = np.maximum(photo, 0)
    return np.asarray((photo >= 0) & ((row[inside >> 6] >> (inside & 63)) & 1).astype(bool))


def _coverage(
    photo: NDArray[np.int32], sets: NDArray[np.int64], places: NDArray[np.int64], side: int, workers: int
) -> NDArray[np.float32]:
    """[n, side, side] share of each cell of the photo that shows what is in a set."""
    pairs = np.stack([np.zeros_like(places), places], 1)
    return ext.overlap_masks(photo, sets, pairs, side, directed=True, num_threads=workers)


def _pixels(coverage: NDArray[np.float32], pixels: int) -> NDArray[np.int64]:
    """[n] how many pixels that is, exactly: a cell's area is a whole number in units of 1 / side^2 of a pixel, of which
    it holds `pixels`. Single precision keeps such numbers up to 2^24 and errs by a pixel in 10^7 beyond."""
    areas = np.rint(coverage.astype(np.float64) * pixels).sum((1, 2))
    return np.rint(areas / coverage[0].size if len(coverage) else areas).astype(np.int64)
