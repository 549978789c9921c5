"""Which pairs to hand out: first those that connect, then those that cover, then by score.

docs/late_interaction.md, 8; docs/probability.md.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.budget import Limits, evident, likely, wanted
from mirror_sfm.evidence import Candidates, Evidence

REASONS = ("bridge", "second tree", "coverage", "score", "minimum")  # why a pair is chosen
WORTH_OF_NEXT = 0.5  # the c-th partner of a feature is worth 0.5^c


def select(
    candidates: Candidates,
    scores: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    evidence: Evidence,
    limits: Limits,
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Rows of `candidates` to match, in the order of choice, each once; and why, an index of `REASONS` for each.

    1. Bridges: a maximum spanning tree of the pairs with evidence, so that the graph is connected wherever that is
       possible at all. They are handed out whatever the limits say, and count towards `limits.pairs`.
    2. A second tree, disjoint from it, where `limits.pairs` holds both: no single failed pair can then tear the model.
    3. The minimum of every photo.
    4. Verified pairs by what their good matches can be expected to add: each feature should find partners, duplicates
       wait, and so do pairs that may be none.
    5. The others by score.

    Returns:
        [B] int64 and [B] uint8. B is at most the larger of `limits.pairs` and the number of bridges.
    """
    by_score = np.lexsort((np.arange(len(scores)), -scores))
    open_to_all, enough = wanted(probabilities, limits), likely(probabilities, limits)
    taken = np.zeros(len(candidates), bool)
    parts: list[tuple[str, NDArray[np.int64]]] = []

    def left() -> int:
        return max(0, limits.pairs - int(taken.sum()))

    def take(reason: str, rows: NDArray[np.int64]) -> None:
        parts.append((reason, rows))
        taken[rows] = True

    def free(allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        return by_score[(allowed & ~taken)[by_score]]

    take("bridge", spanning_tree(candidates, free(evident(probabilities))))
    if left() >= taken.sum():
        take("second tree", spanning_tree(candidates, free(open_to_all & evident(probabilities))))
    needed = fill_up(candidates, free(enough), np.flatnonzero(taken), limits.min_pairs)
    take("minimum", needed[: left()])
    take("coverage", cover(candidates, scores, evidence, np.flatnonzero(taken), taken | ~open_to_all, left()))
    take("score", free(open_to_all)[: left()])
    reasons = [np.full(len(rows), REASONS.index(reason), np.uint8) for reason, rows in parts]
    return np.concatenate([rows for _, rows in parts]), np.concatenate(reasons)


def spanning_tree(candidates: Candidates, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Maximum spanning forest over the pairs listed in `order`, best first; its pairs, best first.

    Costs are places in the order: whole numbers without ties, so there is exactly one such forest.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    shape = (candidates.photos, candidates.photos)
    places = np.arange(1, len(order) + 1, dtype=np.float64)
    tree = minimum_spanning_tree(csr_array((places, (candidates.i[order], candidates.j[order])), shape=shape))
    return order[np.sort(tree.data).astype(np.int64) - 1]


def fill_up(
    candidates: Candidates, order: NDArray[np.int64], chosen: NDArray[np.int64], least: int
) -> NDArray[np.int64]:
    """The first pairs of `order` that a photo with fewer than `least` pairs needs, given those already `chosen`."""
    ends = np.concatenate((candidates.i[chosen], candidates.j[chosen]))
    degree = np.bincount(ends, minlength=candidates.photos)
    order = order[(degree[candidates.i[order]] < least) | (degree[candidates.j[order]] < least)]
    pairs, have = [], degree.tolist()
    for row, i, j in zip(order.tolist(), candidates.i[order].tolist(), candidates.j[order].tolist(), strict=True):
        if have[i] < least or have[j] < least:
            pairs.append(row)
            have[i] += 1
            have[j] += 1
    return np.array(pairs, np.int64)


def cover(
    candidates: Candidates,
    scores: NDArray[np.float32],
    evidence: Evidence,
    chosen: NDArray[np.int64],
    barred: NDArray[np.bool_],
    budget: int,
) -> NDArray[np.int64]:
    """Verified pairs that are not `barred`, by what their good matches add to those of the `chosen`, largest first.

    The gain of a pair is the sum of the worth of its good features in both photos, times the pair's score: strangers
    match by chance on features that nothing else covers, and would win otherwise. Each choice halves the worth of its
    features. Gains only fall (the sum is submodular), so a pair whose gain was computed anew and still leads is the
    best one: lazy greedy (Minoux 1978). Sums of powers of two are exact: no order of summation matters.
    """
    if budget <= 0 or not len(evidence.features):
        return np.zeros(0, np.int64)
    capacity = int(evidence.features.max()) + 1
    worth = np.ones(candidates.photos * capacity)  # of the features of all photos in one numbering
    first = np.stack((candidates.i, candidates.j), 1)[evidence.pairs].astype(np.int64) * capacity
    sure, offsets = scores[evidence.pairs].tolist(), evidence.offsets.tolist()

    def features(pair: int) -> NDArray[np.int64]:
        return (evidence.features[offsets[pair] : offsets[pair + 1]] + first[pair]).ravel()

    def loss(pair: int) -> float:  # heapq has the smallest first
        return -float(worth[features(pair)].sum()) * sure[pair]

    for pair in np.flatnonzero(np.isin(evidence.pairs, chosen)).tolist():
        worth[features(pair)] *= WORTH_OF_NEXT
    heap = [(loss(pair), pair) for pair in np.flatnonzero(~barred[evidence.pairs]).tolist()]
    heap = [entry for entry in heap if entry[0] < 0]
    heapq.heapify(heap)
    covering: list[int] = []
    while heap and len(covering) < budget:
        _, pair = heapq.heappop(heap)
        now = (loss(pair), pair)
        if heap and heap[0] < now:
            heapq.heappush(heap, now)
            continue
        covering.append(pair)
        worth[features(pair)] *= WORTH_OF_NEXT
    return evidence.pairs[covering]


def components(photos: int, i: NDArray[np.integer], j: NDArray[np.integer]) -> NDArray[np.int32]:
    """Label [photos] of the connected component of each photo, under the pairs (i, j)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    graph = csr_array((np.ones(len(i)), (i, j)), shape=(photos, photos))
    return connected_components(graph, directed=False)[1]


def best_partners(candidates: Candidates, probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Row [photos] of each photo's most likely pair (ties: the first), -1 where it is in none."""
    best = np.full(candidates.photos, -1, np.int64)
    rising = np.lexsort((-np.arange(len(candidates)), probabilities))  # what is written last stays
    best[np.stack((candidates.i, candidates.j), 1)[rising].ravel()] = np.repeat(rising, 2)
    return best
