"""Making a vocabulary: hierarchical k-means by faiss, level by level, the same whatever the number of threads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.bag_of_words.vocabulary import Vocabulary, expect_descriptors
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.threads import parallel, processors

_MOST_WORDS = 1 << 26
Members = NDArray[np.int64]


@dataclass(frozen=True)
class VocabularyOptions:
    """How a vocabulary is made.

    Attributes:
        branching: children of a node, at most. A flat vocabulary has `depth` 1 and a child per word.
        depth: levels below the root; 16 children on 4 levels are 65,536 words, where there are descriptors for them.
        iterations: of k-means.
        per_word: descriptors looked at, per word; where there are more, so many are drawn.
        seed: of everything random.
        threads: None: all processors. The result does not depend on it.
    """

    branching: int = 16
    depth: int = 4
    iterations: int = 20
    per_word: int = 64
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        least = {"branching": 2, "depth": 1, "iterations": 1, "per_word": 1, "seed": 0, "threads": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise UsageError(f"{name} must be at least {bound}, got {value}")
        if self.seed >= 1 << 30:
            raise UsageError(f"seed must be below 2^30, got {self.seed}")
        if self.depth > 26 or self.branching**self.depth > _MOST_WORDS:
            raise UsageError(f"{self.branching} children on {self.depth} levels are more than {_MOST_WORDS} words")


def make_vocabulary(descriptors: NDArray[np.uint8], options: VocabularyOptions | None = None) -> Vocabulary:
    """Clusters descriptors into a tree of words.

    A node of fewer than two descriptors per child is not divided: it is a word.

    Args:
        descriptors: [n, D] uint8, 0..127, in an order that matters (it decides the draw).
        options: see `VocabularyOptions`.

    Raises:
        MirrorError: too few descriptors, or all alike, or faiss is not installed.
    """
    options = options or VocabularyOptions()
    rows = expect_descriptors(descriptors)
    if len(rows) < 2 * options.branching:
        raise MirrorError(f"{options.branching} words need {2 * options.branching} descriptors, there are {len(rows)}")
    wanted = options.branching**options.depth * options.per_word
    if len(rows) > wanted:
        rows = rows[np.sort(np.random.default_rng(options.seed).choice(len(rows), wanted, replace=False))]
    centroids: list[NDArray[np.uint8]] = [_mean(rows)[None]]
    parents, groups = [np.array([-1], np.int32)], [np.arange(len(rows))]
    first = 0  # node of the level
    for _ in range(options.depth):
        nodes = range(first, first + len(groups))
        divided = _divided(rows, list(zip(nodes, groups, strict=True)), options)
        first += len(groups)
        groups = [members for _, children in divided for members in children]
        centroids += [centres for centres, _ in divided]
        parents += [np.full(len(centres), node, np.int32) for node, (centres, _) in zip(nodes, divided, strict=True)]
    tree = Vocabulary(np.concatenate(centroids), np.concatenate(parents))
    if len(tree.parents) == 1:
        raise MirrorError(f"the {len(rows)} descriptors are all alike: no words can be told apart")
    return tree


def _mean(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.round(rows.sum(axis=0, dtype=np.int64) / len(rows)).astype(np.uint8)


def _divided(
    rows: NDArray[np.uint8], level: list[tuple[int, Members]], options: VocabularyOptions
) -> list[tuple[NDArray[np.uint8], list[Members]]]:
    """The children of every node of a level: nodes side by side where there are many, else each with all threads."""
    threads = options.threads or processors()
    inner = threads if len(level) < threads else 1
    return list(parallel(partial(_children, rows, options, inner), level, threads if inner == 1 else 1))


def _children(
    rows: NDArray[np.uint8], options: VocabularyOptions, threads: int, node: tuple[int, Members]
) -> tuple[NDArray[np.uint8], list[Members]]:
    """Centroids [k, D] of a node's children and the rows of each; none where it stays a word."""
    number, members = node
    none = np.zeros((0, rows.shape[1]), np.uint8)
    if len(members) < 2 * options.branching:
        return none, []
    own = rows[members]
    centres = k_means(own, options.branching, options.iterations, options.seed + number, threads)
    flat = Vocabulary(np.concatenate([none, _mean(own)[None], centres]), np.repeat([-1, 0], [1, len(centres)]))
    label = flat.words_of(own) - 1
    order, counts = np.argsort(label, kind="stable"), np.bincount(label, minlength=len(centres))
    if np.count_nonzero(counts) < 2:
        return none, []
    children = np.split(members[order], np.cumsum(counts)[:-1])
    return centres[counts > 0], [child for child in children if len(child)]


def k_means(rows: NDArray[np.uint8], count: int, iterations: int, seed: int, threads: int) -> NDArray[np.uint8]:
    """At most `count` different centroids [k, D] uint8, sorted. faiss rounds them in every iteration.

    Called in a thread of its own: the number of threads that faiss takes belongs to the thread that sets it.
    """
    faiss = _faiss()
    faiss.omp_set_num_threads(threads)
    means = faiss.Clustering(rows.shape[1], count)
    means.niter, means.seed, means.int_centroids = iterations, seed, True
    means.min_points_per_centroid, means.max_points_per_centroid = 1, len(rows)  # neither warns nor draws
    codec = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_8bit_direct)
    means.train_encoded(np.ascontiguousarray(rows), codec, faiss.IndexFlatL2(rows.shape[1]))
    found = faiss.vector_to_array(means.centroids).reshape(count, rows.shape[1])
    return np.unique(found.astype(np.uint8), axis=0)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MirrorError(f'making words needs faiss: pip install "mirror-sfm[ann]" ({error})') from error
    return faiss
