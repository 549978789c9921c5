"""Many points -> one per cube of space and direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.surface.cloud import Array, lengths

_BITS = 20  # of a cube's place along one axis
_MERGE = 1 << 21  # rows that may wait to be merged
_AGREE = 0.3  # length of the mean of a cube's normals: shorter, they point anywhere


class Voxels:
    """Means of points and normals in cubes; normals of different main direction (of six) are kept apart.

    A thin wall keeps its two sides, and the points of any number of maps take the room of one surface.
    """

    def __init__(self, side: float) -> None:
        """`side` of a cube; points may lie up to 2^19 sides from the origin, others are left out."""
        self._side = side
        self._keys: list[NDArray[np.int64]] = []
        self._sums: list[Array] = []

    def add(self, points: Array, normals: Array) -> None:
        """Adds points [m, 3] with unit normals [m, 3]."""
        cube = np.floor(points / self._side) + 2.0 ** (_BITS - 1)
        inside = ((cube >= 0) & (cube < 2.0**_BITS)).all(axis=1)
        cube, points, normals = cube[inside], points[inside], normals[inside]
        axis = np.abs(normals).argmax(axis=1)
        sign = normals[np.arange(len(normals)), axis] < 0
        x, y, z = cube.astype(np.int64).T
        keys = (((x << _BITS | y) << _BITS | z) << 3) | (axis << 1) | sign
        self._join([keys], [np.column_stack([points, normals, np.ones(len(points))])])
        if sum(map(len, self._keys)) > _MERGE:
            keys_before, sums_before = self._keys, self._sums
            self._keys, self._sums = [], []
            self._join(keys_before, sums_before)

    def means(self) -> tuple[Array, Array]:
        """Points and unit normals [n, 3], by place."""
        keys, sums = self._keys, self._sums
        self._keys, self._sums = [], []
        self._join(keys, sums)
        total = self._sums[0] if self._sums else np.zeros((0, 7))
        size = lengths(total[:, 3:6])
        good = size > _AGREE * total[:, 6]
        return total[good, :3] / total[good, 6:], total[good, 3:6] / size[good, None]

    def _join(self, keys: list[NDArray[np.int64]], sums: list[Array]) -> None:
        """Appends the sums by key, keys rising."""
        if not keys:
            return
        unique, place = np.unique(np.concatenate(keys), return_inverse=True)
        table = np.concatenate(sums)
        total = np.array([np.bincount(place, column, len(unique)) for column in table.T]).T
        self._keys.append(unique)
        self._sums.append(total)
