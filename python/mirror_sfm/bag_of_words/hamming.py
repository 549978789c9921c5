"""Hamming embedding: 64 bits that say where in its word a descriptor lies (Jégou, Douze, Schmid, ECCV 2008).

Bit b is set where row b of a random orthogonal projection gives more than the median of that word. Two features match
only if they share the word and at most `threshold` bits differ. The projection is kept in integers, so that bits, like
words, are the same on every machine.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.bag_of_words import archive
from mirror_sfm.bag_of_words.vocabulary import Vocabulary, expect_descriptors
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import shown

VERSION = 1
BITS = 64
_ONE = 4096  # integers of the projection per unit; sums stay below 2^24, where float32 is exact
_ROWS = 1 << 14  # projected at once
_SET = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)
_LAYOUT = {"projection": ("<i2", 2), "thresholds": ("<i4", 2), "vocabulary": ("|u1", 1)}


@dataclass(frozen=True)
class HammingOptions:
    """Which features match, and how much a match weighs: exp(-h^2 / sigma^2) at h differing bits.

    Attributes:
        threshold: bits that may differ, 0..64. 64: whatever shares a word matches.
        sigma: in bits; None: every match weighs 1.
    """

    threshold: int = 22
    sigma: float | None = 16.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= BITS:
            raise UsageError(f"threshold must be between 0 and {BITS}, got {self.threshold}")
        if self.sigma is not None and not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise UsageError(f"sigma must be above 0, got {self.sigma}")

    def weights(self) -> NDArray[np.float64]:
        """[65] float64, by the number of differing bits; 0: no match."""
        sigma = self.sigma or math.inf
        return np.array([math.exp(-((h / sigma) ** 2)) if h <= self.threshold else 0.0 for h in range(BITS + 1)])


@dataclass(frozen=True, eq=False)
class HammingEmbedding:
    """Signatures for the words of one vocabulary.

    Attributes:
        projection: [64, D] int16, orthonormal rows times 4096.
        thresholds: [M, 64] int32, medians of the projected descriptors of each node of the vocabulary that is a word.
        vocabulary: [32] uint8, its digest.
    """

    projection: NDArray[np.int16]
    thresholds: NDArray[np.int32]
    vocabulary: NDArray[np.uint8]

    @classmethod
    def fit(cls, vocabulary: Vocabulary, descriptors: NDArray[np.uint8], seed: int = 0) -> HammingEmbedding:
        """Medians per word; of an even number of descriptors the lower one. A word without any takes those of all.

        Args:
            vocabulary: gives the words.
            descriptors: [n, D] uint8, 0..127, D >= 64; those that the vocabulary was made of serve.
            seed: of the projection.

        Raises:
            MirrorError: no descriptors, or of another length or type.
        """
        rows = expect_descriptors(descriptors, vocabulary.centroids.shape[1])
        if not len(rows) or rows.shape[1] < BITS:
            raise MirrorError(f"descriptors: expected one at least, of {BITS} values or more, got {list(rows.shape)}")
        projection = random_projection(rows.shape[1], seed)
        projected, words = _projected(projection, rows), vocabulary.words_of(rows)
        counts = np.bincount(words, minlength=len(vocabulary.parents))
        middle = np.cumsum(counts) - counts + np.maximum(counts - 1, 0) // 2
        thresholds = np.empty((len(counts), BITS), np.int32)
        for bit, values in enumerate(projected.T):
            ordered = values[np.lexsort((values, words))]
            of_all = np.sort(values)[(len(values) - 1) // 2]
            thresholds[:, bit] = np.where(counts > 0, ordered[np.minimum(middle, len(values) - 1)], of_all)
        return cls(projection, thresholds, vocabulary.digest)

    def signatures(self, descriptors: NDArray[np.uint8], words: NDArray[np.int32]) -> NDArray[np.uint64]:
        """[n] uint64, bit b of the embedding in bit b.

        Args:
            descriptors: [n, D] uint8, 0..127.
            words: [n] int32, the node of each, as `Vocabulary.words_of` gives them.

        Raises:
            MirrorError: descriptors of another length or type.
        """
        rows = expect_descriptors(descriptors, self.projection.shape[1])
        bits = _projected(self.projection, rows) > self.thresholds[words]
        return np.packbits(bits, axis=1, bitorder="little").view("<u8")[:, 0].astype(np.uint64)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz file that `load` reads. MirrorError: it cannot be written."""
        archive.write(path, "Hamming embedding", VERSION, vars(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str], vocabulary: Vocabulary) -> HammingEmbedding:
        """Reads what `save` wrote.

        Raises:
            UsageError: the file cannot be read.
            MirrorError: it is damaged, of another version, or belongs to another vocabulary.
        """
        parts = archive.read(path, "Hamming embedding", VERSION, _LAYOUT)
        projection, thresholds = parts["projection"], parts["thresholds"]
        if projection.shape != (BITS, vocabulary.centroids.shape[1]) or np.abs(projection.astype(int)).max() > _ONE:
            raise MirrorError(f"{shown(str(path))}: its projection does not fit the descriptors: make it again")
        same = np.array_equal(parts["vocabulary"], vocabulary.digest)
        if not same or thresholds.shape != (len(vocabulary.parents), BITS):
            raise MirrorError(f"{shown(str(path))}: belongs to another vocabulary: make it again")
        return cls(projection, thresholds, vocabulary.digest)


def random_projection(length: int, seed: int) -> NDArray[np.int16]:
    """[64, length] int16: orthonormal rows (QR of Gaussian numbers, signs made definite) times 4096."""
    gaussian = np.random.default_rng(seed).standard_normal((length, BITS))
    q, r = np.linalg.qr(gaussian)
    return np.round(_ONE * (q * np.sign(np.diag(r))).T).astype(np.int16)


def distances(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """[n] uint8: bits in which signatures differ."""
    return _SET[np.bitwise_xor(a, b).view(np.uint16).reshape(-1, 4)].sum(axis=1, dtype=np.uint8)


def _projected(projection: NDArray[np.int16], rows: NDArray[np.uint8]) -> NDArray[np.int32]:
    """[n, 64] int32. Every partial sum is an integer of at most 4096 |x| < 2^24, so any order of summing gives it."""
    turned = projection.T.astype(np.float32)
    projected = np.empty((len(rows), BITS), np.int32)
    for start in range(0, len(rows), _ROWS):
        projected[start : start + _ROWS] = rows[start : start + _ROWS].astype(np.float32) @ turned
    return projected
