"""Mean and covariance of a stream of unit vectors, exact, hence the same bits in any order, chunking or thread count.

A component x in [-1, 1] is split into hi, a multiple of 2^-20, and lo, a multiple of 2^-41 below 2^-21. Over 4096 rows
every product and every partial sum of hi hi and of hi lo then fits the 53 bits of a float64, so the matrix product
makes no rounding error whatever its order; blocks are added as 64-bit integers. What is left out, lo lo, is below
2^-42.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HI, LO = 2.0**20, 2.0**41
BLOCK = 4096  # rows whose products cannot overflow 53 bits
MOST_ROWS = 2**22  # rows whose sums cannot overflow 63 bits


class Moments:
    """Sums of x and of x x^T over unit rows."""

    def __init__(self, channels: int):
        self.channels = channels
        self.rows = 0
        self._hi = np.zeros(channels, np.int64)
        self._lo = np.zeros(channels, np.int64)
        self._hi_hi = np.zeros((channels, channels), np.int64)
        self._hi_lo = np.zeros((channels, channels), np.int64)

    def add(self, unit: NDArray[np.float64]) -> None:
        """Adds rows [n, C] with components in [-1, 1]."""
        if self.rows + len(unit) > MOST_ROWS:
            raise ValueError(f"covariance: expected at most {MOST_ROWS} vectors, got more: fit on a sample of them")
        for start in range(0, len(unit), BLOCK):
            block = unit[start : start + BLOCK]
            hi = np.round(block * HI) / HI
            lo = np.round((block - hi) * LO) / LO
            self._hi += _integers(hi.sum(axis=0), HI)
            self._lo += _integers(lo.sum(axis=0), LO)
            self._hi_hi += _integers(hi.T @ hi, HI * HI)
            self._hi_lo += _integers(hi.T @ lo, HI * LO)
        self.rows += len(unit)

    def mean(self) -> NDArray[np.float64]:
        """[C]."""
        return (self._hi / HI + self._lo / LO) / self.rows

    def covariance(self) -> NDArray[np.float64]:
        """[C, C], symmetric, divided by rows - 1."""
        cross = self._hi_lo / (HI * LO)
        scatter = self._hi_hi / (HI * HI) + (cross + cross.T)
        mean = self.mean()
        return (scatter - self.rows * (mean[:, None] * mean[None])) / max(self.rows - 1, 1)


def _integers(sums: NDArray[np.float64], unit: float) -> NDArray[np.int64]:
    return (sums * unit).astype(np.int64)
