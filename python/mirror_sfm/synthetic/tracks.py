"""The points that a reconstruction of the photos would have, and the photos that see each: from the surface itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirror_ext.numpy import rasterize
from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.scene import Mesh, Tracks
from mirror_sfm.synthetic.lens import Raster, project, raster_of
from mirror_sfm.threads import parallel

SAME = 3e-3  # relative difference of depth within which a photo sees a point and not something before it


@dataclass(frozen=True)
class Points:
    """Points of the surface, each found in one photo.

    Attributes:
        xyz: [M, 3] float64.
        view: [M] int32, the photo it was found in.
        pixel: [M, 2] int32, column and row there.
    """

    xyz: np.ndarray
    view: np.ndarray
    pixel: np.ndarray


def depth_of(mesh: Mesh, view: View, near: float) -> np.ndarray:
    """[height, width] float32 depth at the centres of a photo's pixels, +inf where there is nothing."""
    raster = raster_of(view.camera, 1)
    return raster.of(_depth(mesh, view, raster, near))


def _depth(mesh: Mesh, view: View, raster: Raster, near: float) -> np.ndarray:
    pinhole = raster.pinhole
    seen = rasterize(
        mesh.vertices,
        mesh.faces,
        view.cam_from_world[None],
        pinhole.intrinsics[None],
        pinhole.height,
        pinhole.width,
        near=near,
        num_threads=1,
    )
    return seen.depth[0]


def scatter_points(
    mesh: Mesh, views: Sequence[View], near: float, per_photo: int, seed: int, threads: int = 1
) -> Points:
    """Points of the surface at pixels drawn at random from each photo."""

    def some(index: int) -> tuple[np.ndarray, np.ndarray]:
        view, rng = views[index], np.random.default_rng([seed, index])
        raster = raster_of(view.camera, 1)
        depth = raster.of(_depth(mesh, view, raster, near))
        row, column = np.nonzero(np.isfinite(depth))
        chosen = np.sort(rng.choice(len(row), min(per_photo, len(row)), replace=False)) if len(row) else row
        row, column = row[chosen], column[chosen]
        x, y = (np.broadcast_to(place, depth.shape)[row, column].astype(np.float64) for place in raster.places)
        pinhole, z = raster.pinhole, depth[row, column].astype(np.float64)
        local = np.stack([(x - pinhole.cx) / pinhole.fx * z, (y - pinhole.cy) / pinhole.fy * z, z], axis=1)
        xyz = (local - view.cam_from_world[:, 3]) @ view.cam_from_world[:, :3]
        return xyz, np.stack([column, row], axis=1).astype(np.int32)

    found = list(parallel(some, range(len(views)), threads))
    count = [len(xyz) for xyz, _ in found]
    return Points(
        np.concatenate([xyz for xyz, _ in found]),
        np.repeat(np.arange(len(views), dtype=np.int32), count),
        np.concatenate([pixel for _, pixel in found]),
    )


def find_tracks(
    mesh: Mesh, views: Sequence[View], points: Points, near: float, threads: int = 1
) -> tuple[Tracks, np.ndarray]:
    """Who sees which point; points that fewer than two photos see are left out. Also returns the rows kept [K]."""

    def sight(index: int) -> np.ndarray:
        return seen(points.xyz, mesh, views[index], near)

    table = np.array(list(parallel(sight, range(len(views)), threads))).reshape(len(views), len(points.xyz))
    kept = np.flatnonzero(table.sum(axis=0) >= 2)
    view, point = np.nonzero(table[:, kept])
    offsets = np.concatenate([[0], np.bincount(view, minlength=len(views)).cumsum()]).astype(np.int64)
    return Tracks(points.xyz[kept], offsets, point.astype(np.int32)), kept


def seen(xyz: np.ndarray, mesh: Mesh, view: View, near: float) -> np.ndarray:
    """[n] bool, which points [n, 3] fall into a photo and are not hidden there."""
    local = xyz @ view.cam_from_world[:, :3].T + view.cam_from_world[:, 3]
    ahead = np.flatnonzero(local[:, 2] > near)
    x, y = project(view.camera, local[ahead])
    camera: Camera = view.camera
    inside = (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)  # NaN is outside
    ahead, column, row = ahead[inside], x[inside].astype(np.int64), y[inside].astype(np.int64)
    depth = depth_of(mesh, view, near)[row, column]
    result = np.zeros(len(xyz), bool)
    result[ahead[np.abs(depth - local[ahead, 2]) <= SAME * local[ahead, 2]]] = True
    return result
