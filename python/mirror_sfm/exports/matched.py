"""The matches of the chosen pairs, for formats that carry them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import mirror_ext.numpy as ops

if TYPE_CHECKING:
    from mirror_sfm.view_graph import ViewGraph

MAX_RATIO = 0.8  # of the ratios seen from both photos, their mean; as in `mirror-sfm match`
_CHUNK = 2048  # pairs matched at a time


@dataclass(frozen=True)
class Matched:
    """Matches of one chosen pair.

    Attributes:
        i, j: photos, i < j.
        features: [M, 2] int32, feature of i, feature of j, rising in the first; each feature at most once.
        ratios: [M] float32, distance to the match / distance to the second best, mean of both directions.
    """

    i: int
    j: int
    features: NDArray[np.int32]
    ratios: NDArray[np.float32]


def matches_of_chosen(graph: ViewGraph, threads: int | None) -> Iterator[Matched]:
    """Mutual nearest neighbours of every chosen pair, in the order of the pairs, whether it was examined or not."""
    features = graph.features
    for start in range(0, len(graph.chosen), _CHUNK):
        rows = graph.chosen[start : start + _CHUNK]
        pairs = np.stack((graph.candidates.i[rows], graph.candidates.j[rows]), 1).astype(np.int64)
        found = ops.mutual_matches(
            features.descriptors, features.sizes, pairs=pairs, max_ratio=MAX_RATIO, num_threads=threads
        )
        for (i, j), begin, end in zip(pairs.tolist(), found.offsets[:-1], found.offsets[1:], strict=True):
            ratios = found.ratios[begin:end].mean(axis=1)
            kept = ratios < MAX_RATIO
            yield Matched(i, j, found.matches[begin:end][kept], ratios[kept])
