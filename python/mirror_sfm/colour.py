"""Photos as networks want them: upright, in colour, at one size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mirror_sfm.photos import UnusablePhoto, decode, load_image, open_image, reasons_in_words


def upright_rgb(content: bytes, long_side: int, least_side: int = 1) -> NDArray[np.uint8]:
    """Decodes a photo, turns it upright by its EXIF orientation, and resizes it to one long side.

    Photos with more than 8 bits come in grey, stretched as for local features. What is transparent becomes the mean
    colour of what is not.

    Args:
        content: of the file.
        long_side: pixels of the longer side of the result.
        least_side: pixels that the shorter side has at least: of a very long photo the proportions are given up.

    Returns:
        [height, width, 3] uint8.

    Raises:
        UnusablePhoto: the reason, in words for the user.
    """
    import cv2

    loaded = load_image(content, long_side)
    with reasons_in_words():
        pixels = _rgb(loaded.image)
    if pixels is None:
        pixels = np.repeat(decode(content, long_side).grey[:, :, None], 3, axis=2)
    width, height = (max(least_side, round(side * long_side / max(loaded.size))) for side in loaded.size)
    resized = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(turned_upright(resized, loaded.orientation))


@dataclass(frozen=True)
class Square:
    """A photo made square, as the sensor stored it.

    Attributes:
        pixels: [side, side, 3] uint8.
        size: (width, height) of the file in pixels.
        orientation: EXIF orientation, 1 to 8, that would turn it upright (`turned_upright`).
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    orientation: int


def square_rgb(content: bytes, side: int) -> Square:
    """Decodes a photo and resizes it to a square, each axis on its own, smoothed by what is smaller there.

    The arithmetic is Pillow's, in integers: the same bytes on every machine. Depth and transparency as in
    `upright_rgb`.

    Raises:
        UnusablePhoto: the reason, in words for the user.
    """
    with reasons_in_words(), open_image(content) as unread:
        long_side = -(-side * max(unread.size) // min(unread.size))  # the short side too is to hold `side` pixels
    loaded = load_image(content, long_side)
    with reasons_in_words():
        pixels = _rgb(loaded.image)
        shown = loaded.image.size
        if pixels is None:
            pixels = np.repeat(decode(content, max(loaded.size)).grey[:, :, None], 3, axis=2)
        # JPEG decoded smaller ends with a whole block, which may reach beyond the edge of the photo.
        right, bottom = (min(have, full / loaded.shrunk) for have, full in zip(shown, loaded.size, strict=True))
        square = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR, (0, 0, right, bottom))
    return Square(np.asarray(square), loaded.size, loaded.orientation)


def turned_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Stored pixels [height, width, ...] as a viewer shows them, by EXIF orientation, 1 to 8. A view, not a copy."""
    return _TURNS[orientation](pixels)


def _rgb(image: Image.Image) -> NDArray[np.uint8] | None:
    """None for what has more than 8 bits, or no red, green and blue that Pillow could make."""
    if image.mode.startswith(("I", "F")) or image.mode == "LAB":
        return None
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        return _without_alpha(np.asarray(image.convert("RGBA"), np.float32))
    return np.asarray(image.convert("RGB"))


def _without_alpha(rgba: NDArray[np.float32]) -> NDArray[np.uint8]:
    colour, alpha = rgba[:, :, :3], rgba[:, :, 3:] / 255
    if not alpha.any():
        raise UnusablePhoto("fully transparent")
    mean = (colour * alpha).sum((0, 1), dtype=np.float64) / alpha.sum(dtype=np.float64)
    return (mean + (colour - mean) * alpha + 0.5).astype(np.uint8)


# EXIF orientation -> what turns the stored pixels upright.
_TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}
