"""Crops and flips of a photo, and of its mask with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mirror_sfm.overlap.measured import MASK_SIDE


@dataclass(frozen=True)
class Crop:
    """A box of a square photo, in whole pixels, and whether it is mirrored afterwards."""

    left: int
    top: int
    width: int
    height: int
    flipped: bool = False

    def of_photo(self, photo: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
        """The box of a photo [S, S, 3], resized to [side, side, 3]: bilinear, smoothed where it shrinks."""
        right, bottom = self.left + self.width, self.top + self.height
        if (self.width, self.height) == (side, side):
            resized = photo[self.top : bottom, self.left : right]
        else:
            box = (self.left, self.top, right, bottom)
            resized = np.asarray(Image.fromarray(photo).resize((side, side), Image.Resampling.BILINEAR, box))
        return resized[:, ::-1] if self.flipped else resized

    def of_mask(self, mask: NDArray[np.uint8], size: int, side: int) -> NDArray[np.float64]:
        """Coverage of the box, from that of the whole photo.

        Every number below is a whole one under 2^53, so the sums are exact, and the result is rounded once.

        Args:
            mask: [56, 56] uint8, 255 where a whole cell is covered.
            size: side of the photo in pixels.
            side: cells of the result.

        Returns:
            [side, side] coverage in 0..1.
        """
        rows = _shares(self.top, self.height, size, side)
        columns = _shares(self.left, self.width, size, side)
        covered = rows @ mask.astype(np.float64) @ columns.T
        coverage = covered / (255.0 * (self.height * MASK_SIDE) * (self.width * MASK_SIDE))
        return coverage[:, ::-1] if self.flipped else coverage


def random_crop(rng: np.random.Generator, size: int, least: float, flip: float) -> Crop:
    """A box whose width and height are drawn on their own from `least` to 1 of the photo's, anywhere in it.

    Always takes five numbers from `rng`.
    """
    share_x, share_y, x, y, mirror = rng.random(5)
    width, height = (round(size * (least + (1 - least) * share)) for share in (share_x, share_y))
    width, height = max(1, width), max(1, height)
    left, top = int(x * (size - width + 1)), int(y * (size - height + 1))
    return Crop(left, top, width, height, bool(mirror < flip))


def _shares(start: int, length: int, size: int, side: int) -> NDArray[np.float64]:
    """[side, 56] what cell r of the crop and cell c of the photo have in common, in units of 1/(56 side) pixels of the
    photo: cell r covers [start + r length/side, ...), cell c [c size/56, ...). Rows add up to 56 length."""
    inner = (start * side + np.arange(side + 1, dtype=np.int64) * length) * MASK_SIDE
    outer = np.arange(MASK_SIDE + 1, dtype=np.int64) * size * side
    low = np.maximum(inner[:-1, None], outer[None, :-1])
    high = np.minimum(inner[1:, None], outer[None, 1:])
    return np.maximum(high - low, 0).astype(np.float64)
