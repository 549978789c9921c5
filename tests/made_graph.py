"""A view graph with features that match, made without photos: for tests of what is exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from inputs import descriptors

from mirror_sfm.evidence import choose, score_coarsely, verify
from mirror_sfm.features import Features
from mirror_sfm.view_graph import ViewGraph

NAMES = ("a.jpg", "b/ü漢.jpg", "c.png", "d/e/f.tif", "g#.jpg")


def made_graph(
    names: tuple[str, ...] = NAMES, count: int = 40, seed: int = 0, paths: dict[str, Path] | None = None
) -> ViewGraph:
    """Photos of 1280 x 960, searched at half of their size; all pairs are chosen, some of them never examined."""
    rng = np.random.default_rng(seed)
    photos = len(names)
    size = (photos, count)
    places = np.stack([rng.uniform(0, 639, size), rng.uniform(0, 479, size), rng.gamma(2, 3, size) + 1], -1)
    features = Features(
        names=names,
        keypoints=np.concatenate((places, rng.uniform(0, 360, (*size, 1))), 2).astype(np.float32),
        descriptors=descriptors(photos, count, seed),
        sizes=np.array([count - row for row in range(photos)], np.int32),
        diagonals=np.full(photos, 800, np.float32),
        image_sizes=np.tile(np.array([[1280, 960]], np.int32), (photos, 1)),
        scales=np.full((photos, 2), 2, np.float32),
    )
    candidates = score_coarsely(features, count, 1)
    evidence = verify(features, candidates, choose(candidates, 2), 1)
    scores = candidates.coarse
    return ViewGraph(
        features=features,
        skipped=(),
        paths=paths or {},
        photos=photos,
        candidates=candidates,
        evidence=evidence,
        witnesses={"gps": np.linspace(0.1, 1, len(candidates), dtype=np.float32)},
        scores=scores,
        probabilities=(scores / max(1, float(scores.max(initial=0)))).astype(np.float32),
        seconds={},
        chosen=np.argsort(-scores, kind="stable"),
        reasons=(np.arange(len(candidates)) % 2).astype(np.uint8),
    )
