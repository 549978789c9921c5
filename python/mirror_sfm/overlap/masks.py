"""Masks on the grids of networks: stored once at 56 x 56, brought to any other grid by exact area means."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mirror_sfm.errors import UsageError

FULL = 255  # stored value of a cell that is covered wholly


def reduce_masks(masks: ArrayLike, side: int) -> NDArray[np.float32]:
    """Stored masks on a coarser grid. For a side that divides theirs every cell is the mean of a block.

    Args:
        masks: [..., s, s] uint8, 255 = the whole cell.
        side: cells of the result.

    Returns:
        [..., side, side] coverage in 0..1.
    """
    stored = np.asarray(masks)
    if stored.dtype != np.uint8:
        raise UsageError(f"masks: expected stored coverage, uint8, got {stored.dtype}")
    return area_mean(stored, side, side, FULL).astype(np.float32)


def area_mean(grids: ArrayLike, rows: int, columns: int, full: float = 1) -> NDArray[np.float64]:
    """Mean over the area of each cell of another grid; pixels that a border cuts count by their share (A10).

    Sums are those of whole numbers, divided once: the result is the nearest to the true mean where values are whole.

    Args:
        grids: [..., height, width].
        rows, columns: of the result.
        full: value that becomes 1.

    Returns:
        [..., rows, columns].
    """
    values = np.asarray(grids)
    if values.ndim < 2 or min(values.shape[-2:]) < 1 or min(rows, columns) < 1:
        raise UsageError(
            f"masks: expected [..., height, width] and a grid of cells, got {values.shape}, {rows} x {columns}"
        )
    down, down_area = _shares(values.shape[-2], rows)
    across, across_area = _shares(values.shape[-1], columns)
    return (down @ values.astype(np.float64) @ across.T) / (full * down_area * across_area)


def mask_cells(coverage: ArrayLike) -> NDArray[np.bool_]:
    """The cells that count (A11): those covered by half; where none is, those covered most; none where all is 0.

    Args:
        coverage: [..., rows, columns] in 0..1, or stored as uint8 (255 = the whole cell).
    """
    values = np.asarray(coverage)
    half = FULL / 2 if values.dtype == np.uint8 else 0.5
    cells = values >= half
    most = values.max((-2, -1), keepdims=True)
    weak = (most > 0) & (most < half)
    return np.asarray(np.where(weak, values == most, cells))


def stored(coverage: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Coverage in 0..1 as it is stored: the nearest of 255 steps, but never 0 where anything is covered."""
    return np.maximum(np.rint(coverage * FULL), coverage > 0).astype(np.uint8)


def _shares(pixels: int, cells: int) -> tuple[NDArray[np.float64], int]:
    """[cells, pixels] how much of each pixel lies in each cell, and how much a cell holds, in the same whole units.

    In units of 1 / cells of a pixel, pixel x covers [x cells, (x + 1) cells) and cell c [c pixels, (c + 1) pixels).
    """
    common = math.gcd(pixels, cells)
    unit, area = cells // common, pixels // common
    cell, pixel = np.arange(cells)[:, None], np.arange(pixels)[None]
    low = np.maximum(cell * area, pixel * unit)
    high = np.minimum((cell + 1) * area, (pixel + 1) * unit)
    return np.maximum(high - low, 0).astype(np.float64), area
