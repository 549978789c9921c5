"""Scores of pairs from evidence: saturate, fill what was not verified, let neighbours speak for each other.

spec: docs/late_interaction.md, 6. Diffusion after Iscen et al., *Efficient Diffusion on Region Manifolds*, CVPR 2017.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.evidence import DENSE_PHOTOS, Candidates, Evidence
from mirror_sfm.threads import parallel

# Evidence that counts half. Strength rises with its square first: chance gives every pair a little evidence, and the
# many weak edges it makes must not outweigh the few that are meant.
SATURATE = 20.0
FILL = 0.5  # share of the expected strength given to pairs that were not verified: never zero, never full
FOLLOW = 0.5  # how far a walk goes on
# Walks forget how well connected a photo is. Giving none of it back spoils the order of the whole collection, which the
# budget needs; all of it spoils each photo's own list, where photos with many neighbours would lead.
DEGREE_POWER = 0.125
COARSE_SHARE = 0.02  # of the largest flow: coarse scores order what nothing else orders,
LEAST_FLOW = 1e-3  # even where nothing flows


def diffuse(candidates: Candidates, evidence: Evidence, threads: int, dense: bool | None = None) -> NDArray[np.float32]:
    """Final score [P] of every candidate pair: Q_ij (d_i d_j)^(1/8), and a little of the coarse score.

    Scores rank the pairs of one collection; `calibration.probabilities` makes them comparable between collections.
    The graph is solved as a matrix up to `DENSE_PHOTOS` photos and by a series beyond (`dense` overrides); both give
    the same within 1e-6. Rounded to float32, so that the last bits of a linear algebra library do not decide anything.
    """
    strength = strengths(candidates, evidence)
    if dense is None:
        dense = candidates.photos <= DENSE_PHOTOS
    flow = _dense_flow(candidates, strength) if dense else _sparse_flow(candidates, strength, threads)
    coarse = candidates.coarse / max(candidates.coarse.max(initial=0.0), 1e-12)
    return (flow + COARSE_SHARE * max(flow.max(initial=0.0), LEAST_FLOW) * coarse).astype(np.float32)


def strengths(candidates: Candidates, evidence: Evidence) -> NDArray[np.float64]:
    """Edge strength [P] in [0, 1): w^2 / (w^2 + 20^2) where verified, half of what coarse scores promise elsewhere."""
    squared = evidence.weight.astype(np.float64) ** 2
    saturated = squared / (squared + SATURATE**2)
    strength = FILL * isotonic(candidates.coarse[evidence.pairs], saturated, candidates.coarse)
    strength[evidence.pairs] = saturated
    return strength


def degrees(candidates: Candidates, strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """d [N]: strength of all edges of each photo; a trace more than nothing, since it divides."""
    ends = np.concatenate((candidates.i, candidates.j))
    return np.asarray(np.bincount(ends, np.tile(strength, 2), minlength=candidates.photos) + 1e-9, np.float64)


def isotonic(x: NDArray[np.float32], y: NDArray[np.float64], at: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rising least-squares fit of y on x, read at `at`: linear between the data, constant beyond them.

    Equal x count as one point, so the order of the data does not matter.
    """
    from scipy.optimize import isotonic_regression

    if not len(x):
        return np.zeros(len(at))
    places, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(which, y) / counts
    return np.interp(at, places, isotonic_regression(means, weights=counts).x)


def _dense_flow(candidates: Candidates, strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Q_ij (d_i d_j)^(1/8) with Q = (1 - a) (I - a P)^-1 and P = D^-1/2 S D^-1/2, read at the candidate pairs."""
    from scipy.linalg import cho_factor, cho_solve

    i, j, count = candidates.i, candidates.j, candidates.photos
    matrix = np.zeros((count, count))
    matrix[i, j] = matrix[j, i] = strength
    degree = degrees(candidates, strength)
    matrix *= -FOLLOW / np.sqrt(degree[:, None] * degree)
    np.fill_diagonal(matrix, 1.0)  # I - a P: symmetric, eigenvalues in [1/2, 3/2]
    inverse = cho_solve(cho_factor(matrix, lower=True, overwrite_a=True), np.eye(count), overwrite_b=True)
    return (1 - FOLLOW) * inverse[i, j] * (degree[i] * degree[j]) ** DEGREE_POWER


def _sparse_flow(
    candidates: Candidates, strength: NDArray[np.float64], threads: int, block: int = 32
) -> NDArray[np.float64]:
    """The same without a matrix: columns of Q, a block at a time, by Chebyshev iteration on the sparse graph.

    In float32, which halves the memory to be moved, and that is what takes the time. Each column is computed by itself,
    whatever block it is in.
    """
    from scipy.sparse import csc_array, csr_array

    i, j, count = candidates.i, candidates.j, candidates.photos
    degree = degrees(candidates, strength)
    walk = (-FOLLOW * strength / np.sqrt(degree[i] * degree[j])).astype(np.float32)
    own = np.arange(count, dtype=np.int32)
    ends = np.concatenate((i, j, own)), np.concatenate((j, i, own))
    system = csr_array((np.concatenate((walk, walk, np.ones(count, np.float32))), ends), shape=(count, count))
    # Row of the pair list behind each entry of column j above the diagonal, so that each block reads its own pairs.
    behind = csc_array((np.arange(1, len(i) + 1), (i, j)), shape=(count, count))

    def columns(start: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        stop = min(start + block, count)
        entries = slice(behind.indptr[start], behind.indptr[stop])
        column = np.repeat(np.arange(stop - start), np.diff(behind.indptr[start : stop + 1]))
        return behind.data[entries] - 1, _chebyshev(system, start, stop)[behind.indices[entries], column]

    flow = np.zeros(len(i))
    for rows, values in parallel(columns, range(0, count, block), threads):
        flow[rows] = values
    return (1 - FOLLOW) * flow * (degree[i] * degree[j]) ** DEGREE_POWER


def _chebyshev(system, start: int, stop: int, steps: int = 14) -> NDArray[np.float32]:
    """Columns start..stop of (I - a P)^-1 (Saad, *Iterative Methods for Sparse Linear Systems*, algorithm 12.1).

    I - a P has its eigenvalues in [1 - a, 1 + a]; for a = 1/2 every step shrinks the error by 2 + sqrt(3), and 14 steps
    leave 2e-8, less than float32 resolves.
    """
    residual = np.zeros((system.shape[0], stop - start), np.float32)
    residual[np.arange(start, stop), np.arange(stop - start)] = 1.0
    solution = np.zeros_like(residual)
    direction = residual.copy()  # centre of the spectrum is 1
    rho = FOLLOW  # half-width over centre
    for _ in range(steps):
        solution += direction
        residual -= system @ direction
        following = 1 / (2 / FOLLOW - rho)
        direction *= following * rho
        direction += np.float32(2 * following / FOLLOW) * residual
        rho = following
    return solution
