"""The ops on triangles that views see, in plain NumPy; mirror_ext.reference gives them out."""

import numpy as np

from ._grid import grid_of
from ._like import like
from ._results import Visible


def visible_triangles(triangle_ids, num_faces, min_pixels=1) -> Visible:
    """The triangles with at least min_pixels pixels, as bits."""
    maps = np.asarray(triangle_ids)
    seen = np.zeros((len(maps), (num_faces + 63) // 64 * 64), bool)
    for view, ids in zip(seen, maps, strict=True):
        view[:num_faces] = np.bincount(ids[ids >= 0], minlength=num_faces) >= min_pixels
    bitsets = np.packbits(seen, axis=1, bitorder="little").view("<i8").astype(np.int64)
    return Visible(like(triangle_ids, bitsets), like(triangle_ids, seen.sum(1)))


def shared_triangles(bitsets, weights=None):
    """|T(i) and T(j)|, or the sum of their weights in the order that mirror/overlap.h fixes."""
    seen = _seen(bitsets)
    if weights is None:
        counts = seen.astype(np.int32)
        return like(bitsets, counts @ counts.T)
    each = np.zeros(-(-seen.shape[1] // 512) * 512)
    each[: len(weights)] = np.asarray(weights)
    sums = np.zeros((len(seen), len(seen)))
    for i, j in np.ndindex(sums.shape):
        shared = np.zeros(len(each), bool)
        shared[: seen.shape[1]] = seen[i] & seen[j]
        s = _in_order(np.where(shared, each, 0.0).reshape(-1, 64, 8).swapaxes(1, 2))  # [blocks, 8]
        blocks = ((s[:, 0] + s[:, 1]) + (s[:, 2] + s[:, 3])) + ((s[:, 4] + s[:, 5]) + (s[:, 6] + s[:, 7]))
        sums[i, j] = _in_order(blocks) if len(blocks) else 0
    return like(bitsets, sums)


def overlap_masks(triangle_ids, bitsets, pairs, size, *, directed=False):
    """The exact area of every cell that the other view sees, divided once in float64, rounded to float32."""
    maps, seen, (rows, columns) = np.asarray(triangle_ids), _seen(bitsets), grid_of("overlap_masks", size)
    _, height, width = maps.shape
    vertical, horizontal = _shares(rows, height), _shares(columns, width)

    def coverage(view, other):
        visible = np.append(seen[other], False)[maps[view]].astype(np.int64)  # -1 finds the last
        return ((vertical @ visible @ horizontal.T) / np.float64(height * width)).astype(np.float32)

    pairs = np.asarray(pairs)
    if directed:
        found = [coverage(i, j) for i, j in pairs]
        return like(triangle_ids, np.array(found, np.float32).reshape(len(pairs), rows, columns))
    found = [(coverage(i, j), coverage(j, i)) for i, j in pairs]
    return like(triangle_ids, np.array(found, np.float32).reshape(len(pairs), 2, rows, columns))


def morton_order(vertices, faces):
    """Coordinates of the centroids in 2^21 steps, their bits interleaved."""
    points, corners = np.asarray(vertices).astype(np.float64) * 0.125, np.asarray(faces)
    if len(corners) == 0:
        return like(vertices, np.zeros(0, np.int32))
    with np.errstate(invalid="ignore"):
        centroids = (points[corners[:, 0]] + points[corners[:, 1]]) + points[corners[:, 2]]
    finite = np.isfinite(centroids).all(1)
    codes = np.full(len(corners), 2**63, np.uint64)
    if finite.any():
        low, high = centroids[finite].min(0), centroids[finite].max(0)
        side = (high - low).max()
        places = ((centroids[finite] - low) / (side or 1.0) * (2**21 - 1)).astype(np.uint64)
        bits = places[:, :, None] >> np.arange(21, dtype=np.uint64) & np.uint64(1)  # [F, 3, 21]
        weights = np.uint64(1) << (3 * np.arange(21, dtype=np.uint64) + np.arange(3, dtype=np.uint64)[:, None])
        codes[finite] = (bits * weights).sum((1, 2), dtype=np.uint64)
    return like(vertices, codes.argsort(kind="stable").astype(np.int32))


def _seen(bitsets) -> np.ndarray:
    """[N, 64 words] bool."""
    words = np.asarray(bitsets)
    bits = words[:, :, None].view(np.uint64) >> np.arange(64, dtype=np.uint64) & np.uint64(1)
    return bits.reshape(len(words), 64 * words.shape[1]) != 0


def _shares(cells: int, pixels: int) -> np.ndarray:
    """[cells, pixels] int64: how much of pixel [x cells, (x + 1) cells) lies in cell [c pixels, (c + 1) pixels)."""
    x, c = np.arange(pixels), np.arange(cells)[:, None]
    right, left = np.minimum((x + 1) * cells, (c + 1) * pixels), np.maximum(x * cells, c * pixels)
    return np.maximum(right - left, 0)


def _in_order(numbers: np.ndarray) -> np.ndarray:
    """Sums along the last axis, one number after the other: cumsum does, sum does not."""
    return (0.0 + numbers).cumsum(-1)[..., -1]
