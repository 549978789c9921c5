"""The ops of mirror_ext on NumPy arrays, without torch.

Each function has the arguments, results and errors of its twin (``mirror_ext._match_kernel`` and so on document them),
and `num_threads`: None uses every processor this process may run on. Python's lock is released meanwhile. Arrays may
be strided or misaligned; they are copied then. A wrong type is a TypeError where it is no numeric array at all.
"""

from typing import Any

import numpy as np

from . import _numpy
from ._grid import grid_of
from ._results import Matches, Raster, Support, TopK, Visible

__all__ = [
    "masked_max_pool",
    "match_kernel",
    "morton_order",
    "mutual_matches",
    "overlap_masks",
    "pr_mac",
    "pr_mac_rerank",
    "pr_mac_topk",
    "rasterize",
    "rasterize_visible",
    "region_max_pool",
    "shared_triangles",
    "similarity_support",
    "visible_triangles",
]


def match_kernel(
    descriptors: np.ndarray,
    sizes: np.ndarray | None = None,
    other: np.ndarray | None = None,
    other_sizes: np.ndarray | None = None,
    *,
    pairs: np.ndarray | None = None,
    depth: int | None = None,
    num_threads: int | None = None,
) -> np.ndarray:
    """Scores how much of one photo is found again in another: float32 [N, N], [N, M] with other, [P] with pairs."""
    a = _Arguments("match_kernel")
    return _numpy.match_kernel(
        a.required("descriptors", descriptors),
        a("sizes", sizes),
        a("other", other),
        a("other_sizes", other_sizes),
        a("pairs", pairs),
        a.depth(depth),
        a.threads(num_threads),
    )


def mutual_matches(
    descriptors: np.ndarray,
    sizes: np.ndarray | None = None,
    other: np.ndarray | None = None,
    other_sizes: np.ndarray | None = None,
    *,
    pairs: np.ndarray,
    depth: int | None = None,
    max_ratio: float = 0.9,
    exact: bool = True,
    num_threads: int | None = None,
) -> Matches:
    """Gives the matches that `match_kernel` sums over: matches [M, 2] int32, ratios [M, 2] float32, offsets [P + 1].

    `exact=False` is almost twice as fast on large photos and misses a few, see `mirror_ext.mutual_matches`.
    """
    a = _Arguments("mutual_matches")
    return Matches(
        *_numpy.mutual_matches(
            a.required("descriptors", descriptors),
            a("sizes", sizes),
            a("other", other),
            a("other_sizes", other_sizes),
            a.required("pairs", pairs),
            a.depth(depth),
            max_ratio,
            exact,
            a.threads(num_threads),
        )
    )


def similarity_support(
    keypoints: np.ndarray,
    sizes: np.ndarray | None,
    diagonals: np.ndarray,
    pairs: np.ndarray,
    matches: np.ndarray,
    ratios: np.ndarray,
    offsets: np.ndarray,
    *,
    other: np.ndarray | None = None,
    other_sizes: np.ndarray | None = None,
    other_diagonals: np.ndarray | None = None,
    near: float = 0.004,
    far: float = 0.25,
    tolerance: float = 0.3,
    min_share: float = 0.06,
    min_support: float = 2.0,
    weak: float = 0.01,
    num_threads: int | None = None,
) -> Support:
    """Weighs the matches of pairs by how many neighbours they predict: evidence [P] float32, good [M] bool."""
    a = _Arguments("similarity_support")
    return Support(
        *_numpy.similarity_support(
            a.required("keypoints", keypoints),
            a("sizes", sizes),
            a.required("diagonals", diagonals),
            a.required("pairs", pairs),
            a.required("matches", matches),
            a.required("ratios", ratios),
            a.required("offsets", offsets),
            a("other", other),
            a("other_sizes", other_sizes),
            a("other_diagonals", other_diagonals),
            near,
            far,
            tolerance,
            min_share,
            min_support,
            weak,
            a.threads(num_threads),
        )
    )


def region_max_pool(
    features: np.ndarray, boxes: np.ndarray, *, return_argmax: bool = False, num_threads: int | None = None
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Takes the maximum of every box of every map, whatever the strides: [B, R, C], and argmax int32."""
    a = _Arguments("region_max_pool")
    pooled, argmax = _numpy.region_max_pool(
        a.strided("features", features), a.required("boxes", boxes), return_argmax, a.threads(num_threads)
    )
    return (pooled, argmax) if return_argmax else pooled


def masked_max_pool(
    features: np.ndarray, mask: np.ndarray, *, return_argmax: bool = False, num_threads: int | None = None
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Takes the maximum over the cells that a mask keeps, whatever the strides: [B, C], and argmax int32."""
    a = _Arguments("masked_max_pool")
    pooled, argmax = _numpy.masked_max_pool(
        a.strided("features", features), a.required("mask", mask), return_argmax, a.threads(num_threads)
    )
    return (pooled, argmax) if return_argmax else pooled


def pr_mac(
    query: np.ndarray,
    target: np.ndarray | None = None,
    reduction: str = "cosine",
    *,
    query_sizes: np.ndarray | None = None,
    target_sizes: np.ndarray | None = None,
    symmetric: bool = False,
    return_argmax: bool = False,
    precision: str = "exact",
    num_threads: int | None = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Scores all pairs of images by their regions: [Q, T], and [Q, T, R] int32 with return_argmax."""
    a = _Arguments("pr_mac")
    scores, argmax = _numpy.pr_mac(
        a.required("query", query),
        a("target", a.other(query, target, symmetric)),
        a("query_sizes", query_sizes),
        a("target_sizes", target_sizes),
        reduction,
        precision,
        return_argmax,
        a.threads(num_threads),
    )
    return (scores, argmax) if return_argmax else scores


def pr_mac_topk(
    query: np.ndarray,
    target: np.ndarray | None = None,
    k: int = 10,
    reduction: str = "cosine",
    *,
    query_sizes: np.ndarray | None = None,
    target_sizes: np.ndarray | None = None,
    symmetric: bool = False,
    precision: str = "exact",
    margin: int = 32,
    certified: bool = False,
    num_threads: int | None = None,
) -> TopK:
    """Finds the k closest targets of every query: values [Q, k], indices [Q, k] int64."""
    a = _Arguments("pr_mac_topk")
    return TopK(
        *_numpy.pr_mac_topk(
            a.required("query", query),
            a("target", a.other(query, target, symmetric)),
            a("query_sizes", query_sizes),
            a("target_sizes", target_sizes),
            k,
            reduction,
            precision,
            margin,
            certified,
            a.threads(num_threads),
        )
    )


def pr_mac_rerank(
    query: np.ndarray,
    target: np.ndarray | None,
    candidates: np.ndarray,
    reduction: str = "cosine",
    *,
    query_sizes: np.ndarray | None = None,
    target_sizes: np.ndarray | None = None,
    num_threads: int | None = None,
) -> np.ndarray:
    """Scores listed candidates only: [Q, K]."""
    a = _Arguments("pr_mac_rerank")
    return _numpy.pr_mac_rerank(
        a.required("query", query),
        a("target", target),
        a.required("candidates", candidates),
        a("query_sizes", query_sizes),
        a("target_sizes", target_sizes),
        reduction,
        a.threads(num_threads),
    )


def visible_triangles(
    triangle_ids: np.ndarray, num_faces: int, min_pixels: int = 1, *, num_threads: int | None = None
) -> Visible:
    """Collects the triangles of each id map: bitsets [N, ceil(F / 64)] int64, counts [N] int64."""
    a = _Arguments("visible_triangles")
    ids = a.required("triangle_ids", triangle_ids)
    return Visible(*_numpy.visible_triangles(ids, num_faces, min_pixels, a.threads(num_threads)))


def shared_triangles(
    bitsets: np.ndarray, weights: np.ndarray | None = None, *, num_threads: int | None = None
) -> np.ndarray:
    """Counts the triangles that every two views share: [N, N] int32; or weighs them: float64."""
    a = _Arguments("shared_triangles")
    return _numpy.shared_triangles(a.required("bitsets", bitsets), a("weights", weights), a.threads(num_threads))


def overlap_masks(
    triangle_ids: np.ndarray,
    bitsets: np.ndarray,
    pairs: np.ndarray,
    size: int | tuple[int, int],
    *,
    directed: bool = False,
    num_threads: int | None = None,
) -> np.ndarray:
    """Measures where on a picture another view sees the same: [P, 2, s, s] float32; directed [P, s, s]."""
    a = _Arguments("overlap_masks")
    return _numpy.overlap_masks(
        a.required("triangle_ids", triangle_ids),
        a.required("bitsets", bitsets),
        a.required("pairs", pairs),
        *grid_of(a.op, size),
        directed,
        a.threads(num_threads),
    )


def morton_order(vertices: np.ndarray, faces: np.ndarray, *, num_threads: int | None = None) -> np.ndarray:
    """Sorts triangles along a Morton curve: [F] int32."""
    a = _Arguments("morton_order")
    return _numpy.morton_order(a.required("vertices", vertices), a.required("faces", faces), a.threads(num_threads))


def rasterize(
    vertices: np.ndarray,
    faces: np.ndarray,
    cam_from_world: np.ndarray,
    intrinsics: np.ndarray,
    height: int,
    width: int,
    *,
    near: float | np.ndarray = 1e-3,
    cull: bool = False,
    barycentrics: bool = False,
    num_threads: int | None = None,
) -> Raster:
    """Finds the triangle that every pixel shows: ids [N, H, W] int32, depth float32 (, barycentrics [N, H, W, 2])."""
    a = _Arguments("rasterize")
    ids, depth, weights = _numpy.rasterize(
        *a.raster(vertices, faces, cam_from_world, intrinsics, height, width, near),
        cull,
        barycentrics,
        a.threads(num_threads),
    )
    return Raster(ids, depth, weights if barycentrics else None)


def rasterize_visible(
    vertices: np.ndarray,
    faces: np.ndarray,
    cam_from_world: np.ndarray,
    intrinsics: np.ndarray,
    height: int,
    width: int,
    *,
    near: float | np.ndarray = 1e-3,
    cull: bool = False,
    min_pixels: int = 1,
    num_threads: int | None = None,
) -> Visible:
    """Collects the triangles that every view sees: bitsets [N, ceil(F / 64)] int64, counts [N] int64."""
    a = _Arguments("rasterize_visible")
    return Visible(
        *_numpy.rasterize_visible(
            *a.raster(vertices, faces, cam_from_world, intrinsics, height, width, near),
            cull,
            min_pixels,
            a.threads(num_threads),
        )
    )


class _Arguments:
    """Brings the arguments of one op into the form the compiled module takes: contiguous, aligned, native order."""

    def __init__(self, op: str):
        self.op = op

    def fail(self, error: type[Exception], argument: str, expected: str, got: Any) -> None:
        raise error(f"{self.op}: {argument}: expected {expected}, got {got}")

    def __call__(self, argument: str, value: np.ndarray | None) -> np.ndarray | None:
        return None if value is None else self.required(argument, value)

    def required(self, argument: str, value: np.ndarray) -> np.ndarray:
        return np.require(self.strided(argument, value), requirements=["C", "A"])

    def strided(self, argument: str, value: np.ndarray) -> np.ndarray:
        """As it lies in memory, but aligned."""
        if not isinstance(value, np.ndarray):
            self.fail(TypeError, argument, "a NumPy array", type(value).__name__)
        if value.dtype.kind not in "biufc":
            self.fail(TypeError, argument, "an array of numbers", value.dtype)
        if not value.dtype.isnative:
            self.fail(TypeError, argument, "native byte order", value.dtype)
        return np.require(value, requirements=["A"])

    def depth(self, depth: int | None) -> int:
        if depth is not None and depth < 0:
            self.fail(ValueError, "depth", "None or a number >= 0", depth)
        return -1 if depth is None else depth

    def threads(self, count: int | None) -> int:
        if count is not None and count < 1:
            self.fail(ValueError, "num_threads", "None or a number >= 1", count)
        return 0 if count is None else count

    def other(self, query: np.ndarray, target: np.ndarray | None, symmetric: bool) -> np.ndarray | None:
        """The target, or None for a self-join."""
        if symmetric and target is not None and target is not query:
            self.fail(ValueError, "target", "None or the query itself with symmetric=True", "another array")
        return None if symmetric else target

    def raster(self, vertices, faces, cam_from_world, intrinsics, height: int, width: int, near) -> tuple:
        """A mesh, cameras and a size; near as one number for each view."""
        poses = self.required("cam_from_world", cam_from_world)
        if not isinstance(near, np.ndarray):
            near = np.full(len(poses) if poses.ndim else 0, near, np.float64)
        return (
            self.required("vertices", vertices),
            self.required("faces", faces),
            poses,
            self.required("intrinsics", intrinsics),
            height,
            width,
            self.required("near", near).astype(np.float64),
        )
