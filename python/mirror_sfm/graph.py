"""Which pairs to hand out: first those that connect, then those that cover, then by score.

spec: docs/late_interaction.md, 8.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.evidence import Candidates, Evidence

REASONS = ("bridge", "second tree", "coverage", "score")  # why a pair is chosen
WORTH_OF_NEXT = 0.5  # the c-th partner of a feature is worth 0.5^c


def select(
    candidates: Candidates, scores: NDArray[np.float32], evidence: Evidence, budget: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Rows of `candidates` to match, in the order of choice, at most `budget`, each once; and the index in `REASONS`.

    1. A maximum spanning tree, so that the graph is connected wherever the candidates are; a second one, disjoint from
       it, where the budget holds both: no single failed pair can then tear the model.
    2. Verified pairs by what their good matches can be expected to add: each feature should find partners, duplicates
       wait, and so do pairs that may be none.
    3. The others by score.
    """
    budget = min(budget, len(candidates))
    by_score = np.lexsort((np.arange(len(scores)), -scores))
    taken = np.zeros(len(candidates), bool)
    trees = [spanning_tree(candidates, by_score)]
    taken[trees[0]] = True
    if 2 * len(trees[0]) <= budget:
        trees.append(spanning_tree(candidates, by_score[~taken[by_score]]))
        taken[trees[1]] = True
    chosen = np.concatenate(trees)[:budget]
    covering = cover(candidates, scores, evidence, chosen, taken, budget - len(chosen))
    taken[covering] = True
    rest = by_score[~taken[by_score]][: budget - len(chosen) - len(covering)]
    bridges = min(budget, len(trees[0]))
    lengths = (bridges, len(chosen) - bridges, len(covering), len(rest))
    return np.concatenate((chosen, covering, rest)), np.repeat(np.arange(4, dtype=np.uint8), lengths)


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


def cover(
    candidates: Candidates,
    scores: NDArray[np.float32],
    evidence: Evidence,
    chosen: NDArray[np.int64],
    taken: NDArray[np.bool_],
    budget: int,
) -> NDArray[np.int64]:
    """Verified pairs that are not `taken`, by what their good matches add to those of the `chosen`, largest first.

    The gain of a pair is the sum of the worth of its good features in both photos, times the pair's score: strangers
    match by chance on features that nothing else covers, and would win otherwise. Each choice halves the worth of its
    features. Gains only fall (the sum is submodular), so a pair whose gain was computed anew and still leads is the
    best one: lazy greedy (Minoux 1978). Sums of powers of two are exact: no order of summation matters.
    """
    if budget <= 0 or not len(evidence.features):
        return np.zeros(0, np.int64)
    capacity = int(evidence.features.max()) + 1
    rows = np.repeat(evidence.pairs, np.diff(evidence.offsets))
    # Features of the whole collection in one numbering, [G, 2]: of a pair's photo i and photo j.
    numbers = np.stack((candidates.i[rows], candidates.j[rows]), 1).astype(np.int64) * capacity + evidence.features
    worth = np.ones(candidates.photos * capacity)
    sure = scores[evidence.pairs].tolist()

    def features(pair: int) -> NDArray[np.int64]:
        return numbers[evidence.offsets[pair] : evidence.offsets[pair + 1]].ravel()

    def loss(pair: int) -> float:  # heapq has the smallest first
        return -float(worth[features(pair)].sum()) * sure[pair]

    for pair in np.flatnonzero(np.isin(evidence.pairs, chosen)).tolist():
        worth[features(pair)] *= WORTH_OF_NEXT
    heap = [(loss(pair), pair) for pair in np.flatnonzero(~taken[evidence.pairs]).tolist()]
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
