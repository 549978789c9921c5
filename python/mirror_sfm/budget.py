"""How many pairs to hand out: limits that can be combined, and what they would cost. docs/probability.md."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EVIDENT = (
    0.02  # a pair less likely than this has no evidence to speak of: it neither connects photos nor counts as theirs
)


@dataclass(frozen=True)
class Limits:
    """How far to go. All of them hold together.

    Attributes:
        pairs: at most so many; only pairs without which the photos would not be connected may exceed it.
        min_prob: no pair less likely than this, with the same exception.
        recall: stop at the shortest list that can be expected to hold this share of all true pairs.
        min_pairs: pairs each photo gets, where it has them and `pairs` allows, whatever `recall` says.
    """

    pairs: int
    min_prob: float = EVIDENT
    recall: float | None = None
    min_pairs: int = 2


def pair_budget(photos: int, per_image: int | None, budget: int | None = None) -> int:
    """The smaller of N k / 2 pairs, k partners for every photo on average, and `budget`; at least one.

    None sets no limit.
    """
    every = photos * (photos - 1) // 2
    average = every if per_image is None else photos * per_image // 2
    return max(1, min(every, average, every if budget is None else budget))


def likely(probabilities: NDArray[np.float32], limits: Limits) -> NDArray[np.bool_]:
    """Which pairs [P] are likely enough. NaN, not known, is."""
    return ~(probabilities < limits.min_prob)


def evident(probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pairs [P] have evidence to speak of. NaN, not known, has."""
    return ~(probabilities < EVIDENT)


def wanted(probabilities: NDArray[np.float32], limits: Limits) -> NDArray[np.bool_]:
    """Which pairs [P] are likely enough and on the shortest list that reaches the recall."""
    if limits.recall is None:
        return likely(probabilities, limits)
    listed = np.zeros(len(probabilities), bool)
    listed[shortest_list(probabilities, limits.recall)] = True
    return listed & likely(probabilities, limits)


def shortest_list(probabilities: NDArray[np.float32], recall: float) -> NDArray[np.int64]:
    """The fewest pairs whose probabilities add up to `recall` times those of all pairs, most likely first.

    That share is the recall to expect: the sum of probabilities is the expected number of true pairs.
    """
    order = np.argsort(-probabilities, kind="stable")
    total = np.cumsum(probabilities[order], dtype=np.float64)
    if not len(total):
        return order
    return order[: 1 + np.searchsorted(total, min(recall * total[-1], total[-1]))]


def expected_recall(probabilities: NDArray[np.float32], chosen: NDArray[np.int64]) -> float:
    """Share of the true pairs that is among the `chosen`, if the probabilities are right; 1 where there are none."""
    every = probabilities.sum(dtype=np.float64)
    return float(probabilities[chosen].sum(dtype=np.float64) / every) if every else 1.0


def seconds_per_pair(features: int = 8192, threads: int = 1, enough: float = 0.3) -> float:
    """Seconds this machine takes to match two photos of `features` features, tried out on noise for a moment.

    Processor time on one thread, which other programs hardly disturb, over `threads`: pairs share nothing. Matching
    takes about the same time whatever the descriptors are. Geometric verification is not included.
    """
    import mirror_ext.numpy as ops

    noise = np.random.default_rng(0).integers(0, 80, (2, features, 128), dtype=np.uint8)
    pair, runs = np.array([[0, 1]], np.int64), [0.0]
    while sum(runs) < enough:
        started = time.process_time()
        ops.mutual_matches(noise, None, pairs=pair, max_ratio=0.9, num_threads=1)
        runs.append(time.process_time() - started)
    return min(runs[1:]) / threads


def by_criterion(
    photos: int, probabilities: NDArray[np.float32], per_image: int | None, budget: int | None, limits: Limits
) -> dict[str, int]:
    """How many pairs each limit that is set would allow by itself: what a dry run shows beside the pairs of all."""
    counts = {}
    if per_image is not None:
        counts["per_image"] = pair_budget(photos, per_image)
    if budget is not None:
        counts["budget"] = budget
    counts["min_prob"] = int(likely(probabilities, limits).sum())
    if limits.recall is not None:
        counts["recall"] = len(shortest_list(probabilities, limits.recall))
    return counts
