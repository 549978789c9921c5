"""Matches of features that share a word vote for photos: Hamming embedding and weak geometric consistency.

The inverted file holds features here, not photos:

    word          7                    8            the entries of a word side by side, photos in order;
    photo         0    0    3    9     2   ...      a query feature of word 7 is compared with these four alone
    signature     ..   ..   ..   ..    ..
    angle, scale  ..   ..   ..   ..    ..

A match of word w weighs idf_w^2 times the weight of its Hamming distance. A photo's score is the sum, or what agrees on
a rotation and a scale, divided by the norms |q| |v| of both tf-idf vectors. Without either it would be their cosine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.bag_of_words.geometry import GeometryOptions, agreement, histograms
from mirror_sfm.bag_of_words.hamming import HammingOptions, distances
from mirror_sfm.bag_of_words.index import inverse_frequency, spans, sums

_MATCHES = 1 << 19  # looked at in one go; never less than those of one query feature


@dataclass(frozen=True, eq=False)
class Quantised:
    """Features of one photo as the index sees them.

    Attributes:
        words: [n] int32.
        signatures: [n] uint64; zeros where there is no embedding.
        angles: [n] float32, degrees.
        octaves: [n] float32, log2 of the scale.
    """

    words: NDArray[np.int32]
    signatures: NDArray[np.uint64]
    angles: NDArray[np.float32]
    octaves: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """The features of N photos by word: 24 bytes a feature.

    Attributes:
        starts: [W + 1] int64, entries of word w are starts[w] to before starts[w + 1].
        photo: [E] int32, rising within a word.
        features: [E] the entries.
        idf: [W] float64, log(N / N_w).
        norms: [N] float64, |v| of the tf-idf vectors, 1 where that is 0.
    """

    starts: NDArray[np.int64]
    photo: NDArray[np.int32]
    features: Quantised
    idf: NDArray[np.float64]
    norms: NDArray[np.float64]

    @classmethod
    def build(cls, photos: Iterable[Quantised], words: int) -> FeatureFile:
        """Sorts the features of photos by word. `photos` is read once; `words`: how many there are."""
        held = list(photos)
        sizes = [len(own.words) for own in held]
        empty = Quantised(
            np.zeros(0, np.int32), np.zeros(0, np.uint64), np.zeros(0, np.float32), np.zeros(0, np.float32)
        )
        order = np.argsort(np.concatenate([own.words for own in (empty, *held)]), kind="stable")
        columns = {name: np.concatenate([getattr(own, name) for own in (empty, *held)])[order] for name in vars(empty)}
        features = Quantised(**columns)
        photo = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[order]
        starts = np.searchsorted(features.words, np.arange(words + 1))
        both = features.words.astype(np.int64) * max(1, len(sizes)) + photo
        key, count = np.unique(both, return_counts=True)
        word, who = np.divmod(key, max(1, len(sizes)))
        idf = inverse_frequency(np.bincount(word, minlength=words), len(sizes))
        norms = np.sqrt(sums(who, (count * idf[word]) ** 2, len(sizes)))
        return cls(starts, photo, features, idf, np.where(norms > 0, norms, 1.0))

    def scores(
        self,
        query: Quantised,
        hamming: HammingOptions | None = None,
        geometry: GeometryOptions | None = None,
        share_votes: bool = False,
    ) -> NDArray[np.float64]:
        """The score of every photo, [N] float64.

        Args:
            query: features of a photo.
            hamming: None: every pair of features that shares a word matches, with weight 1.
            geometry: None: matches need not agree.
            share_votes: k matches of a feature with one photo weigh 1 / sqrt(k) each (Jégou, Douze, Schmid, CVPR 2009).
        """
        count = len(self.norms)
        weights = (hamming or HammingOptions(64, None)).weights()
        total = np.zeros(count)
        side = 1 if geometry is None else 2 * geometry.scale_side + 1
        turned, grown = np.zeros((count, geometry.orientation_bins if geometry else 1)), np.zeros((count, side))
        for own, entry in self._candidates(query.words):
            weight = weights[distances(query.signatures[own], self.features.signatures[entry])]
            keep = weight > 0
            own, entry = own[keep], entry[keep]
            weight = weight[keep] * self.idf[query.words[own]] ** 2
            if share_votes:
                weight /= np.sqrt(_rivals(own, self.photo[entry]))
            if geometry is None:
                total += sums(self.photo[entry], weight, count)
                continue
            degrees = self.features.angles[entry] - query.angles[own]
            octaves = self.features.octaves[entry] - query.octaves[own]
            votes = histograms(self.photo[entry].astype(np.int64), degrees, octaves, weight, count, geometry)
            turned += votes[0]
            grown += votes[1]
        if geometry is not None:
            total = agreement(turned, grown, geometry)
        return total / self.norms / self._norm(query.words)

    def _candidates(self, words: NDArray[np.int32]) -> Any:
        """Pairs (query feature, entry) that share a word, so many at a time that they fit into memory."""
        lengths = self.starts[words + 1] - self.starts[words]
        part = np.cumsum(lengths) // _MATCHES
        for features in np.split(np.arange(len(words)), np.flatnonzero(np.diff(part)) + 1):
            own = words[features]
            yield np.repeat(features, lengths[features]), spans(self.starts[own], self.starts[own + 1])

    def _norm(self, words: NDArray[np.int32]) -> float:
        word, count = np.unique(words, return_counts=True)
        squares = (count * self.idf[word]) ** 2
        norm = math.sqrt(sums(np.zeros(len(word), np.int64), squares, 1)[0])
        return norm if norm > 0 else 1.0


def _rivals(own: NDArray[np.int64], photo: NDArray[np.int32]) -> NDArray[np.int64]:
    """[m]: how many matches the same feature has with the same photo. Those lie side by side."""
    first = np.flatnonzero((np.diff(own, prepend=-1) != 0) | (np.diff(photo, prepend=-1) != 0))
    lengths = np.diff(first, append=len(own))
    return np.repeat(lengths, lengths)
