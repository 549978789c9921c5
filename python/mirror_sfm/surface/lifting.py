"""Depth maps -> points with normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.cameras import Pinhole, View
from mirror_sfm.scenes.scene import DepthMap
from mirror_sfm.surface.cloud import Array, lengths

_GRAZING = 0.15  # cosine of the angle between normal and ray: below, it is a step in depth rather than a surface


@dataclass(frozen=True)
class Sampled:
    """A depth map, of which every `stride`-th value is kept.

    Attributes:
        depth: [h, w] float32, z in the camera; 0 where there is none.
        camera: of the whole map.
        cam_from_world: [3, 4].
        stride: sample (i, j) is the map's pixel (i stride + stride // 2, j stride + stride // 2).
    """

    depth: NDArray[np.float32]
    camera: Pinhole
    cam_from_world: Array
    stride: int

    @property
    def footprint(self) -> float:
        """Median width of what a sample shows, in units of the world; NaN where nothing has depth."""
        seen = self.depth[self.depth > 0]
        return float(np.median(seen)) * self.stride / self.camera.fx if len(seen) else float("nan")


def sampled(view: View, given: DepthMap, long_side: int) -> Sampled:
    """Reads the map of a view, thinned to at most `long_side` samples along its longer side.

    Raises:
        MirrorError: the map is empty, or no matrix; the lens distorts and the map has no camera of its own.
    """
    depth = np.asarray(given.read())
    if depth.ndim != 2 or not depth.size:
        raise MirrorError(f"depth of {shown(view.name)}: expected [height, width], got {list(depth.shape)}")
    height, width = depth.shape
    camera = given.camera or view.camera.pinhole
    if (camera.width, camera.height) != (width, height):
        camera = camera.resized(width, height)
    stride = -(-max(width, height) // long_side)
    kept = depth[stride // 2 :: stride, stride // 2 :: stride].astype(np.float32)
    kept = np.where(np.isfinite(kept) & (kept > 0), kept, np.float32(0))
    return Sampled(kept, camera, np.asarray(view.cam_from_world, np.float64), stride)


def lifted(given: Sampled) -> tuple[Array, Array]:
    """Points and unit normals [m, 3] in the world, of samples that form a surface with their four neighbours."""
    place = _camera_points(given)
    across = place[1:-1, 2:] - place[1:-1, :-2]
    down = place[2:, 1:-1] - place[:-2, 1:-1]
    middle = place[1:-1, 1:-1].reshape(-1, 3)
    normal = np.cross(down, across).reshape(-1, 3)  # y down, x right: towards the camera
    some = given.depth > 0
    whole = (some[1:-1, 1:-1] & some[1:-1, 2:] & some[1:-1, :-2] & some[2:, 1:-1] & some[:-2, 1:-1]).reshape(-1)
    facing = -(normal * middle).sum(axis=1)
    rows = whole & (facing > _GRAZING * lengths(normal) * lengths(middle))
    rotation, shift = given.cam_from_world[:, :3], given.cam_from_world[:, 3]
    points, normals = middle[rows], normal[rows]
    return _turned(points - shift, rotation), _turned(normals / lengths(normals)[:, None], rotation)


def looked_up(given: Sampled, points: Array) -> tuple[Array, Array]:
    """Of points [m, 3] in the world: their depth z in the camera, and that of the sample they fall on; 0 where none."""
    camera, rotation = given.camera, given.cam_from_world[:, :3]
    x, y, z = _turned(points, rotation.T).T + given.cam_from_world[:, 3:]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        column = np.floor((camera.fx * x / z + camera.cx) / given.stride)
        row = np.floor((camera.fy * y / z + camera.cy) / given.stride)
    height, width = given.depth.shape
    inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = np.zeros(len(points))
    found[inside] = given.depth[row[inside].astype(np.int64), column[inside].astype(np.int64)]
    return z, found


def _camera_points(given: Sampled) -> Array:
    """[h, w, 3] of all samples, in the camera."""
    camera, (height, width) = given.camera, given.depth.shape
    x = (np.arange(width) * given.stride + given.stride // 2 + 0.5 - camera.cx) / camera.fx
    y = (np.arange(height) * given.stride + given.stride // 2 + 0.5 - camera.cy) / camera.fy
    z = given.depth.astype(np.float64)
    return np.stack([x * z, y[:, None] * z, z], axis=2)


def _turned(vectors: Array, rotation: Array) -> Array:
    """vectors @ rotation, in an order of operations that no processor changes."""
    x, y, z = vectors.T
    return np.asarray(x[:, None] * rotation[0] + y[:, None] * rotation[1] + z[:, None] * rotation[2])
