"""Lists of pairs as structure from motion reads them: what they find and cost, and whether they hold together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mirror_sfm.budget import pair_budget
from mirror_sfm.errors import UsageError
from mirror_sfm.evaluation import PER_PHOTO
from mirror_sfm.graph import components


@dataclass(frozen=True)
class PairsAt:
    """The first pairs of a list, N x per_photo / 2 of them or as many as there are.

    Attributes:
        per_photo: the budget.
        pairs: how many that are.
        precision: true pairs among them / the most there could be, min(budget, all true pairs), as in `evaluate`.
        recall: true pairs among them / all true pairs.
        components: into how many parts the photos fall that have a true pair, under the true pairs among these.
        largest: share of those photos in the largest part: what can be registered in one model.
    """

    per_photo: int
    pairs: int
    precision: float
    recall: float
    components: int
    largest: float


def pairs_at(
    pairs: ArrayLike, positive: NDArray[np.bool_], per_photo: Sequence[int] = PER_PHOTO
) -> tuple[PairsAt, ...]:
    """Precision, recall and connection against the number of pairs per photo.

    Args:
        pairs: [P, 2] rows of photos, best first, every pair once in either order.
        positive: [N, N] bool, symmetric; the diagonal does not count.
        per_photo: budgets.

    Raises:
        UsageError: a pair is there twice, of one photo, or of one that is not there; or `positive` is not symmetric.
    """
    photos = len(positive)
    if positive.shape != (photos, photos) or not np.array_equal(positive, positive.T):
        raise UsageError(f"positive: expected a symmetric matrix, got {list(positive.shape)}")
    true = positive & ~np.eye(photos, dtype=bool)
    listed = _checked(pairs, photos)
    hit = true[listed[:, 0], listed[:, 1]]
    every, members = int(true.sum()) // 2, true.any(axis=1)

    def at(k: int) -> PairsAt:
        budget = pair_budget(photos, k)
        found = listed[:budget][hit[:budget]]
        sizes = np.unique(components(photos, found[:, 0], found[:, 1])[members], return_counts=True)[1]
        return PairsAt(
            per_photo=k,
            pairs=min(budget, len(listed)),
            precision=len(found) / max(1, min(budget, every)),
            recall=len(found) / max(1, every),
            components=len(sizes),
            largest=float(sizes.max() / members.sum()) if len(sizes) else 0.0,
        )

    return tuple(at(k) for k in per_photo)


@dataclass(frozen=True)
class PairsToMatch:
    """What lists of partners come to.

    Attributes:
        pairs: [P, 2] int64, i < j, sorted, each once.
        listed: entries of all lists, without a photo's own.
        reciprocated: share of the entries whose partner lists the photo too, 2 (1 - P / listed).
    """

    pairs: NDArray[np.int64]
    listed: int
    reciprocated: float


def pairs_to_match(lists: Sequence[ArrayLike], k: int | None = None) -> PairsToMatch:
    """The union of the first k of every photo's list, a photo's own entry left out: Table 3's pairs to match.

    Args:
        lists: for every photo rows of photos, best first.
        k: None: whole lists.

    Raises:
        UsageError: a list names a photo twice or one that is not there.
    """
    directed = []
    for photo, ranked in enumerate(lists):
        rows = np.asarray(ranked, np.int64)[:k]
        if len(np.unique(rows)) < len(rows) or ((rows < 0) | (rows >= len(lists))).any():
            raise UsageError(f"list of photo {photo}: expected rows of {len(lists)} photos, each once")
        rows = rows[rows != photo]
        directed.append(np.stack([np.full(len(rows), photo), rows], axis=1))
    every = np.concatenate(directed) if directed else np.zeros((0, 2), np.int64)
    pairs = np.unique(np.sort(every, axis=1), axis=0)
    return PairsToMatch(pairs, len(every), 2 * (1 - len(pairs) / len(every)) if len(every) else 0.0)


def _checked(pairs: ArrayLike, photos: int) -> NDArray[np.int64]:
    listed = np.asarray(pairs, np.int64).reshape(-1, 2)
    if ((listed < 0) | (listed >= photos)).any() or (listed[:, 0] == listed[:, 1]).any():
        raise UsageError(f"pairs: expected two different rows of {photos} photos each")
    if len(np.unique(np.sort(listed, axis=1), axis=0)) < len(listed):
        raise UsageError("pairs: expected every pair once, in either order")
    return listed
