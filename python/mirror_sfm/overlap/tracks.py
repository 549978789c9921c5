"""Shared points of a reconstruction: for every pair of views, how many both see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.scenes.scene import Tracks


def shared_tracks(tracks: Tracks) -> NDArray[np.int64]:
    """[N, N] points that two views both see; on the diagonal those that a view sees.

    The product of the sparse matrix of sights with its transpose, which walks along each track once per view that sees
    it: sum of v^2 steps for tracks of v views.
    """
    from scipy.sparse import csr_array

    views = len(tracks.offsets) - 1
    ones = np.ones(len(tracks.seen), np.int64)
    sights = csr_array((ones, tracks.seen, tracks.offsets), (views, len(tracks.points)))
    return np.asarray((sights @ sights.T).toarray(), np.int64)
