"""Query expansion: a query joined by what it finds finds more.

Region i of a query becomes L2(r_i + sum_j w_j t_j), t_j a region of the j-th best photo; then the search is repeated.
Every round starts from the original query with the newest ranking. The query is not removed from its own results.

    which region t_j     the same index i (program of Shen et al., ACCV 2018), or the one that fits r_i best (`align`)
    weight w_j           similarity S (Shen et al.), S^alpha (Radenovic, Tolias, Chum, PAMI 2019), or 1 (average query
                         expansion, Chum et al., ICCV 2007)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mirror_ext.numpy as ops
from mirror_ext._results import TopK
from mirror_sfm.descriptors.arguments import expect_choice, expect_count, expect_shape, fail
from mirror_sfm.descriptors.whitening import unit

WEIGHTS = ("similarity", "alpha", "average")


@dataclass(frozen=True)
class QueryExpansion:
    """How a query is expanded.

    Attributes:
        top: photos that join, the query itself among them where it is in the database.
        iterations: rounds; Shen et al. take 2 for Oxford and 1 for Holidays.
        weight: similarity, alpha or average.
        alpha: power of the similarity; similarities below zero weigh nothing.
        align: regions that match instead of regions of the same index. Needed where grids differ.
    """

    top: int = 10
    iterations: int = 2
    weight: str = "similarity"
    alpha: float = 3.0
    align: bool = False

    def __post_init__(self) -> None:
        expect_count("QueryExpansion", "top", self.top)
        expect_count("QueryExpansion", "iterations", self.iterations, 0)
        expect_choice("QueryExpansion", "weight", self.weight, WEIGHTS)
        if not self.alpha > 0:
            fail("QueryExpansion", "alpha", "a number > 0", self.alpha)


def expand(
    query: NDArray[Any],
    database: NDArray[Any],
    order: NDArray[np.int64],
    similarity: NDArray[Any],
    options: QueryExpansion | None = None,
) -> NDArray[Any]:
    """One round: the regions of each query and of its best photos, weighted and normalised.

    Args:
        query: [Q, R, C] unit regional vectors (R = 1 for one vector per photo).
        database: [N, S, C]; S = R unless `align`.
        order: [Q, K] the best photos of each query, K >= `top` unless there are no more; -1: none.
        similarity: [Q, K] their similarity, mean over regions, in [-1, 1].

    Returns:
        [Q, R, C] of the query's type.
    """
    options = options or QueryExpansion()
    expect_shape("expand", "query", query, "Q", "R", "C")
    regions = "S" if options.align else query.shape[1]
    expect_shape("expand", "database", database, "N", regions, query.shape[2])
    expect_shape("expand", "order", order, len(query), "K")
    expect_shape("expand", "similarity", similarity, *order.shape)
    expanded = query.astype(np.float64)
    for own, chosen, score in zip(expanded, order[:, : options.top], similarity[:, : options.top], strict=True):
        score, chosen = score[chosen >= 0], chosen[chosen >= 0]
        joined = database[chosen].astype(np.float64)  # [n, S, C]
        if options.align:
            best = np.argmax(own @ joined.transpose(0, 2, 1), axis=2)  # [n, R]
            joined = np.take_along_axis(joined, best[:, :, None], axis=1)
        own += np.einsum("n,nrc->rc", _weights(score, options), joined)
    return unit(expanded).astype(query.dtype)


def expanded_search(
    query: NDArray[Any],
    database: NDArray[Any],
    k: int,
    options: QueryExpansion | None = None,
    threads: int | None = None,
) -> TopK:
    """The k best photos of every query by PR-MAC, after all rounds of expansion.

    Args:
        query: [Q, R, C] unit regional vectors, float32 or float64.
        database: [N, S, C] of the same type.
        k: how many.
        options: None: those of Shen et al.
        threads: None: all processors.

    Returns:
        values [Q, k] mean best cosine and indices [Q, k] int64, best first, ties by lowest index.
    """
    options = options or QueryExpansion()
    expect_count("expanded_search", "k", k, 0)
    asked = query
    for _ in range(options.iterations):
        found = ops.pr_mac_topk(asked, database, options.top, num_threads=threads)
        asked = expand(query, database, found.indices, found.values, options)
    return ops.pr_mac_topk(asked, database, k, num_threads=threads)


def _weights(similarity: NDArray[Any], options: QueryExpansion) -> NDArray[np.float64]:
    if options.weight == "average":
        return np.ones(len(similarity))
    positive = np.asarray(similarity, np.float64)
    return positive if options.weight == "similarity" else np.maximum(positive, 0) ** options.alpha
