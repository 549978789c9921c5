"""Whitening learned from pairs that show the same: directions in which matching photos differ lose weight.

Mikolajczyk, Matas, *Improving Descriptors for Fast Tree Matching by Optimal Linear Projection*, ICCV 2007; as in
Radenovic, Tolias, Chum, *CNN Image Retrieval Learns from BoW*, ECCV 2016:

    S = mean of (x_q - x_p)(x_q - x_p)^T over matching pairs (q, p);   P1 = chol(S)^-1
    rotate by the eigenvectors of sum_x P1 (x - mu)(P1 (x - mu))^T, keep the d largest;   mu = mean of the x_q
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mirror_sfm.descriptors.arguments import expect_count, expect_finite, expect_shape, fail
from mirror_sfm.descriptors.whitening import Whitening, eigen, unit

FIRST_JITTER, LAST_JITTER = 1e-10, 1e-1  # added to the diagonal until it can be factorised


class LearnedWhitening(Whitening):
    """`projection` = rotation of chol(S)^-1; `mean` = that of the first photos of the pairs."""

    @classmethod
    def fit(cls, vectors: ArrayLike, pairs: ArrayLike, dim: int | None = None) -> LearnedWhitening:
        """Fits on vectors [N, C], L2-normalised first, and pairs [P, 2] of rows that match.

        Args:
            vectors: [N, C].
            pairs: [P, 2] integers. Their order in a pair matters a little: the mean is that of the first ones.
            dim: vectors are reduced to this many; None: C.

        Raises:
            ValueError: no pairs, rows that do not exist, NaN, or pairs too alike to be whitened.
        """
        x, index = _checked(vectors, pairs)
        dim = x.shape[1] if dim is None else dim
        expect_count("LearnedWhitening", "dim", dim)
        first, second = x[index[:, 0]], x[index[:, 1]]
        mean = first.mean(axis=0)
        difference = first - second
        whiten = np.linalg.inv(_cholesky(difference.T @ difference / len(difference)))
        flat = (x - mean) @ whiten.T
        _, directions = eigen(flat.T @ flat)
        return cls(mean, directions[:, :dim].T @ whiten)


def _checked(vectors: ArrayLike, pairs: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    x, index = np.asarray(vectors, np.float64), np.asarray(pairs)
    expect_shape("LearnedWhitening", "vectors", x, "N", "C")
    expect_shape("LearnedWhitening", "pairs", index, "P", 2)
    expect_finite("LearnedWhitening", "vectors", x)
    if len(index) == 0 or index.dtype.kind not in "iu":
        fail("LearnedWhitening", "pairs", "integers, at least one pair", f"{len(index)} pairs of {index.dtype}")
    if index.min() < 0 or index.max() >= len(x):
        fail("LearnedWhitening", "pairs", f"rows 0..{len(x) - 1}", f"{index.min()}..{index.max()}")
    return unit(x), index.astype(np.int64)


def _cholesky(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The factor of the matrix, or of what is closest to it among matrix + 1e-10, 1e-9, ... on the diagonal."""
    jitter: Any = 0.0
    while jitter <= LAST_JITTER:
        try:
            return np.linalg.cholesky(matrix + jitter * np.eye(len(matrix)))
        except np.linalg.LinAlgError:
            jitter = max(10 * jitter, FIRST_JITTER)
    fail("LearnedWhitening", "pairs", "pairs of vectors that differ", "a covariance that cannot be factorised")
