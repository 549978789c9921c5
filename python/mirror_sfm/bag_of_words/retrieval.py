"""Features in, scores out: every photo asks every other by its visual words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mirror_ext._results import TopK
from mirror_sfm.bag_of_words.geometry import GeometryOptions
from mirror_sfm.bag_of_words.hamming import HammingEmbedding, HammingOptions
from mirror_sfm.bag_of_words.index import NORMS, InvertedFile
from mirror_sfm.bag_of_words.vocabulary import Vocabulary, ends
from mirror_sfm.bag_of_words.voting import FeatureFile, Quantised
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.features import Features
from mirror_sfm.photos import shown
from mirror_sfm.threads import parallel, processors


@dataclass(frozen=True)
class BagOptions:
    """How photos are compared. Without `hamming` and `geometry`: by tf-idf.

    Attributes:
        norm: of tf-idf vectors, l1 or l2.
        inner_nodes: the inner nodes of the tree count as words too (Nistér and Stewénius); with tf-idf alone.
        hamming: matches need like signatures (HE).
        geometry: matches have to agree on a rotation and a scale (WGC).
        share_votes: with `hamming` or `geometry`: k matches of a feature with one photo weigh 1 / sqrt(k) each, so
            that what repeats in a photo does not outvote the rest.
        threads: None: all processors. The result does not depend on it.
    """

    norm: str = "l1"
    inner_nodes: bool = True
    hamming: HammingOptions | None = None
    geometry: GeometryOptions | None = None
    share_votes: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise UsageError(f"norm must be one of {', '.join(NORMS)}, got {self.norm}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads must be at least 1, got {self.threads}")


def score_photos(
    features: Features,
    vocabulary: Vocabulary,
    options: BagOptions | None = None,
    embedding: HammingEmbedding | None = None,
) -> NDArray[np.float32]:
    """The score of every pair of photos, [N, N] float32, row i that of query i; a photo's with itself is the diagonal.

    Args:
        features: of the photos (`mirror_sfm.reading.read_features`).
        vocabulary: made of other photos' descriptors.
        options: see `BagOptions`.
        embedding: of this vocabulary; needed by `options.hamming`.

    Raises:
        UsageError: Hamming embedding is asked for and there is none, or one of another vocabulary.
        MirrorError: descriptors of another kind than the vocabulary's, or key points without a scale for `geometry`.
    """
    scores = np.empty((len(features.names),) * 2, np.float32)
    for row, own in enumerate(score_rows(features, vocabulary, options, embedding)):
        scores[row] = own
    return scores


def rank_photos(
    features: Features,
    vocabulary: Vocabulary,
    k: int,
    options: BagOptions | None = None,
    embedding: HammingEmbedding | None = None,
) -> TopK:
    """The k best photos of every photo, itself left out, without ever holding all scores. Other arguments and errors as
    in `score_photos`.

    Returns:
        values [N, k] float32, best first, and indices [N, k] int64, ties by lowest index; k at most N - 1.
    """
    count = len(features.names)
    k = max(0, min(k, count - 1))
    values, indices = np.zeros((count, k), np.float32), np.zeros((count, k), np.int64)
    for row, own in enumerate(score_rows(features, vocabulary, options, embedding)):
        order = np.argsort(-own.astype(np.float32), kind="stable")
        indices[row] = order[order != row][:k]
        values[row] = own[indices[row]]
    return TopK(values, indices)


def score_rows(
    features: Features,
    vocabulary: Vocabulary,
    options: BagOptions | None = None,
    embedding: HammingEmbedding | None = None,
) -> Iterator[NDArray[np.float64]]:
    """One query after the other: [N] float64. Arguments and errors as in `score_photos`."""
    options = options or BagOptions()
    photos, threads = range(len(features.names)), options.threads or processors()
    if options.hamming is None and options.geometry is None:
        words = partial(_nodes if options.inner_nodes else _words, features, vocabulary)
        bags = list(parallel(words, photos, threads))
        index = InvertedFile.build(bags, len(vocabulary.parents), options.norm)
        return (index.scores(bag) for bag in bags)
    if options.hamming is not None:
        if embedding is None:
            raise UsageError("Hamming embedding needs an embedding of the vocabulary (HammingEmbedding.fit)")
        if not np.array_equal(embedding.vocabulary, vocabulary.digest):
            raise UsageError("the embedding belongs to another vocabulary: fit one to this")
    quantise = partial(_quantised, features, vocabulary, options, embedding)
    held = list(parallel(quantise, photos, threads))
    file = FeatureFile.build(held, len(vocabulary.parents))
    return (file.scores(own, options.hamming, options.geometry, options.share_votes) for own in held)


def descriptors_of(features: Features) -> NDArray[np.uint8]:
    """The descriptors of all photos one after the other, [n, 128]: what vocabularies are made of."""
    held = np.arange(features.descriptors.shape[1]) < features.sizes[:, None]
    return features.descriptors[held]


def _nodes(features: Features, vocabulary: Vocabulary, row: int) -> NDArray[np.int32]:
    paths = vocabulary.paths(features.descriptors[row, : features.sizes[row]])
    return paths[paths >= 0]


def _words(features: Features, vocabulary: Vocabulary, row: int) -> NDArray[np.int32]:
    return vocabulary.words_of(features.descriptors[row, : features.sizes[row]])


def _quantised(
    features: Features,
    vocabulary: Vocabulary,
    options: BagOptions,
    embedding: HammingEmbedding | None,
    row: int,
) -> Quantised:
    size = features.sizes[row]
    descriptors, points = features.descriptors[row, :size], features.keypoints[row, :size]
    words = ends(vocabulary.paths(descriptors))
    signatures = np.zeros(size, np.uint64)
    if options.hamming is not None and embedding is not None:
        signatures = embedding.signatures(descriptors, words)
    octaves = np.zeros(size, np.float32)
    if options.geometry is not None:
        if not (np.isfinite(points[:, 2:]).all() and (points[:, 2] > 0).all()):
            raise MirrorError(
                f"{shown(features.names[row])}: key points without scale or angle: leave out weak geometric consistency"
            )
        octaves[:] = [math.log2(scale) for scale in points[:, 2].tolist()]  # NumPy's differs between processors
    return Quantised(words, signatures, points[:, 3].astype(np.float32), octaves)
