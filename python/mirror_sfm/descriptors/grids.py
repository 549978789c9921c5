"""Boxes of a feature map whose vectors stand for its regions.

even    kernels of the published program, exactly s * s boxes spread evenly over the map: the default
mirror  the published program to the letter: integer strides, which give more boxes on some maps (46 for 35 on 14 x 14)
tolias  squares of Tolias, Sicre, Jegou, *Particular Object Retrieval with Integral Max-Pooling of CNN Activations*,
        ICLR 2016: about 40 % overlap along the longer side
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from math import floor

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.descriptors.arguments import expect_choice, expect_count, fail

DEFAULT_STEPS = {"even": (1, 3, 5), "mirror": (1, 3, 5), "tolias": (1, 2, 3)}
TOLIAS_OVERLAP = 0.4

Axis = tuple[int, Sequence[int]]  # side of the box along one axis, and where boxes start


def region_grid(height: int, width: int, steps: Sequence[int] | None = None, grid: str = "even") -> NDArray[np.int64]:
    """Boxes of a height x width map, scale by scale, row-major within a scale.

    Args:
        height, width: cells of the map.
        steps: scales. Step s gives s x s boxes (tolias: s along the short side, more along the long one); s = 1 is the
            whole map (tolias: its largest squares). None: 1, 3, 5, or 1, 2, 3 for tolias.
        grid: even, mirror or tolias.

    Returns:
        [R, 4] int64: row, column, height, width, in cells. 35 boxes for even 1, 3, 5; 14 for tolias on a square map.

    Raises:
        ValueError: an unknown grid, a size or step below 1, or a map too small for every step.

    A map with fewer than s cells along a side cannot be cut s times: that step is left out, with a RuntimeWarning.
    """
    expect_choice("region_grid", "grid", grid, tuple(DEFAULT_STEPS))
    steps = DEFAULT_STEPS[grid] if steps is None else tuple(steps)
    for argument, value in (("height", height), ("width", width), *(("steps", s) for s in steps)):
        expect_count("region_grid", argument, value)
    kept = [s for s in steps if s <= min(height, width)]
    if not kept:
        fail("region_grid", "steps", f"a step that a {height} x {width} map has cells for", list(steps))
    for s in steps:
        if s not in kept:
            why = f"region_grid: a {height} x {width} map has no {s} x {s} regions: step {s} is left out"
            warnings.warn(why, RuntimeWarning, stacklevel=2)
    rule: Callable[[int, int, int], tuple[Axis, Axis]] = {"even": _even, "mirror": _mirror, "tolias": _tolias}[grid]
    boxes = [box for s in kept for box in _boxes(*rule(int(height), int(width), int(s)))]
    return np.array(boxes, np.int64)


def _boxes(rows: Axis, columns: Axis) -> Iterable[tuple[int, int, int, int]]:
    return ((r, c, rows[0], columns[0]) for r in rows[1] for c in columns[1])


def _kernel(cells: int, s: int) -> int:
    """Two of s + 1 equal parts, so that neighbours overlap by half."""
    return cells if s == 1 else max(1, 2 * (cells // (s + 1)))


def _even(height: int, width: int, s: int) -> tuple[Axis, Axis]:
    def axis(cells: int) -> Axis:
        kernel = _kernel(cells, s)
        return kernel, [0] if s == 1 else [floor(i * (cells - kernel) / (s - 1) + 0.5) for i in range(s)]

    return axis(height), axis(width)


def _mirror(height: int, width: int, s: int) -> tuple[Axis, Axis]:
    def axis(cells: int) -> Axis:
        kernel = _kernel(cells, s)
        return kernel, [0] if s == 1 else range(0, cells - kernel + 1, (cells - kernel) // (s - 1))

    return axis(height), axis(width)


def _tolias(height: int, width: int, s: int) -> tuple[Axis, Axis]:
    short, long = min(height, width), max(height, width)
    side = 2 * short // (s + 1)
    half = side // 2 - 1  # centres are spread and floored, corners follow from them

    def axis(cells: int) -> Axis:
        count = s + (_extra(short, long) if cells > short else 0)
        step = 0.0 if count == 1 else (cells - side) / (count - 1)
        return side, [floor(half + i * step) - half for i in range(count)]

    return axis(height), axis(width)


def _extra(short: int, long: int) -> int:
    """How many more boxes the long side gets: those that make neighbouring squares overlap closest to 40 %."""
    step = [(long - short) / (count - 1) for count in range(2, 8)]
    overlap = [abs((short**2 - short * b) / short**2 - TOLIAS_OVERLAP) for b in step]
    return int(np.argmin(overlap)) + 1
