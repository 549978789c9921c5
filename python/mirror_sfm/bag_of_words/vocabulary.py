"""Visual words: a tree of k-means centroids (Nistér and Stewénius, CVPR 2006), or a flat list of them.

              root             Centroids are rounded to the descriptors' own integers. Products and sums are then exact
           /   |   \\            in float32, so that a word depends neither on threads nor on chunks nor on processors,
       node   node   word      and equally near children go to the lower index.
       / | \\    | \\
    word ...                   A flat vocabulary is a tree of depth 1.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.bag_of_words import archive
from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown

VERSION = 1
LARGEST = 127  # of a descriptor's values
LONGEST = 512  # of a descriptor: 512 x 127^2 x 2 is just below 2^24, where float32 stops being exact
_FLOATS = 1 << 22  # in memory at once while descriptors look for their words
_LAYOUT = {"centroids": ("|u1", 2), "parents": ("<i4", 1)}


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A tree of visual words. Nodes are numbered level by level, the children of a node side by side.

    Attributes:
        centroids: [M, D] uint8, 0..127; node 0 is the root.
        parents: [M] int32, never falling, each below its own index; -1 for the root.
    """

    centroids: NDArray[np.uint8]
    parents: NDArray[np.int32]

    @cached_property
    def first_child(self) -> NDArray[np.int64]:
        """[M + 1] int64: the children of node m are `first_child[m]` to before `first_child[m + 1]`."""
        return np.searchsorted(self.parents, np.arange(len(self.parents) + 1))

    @cached_property
    def words(self) -> NDArray[np.int64]:
        """[W] int64, the nodes without children: the visual words."""
        return np.flatnonzero(np.diff(self.first_child) == 0)

    @cached_property
    def depth(self) -> int:
        """Levels below the root."""
        levels = np.zeros(len(self.parents), np.int64)
        for node, parent in enumerate(self.parents.tolist()[1:], 1):
            levels[node] = levels[parent] + 1
        return int(levels.max())

    @cached_property
    def digest(self) -> NDArray[np.uint8]:
        """[32] uint8, SHA-256 of the tree: what belongs to it can tell."""
        content = self.parents.astype("<i4").tobytes() + self.centroids.tobytes()
        return np.frombuffer(hashlib.sha256(content).digest(), np.uint8)

    @cached_property
    def _squares(self) -> NDArray[np.float32]:
        return np.square(self.centroids, dtype=np.float32).sum(axis=1)

    def paths(self, descriptors: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The nodes of each descriptor from the root (left out) down: at every level the nearest child.

        Args:
            descriptors: [n, D] uint8, 0..127.

        Returns:
            [n, depth] int32; -1 below a word that ends earlier.

        Raises:
            MirrorError: descriptors of another length or type.
        """
        rows = expect_descriptors(descriptors, self.centroids.shape[1])
        found = np.full((len(rows), self.depth), -1, np.int32)
        node = np.zeros(len(rows), np.int64)
        children = np.diff(self.first_child)
        for level in range(self.depth):
            inner = np.flatnonzero(children[node] > 0)
            widest = int(children[node].max(initial=1)) * (1 if level == 0 else rows.shape[1])
            step = max(1, _FLOATS // widest)
            for part in (inner[start : start + step] for start in range(0, len(inner), step)):
                near = self._among_all if level == 0 else self._among_own
                found[part, level] = near(rows[part].astype(np.float32), node[part])
            node[inner] = found[inner, level]
        return found

    def words_of(self, descriptors: NDArray[np.uint8]) -> NDArray[np.int32]:
        """[n] int32, the node in which each descriptor's path ends. Arguments and errors as in `paths`."""
        return ends(self.paths(descriptors))

    def _among_all(self, rows: NDArray[np.float32], nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The nearest child of the root, for [n, D] rows."""
        first, last = self.first_child[:2]
        products = rows @ self.centroids[first:last].astype(np.float32).T
        return first + np.argmin(self._squares[first:last] - 2 * products, axis=1)

    def _among_own(self, rows: NDArray[np.float32], nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The nearest child of each row's own node."""
        first, last = self.first_child[nodes], self.first_child[nodes + 1]
        child = first[:, None] + np.arange((last - first).max())
        absent = child >= last[:, None]
        child[absent] = 0
        products = np.matmul(self.centroids[child].astype(np.float32), rows[:, :, None])[..., 0]
        squared = self._squares[child] - 2 * products
        squared[absent] = np.inf
        return first + np.argmin(squared, axis=1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz file that `load` reads. MirrorError: it cannot be written."""
        archive.write(path, "vocabulary", VERSION, {"centroids": self.centroids, "parents": self.parents})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Reads what `save` wrote.

        Raises:
            UsageError: the file cannot be read.
            MirrorError: it is damaged, of another version, or no vocabulary.
        """
        parts = archive.read(path, "vocabulary", VERSION, _LAYOUT)
        centroids, parents = parts["centroids"], parts["parents"]
        nodes = np.arange(len(parents))
        tree = (
            len(parents) == len(centroids) >= 2
            and parents[0] == -1
            and bool((np.diff(parents) >= 0).all())
            and bool(((parents[1:] >= 0) & (parents[1:] < nodes[1:])).all())
        )
        if not tree or not 0 < centroids.shape[1] <= LONGEST or centroids.max(initial=0) > LARGEST:
            raise MirrorError(f"{shown(str(path))}: its nodes are no tree of words: make it again")
        return cls(centroids, parents)


def ends(paths: NDArray[np.int32]) -> NDArray[np.int32]:
    """[n] int32: the last node of each path [n, depth]."""
    last = (paths >= 0).sum(axis=1) - 1
    return np.take_along_axis(paths, last[:, None], axis=1)[:, 0]


def expect_descriptors(descriptors: NDArray[Any], length: int | None = None) -> NDArray[np.uint8]:
    """The same descriptors, if they are [n, D] uint8 of values up to 127.

    Raises:
        MirrorError: they are not.
    """
    given = np.asarray(descriptors)
    wanted = f"[n, {length or 'D'}] uint8, 0..{LARGEST}"
    if given.ndim != 2 or given.dtype != np.uint8 or (length is not None and given.shape[1] != length):
        raise MirrorError(f"descriptors: expected {wanted}, got {list(given.shape)} {given.dtype}")
    if not 0 < given.shape[1] <= LONGEST or given.max(initial=0) > LARGEST:
        raise MirrorError(f"descriptors: expected {wanted}, got {given.shape[1]} values up to {given.max(initial=0)}")
    return given
