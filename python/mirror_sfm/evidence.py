"""How well pairs of photos match: all coarsely, the chosen ones with geometry. spec: docs/late_interaction.md, 3-5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import mirror_ext.numpy as ops
from mirror_sfm.features import Features

DENSE_PHOTOS = 4000  # up to here every pair is kept: 8 million
KEPT_PER_PHOTO = 200  # beyond, each photo keeps its best
MAX_RATIO = 0.9  # a match is trusted when the second best is at least this much farther
_CHUNK = 8192  # pairs verified at a time: bounds the memory of their matches


@dataclass(frozen=True)
class Candidates:
    """Pairs with their coarse scores, each once, i < j, sorted by (i, j).

    Attributes:
        photos: how many photos there are.
        i, j: [P] int32.
        coarse: [P] float32, match kernel of the few largest features.
    """

    photos: int
    i: NDArray[np.int32]
    j: NDArray[np.int32]
    coarse: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.i)


@dataclass(frozen=True)
class Evidence:
    """What geometry says about the verified pairs.

    Attributes:
        pairs: [V] int64, rows of `Candidates`, rising.
        weight: [V] float32, evidence w of each.
        features: [G, 2] int32, good matches of all verified pairs: feature of i, feature of j.
        offsets: [V + 1] int64, good matches of pair v are features[offsets[v] : offsets[v + 1]].
    """

    pairs: NDArray[np.int64]
    weight: NDArray[np.float32]
    features: NDArray[np.int32]
    offsets: NDArray[np.int64]


def no_evidence() -> Evidence:
    """Of a collection in which geometry examined nothing."""
    return Evidence(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 2), np.int32), np.zeros(1, np.int64))


def score_coarsely(features: Features, depth: int, threads: int, keep: int | None = None) -> Candidates:
    """Scores all pairs by their `depth` largest features.

    Args:
        features: of N photos.
        depth: features per photo.
        threads: of the kernel.
        keep: pairs each photo keeps; a pair stays when either of its photos keeps it. None: all pairs up to
            `DENSE_PHOTOS` photos, `KEPT_PER_PHOTO` beyond. Memory is N x keep then, and time still N^2.
    """
    count = len(features.sizes)
    if keep is None and count > DENSE_PHOTOS:
        keep = KEPT_PER_PHOTO
    first = np.ascontiguousarray(features.descriptors[:, :depth])
    sizes = np.minimum(features.sizes, first.shape[1])
    if keep is None or keep >= count - 1:
        i, j = (index.astype(np.int32) for index in np.triu_indices(count, 1))
        scores = ops.match_kernel(first, sizes, num_threads=threads) if count else np.zeros((0, 0), np.float32)
        return Candidates(count, i, j, scores[i, j])
    return Candidates(count, *_best_partners(first, sizes, keep, threads))


def _best_partners(
    descriptors: NDArray[np.uint8], sizes: NDArray[np.int32], keep: int, threads: int, block: int = 512
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Pairs i < j of which either photo keeps the other among its `keep` best (ties: lowest index), and their scores.

    Rows of the score matrix come a block at a time, from the diagonal on: a score serves both of its photos. What a
    photo keeps does not depend on the blocks.
    """
    count = len(sizes)
    best = np.zeros((count, keep), np.uint64)
    for start in range(0, count, block):
        stop = min(start + block, count)
        scores = ops.match_kernel(
            descriptors[start:stop], sizes[start:stop], descriptors[start:], sizes[start:], num_threads=threads
        )
        square = np.triu(scores[:, : stop - start], 1)
        scores[:, : stop - start] = square + square.T
        keys = _keys(scores, np.arange(start, count))
        np.fill_diagonal(keys, 0)  # a photo is no partner of itself
        best[start:stop] = _largest(best[start:stop], keys)
        for below in range(stop, count, block):  # the same scores, seen from the other photo
            rows = slice(below, min(below + block, count))
            others = scores[:, rows.start - start : rows.stop - start].T
            best[rows] = _largest(best[rows], _keys(others, np.arange(start, stop)))
    photo = np.repeat(np.arange(count), keep)[best.ravel() > 0]
    kept = best.ravel()[best.ravel() > 0]
    partner = (_LAST - (kept & _LAST)).astype(np.int64)
    pairs, once = np.unique(np.minimum(photo, partner) * count + np.maximum(photo, partner), return_index=True)
    scores = (kept[once] >> np.uint64(32)).astype(np.uint32).view(np.float32)
    return (pairs // count).astype(np.int32), (pairs % count).astype(np.int32), scores


_LAST = np.uint64(2**32 - 1)


def _keys(scores: NDArray[np.float32], partners: NDArray[np.int64]) -> NDArray[np.uint64]:
    """One number per score and partner (of its column) that sorts like (score, lower partner): scores are not negative,
    so their bits sort as they do. Never 0."""
    bits = np.ascontiguousarray(scores).view(np.uint32).astype(np.uint64)
    return (bits << np.uint64(32)) | (_LAST - partners.astype(np.uint64))


def _largest(kept: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The largest keys of every row, as many as were kept before."""
    every = np.concatenate((kept, keys), axis=1)
    return np.partition(every, -kept.shape[1], axis=1)[:, -kept.shape[1] :]


def choose(candidates: Candidates, per_photo: int) -> NDArray[np.int64]:
    """Which pairs are worth all features: N K / 2 of them, by the better of their two mutual ranks, then by score.

    Every photo gets its own best partners, and no hub takes the whole budget. Returns rows of `candidates`, rising.
    """
    rank = np.minimum(*partner_ranks(candidates))
    order = np.lexsort((-candidates.coarse, rank))
    return np.sort(order[: max(1, candidates.photos * per_photo // 2)])


def partner_ranks(candidates: Candidates) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place of j among the partners of i, and of i among those of j, 0 = best; ties: lowest index."""
    pairs = len(candidates)
    owner = np.concatenate((candidates.i, candidates.j))
    partner = np.concatenate((candidates.j, candidates.i))
    order = np.lexsort((partner, -np.tile(candidates.coarse, 2), owner))
    begin = np.searchsorted(owner[order], np.arange(candidates.photos))
    rank = np.empty(2 * pairs, np.int64)
    rank[order] = np.arange(2 * pairs) - begin[owner[order]]
    return rank[:pairs], rank[pairs:]


def verify(
    features: Features, candidates: Candidates, chosen: NDArray[np.int64], threads: int, progress: bool = False
) -> Evidence:
    """Matches the chosen pairs with all features and weighs the matches by local similarity support."""
    from tqdm import tqdm

    weight, good, counts = [np.zeros(0, np.float32)], [np.zeros((0, 2), np.int32)], [np.zeros(0, np.int64)]
    with tqdm(desc="matching", total=len(chosen), unit="pair", disable=not progress, leave=False) as bar:
        for start in range(0, len(chosen), _CHUNK):
            rows = chosen[start : start + _CHUNK]
            pairs = np.stack((candidates.i[rows], candidates.j[rows]), 1).astype(np.int64)
            found = ops.mutual_matches(
                features.descriptors, features.sizes, pairs=pairs, max_ratio=MAX_RATIO, num_threads=threads
            )
            support = ops.similarity_support(
                features.keypoints, features.sizes, features.diagonals, pairs, *found, num_threads=threads
            )
            kept = support.good.astype(bool)
            before = np.concatenate(([0], np.cumsum(kept)))
            weight.append(support.evidence)
            good.append(found.matches[kept])
            counts.append(np.diff(before[found.offsets]))
            bar.update(len(rows))
    offsets = np.concatenate(([0], np.cumsum(np.concatenate(counts)))).astype(np.int64)
    return Evidence(chosen, np.concatenate(weight), np.concatenate(good), offsets)
