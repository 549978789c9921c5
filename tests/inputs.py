"""Builders of inputs and small tools that the tests and the benchmarks share. No torch."""

import contextlib
import os
from collections.abc import Callable, Iterator

import numpy as np

from mirror_sfm.features import Features, PhotoFeatures, stack

REDUCTIONS = ("cosine", "sqeuclid", "euclid_sum", "euclid_l2", "best", "hausdorff")
THREADS = (1, 2, 4, 5)


def isa_levels() -> list[str]:
    """The instruction-set levels of this machine, portable first."""
    import mirror_ext

    return mirror_ext.build_info()["isa_levels"]


@contextlib.contextmanager
def isa(level: str) -> Iterator[None]:
    """Runs the ops at one level: every call reads MIRROR_ISA anew."""
    before = os.environ.get("MIRROR_ISA")
    os.environ["MIRROR_ISA"] = level
    try:
        yield
    finally:
        os.environ.pop("MIRROR_ISA")
        if before is not None:
            os.environ["MIRROR_ISA"] = before


def every_isa(run: Callable[[], object]) -> dict[str, object]:
    """What `run` gives at every level of this machine."""
    results = {}
    for level in isa_levels():
        with isa(level):
            results[level] = run()
    return results


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal type, shape and bits (so that NaN equals itself and 0 differs from -0)."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def scattered(array: np.ndarray) -> np.ndarray:
    """The same values, every second element of a larger array in every dimension, in reverse order."""
    larger = np.zeros([2 * n for n in array.shape], array.dtype)
    view = larger[tuple(slice(None, None, -2) for _ in array.shape)]
    view[...] = array
    assert array.size < 2 or not view.flags.c_contiguous
    return view


def misaligned(array: np.ndarray, offset: int = 1) -> np.ndarray:
    """The same values, contiguous, `offset` bytes beyond a 64-byte boundary."""
    raw = np.zeros(array.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def descriptors(photos: int, features: int, seed: int = 0, kind: str = "scene", shared: float = 0.5) -> np.ndarray:
    """7-bit descriptors [photos, features, 128].

    kind: "scene": like RootSIFT, photos see noisy views of the same points; "few": components 0..3 of few points, full
    of ties; "zeros"; "saturated": components 0 and 127 only; "uniform": independent 0..127.
    """
    rng = np.random.default_rng(seed)
    shape = (photos, features, 128)
    if kind == "zeros":
        return np.zeros(shape, np.uint8)
    if kind == "saturated":
        return (127 * rng.integers(0, 2, shape) * (rng.random((photos, features, 1)) < 0.8)).astype(np.uint8)
    if kind == "uniform":
        return rng.integers(0, 128, shape, dtype=np.uint8)
    if kind == "few":
        points = rng.integers(0, 4, (max(1, features // 3), 128), dtype=np.uint8)
        return points[rng.integers(0, len(points), shape[:2])] if features else np.zeros(shape, np.uint8)
    world = rng.gamma(0.6, 1.0, (max(1, int(features / max(shared, 1e-3))), 128))
    seen = np.stack([rng.choice(len(world), features, replace=False) for _ in range(photos)]) if photos else None
    if seen is None:
        return np.zeros(shape, np.uint8)
    noisy = world[seen] * rng.lognormal(0, 0.25, shape)
    unit = np.sqrt(noisy / np.maximum(noisy.sum(-1, keepdims=True), 1e-9))
    return np.minimum(127, np.round(256 * unit)).astype(np.uint8)


def matched_keypoints(
    pairs: int, matches: int, seed: int = 0, inliers: float = 0.6, width: float = 640, height: float = 480
) -> dict[str, np.ndarray]:
    """Arguments of similarity_support: two photos per pair, `matches` key points each, row i matches row i.

    A share `inliers` of the points moves by one similarity transform per pair (with noise), the rest at random.
    """
    rng = np.random.default_rng(seed)
    shape = (pairs, matches)
    a = np.stack(
        [
            rng.uniform(0, width, shape),
            rng.uniform(0, height, shape),
            rng.gamma(2, 3, shape) + 1,
            rng.uniform(0, 360, shape),
        ],
        -1,
    )
    grow, turn = rng.uniform(0.5, 2, (pairs, 1)), rng.uniform(0, 360, (pairs, 1))
    moved = (a[..., 0] + 1j * a[..., 1]) * grow * np.exp(1j * np.deg2rad(turn))
    b = np.stack([moved.real, moved.imag, a[..., 2] * grow, a[..., 3] + turn], -1)
    b += rng.normal(0, 1, b.shape) * (0.5, 0.5, 0.02, 2)
    b[..., 2] = np.maximum(b[..., 2], 0.1)
    wrong = rng.random(shape) > inliers
    b[wrong, :2] = rng.uniform(0, width, (int(wrong.sum()), 2))
    index = np.arange(2 * pairs).reshape(pairs, 2)
    rows = np.broadcast_to(np.arange(matches)[None, :, None], (pairs, matches, 2))
    return {
        "keypoints": np.stack([a, b], 1).reshape(2 * pairs, matches, 4).astype(np.float32),
        "sizes": np.full(2 * pairs, matches, np.int32),
        "diagonals": np.full(2 * pairs, np.hypot(width, height), np.float32),
        "pairs": index.astype(np.int64),
        "matches": rows.reshape(-1, 2).astype(np.int32),
        "ratios": rng.uniform(0.2, 0.95, (pairs * matches, 2)).astype(np.float32),
        "offsets": (np.arange(pairs + 1) * matches).astype(np.int64),
    }


def regions(images: int, count: int, channels: int, seed: int = 0, kind: str = "scene") -> np.ndarray:
    """Unit regional vectors [images, count, channels] float32.

    kind: "scene": non-negative and clustered, like pooled activations; "few": drawn from few vectors, full of ties;
    "zeros"; "free": normal, any length.
    """
    rng = np.random.default_rng(seed)
    shape = (images, count, channels)
    if kind == "zeros":
        return np.zeros(shape, np.float32)
    if kind == "free":
        return (rng.normal(size=shape) * rng.lognormal(0, 1, (images, count, 1))).astype(np.float32)
    centres = rng.gamma(0.5, 1.0, (max(2, images * count // 4), channels))
    chosen = centres[rng.integers(0, len(centres), shape[:2])]
    x = chosen if kind == "few" else chosen * rng.lognormal(0, 0.3, shape)
    return (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)).astype(np.float32)


def two_ragged_sets() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Regions of 23 query and 41 target images, and their sizes."""
    sizes = sizes_for(23, 9, seed=1), sizes_for(41, 7, seed=2)
    return regions(23, 9, 48, seed=23), regions(41, 7, 48, seed=41), *sizes


def sizes_for(images: int, capacity: int, seed: int = 0) -> np.ndarray:
    """Sizes [images] between 0 and capacity, often one of both."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, capacity + 1, images)
    extreme = rng.random(images)
    return np.where(extreme < 0.15, 0, np.where(extreme > 0.7, capacity, sizes)).astype(np.int32)


def blank_features(names: tuple[str, ...]) -> Features:
    """Photos of 640 x 480 without a feature."""
    none = PhotoFeatures(np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8), (640, 480), (640, 480))
    return stack(names, [none] * len(names))
