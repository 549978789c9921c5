"""The inverted file: which photos have a word, weighted by tf-idf (Sivic and Zisserman, ICCV 2003).

A photo is the vector v_w = n_w log(N / N_w): n_w times word w, which N_w of the N photos have. It is divided by its L1
or L2 norm. Two photos score

    L1    2 - |q - v|_1 = 2 sum_w min(q_w, v_w)        (Nistér and Stewénius, CVPR 2006)
    L2    the cosine    =   sum_w q_w v_w

so that only words which both have count, and a query touches nothing but the postings of its own words. A photo without
words, or with none but those that every photo has, scores 0 with everybody. Words may be all nodes of a tree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError, UsageError

NORMS = ("l1", "l2")


@dataclass(frozen=True, eq=False)
class InvertedFile:
    """tf-idf vectors of N photos, by word.

    Attributes:
        vectors: [N, W] float64 by columns, normalised; column w is the postings of word w, photos in order.
        idf: [W] float64, log(N / N_w); 0 where no photo has the word.
        norm: l1 or l2.
    """

    vectors: Any  # scipy.sparse.csc_array
    idf: NDArray[np.float64]
    norm: str

    @classmethod
    def build(cls, photos: Iterable[NDArray[Any]], words: int, norm: str = "l1") -> InvertedFile:
        """Counts the words of photos, one photo in memory at a time.

        Args:
            photos: the words of each, [n] integers in 0..words - 1, any order, repeated as often as they occur.
            words: how many there are.
            norm: l1 or l2.

        Raises:
            UsageError: unknown norm.
            MirrorError: a word out of range; says of which photo.
        """
        if norm not in NORMS:
            raise UsageError(f"norm must be one of {', '.join(NORMS)}, got {norm}")
        held, counts = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        for row, found in enumerate(photos):
            own, count = np.unique(_expect_words(found, words, f"photo {row}"), return_counts=True)
            held.append(own.astype(np.int32))
            counts.append(count.astype(np.int32))
        sizes = [len(own) for own in held[1:]]
        photo, word = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes), np.concatenate(held)
        idf = inverse_frequency(np.bincount(word, minlength=words), len(sizes))
        values = np.concatenate(counts) * idf[word]
        values /= np.maximum(_norms(photo, values, len(sizes), norm), 1e-12)[photo]
        telling = values > 0  # what every photo has says nothing, and its postings would be the longest
        entries = (values[telling], (photo[telling], word[telling]))
        return cls(sparse.coo_array(entries, (len(sizes), words)).tocsc(), idf, norm)

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    def vector(self, found: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The words of a query that count, rising, and their normalised weights. Arguments as one photo of `build`."""
        word, count = np.unique(_expect_words(found, len(self.idf), "query"), return_counts=True)
        values = count * self.idf[word]
        values /= max(_norms(np.zeros(len(word), np.int64), values, 1, self.norm)[0], 1e-12)
        return word[values > 0], values[values > 0]

    def scores(self, found: NDArray[Any]) -> NDArray[np.float64]:
        """The score of every photo, [N] float64: 0..2 with L1, 0..1 with L2.

        Args:
            found: words of the query, as one photo of `build`.

        Raises:
            MirrorError: a word out of range.
        """
        word, weight = self.vector(found)
        starts, ends = self.vectors.indptr[word], self.vectors.indptr[word + 1]
        entries = spans(starts, ends)
        theirs, own = self.vectors.data[entries], np.repeat(weight, ends - starts)
        shared = 2 * np.minimum(own, theirs) if self.norm == "l1" else own * theirs
        return sums(self.vectors.indices[entries], shared, len(self))


def inverse_frequency(photos_with: NDArray[np.int64], photos: int) -> NDArray[np.float64]:
    """[W] float64, log(N / N_w), and 0 where N_w is 0. NumPy's own logarithm differs between processors: not taken."""
    by_count = np.array([math.log(photos / count) if count else 0.0 for count in range(photos + 1)])
    return by_count[photos_with]


def sums(places: NDArray[Any], values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """[count] float64: the values of each place, added in their order, whatever the processor."""
    return np.asarray(np.bincount(places, values, minlength=count), np.float64)


def spans(starts: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.int64]:
    """All the integers from starts[k] to before ends[k], for one k after the other."""
    lengths = (ends - starts).astype(np.int64)
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)


def _norms(photo: NDArray[Any], values: NDArray[np.float64], photos: int, norm: str) -> NDArray[np.float64]:
    """[N] float64, of rows given by their entries."""
    if norm == "l1":
        return sums(photo, values, photos)
    return np.sqrt(sums(photo, values * values, photos))


def _expect_words(found: NDArray[Any], words: int, who: str) -> NDArray[Any]:
    given = np.asarray(found)
    if given.ndim != 1 or (len(given) and given.dtype.kind not in "iu"):
        raise MirrorError(f"{who}: words: expected [n] integers, got {list(given.shape)} {given.dtype}")
    if len(given) and not 0 <= given.min() <= given.max() < words:
        raise MirrorError(f"{who}: words: expected 0..{words - 1}, got {given.min()}..{given.max()}")
    return given
