"""View graphs made without photos: for tests of what is done with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mirror_sfm.budget import Limits
from mirror_sfm.evidence import Candidates, Evidence
from mirror_sfm.features import Features
from mirror_sfm.graph import select
from mirror_sfm.photos import Skipped
from mirror_sfm.view_graph import ViewGraph


def flight(
    photos: int,
    per_image: int = 20,
    matches: int = 60,
    names: tuple[str, ...] | None = None,
    paths: dict[str, Path] | None = None,
    skipped: tuple[Skipped, ...] = (),
    parts: int = 1,
    alone: int = 0,
    features: int = 64,
    seed: int = 0,
) -> ViewGraph:
    """Photos of a flight in strips, in `parts` areas far apart; the last `alone` photos match nothing.

    Every photo has `features` features at random places; every pair of neighbours has up to `matches` good ones.
    """
    rng = np.random.default_rng(seed)
    names = names or tuple(f"strip/{k:05d}.jpg" for k in range(photos))
    strip = max(1, int(np.sqrt(photos / parts)))
    where = np.stack((np.arange(photos) % strip, np.arange(photos) // strip), 1) + rng.normal(0, 0.1, (photos, 2))
    where[:, 0] += 100.0 * (np.arange(photos) * parts // max(1, photos))
    where[photos - alone :] = 1e4 * (1 + np.arange(alone))[:, None]
    i, j = _near(where, 3.2)
    near = np.exp(-0.35 * ((where[i] - where[j]) ** 2).sum(1)).astype(np.float32)
    candidates = Candidates(photos, i.astype(np.int32), j.astype(np.int32), near)
    counts = np.round(near * matches).astype(np.int64)
    found = Features(
        names=names,
        keypoints=np.concatenate(
            (rng.uniform(0, 479, (photos, features, 2)), rng.uniform(2, 30, (photos, features, 2))), 2
        ).astype(np.float32),
        descriptors=np.zeros((photos, features, 128), np.uint8),
        sizes=np.full(photos, features, np.int32),
        diagonals=np.full(photos, 800, np.float32),
        image_sizes=np.tile(np.array([[4000, 3000]], np.int32), (photos, 1)),
        scales=np.full((photos, 2), 6.25, np.float32),
    )
    evidence = Evidence(
        pairs=np.arange(len(i), dtype=np.int64),
        weight=(100 * near).astype(np.float32),
        features=rng.integers(0, features, (int(counts.sum()), 2)).astype(np.int32),
        offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
    )
    chosen, reasons = select(candidates, near, near, evidence, Limits(max(1, photos * per_image // 2), min_prob=0.0))
    return ViewGraph(
        features=found,
        skipped=skipped,
        paths=paths or {},
        photos=photos + len(skipped),
        candidates=candidates,
        evidence=evidence,
        witnesses={},
        scores=near,
        probabilities=near,
        seconds={},
        chosen=chosen,
        reasons=reasons,
    )


def _near(where: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of points at most `radius` apart, i < j, sorted."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(where).query_pairs(radius, output_type="ndarray")
    pairs = np.sort(pairs, axis=1)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return pairs[:, 0], pairs[:, 1]
