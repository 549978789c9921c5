"""Random values that vary smoothly, in the plane and in space: what procedural pictures and shapes are made of.

Only additions, products and look-ups: the same seed gives the same bits on every processor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

SIDE = 64  # lattice of SolidNoise; it repeats beyond


def floats(values: ArrayLike) -> np.ndarray:
    return np.asarray(values, np.float32)


def smooth(t: np.ndarray) -> np.ndarray:
    """0 .. 1 -> 0 .. 1 with flat ends."""
    return t * t * (3 - 2 * t)


def ramp(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 where x <= low, 1 where x >= high, smooth between. With low > high it falls."""
    return smooth(np.clip((x - np.float32(low)) * np.float32(1 / (high - low)), 0, 1))


def wave(x: np.ndarray) -> np.ndarray:
    """A wave of period 1 between -1 and 1, close to sin(2 pi x): two parabolas, so the same bits everywhere."""
    t = x - np.floor(x)
    first = t < 0.5
    u = np.where(first, t, t - np.float32(0.5))
    arch = u * (np.float32(0.5) - u) * np.float32(16)
    return np.where(first, arch, -arch)


def fractal(
    rng: np.random.Generator, height: int, width: int, cell: float, octaves: int = 4, gain: float = 0.6
) -> np.ndarray:
    """[height, width] float32 noise around 0, mostly within -1 .. 1.

    Args:
        rng: of the values.
        height, width: of the picture.
        cell: pixels from one random value of the first octave to the next; each octave halves it.
        octaves: how many; those finer than a pixel are left out.
        gain: strength of an octave relative to the one before.
    """
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        size = cell / 2**octave
        if size < 1 and octave:
            break
        (rows, v), (columns, u) = (_places(length, size) for length in (height, width))
        grid = rng.random((rows[-1] + 2, columns[-1] + 2), np.float32) * np.float32(2 * gain**octave)
        grid -= np.float32(gain**octave)
        across = grid[:, columns] + (grid[:, columns + 1] - grid[:, columns]) * u
        steps = np.flatnonzero(np.diff(rows, prepend=-1))
        for first, last in zip(steps, [*steps[1:], height], strict=True):  # one lattice row at a time: no gathers
            upper, lower = across[rows[first]], across[rows[first] + 1]
            total[first:last] += upper + (lower - upper) * v[first:last, None]
    return total


def _places(length: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    position = (np.arange(length) + 0.5) / size
    index = position.astype(np.int64)
    return index, smooth(floats(position - index))


class SolidNoise:
    """Noise in space, for shapes and for pictures that wrap around them without a seam."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.lattice = rng.random(SIDE**3, np.float32) * 2 - 1

    def __call__(self, points: np.ndarray, cell: float, octaves: int = 4, gain: float = 0.5) -> np.ndarray:
        """[...] float32 around 0 at points [..., 3]; `cell` is the distance of the first octave's values."""
        total = np.zeros(points.shape[:-1], np.float32)
        for octave in range(octaves):
            position = points.astype(np.float32) * np.float32(2**octave / cell) + np.float32(1000 + 17.3 * octave)
            corner = np.floor(position).astype(np.int32)
            t = smooth(position - corner)
            total += np.float32(gain**octave) * self._between(corner, t)
        return total

    def _between(self, corner: np.ndarray, t: np.ndarray) -> np.ndarray:
        low = [corner[..., axis] % SIDE * SIDE**axis for axis in range(3)]
        high = [(corner[..., axis] + 1) % SIDE * SIDE**axis for axis in range(3)]
        planes = []
        for z in (low[2], high[2]):
            lines = []
            for y in (low[1], high[1]):
                first, second = self.lattice[low[0] + y + z], self.lattice[high[0] + y + z]
                lines.append(first + (second - first) * t[..., 0])
            planes.append(lines[0] + (lines[1] - lines[0]) * t[..., 1])
        return planes[0] + (planes[1] - planes[0]) * t[..., 2]
