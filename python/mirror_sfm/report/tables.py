"""Numbers for the page's script: small integers, packed as base64, so that a thousand photos fit."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.graph import REASONS
from mirror_sfm.report.thumbnails import upright
from mirror_sfm.view_graph import ViewGraph

FINE = 10_000  # steps of a probability or a factor shown as a number
REJECTED = 3  # neighbours shown per photo that were not chosen
MATCH_BYTES = 5_000_000  # of all matches drawn
NOT_EXAMINED = 2**32 - 1  # evidence of a pair whose geometry was not examined

Packed = dict[str, str]


def packed(values: NDArray[np.integer]) -> Packed:
    """Whole numbers from 0 as the smallest of 8, 16 or 32 bits, little-endian, in base64."""
    largest = int(values.max(initial=0))
    kind = "u1" if largest < 2**8 else "u2" if largest < 2**16 else "u4"
    return {"type": kind, "data": base64.b64encode(values.astype(f"<{kind}").tobytes()).decode()}


def highest_score(graph: ViewGraph) -> float:
    """Scores are packed relative to this."""
    return float(graph.scores.max(initial=0.0)) or 1.0


def _scores(graph: ViewGraph, rows: NDArray[np.int64], steps: int) -> Packed:
    share = np.clip(graph.scores[rows].astype(np.float64) / highest_score(graph), 0, 1)
    return packed(np.round(share * steps).astype(np.int64))


def _fine(values: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.round(np.maximum(values.astype(np.float64), 0) * FINE).astype(np.int64)


@dataclass(frozen=True)
class ShownPairs:
    """Rows of candidates shown one by one, chosen ones first in their order, and why: an index of `REASONS`, or
    len(REASONS) for those that were not chosen."""

    rows: NDArray[np.int64]
    reasons: NDArray[np.int64]


def shown_pairs(graph: ViewGraph) -> ShownPairs:
    """The chosen pairs, and the `REJECTED` most probable others of each photo."""
    taken = np.zeros(len(graph.candidates), bool)
    taken[graph.chosen] = True
    rest = np.flatnonzero(~taken)
    owner = np.concatenate((graph.candidates.i[rest], graph.candidates.j[rest]))
    row = np.tile(rest, 2)
    order = np.lexsort((row, -graph.scores[row], -graph.probabilities[row], owner))
    begin = np.searchsorted(owner[order], np.arange(len(graph.names)))
    place = np.arange(len(order)) - begin[owner[order]] if len(order) else np.zeros(0, np.int64)
    rejected = np.unique(row[order[place < REJECTED]])
    reasons = np.concatenate((graph.reasons, np.full(len(rejected), len(REASONS)))).astype(np.int64)
    return ShownPairs(np.concatenate((graph.chosen, rejected)), reasons)


def pair_table(graph: ViewGraph, pairs: ShownPairs) -> dict[str, Any]:
    """Photos, probability, score, evidence, reason and witnesses of the pairs shown."""
    weight = np.full(len(graph.candidates), NOT_EXAMINED, np.int64)
    weight[graph.evidence.pairs] = np.round(graph.evidence.weight.astype(np.float64) * 10).astype(np.int64)
    return {
        "a": packed(graph.candidates.i[pairs.rows]),
        "b": packed(graph.candidates.j[pairs.rows]),
        "probability": packed(_fine(graph.probabilities[pairs.rows])),
        "score": _scores(graph, pairs.rows, 65535),
        "evidence": packed(weight[pairs.rows]),
        "reason": packed(pairs.reasons),
        "witnesses": {name: packed(_fine(factor[pairs.rows])) for name, factor in sorted(graph.witnesses.items())},
    }


def cell_table(graph: ViewGraph) -> dict[str, Packed]:
    """The matrix above its diagonal, by rows: partner, probability and score in 255 steps. Pairs of
    probability 0 in these steps are left out."""
    probability = np.round(np.clip(graph.probabilities.astype(np.float64), 0, 1) * 255).astype(np.int64)
    kept = np.flatnonzero(probability)
    counts = np.bincount(graph.candidates.i[kept], minlength=len(graph.names))
    return {
        "counts": packed(counts),
        "partner": packed(graph.candidates.j[kept]),
        "probability": packed(probability[kept]),
        "score": _scores(graph, kept, 255),
    }


def match_table(graph: ViewGraph, pairs: ShownPairs, orientations: NDArray[np.integer]) -> dict[str, Packed]:
    """Good matches of the pairs shown, on upright photos.

    `found`: how many each pair has; `drawn`: how many of them follow, spread evenly where `MATCH_BYTES` does not hold
    all; `first`, `second`: their points, counted within each photo; `points`: how many each photo has; `x`, `y`: those,
    in 65535 steps of the photo's width and height.
    """
    offsets = graph.evidence.offsets
    place = np.searchsorted(graph.evidence.pairs, pairs.rows)
    place = np.minimum(place, max(0, len(graph.evidence.pairs) - 1))
    examined = graph.evidence.pairs[place] == pairs.rows if len(graph.evidence.pairs) else np.zeros(len(place), bool)
    begin = np.where(examined, offsets[place], 0)
    found = np.where(examined, np.diff(offsets)[place], 0) if len(graph.evidence.pairs) else np.zeros(len(place), int)
    drawn = np.minimum(found, _limit(found, MATCH_BYTES // 4))
    step = np.arange(drawn.sum()) - np.repeat(np.cumsum(drawn) - drawn, drawn)
    rows = np.repeat(begin, drawn) + step * np.repeat(found, drawn) // np.maximum(np.repeat(drawn, drawn), 1)
    features = graph.evidence.features[rows].astype(np.int64)  # [M, 2]

    capacity = max(1, graph.features.keypoints.shape[1])
    photos = np.stack((graph.candidates.i[pairs.rows], graph.candidates.j[pairs.rows]), 1).astype(np.int64)
    used, number = np.unique(np.repeat(photos, drawn, axis=0) * capacity + features, return_inverse=True)
    points = np.bincount(used // capacity, minlength=len(graph.names))
    start = np.cumsum(points) - points
    number = number.reshape(-1, 2) - start[np.repeat(photos, drawn, axis=0)]
    xy = np.concatenate(
        [
            np.zeros((0, 2)),
            *(
                _upright_points(graph, photo, used[start[photo] : start[photo] + points[photo]] % capacity, turn)
                for photo, turn in enumerate(orientations.tolist())
            ),
        ]
    )
    steps = np.round(np.clip(xy, 0, 1) * 65535).astype(np.int64)
    return {
        "found": packed(found),
        "drawn": packed(drawn),
        "first": packed(number[:, 0]),
        "second": packed(number[:, 1]),
        "points": packed(points),
        "x": packed(steps[:, 0]),
        "y": packed(steps[:, 1]),
    }


def _upright_points(
    graph: ViewGraph, photo: int, features: NDArray[np.int64], orientation: int
) -> NDArray[np.floating]:
    size = sensor_size(graph, photo)
    return upright(graph.features.sensor_xy(photo)[features].astype(np.float64) / size, orientation)


def sensor_size(graph: ViewGraph, photo: int) -> NDArray[np.float64]:
    """Width and height of the photo's file; where nobody knows, of the area that has features."""
    size = graph.features.image_sizes[photo].astype(np.float64)
    if (size > 0).all():
        return size
    points = graph.features.sensor_xy(photo)
    return np.maximum(points.max(axis=0, initial=1.0), 1.0).astype(np.float64)


def _limit(counts: NDArray[np.integer], total: int) -> int:
    """The largest number per pair that keeps their sum within `total`."""
    low, high = 0, int(counts.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(counts, middle).sum() <= total else (low, middle - 1)
    return low
