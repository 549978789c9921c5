"""Masks: which parts of a photo count, as COLMAP has them.

The mask of `sub/a.jpg` is `sub/a.jpg.png` below the folder of masks, or `sub/a.png`. Where it is 0 (black) no feature
is used. It has the layout of the photo's file, as COLMAP reads it, EXIF orientation not applied, and any size.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import UsageError
from mirror_sfm.photos import UnusablePhoto, open_image, read_file, reasons_in_words, shown

_log = logging.getLogger("mirror_sfm")


@dataclass(frozen=True)
class MaskFile:
    """A mask's file, read but not decoded."""

    path: Path
    content: bytes

    def decode(self, photo_size: tuple[int, int]) -> NDArray[np.bool_]:
        """The mask [height, width] in a size of its own, True where the photo counts.

        Args:
            photo_size: (width, height) of the photo's file.

        Raises:
            UnusablePhoto: it is damaged, or has other proportions than the photo.
        """
        with _naming(self.path), reasons_in_words():
            image = open_image(self.content)
            values = np.asarray(image) if image.mode.startswith(("I", "F")) else np.asarray(image.convert("L"))
            height, width = values.shape
            if not _fits((width, height), photo_size):
                turned = _fits((height, width), photo_size)
                raise UnusablePhoto(
                    f"{width} x {height} pixels do not fit a photo that the camera stored as {photo_size[0]} x"
                    f" {photo_size[1]}; {'it seems turned upright: ' if turned else ''}masks have the layout of the"
                    " photo's file, its EXIF orientation not applied, and its proportions"
                )
            return values != 0


@dataclass(frozen=True)
class Masks:
    """A folder of masks; a UsageError where there is none."""

    folder: Path

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise UsageError(f"no such folder of masks: {shown(str(self.folder))}")

    def read(self, name: str) -> MaskFile | None:
        """The mask of a photo, or None where it has none.

        Raises:
            UnusablePhoto: it cannot be read.
        """
        path = self._path(name)
        if path is None:
            return None
        with _naming(path):
            return MaskFile(path, read_file(path))

    def tell_missing(self, names: Iterable[str]) -> None:
        """Says in the log how many photos have no mask.

        Raises:
            UsageError: none has one.
        """
        names = list(names)
        missing = [name for name in names if self._path(name) is None]
        if not missing:
            return
        folder, example = shown(str(self.folder)), shown(missing[0])
        if len(missing) == len(names):
            raise UsageError(f"no mask in {folder} belongs to a photo: that of {example} would be {example}.png")
        _log.warning("%d of %d photos have no mask and count whole, first %s", len(missing), len(names), example)

    def _path(self, name: str) -> Path | None:
        photo = PurePosixPath(name)
        for candidate in (photo.with_name(photo.name + ".png"), photo.with_suffix(".png")):
            path = self.folder / candidate
            if os.path.lexists(path):
                return path
        return None


def counted(mask: NDArray[np.bool_], x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether places of a photo count.

    Args:
        mask: [height, width] in any size.
        x, y: [n], from 0 (left, upper edge of the photo) to 1; what lies outside takes the nearest pixel.
    """
    height, width = mask.shape
    column = np.clip(np.floor(x * width), 0, width - 1).astype(np.intp)
    row = np.clip(np.floor(y * height), 0, height - 1).astype(np.intp)
    return np.asarray(mask[row, column])


def _fits(mask: tuple[int, int], photo: tuple[int, int]) -> bool:
    """Whether a mask has a photo's proportions, but for sides rounded to whole pixels."""
    (width, height), (photo_width, photo_height) = mask, photo
    return abs(width * photo_height - height * photo_width) <= max(photo)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Adds the mask to the reason."""
    try:
        yield
    except UnusablePhoto as reason:
        raise UnusablePhoto(f"its mask {shown(str(path))}: {reason}") from reason
