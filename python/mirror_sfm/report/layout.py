"""Where photos stand in the drawing of the view graph, and their order in the matrix.

Distances in the drawing follow distances in the graph: pivot MDS (Brandes and Pich, 2006) gives the shape, a few rounds
of stress majorisation over the same distances and the pairs (Gansner et al., 2004) even it out. Both cost about
N x pivots. No linear algebra library takes part, so the result has the same bits for any number of threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIVOTS = 48
ROUNDS = 80  # of majorisation
WEAK = 3.0  # a pair of probability 0 is this much longer than a sure one

Points = NDArray[np.float64]


def pair_lengths(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Length of a pair in the graph: 1 for a sure one."""
    return 1 + WEAK * (1 - np.clip(probabilities.astype(np.float64), 0, 1))


def place(photos: int, i: NDArray[np.integer], j: NDArray[np.integer], lengths: NDArray[np.float64]) -> Points:
    """Positions [photos, 2] of the photos of one connected graph, its longer axis along x, its mean at 0."""
    if photos < 3:
        return np.stack((np.arange(photos) - (photos - 1) / 2, np.zeros(photos)), 1)
    pivots, distances = _pivot_distances(photos, i, j, lengths)
    return _turned(_stress(_pivot_mds(distances), pivots, distances, i, j, lengths))


def order(photos: int, i: NDArray[np.integer], j: NDArray[np.integer], weights: NDArray[np.floating]) -> list[int]:
    """Photos of one connected graph so that strong pairs lie close together: by the Fiedler vector, the smoothest
    function on the graph (Atkins et al., 1998). Ties by index; begins with the end of smaller index."""
    if photos < 3:
        return list(range(photos))
    value = _fiedler(photos, i, j, np.maximum(weights.astype(np.float64), 1e-3))
    found = np.lexsort((np.arange(photos), np.round(value, 9))).tolist()
    return found if found[0] < found[-1] else found[::-1]


def _pivot_distances(
    photos: int, i: NDArray[np.integer], j: NDArray[np.integer], lengths: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pivots [k], each as far as can be from those before it, and distances [photos, k] to them."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    graph = csr_array((lengths, (i, j)), shape=(photos, photos))
    pivots, columns = [0], [dijkstra(graph, directed=False, indices=0)]
    nearest = columns[0].copy()
    while len(pivots) < min(PIVOTS, photos):
        pivots.append(int(nearest.argmax()))
        columns.append(dijkstra(graph, directed=False, indices=pivots[-1]))
        np.minimum(nearest, columns[-1], out=nearest)
    return np.array(pivots, np.int64), np.stack(columns, 1)


def _pivot_mds(distances: NDArray[np.float64]) -> Points:
    """Two main axes of the doubly centred squared distances."""
    squared = distances**2
    centred = -0.5 * (squared - squared.mean(0) - squared.mean(1, keepdims=True) + squared.mean())
    gram = np.einsum("nk,nl->kl", centred, centred)
    axes = np.stack((np.ones(len(gram)), np.arange(len(gram)) - len(gram) / 2 + 0.25), 1)
    for _ in range(200):  # subspace iteration
        axes = np.einsum("kl,la->ka", gram, axes)
        axes[:, 0] /= max(np.sqrt((axes[:, 0] ** 2).sum()), 1e-300)
        axes[:, 1] -= axes[:, 0] * (axes[:, 0] * axes[:, 1]).sum()
        axes[:, 1] /= max(np.sqrt((axes[:, 1] ** 2).sum()), 1e-300)
    points = np.einsum("nk,ka->na", centred, axes)
    spread = np.sqrt((distances**2).mean() / max(2 * (points**2).sum(1).mean(), 1e-300))
    # Photos of the same place in the graph would never part again: a small spiral sets them off.
    angle = np.arange(len(points)) * 2.399963
    radius = 0.1 * np.sqrt((np.arange(len(points)) + 0.5) / len(points))
    return points * spread + np.stack((radius * np.cos(angle), radius * np.sin(angle)), 1)


def _stress(
    points: Points,
    pivots: NDArray[np.int64],
    distances: NDArray[np.float64],
    i: NDArray[np.integer],
    j: NDArray[np.integer],
    lengths: NDArray[np.float64],
) -> Points:
    """Moves every photo towards where its distances to the pivots and to its partners want it."""
    photos, count = distances.shape
    a = np.concatenate((np.repeat(np.arange(photos), count), i, j))
    b = np.concatenate((np.tile(pivots, photos), j, i))
    wanted = np.concatenate((distances.ravel(), lengths, lengths))
    a, b, wanted = a[wanted > 0], b[wanted > 0], wanted[wanted > 0]
    weight = wanted**-2
    total = np.bincount(a, weight, photos)
    for _ in range(ROUNDS):
        apart = points[a] - points[b]
        pull = wanted / np.maximum(np.sqrt((apart**2).sum(1)), 1e-9)
        target = points[b] + apart * pull[:, None]
        moved = np.stack([np.bincount(a, weight * target[:, axis], photos) / total for axis in (0, 1)], 1)
        points = 0.5 * (points + moved)  # all at once: half steps do not overshoot
    return points


def _turned(points: Points) -> Points:
    """Longer axis along x; the first photo that is off the middle lies left and above."""
    points = points - points.mean(0)
    xx, yy, xy = (points[:, 0] ** 2).mean(), (points[:, 1] ** 2).mean(), (points[:, 0] * points[:, 1]).mean()
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.stack((points[:, 0] * cos + points[:, 1] * sin, points[:, 1] * cos - points[:, 0] * sin), 1)
    for axis in (0, 1):
        first = np.flatnonzero(np.abs(turned[:, axis]) > 1e-6)[:1]
        if (turned[first, axis] > 0).any():
            turned[:, axis] *= -1
    return turned


def _fiedler(
    photos: int, i: NDArray[np.integer], j: NDArray[np.integer], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Second eigenvector of the normalised Laplacian of a connected graph, by inverse iteration."""
    from scipy.sparse import csr_array, diags_array
    from scipy.sparse.linalg import splu

    half = csr_array((weights, (i, j)), shape=(photos, photos))
    adjacency = half + half.T
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    root = np.sqrt(degree)
    scale = diags_array(1 / root)
    shifted = (diags_array(np.full(photos, 1 + 1e-6)) - scale @ adjacency @ scale).tocsc()
    solve = splu(shifted, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve
    trivial = root / np.sqrt((root**2).sum())
    vector = np.linspace(-1.0, 1.0, photos)
    for _ in range(100):
        before = vector
        vector = solve(vector - trivial * (trivial * vector).sum())
        vector -= trivial * (trivial * vector).sum()
        vector /= np.sqrt((vector**2).sum())
        if np.abs(vector - before).max() < 1e-10:
            break
    return vector / root
