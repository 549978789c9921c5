"""What the report shows of a surface: which part of each photo its partner sees too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError
from mirror_sfm.overlap.measured import Overlap
from mirror_sfm.photos import shown
from mirror_sfm.report.tables import FINE, ShownPairs, packed
from mirror_sfm.view_graph import ViewGraph

HALF = 128  # of 255: a cell is in a mask from half of its area on


def surface_table(
    graph: ViewGraph, pairs: ShownPairs, overlap: Overlap, orientations: NDArray[np.integer]
) -> dict[str, Any]:
    """Masks and shares of the pairs shown, and a matrix of overlap, on upright photos.

    `row`: of each pair, 1 + its row among the masks, 0 without any; `masks`: 56 x 56 bits per direction, first the
    first photo's; `covered`: the same of each photo, where it shows any surface; `shares`: of each pair, in FINE steps,
    first of the first photo; `counts`, `partner`, `overlap`: the matrix above its diagonal, by rows, in 255 steps.

    Raises:
        MirrorError: no photo of the graph is known to the reconstruction, or it has no surface.
    """
    if overlap.masks is None or overlap.covered is None or "pixels" not in overlap.halves:
        raise MirrorError("the report can show overlap only of a reconstruction with a surface: give a mesh")
    place = _rows_of(graph, overlap)
    if (place < 0).all():
        known = shown(overlap.names[0]) if overlap.names else "none"
        raise MirrorError(
            f"no photo is called as in the reconstruction (there: {known}, here: {shown(graph.names[0])})"
        )
    found, swapped = _find(place[graph.candidates.i[pairs.rows]], place[graph.candidates.j[pairs.rows]], overlap)
    with_mask = np.flatnonzero((found >= 0) & overlap.masks[found].any((1, 2, 3)) if len(overlap.pairs) else found >= 0)
    ends = np.stack((graph.candidates.i[pairs.rows], graph.candidates.j[pairs.rows]), 1)
    row = np.zeros(len(pairs.rows), np.int64)
    row[with_mask] = np.arange(1, len(with_mask) + 1)
    bits = [
        _bits(overlap.masks[found[k], side ^ int(swapped[k])], int(orientations[ends[k, side]]))
        for k in with_mask.tolist()
        for side in (0, 1)
    ]
    empty = np.zeros_like(overlap.covered[0])
    covered = [
        _bits(overlap.covered[at] if at >= 0 else empty, turn)
        for at, turn in zip(place.tolist(), orientations.tolist(), strict=True)
    ]
    return {
        "row": packed(row),
        "masks": packed(_joined(bits)),
        "covered": packed(_joined(covered)),
        "shares": packed(_shares(overlap, found, swapped).reshape(-1)),
        **_cells(place, overlap),
    }


def _rows_of(graph: ViewGraph, overlap: Overlap) -> NDArray[np.int64]:
    """[N] row of each photo among the names of the reconstruction; -1: not there."""
    row = {name: k for k, name in enumerate(overlap.names)}
    return np.array([row.get(name, -1) for name in graph.names], np.int64)


def _find(a: NDArray[np.int64], b: NDArray[np.int64], overlap: Overlap) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of overlap.pairs that hold (a, b) in either order, -1 where none does; and whether swapped."""
    if not len(overlap.pairs):
        return np.full(len(a), -1), a > b
    keys = overlap.pairs[:, 0].astype(np.int64) * len(overlap.names) + overlap.pairs[:, 1]
    wanted = np.where((a < 0) | (b < 0), -1, np.minimum(a, b) * len(overlap.names) + np.maximum(a, b))
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1), a > b


def _bits(mask: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A mask on the upright photo, 8 cells a byte, the first cell in the highest bit."""
    turned = {
        1: lambda m: m,
        2: lambda m: m[:, ::-1],
        3: lambda m: m[::-1, ::-1],
        4: lambda m: m[::-1],
        5: lambda m: m.T,
        6: lambda m: m[::-1].T,
        7: lambda m: m[::-1, ::-1].T,
        8: lambda m: m[:, ::-1].T,
    }[orientation](mask)
    return np.packbits(turned >= HALF)


def _joined(bits: list[NDArray[np.uint8]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *(b.astype(np.int64) for b in bits)])


def _shares(overlap: Overlap, found: NDArray[np.int64], swapped: NDArray[np.bool_]) -> NDArray[np.int64]:
    halves = np.zeros((len(found), 2))
    halves[found >= 0] = overlap.halves["pixels"][found[found >= 0]]
    halves[swapped] = halves[swapped, ::-1]
    return np.round(halves * FINE).astype(np.int64)


def _cells(place: NDArray[np.int64], overlap: Overlap) -> dict[str, dict[str, str]]:
    photo = np.full(len(overlap.names), -1)
    photo[place[place >= 0]] = np.flatnonzero(place >= 0)
    ends = np.sort(photo[overlap.pairs], axis=1).reshape(-1, 2)
    steps = np.round(overlap.averaged("pixels") * 255).astype(np.int64)
    kept = np.flatnonzero((ends[:, 0] >= 0) & (steps > 0))
    kept = kept[np.lexsort((ends[kept, 1], ends[kept, 0]))]
    return {
        "counts": packed(np.bincount(ends[kept, 0], minlength=len(place))),
        "partner": packed(ends[kept, 1]),
        "overlap": packed(steps[kept]),
    }
