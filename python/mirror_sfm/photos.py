"""Photos: their pixels in grey.

Pixels stay in sensor coordinates, the layout of the file. The EXIF orientation is recorded but not applied: SIFT does
not care which way is up, and COLMAP keeps the layout of the file too. A rotation inside a HEIC or AVIF file is another
matter: there it is part of the picture, as the formats have it, and every reader applies it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mirror_sfm.deep_tiff import read_deep

# fmt: off
PHOTO_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".mpo", ".png", ".tif", ".tiff", ".webp", ".bmp", ".jp2", ".gif", ".ppm", ".pgm", ".pnm",
    ".avif", ".heic", ".heif",
))
# fmt: on
# A photo with more pixels than this is refused before it is decoded: nothing a camera makes today comes near (the
# largest sensors have 250 million), and one such photo decoded in colour already takes 2 GB.
MAX_PIXELS = 500_000_000
MAX_BYTES = 4 << 30  # of a file, which is read whole
_ORIENTATION = 0x0112  # EXIF tag
# What a HEIC file begins with, after its length: "ftyp" and one of these.
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))
# What turns an upright picture back to how it was stored, by EXIF orientation.
_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


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
        scale: pixels of the file per pixel of `grey`, in x and y. Not always the quotient of the sizes: JPEG decoded at
            an eighth ends with the block of 8 x 8 pixels that holds its edge, which may reach beyond it.
        orientation: EXIF orientation, 1 to 8, that would turn `grey` upright; 1 where there is none.
    """

    grey: NDArray[np.uint8]
    size: tuple[int, int]
    scale: tuple[float, float]
    orientation: int


@dataclass(frozen=True)
class Loaded:
    """A photo in the colours of its file.

    Attributes:
        image: the pixels in sensor coordinates, decoded at a size of at least what was asked for.
        size: (width, height) of the file in pixels, as the sensor stored it.
        shrunk: by how much smaller than the file it was decoded: 1, 2, 4 or 8.
        orientation: EXIF orientation, 1 to 8, that would turn the image upright; 1 where there is none.
    """

    image: Image.Image
    size: tuple[int, int]
    shrunk: float
    orientation: int


class UnusablePhoto(Exception):
    """This photo cannot be used; the message is the reason shown to the user."""


def read_picture(path: Path, long_side: int) -> Picture:
    """Reads a photo and decodes it: `read_file`, then `decode`."""
    return decode(read_file(path), long_side)


def read_file(path: Path) -> bytes:
    """The content of a photo's file.

    Raises:
        UnusablePhoto: the reason, in words for the user.
    """
    try:
        if not path.is_file():
            raise UnusablePhoto("a broken link, or not a regular file")
        if path.stat().st_size > MAX_BYTES:
            raise UnusablePhoto(f"the file is larger than {MAX_BYTES >> 30} GiB")
        content = path.read_bytes()
    except OSError as error:
        raise UnusablePhoto(f"cannot be read: {error.strerror or error}") from error
    if not content:
        raise UnusablePhoto("the file is empty")
    return content


def decode(content: bytes, long_side: int) -> Picture:
    """Decodes a photo to grey and resizes it, smaller photos up and larger ones down, to one long side.

    JPEG is decoded straight to luminance at the smallest of 1, 1/2, 1/4, 1/8 of its size that still suffices. Data
    with more than 8 bits is stretched so that its darkest and brightest 0.1 % of pixels become black and white: such
    files often use a small part of their range. What is transparent becomes the mean grey of what is not. Of a file
    with several pictures the first counts (HEIC: the primary one).

    Args:
        content: of the file; it decides the format, whatever the suffix says.
        long_side: pixels of the longer side of the result.

    Raises:
        UnusablePhoto: the reason, in words for the user.
    """
    import cv2

    loaded = load_image(content, long_side, "L")
    with reasons_in_words():
        large = _to_grey(loaded.image)
    shape = [max(1, round(side * long_side / max(loaded.size))) for side in loaded.size]
    grey = cv2.resize(large, shape, interpolation=cv2.INTER_AREA)
    scale = (large.shape[1] * loaded.shrunk / shape[0], large.shape[0] * loaded.shrunk / shape[1])
    return Picture(np.asarray(grey, np.uint8), loaded.size, scale, loaded.orientation)


def load_image(content: bytes, long_side: int, mode: str = "RGB") -> Loaded:
    """Decodes a photo, JPEG at the smallest of 1, 1/2, 1/4, 1/8 of its size whose long side still is `long_side`.

    Args:
        content: of the file.
        long_side: pixels that will be needed.
        mode: Pillow's name of the colours that will be needed: "L" spares JPEG its colours. Formats that do not care
            come as they are.

    Raises:
        UnusablePhoto: the reason, in words for the user.
    """
    with reasons_in_words():
        if deep := read_deep(content, MAX_PIXELS):
            image, orientation = deep
            image = _as_stored(image, orientation)
            return Loaded(image, image.size, 1.0, orientation if orientation in _BACK else 1)
        image = open_image(content)
        orientation = _orientation(image)
        if image.format in ("JPEG", "MPO"):  # others may offer a thumbnail of their own making
            size, shrink = image.size, min(1.0, long_side / max(image.size))
            drafted = image.draft(mode, (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))))
            image.load()
            return Loaded(image, size, size[0] / drafted[1][2] if drafted else 1.0, orientation)
        image.load()
        if image.format == "TIFF":
            image = _as_stored(image, orientation)
        elif image.format == "AVIF":  # what Pillow calls its orientation is the rotation inside the file
            image, orientation = ImageOps.exif_transpose(image), 1
        return Loaded(image, image.size, 1.0, orientation)


def _as_stored(upright: Image.Image, orientation: int) -> Image.Image:
    """TIFF, which its readers turn upright, turned back."""
    return upright.transpose(_BACK[orientation]) if orientation in _BACK else upright


def open_file(path: Path) -> Image.Image:
    """Opens a photo's file for its EXIF, HEIC included. Close it, and expect Pillow to raise anything."""
    with open(path, "rb") as file:
        if _is_heif(file.read(12)):
            _heif_readable()
    return Image.open(path)


def open_image(content: bytes) -> Image.Image:
    """Opens an image without decoding it. Best inside `reasons_in_words`."""
    heif_missing = _is_heif(content) and not _heif_readable()
    try:
        image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        if heif_missing:
            raise UnusablePhoto("HEIC needs one more package: pip install 'mirror-sfm[heif]'") from None
        raise
    if image.width * image.height > MAX_PIXELS:
        raise UnusablePhoto(f"{image.width} x {image.height} pixels; the limit is {MAX_PIXELS // 1_000_000} million")
    return image


@contextmanager
def reasons_in_words() -> Iterator[None]:
    """Makes whatever decoders raise an `UnusablePhoto`: fed with damaged bytes they raise nearly anything."""
    try:
        yield
    except UnusablePhoto:
        raise
    except UnidentifiedImageError:
        raise UnusablePhoto("not an image of a known format, or damaged") from None
    except OSError as error:
        raise UnusablePhoto(f"cannot be read: {one_line(error.strerror or str(error))}") from error
    except Exception as error:
        raise UnusablePhoto(f"cannot be decoded: {one_line(str(error)) or type(error).__name__}") from error


@contextmanager
def large_photos_allowed() -> Iterator[None]:
    """Lets `MAX_PIXELS` decide what is too large: Pillow's own limit, a setting of the whole process, is lower."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def one_line(text: str) -> str:
    """A message of a library on one line."""
    return " ".join(text.split())


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


def _is_heif(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS


@cache
def _heif_readable() -> bool:
    """Teaches Pillow HEIC where the optional pillow-heif is installed; says whether it is."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True
