"""Points of a surface and where they were seen from: measured, cleaned, given normals. Everything is free of scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

_STEPS = 2.0**20  # of the grid, per unit of a normalised coordinate
_NORMAL_STEPS = 4096.0
_FAR = 50.0  # times the median distance from the middle: what lies beyond is no part of the scene
_TOWARDS = 0.05  # share of the spread that a normal may cost for looking towards its cameras
_AT_ONCE = 1 << 17  # points whose normals are found together
_LEAST_WEIGHT = 0.01  # of a neighbour seen from the other side: what has no other has a normal all the same


@dataclass(frozen=True)
class Frame:
    """Where a scene lies and how large it is: world = middle + size x normalised."""

    middle: Array
    size: float

    def inward(self, points: Array) -> Array:
        """World -> normalised, rounded to a grid of 2^-20, so that a scene and its enlargement give the same bits."""
        return np.asarray(np.rint((points - self.middle) / self.size * _STEPS) / _STEPS)

    def outward(self, points: Array) -> Array:
        """Normalised -> world."""
        return self.middle + self.size * points


@dataclass(frozen=True)
class Cloud:
    """Points of a surface.

    Attributes:
        points: [M, 3].
        towards: [M, 3] unit vectors, from each point to the cameras that see it, on average.
    """

    points: Array
    towards: Array

    def of(self, rows: NDArray[np.bool_]) -> Cloud:
        """Some of the points."""
        return Cloud(self.points[rows], self.towards[rows])


def frame(points: Array) -> Frame:
    """Of points [M, 3]: their medians, and the median distance from there; size 0 where most points coincide."""
    middle = np.median(points, axis=0)
    return Frame(middle, float(np.median(lengths(points - middle))))


def lengths(vectors: Array) -> Array:
    """[M] of vectors [M, 3]."""
    return np.asarray(np.sqrt((vectors * vectors).sum(axis=1)))


def neighbours(points: Array, count: int) -> tuple[Array, NDArray[np.int64]]:
    """Distances and rows [M, count] of the nearest other points, the nearest first; points differ from each other."""
    distances, rows = cKDTree(points).query(points, count + 1)
    return distances[:, 1:], rows[:, 1:]


def inliers(points: Array, count: int, limit: float) -> NDArray[np.bool_]:
    """[M] which normalised points are no outliers.

    An outlier has its `count`-th neighbour more than `limit` times as far away as its neighbours have theirs (their
    median), or lies `_FAR` times as far from the middle as half of all points.
    """
    distances, rows = neighbours(points, count)
    reach = distances[:, -1]
    lonely = reach > limit * np.median(reach[rows], axis=1)
    return np.asarray(~lonely & (lengths(points) <= _FAR))


def normals(cloud: Cloud, count: int) -> Array:
    """[M, 3] normals on the side of the cameras, of unit length to 1e-3.

    The normal n at a point x with neighbours x_k and view directions t, t_k minimises

        sum_k w_k (n . (x_k - x))^2  -  c (n . t)^2,    w_k = max(0.01, t . t_k),    c = 0.05 sum_k w_k |x_k - x|^2

    which is the normal of principal components where neighbours lie in a plane, and the view direction where they do
    not say (along a line, in a heap). The weights keep the two sides of a thin wall apart.
    """
    _, rows = neighbours(cloud.points, count)
    found = np.empty_like(cloud.points)
    for first in range(0, len(rows), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        found[part] = _normals(
            cloud.points[part], cloud.points[rows[part]], cloud.towards[part], cloud.towards[rows[part]]
        )
    # Rounded, because the last digits of an eigenvector depend on the processor.
    return np.asarray(np.rint(found * _NORMAL_STEPS) / _NORMAL_STEPS)


def _normals(points: Array, around: Array, towards: Array, towards_around: Array) -> Array:
    """Of points [m, 3] with neighbours [m, k, 3]."""
    offsets = around - points[:, None]
    weights = np.maximum(_LEAST_WEIGHT, (towards_around * towards[:, None]).sum(axis=2))
    spread = np.einsum("mk,mki,mkj->mij", weights, offsets, offsets)
    pull = _TOWARDS * np.trace(spread, axis1=1, axis2=2)
    _, vectors = np.linalg.eigh(spread - pull[:, None, None] * towards[:, :, None] * towards[:, None])
    found = vectors[:, :, 0]
    away = (found * towards).sum(axis=1) < 0
    return np.where(away[:, None], -found, found)
