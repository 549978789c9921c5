"""Where the samples of a photo lie in the pinhole raster that its surface is drawn in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mirror_sfm.errors import UsageError
from mirror_sfm.scenes.cameras import Camera, Pinhole

FINER = 2  # raster pixels per sample along each axis, where a lens bends rays between them
ROUNDS = 20  # of Newton's method


@dataclass(frozen=True)
class Raster:
    """A pinhole raster and the samples of a photo, or of a band of its rows.

    Attributes:
        pinhole: the raster; of a photo without distortion its pixels are the samples.
        rows: which rows of samples.
        shown: [height x samples, width x samples] int32, the raster's pixel (row x width + column) that each sample of
            the photo shows; None without distortion.
    """

    pinhole: Pinhole
    rows: slice
    shown: np.ndarray | None

    def band(self, rows: slice) -> Raster:
        return replace(self, rows=rows)

    @property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the samples in the raster, x and y, float32, of a shape that broadcasts to [rows, columns]."""
        if self.shown is None:
            x, y = np.arange(self.pinhole.width)[None], np.arange(self.rows.start, self.rows.stop)[:, None]
        else:
            y, x = np.divmod(self.shown[self.rows], self.pinhole.width)
        return x.astype(np.float32) + np.float32(0.5), y.astype(np.float32) + np.float32(0.5)

    def of(self, values: np.ndarray) -> np.ndarray:
        """[rows, columns, ...] what the raster's values [height, width, ...] are at the samples."""
        if self.shown is None:
            return values[self.rows]
        return values.reshape(-1, *values.shape[2:])[self.shown[self.rows]]


@lru_cache(maxsize=2)
def raster_of(camera: Camera, samples: int) -> Raster:
    """The raster of a PINHOLE or SIMPLE_RADIAL camera with samples x samples rays per pixel.

    Raises:
        UsageError: the distortion is so strong that the photo's corners see nothing.
    """
    height, width = camera.height * samples, camera.width * samples
    if not camera.distorts:
        return Raster(camera.pinhole.resized(width, height), slice(0, height), None)
    focal, cx, cy, k = camera.params
    x = ((np.arange(width) + 0.5) / samples - cx)[None] / focal
    y = ((np.arange(height) + 0.5) / samples - cy)[:, None] / focal
    x, y = (axis * _straightened(np.sqrt(x * x + y * y), k, camera) for axis in (x, y))
    scale = focal * samples * FINER
    across, down = (int(np.ceil(scale * np.abs(axis).max())) + 1 for axis in (x, y))
    pinhole = Pinhole(2 * across, 2 * down, scale, scale, across, down)
    shown = np.floor(y * scale + down).astype(np.int32) * pinhole.width + np.floor(x * scale + across).astype(np.int32)
    return Raster(pinhole, slice(0, height), shown)


def project(camera: Camera, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixel x and y [n] of places [n, 3] in the camera, before which they lie; NaN where the lens does not see them."""
    u, v = places[:, 0] / places[:, 2], places[:, 1] / places[:, 2]
    if not camera.distorts:
        pinhole = camera.pinhole
        return pinhole.fx * u + pinhole.cx, pinhole.fy * v + pinhole.cy
    focal, cx, cy, k = camera.params
    square = u * u + v * v
    factor = np.where(1 + 3 * k * square > 0, 1 + k * square, np.nan)
    return focal * factor * u + cx, focal * factor * v + cy


def _straightened(bent: np.ndarray, k: float, camera: Camera) -> np.ndarray:
    """By what to multiply a bent ray's direction: r / d, where r (1 + k r^2) = d."""
    limit = np.inf if k >= 0 else (-1 / (3 * k)) ** 0.5  # beyond it the lens folds
    if bent.max() >= 0.98 * limit * (1 + k * limit**2 if k < 0 else 1):
        raise UsageError(
            f"distortion: {k} bends the corners of a {camera.width} x {camera.height} photo back; use a weaker one"
        )
    straight = bent.copy()
    for _ in range(ROUNDS):
        straight -= (straight * (1 + k * straight**2) - bent) / (1 + 3 * k * straight**2)
    return np.where(bent > 0, straight / np.where(bent > 0, bent, 1), 1)
