"""Ranking by diffusion over a database: photos are close when a path of close photos joins them.

Iscen, Tolias, Avrithis, Furon, Chum, *Efficient Diffusion on Region Manifolds: Recovering Small Objects with Compact
CNN Representations*, CVPR 2017:

    W    mutual k-nearest-neighbour graph of the database vectors, w = max(s, 0)^gamma, no loops
    S    D^(-1/2) W D^(-1/2)
    y    the same powers of the query's similarities to its k_q nearest vectors, summed over its regions
    f    solves (I - alpha S) f = y by conjugate gradients

For regions the score of a photo is sum_r c_r f_r with generalised-max-pooling weights c = (V V^T + lambda I)^-1 1.
It ranks what a query finds; `mirror_sfm.diffusion` spreads evidence over a graph of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import cg

import mirror_ext.numpy as ops
from mirror_sfm.descriptors.arguments import expect_count, expect_finite, expect_shape, fail


@dataclass(frozen=True)
class DatabaseDiffusion:
    """Settings; the defaults are those of the paper for one vector per photo.

    Attributes:
        neighbours: k of the graph, the vector itself not counted; 200 for regions.
        query_neighbours: k_q, where a query enters; 200 for regions.
        gamma: power of similarities.
        alpha: how far a walk goes on, in [0, 1).
        iterations, tolerance: of conjugate gradients; the residual is relative to |y|.
    """

    neighbours: int = 50
    query_neighbours: int = 10
    gamma: float = 3.0
    alpha: float = 0.99
    iterations: int = 20
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("neighbours", "query_neighbours", "iterations"):
            expect_count("DatabaseDiffusion", name, getattr(self, name))
        if not 0 <= self.alpha < 1:
            fail("DatabaseDiffusion", "alpha", "0 <= alpha < 1", self.alpha)
        if not self.gamma > 0 or not self.tolerance > 0:
            fail("DatabaseDiffusion", "gamma and tolerance", "numbers > 0", (self.gamma, self.tolerance))

    def graph(self, vectors: NDArray[Any], threads: int | None = None) -> csr_array:
        """W of unit vectors [M, C] float32 or float64: symmetric [M, M], sparse. Two vectors are joined where each is
        among the k nearest of the other (ties by lowest index)."""
        expect_shape("DatabaseDiffusion", "vectors", vectors, "M", "C")
        expect_finite("DatabaseDiffusion", "vectors", vectors)
        count = len(vectors)
        found = ops.pr_mac_topk(
            vectors[:, None], None, min(self.neighbours + 1, count), symmetric=True, num_threads=threads
        )
        rows = np.repeat(np.arange(count), found.indices.shape[1])
        columns, weights = found.indices.ravel(), self._power(found.values.ravel())
        kept = (rows != columns) & (weights > 0)
        # The vector itself may be missing among its neighbours (zero vectors, many copies): keep k of the others.
        place = np.zeros(len(rows), np.int64)
        place[kept] = _running_count(rows[kept], count)
        kept &= place < self.neighbours
        directed = csr_array((weights[kept], (rows[kept], columns[kept])), shape=(count, count))
        return directed.minimum(directed.T).tocsr()

    def start(self, query: NDArray[Any], vectors: NDArray[Any], threads: int | None = None) -> NDArray[np.float64]:
        """y [Q, M] of queries [Q, C], or [Q, R, C] with several regions, on database vectors [M, C]."""
        expect_shape("DatabaseDiffusion", "vectors", vectors, "M", "C")
        if query.ndim == 2:
            query = query[:, None]
        expect_shape("DatabaseDiffusion", "query", query, "Q", "R", vectors.shape[1])
        rows = np.ascontiguousarray(query.reshape(-1, 1, query.shape[2]))
        found = ops.pr_mac_topk(rows, vectors[:, None], min(self.query_neighbours, len(vectors)), num_threads=threads)
        y = np.zeros((len(query), len(vectors)))
        owner = np.repeat(np.arange(len(query)), query.shape[1] * found.indices.shape[1])
        np.add.at(y, (owner, found.indices.ravel()), self._power(found.values.ravel()))
        return y

    def solve(self, graph: csr_array, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """f [Q, M] of starts y [Q, M]. Vectors without neighbours keep what they start with.

        At alpha = 0.99 twenty iterations do not reach the tolerance on large graphs; the paper stops there, because the
        order no longer changes.
        """
        y = np.asarray(y, np.float64)
        expect_shape("DatabaseDiffusion", "y", y, "Q", graph.shape[0])
        expect_finite("DatabaseDiffusion", "y", y)
        system = (eye_array(graph.shape[0]) - self.alpha * normalised(graph)).tocsr()
        return np.array([cg(system, row, rtol=self.tolerance, maxiter=self.iterations)[0] for row in y]).reshape(
            y.shape
        )

    def rank(
        self, query: NDArray[Any], vectors: NDArray[Any], graph: csr_array | None = None, threads: int | None = None
    ) -> NDArray[np.float64]:
        """f [Q, M] of queries [Q, C] or [Q, R, C]; higher is closer. `graph` saves building it again."""
        graph = self.graph(vectors, threads) if graph is None else graph
        return self.solve(graph, self.start(query, vectors, threads))

    def _power(self, similarity: NDArray[Any]) -> NDArray[np.float64]:
        return np.maximum(similarity.astype(np.float64), 0) ** self.gamma


def normalised(graph: csr_array) -> csr_array:
    """S = D^(-1/2) W D^(-1/2); rows without neighbours stay empty."""
    degree = np.asarray(graph.sum(axis=1)).ravel()
    scale = diags_array(1 / np.sqrt(np.where(degree > 0, degree, 1)))
    return (scale @ graph @ scale).tocsr()


def gmp_weights(regions: NDArray[Any], regulariser: float = 1.0) -> NDArray[np.float64]:
    """c [N, R] of regional vectors [N, R, C]: c = (V V^T + lambda I)^-1 1 of each photo, rows of V its regions.

    Regions that say the same share one vote (Murray, Perronnin, *Generalized Max Pooling*, CVPR 2014).
    """
    expect_shape("gmp_weights", "regions", regions, "N", "R", "C")
    if not regulariser > 0:
        fail("gmp_weights", "regulariser", "a number > 0", regulariser)
    v = regions.astype(np.float64)
    count = v.shape[1]
    return np.linalg.solve(v @ v.transpose(0, 2, 1) + regulariser * np.eye(count), np.ones((len(v), count, 1)))[..., 0]


def photo_scores(
    region_scores: NDArray[np.float64], regions: NDArray[Any], regulariser: float = 1.0
) -> NDArray[np.float64]:
    """Scores of photos [Q, N] from those of their regions [Q, N R], in the order of regions [N, R, C]."""
    weights = gmp_weights(regions, regulariser)
    expect_shape("photo_scores", "region_scores", region_scores, "Q", weights.size)
    return np.einsum("qnr,nr->qn", region_scores.reshape(-1, *weights.shape), weights)


def _running_count(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How many earlier entries have the same row, of rows that rise."""
    starts = np.searchsorted(rows, np.arange(count))
    return np.arange(len(rows)) - starts[rows]
