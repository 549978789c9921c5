"""Colour jitter (method of the authors' program): contrast, saturation, hue, brightness, in this order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import UsageError


@dataclass(frozen=True)
class Jitter:
    """How far colours may go; each is drawn uniformly.

    Attributes:
        contrast: factor 1 - this to 1 + this of the distance to each channel's mean.
        saturation: factor 1 - this to 1 + this of the HSV saturation.
        hue: turns, minus this to plus this.
        brightness: added, minus this to plus this of the full range.
    """

    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.2
    brightness: float = 0.2

    def __post_init__(self) -> None:
        for name, most in (("contrast", 1.0), ("saturation", 1.0), ("hue", 0.5), ("brightness", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(f"jitter: {name} must be within 0..{most:g}, got {getattr(self, name)}")

    def draw(self, rng: np.random.Generator) -> tuple[float, float, float, float]:
        """Contrast, saturation, hue, brightness; always takes four numbers."""
        contrast, saturation, hue, brightness = 2 * rng.random(4) - 1
        return (
            1 + contrast * self.contrast,
            1 + saturation * self.saturation,
            hue * self.hue,
            brightness * self.brightness,
        )


NO_JITTER = Jitter(0, 0, 0, 0)


def jittered(
    rgb: NDArray[np.float32], contrast: float, saturation: float, hue: float, brightness: float
) -> NDArray[np.float32]:
    """[3, H, W] float32 in 0..1, with other colours, clipped to 0..1 before HSV is taken and at the end.

    HSV is not computed: with v the largest and c the largest less the smallest, channel n of hue h turns (n = 5, 3, 1
    for red, green, blue) is v - c max(0, min(k, 4 - k, 1)), k = (n + 6h) mod 6; a turn changes h, saturation c.
    """
    if contrast != 1:
        mean = rgb.reshape(3, -1).mean(axis=1)[:, None, None]
        rgb = np.clip((rgb - mean) * np.float32(contrast) + mean, 0, 1)
    if saturation != 1 or hue != 0:
        red, green, blue = rgb
        largest = np.maximum(np.maximum(red, green), blue)
        chroma = largest - np.minimum(np.minimum(red, green), blue)
        sixths = _hue(rgb, largest, chroma) + np.float32(6 * hue)
        chroma = np.minimum(chroma * np.float32(saturation), largest)  # saturation is chroma / largest, at most 1
        k = np.array([5, 3, 1], np.float32)[:, None, None] + sixths
        k -= 6 * np.floor(k / 6)
        rgb = largest - chroma * np.clip(np.minimum(k, 4 - k), 0, 1)
    return np.clip(rgb + np.float32(brightness), 0, 1) if brightness != 0 else rgb


def _hue(rgb: NDArray[np.float32], largest: NDArray[np.float32], chroma: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W] in sixths of a turn; 0 where there is no colour."""
    red, green, blue = rgb
    divisor = np.where(chroma > 0, chroma, 1)
    by_green = (blue - red) / divisor + 2
    by_blue = (red - green) / divisor + 4
    return np.where(largest == red, (green - blue) / divisor, np.where(largest == green, by_green, by_blue))
