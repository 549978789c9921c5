"""Photos as networks want them: upright, in colour, at one size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mirror_sfm.photos import UnusablePhoto, decode, load_image, reasons_in_words


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
    return np.ascontiguousarray(_TURNS[loaded.orientation](resized))


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
