"""The inputs of the benchmarks: never zeros, never all alike, so that no contender is lucky."""

from __future__ import annotations

import numpy as np


def descriptors(photos: int, features: int, seed: int = 0) -> np.ndarray:
    """[photos, features, 128] uint8, 7-bit RootSIFT-like vectors. Photos share a part of their landmarks."""
    rng = np.random.default_rng(seed)
    landmarks = rng.gamma(0.45, 1.0, (4 * features, 128)).astype(np.float32)
    result = np.empty((photos, features, 128), np.uint8)
    for photo in result:
        seen = landmarks[rng.choice(len(landmarks), features, replace=False)]
        seen = seen * rng.gamma(12.0, 1 / 12.0, seen.shape).astype(np.float32)
        photo[:] = np.minimum(127, np.rint(256 * np.sqrt(seen / seen.sum(axis=1, keepdims=True))))
    return result


def regions(images: int, count: int, channels: int, seed: int = 0) -> np.ndarray:
    """[images, count, channels] float32 unit rows around 64 places, so that a ranking means something."""
    rng = np.random.default_rng(seed)
    places = np.random.default_rng(1).standard_normal((64, count, channels), np.float32)
    vectors = places[rng.integers(0, 64, images)] + np.float32(1.5) * rng.standard_normal(
        (images, count, channels), np.float32
    )
    return vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


def candidates(queries: int, targets: int, count: int, seed: int = 0) -> np.ndarray:
    """[queries, count] int64, different targets in each row."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(targets, count, replace=False) for _ in range(queries)])
