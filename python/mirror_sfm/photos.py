"""Photos of a folder: which files they are, and their pixels in grey.

Pixels stay in sensor coordinates. The EXIF orientation is recorded but not applied: SIFT does not care which way is up,
and COLMAP keeps the sensor layout too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mirror_sfm.errors import UsageError

# fmt: off
PHOTO_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".tif", ".tiff", ".webp", ".bmp", ".jp2", ".gif", ".ppm", ".pgm", ".pnm",
    ".avif", ".heic", ".heif",
))
# fmt: on
# A photo with more pixels than this is refused before it is decoded: nothing a camera makes today comes near (the
# largest sensors have 250 million), and one such photo decoded in colour already takes 2 GB.
MAX_PIXELS = 500_000_000
_HEIF_SUFFIXES = (".heic", ".heif")
_ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True)
class Photo:
    """A file that should be a photo.

    Attributes:
        name: path inside the folder, with forward slashes. What pairs refer to.
        path: where the file is.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class Skipped:
    """A photo that cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Picture:
    """Decoded pixels.

    Attributes:
        grey: [height, width] uint8, resized so that its long side is what was asked for.
        size: (width, height) of the file in pixels, as the sensor stored it.
        orientation: EXIF orientation, 1 to 8; 1 where there is none.
    """

    grey: NDArray[np.uint8]
    size: tuple[int, int]
    orientation: int


class UnusablePhoto(Exception):
    """This photo cannot be used; the message is the reason shown to the user."""


def find_photos(folder: str | os.PathLike[str]) -> list[Photo]:
    """Lists the photos in a folder and below it, sorted by name whatever the order of the file system.

    A photo is a file with a known suffix (`PHOTO_SUFFIXES`, any case). Hidden files and folders are left out: thumbnail
    caches and the "._" twins that macOS leaves on foreign disks live there. Links are followed.

    Raises:
        UsageError: the folder does not exist, is a file, or cannot be read.
    """
    root = Path(folder)
    if not root.exists():
        raise UsageError(f"no such folder: {shown(str(root))}")
    if not root.is_dir():
        raise UsageError(f"{shown(str(root))} is a file; expected a folder of photos")
    found = [Photo(path.relative_to(root).as_posix(), path) for path in _walk(root, frozenset())]
    return sorted(found, key=lambda photo: photo.name)


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that holds it
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UsageError(f"cannot read the folder {shown(str(folder))}: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, above | {real})
        elif os.path.splitext(entry.name)[1].lower() in PHOTO_SUFFIXES:
            yield folder / entry.name


def read_picture(path: Path, long_side: int) -> Picture:
    """Decodes a photo to grey and resizes it, smaller photos up and larger ones down, to one long side.

    JPEG is decoded straight to luminance at the smallest of 1, 1/2, 1/4, 1/8 of its size that still suffices. Data
    with more than 8 bits is stretched so that its darkest and brightest 0.1 % of pixels become black and white: such
    files often use a small part of their range. What is transparent becomes the mean grey of what is not. Of a file
    with several pictures the first counts.

    Args:
        path: the file; its content decides the format, whatever the suffix says.
        long_side: pixels of the longer side of the result.

    Raises:
        UnusablePhoto: the reason, in words for the user.
    """
    import cv2

    image, size, orientation = _decode(path, long_side)
    width, height = (max(1, round(side * long_side / max(size))) for side in size)
    grey = cv2.resize(_to_grey(image), (width, height), interpolation=cv2.INTER_AREA)
    return Picture(np.asarray(grey, np.uint8), size, orientation)


def _decode(path: Path, long_side: int) -> tuple[Image.Image, tuple[int, int], int]:
    """The loaded image at a size of at least `long_side`, the size of the file, the orientation."""
    if not path.is_file():
        raise UnusablePhoto("a broken link, or not a regular file")
    heif = path.suffix.lower() in _HEIF_SUFFIXES and not _heif_readable()
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise UnusablePhoto("the file is empty")
            file.seek(0)
            image = Image.open(file)
            size = image.size
            if size[0] * size[1] > MAX_PIXELS:
                raise UnusablePhoto(f"{size[0]} x {size[1]} pixels; the limit is {MAX_PIXELS // 1_000_000} million")
            orientation = _orientation(image)
            shrink = min(1.0, long_side / max(size))
            image.draft("L", (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))))
            image.load()
    except UnusablePhoto:
        raise
    except UnidentifiedImageError:
        remedy = " (HEIC needs: pip install pillow-heif)" if heif else ""
        raise UnusablePhoto(f"not an image of a known format, or damaged{remedy}") from None
    except OSError as error:
        raise UnusablePhoto(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # decoders fed with damaged bytes raise nearly anything; all of it becomes the reason
        raise UnusablePhoto(f"cannot be decoded: {str(error) or type(error).__name__}") from error
    return image, size, orientation


@contextmanager
def large_photos_allowed() -> Iterator[None]:
    """Lets `MAX_PIXELS` decide what is too large: Pillow's own limit, a setting of the whole process, is lower."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def shown(name: str) -> str:
    """The name on one line of valid UTF-8: control characters and undecodable bytes as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, OSError, ValueError, KeyError, TypeError):  # damaged EXIF around good pixels
        return 1
    return value if value in range(1, 9) else 1


def _to_grey(image: Image.Image) -> NDArray[np.uint8]:
    """Luminance [height, width] of any of Pillow's modes."""
    if image.mode in ("L", "1"):
        plain = image.convert("L")
        return np.asarray(plain) if "transparency" not in image.info else _without_alpha(image.convert("LA"))
    if image.mode.startswith("I") or image.mode == "F":
        return _stretched(np.asarray(image))
    if image.mode in ("LA", "La"):
        return _without_alpha(image.convert("LA"))
    if image.mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info:
        return _without_alpha(image.convert("RGBA").convert("LA"))
    if image.mode == "LAB":
        return np.asarray(image.getchannel("L"))
    return np.asarray(image.convert("RGB").convert("L"))


def _stretched(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    wide = values.astype(np.float32)
    finite = wide[np.isfinite(wide)]
    if not finite.size:
        raise UnusablePhoto("holds no finite value")
    low, high = np.percentile(finite, (0.1, 99.9))
    if high <= low:  # nearly all pixels are alike: nothing to stretch to
        low, high = finite.min(), max(finite.max(), finite.min() + 1)
    return np.clip(np.nan_to_num((wide - low) / (high - low)) * 255 + 0.5, 0, 255).astype(np.uint8)


def _without_alpha(image: Image.Image) -> NDArray[np.uint8]:
    grey, alpha = (np.asarray(image.getchannel(band), np.float32) for band in ("L", "A"))
    if not alpha.any():
        raise UnusablePhoto("fully transparent")
    mean = np.average(grey, weights=alpha)
    return np.asarray(mean + (grey - mean) * (alpha / 255) + 0.5, np.float32).astype(np.uint8)


@cache
def _heif_readable() -> bool:
    """Teaches Pillow HEIC where the optional pillow-heif is installed; says whether it is."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True
