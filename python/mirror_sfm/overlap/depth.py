"""Who sees what where there is no surface but a depth map per photo.

A pixel of one photo is seen by another if the point it shows falls inside the other's map, in front of the camera, and
is as deep as the map says there, within a tolerance relative to its depth: world units play no part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mirror_sfm.errors import MirrorError
from mirror_sfm.overlap.options import OverlapOptions
from mirror_sfm.overlap.photo_grid import carried, photo_rows
from mirror_sfm.photos import shown
from mirror_sfm.scenes.cameras import Pinhole, View
from mirror_sfm.scenes.scene import DepthMap, Scene
from mirror_sfm.threads import parallel

Points = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]  # x, y, z
_REMEMBERED = 16  # cameras whose distortion is kept in memory
_POINTS_AT_ONCE = 1 << 15  # stay in the cache


class Depths:
    """What the views of a scene see of each other's depth maps. A `Sight` whose things are the pixels of a view's own
    map: another view sees a set of them.
    """

    surface = "depth"

    def __init__(self, scene: Scene, options: OverlapOptions, views: Collection[int]) -> None:
        """Reads the maps of `views` and keeps them, 4 bytes per pixel; the others see nothing.

        Raises:
            MirrorError: a map or a camera cannot be used, or a map belongs to no view.
        """
        strangers = sorted(set(scene.depths) - {view.name for view in scene.views})
        if strangers:
            raise MirrorError(f"scene {shown(scene.name)}: a depth map of {shown(strangers[0])}, which has no pose")
        self._views, self._options = scene.views, options

        def read(row: int) -> SeenDepth | None:
            view = scene.views[row]
            if row not in views or view.name not in scene.depths:
                return None
            return read_seen(view, scene.depths[view.name], options.long_side)

        bar = tqdm(total=len(scene.views), desc="depth", unit="photo", disable=not options.progress, leave=False)
        self._seen: list[SeenDepth | None] = []
        with bar:
            for seen in parallel(read, range(len(scene.views)), options.workers):
                self._seen.append(seen)
                bar.update()
        self._rows = lru_cache(_REMEMBERED)(photo_rows)
        self.shared: dict[str, NDArray[np.float64]] = {}
        self.candidates = np.zeros((len(scene.views),) * 2)
        for i, a in enumerate(self._seen):
            for j, b in enumerate(self._seen):
                self.candidates[i, j] = i != j and a is not None and b is not None and may_see(a, b)

    def batches(self, views: NDArray[np.integer]) -> Iterator[tuple[list[int], NDArray[np.int32]]]:
        """As `Sight`; photos as large as the maps."""
        for view in views.tolist():
            camera, seen = self._views[view].camera, self._seen[view]
            scale = (max(seen.camera.height, seen.camera.width) if seen else 1) / max(camera.height, camera.width)
            height, width = max(1, round(camera.height * scale)), max(1, round(camera.width * scale))
            if seen is None:
                yield [view], np.full((1, height, width), -1, np.int32)
                continue
            own = np.full(len(seen.depth), -1, np.int32)
            own[seen.valid] = seen.valid
            yield [view], carried(own, self._rows(camera, seen.camera, width, height))[None]

    def sets(self, view: int, partners: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As `Sight`."""
        seen = self._seen[view]
        if seen is None:
            return np.zeros((1, 0), np.int64), np.zeros(len(partners), np.int64)
        points = seen.points()

        def shared(partner: int) -> NDArray[np.int64]:
            other = self._seen[partner]
            if other is None or not self.candidates[view, partner]:
                return packed(np.zeros(len(seen.depth), bool))
            return packed(covisible(seen, points, other, self._options.depth_tolerance))

        rows = list(parallel(shared, partners.tolist(), self._options.workers))
        return np.stack(rows), np.arange(len(partners))


@dataclass(frozen=True)
class SeenDepth:
    """What a view sees.

    Attributes:
        camera: pinhole of the map, for its size.
        depth: [height * width] float32, 0: none.
        cam_from_world: [3, 4].
        valid: [n] int32 pixels that have a depth.
        near, far: the least and the greatest; 0 where no pixel has one.
    """

    camera: Pinhole
    depth: NDArray[np.float32]
    cam_from_world: NDArray[np.float64]
    valid: NDArray[np.int32]
    near: float
    far: float

    def points(self) -> Points:
        """What the valid pixels show, in the camera."""
        z = self.depth[self.valid]
        row, column = np.divmod(self.valid, self.camera.width)
        camera = self.camera
        x = (column.astype(np.float32) + np.float32(0.5 - camera.cx)) * (z / np.float32(camera.fx))
        y = (row.astype(np.float32) + np.float32(0.5 - camera.cy)) * (z / np.float32(camera.fy))
        return x, y, z


def read_seen(view: View, map_: DepthMap, long_side: int) -> SeenDepth:
    """Reads a map; of one larger than `long_side`, the pixels nearest to a grid of that size.

    Raises:
        MirrorError: it cannot be read, or is no map.
    """
    depth = np.asarray(map_.read(), np.float32)
    if depth.ndim != 2 or 0 in depth.shape:
        raise MirrorError(f"depth of {shown(view.name)}: expected [height, width], got {list(depth.shape)}")
    height, width = depth.shape
    camera = (map_.camera or view.camera.pinhole).resized(width, height)
    if max(height, width) > long_side:
        camera = camera.within(long_side)
        rows = (2 * np.arange(camera.height) + 1) * height // (2 * camera.height)
        columns = (2 * np.arange(camera.width) + 1) * width // (2 * camera.width)
        depth = depth[rows[:, None], columns]
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0)).reshape(-1)
    valid = np.flatnonzero(depth).astype(np.int32)
    near, far = (float(depth[valid].min()), float(depth[valid].max())) if len(valid) else (0.0, 0.0)
    return SeenDepth(camera, depth, view.cam_from_world, valid, near, far)


def may_see(a: SeenDepth, b: SeenDepth) -> bool:
    """False where all that `a` shows lies outside one side of the pyramid that `b` looks into."""
    if not len(a.valid) or not len(b.valid):
        return False
    camera, corners = a.camera, []
    for z in (a.near, a.far):
        for u in (0, camera.width):
            corners += [
                ((u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z) for v in (0, camera.height)
            ]
    pose = relative(a, b)
    x, y, z = (np.array(corners) @ pose[:, :3].T + pose[:, 3]).T
    other = b.camera
    u, v = other.fx * x + other.cx * z, other.fy * y + other.cy * z  # times z: true before and behind the camera
    slack = 1e-4 * np.abs(z).max()  # of a pixel and of the depth: points are rounded to single precision
    outside = (z <= -slack, u < -slack, u > other.width * z + slack, v < -slack, v > other.height * z + slack)
    return not any(side.all() for side in outside)


def relative(a: SeenDepth, b: SeenDepth) -> NDArray[np.float64]:
    """[3, 4] camera of b from camera of a; through the distance of their centres, which may be far from the origin."""
    ours, theirs = a.cam_from_world, b.cam_from_world
    shift = _product(theirs[:, :3].T, theirs[:, 3:]) - _product(ours[:, :3].T, ours[:, 3:])  # between the centres
    return np.hstack([_product(theirs[:, :3], ours[:, :3].T), _product(theirs[:, :3], shift)])


def covisible(a: SeenDepth, points: Points, b: SeenDepth, tolerance: float) -> NDArray[np.bool_]:
    """[height * width of a] the pixels of `a` that `b` sees too.

    Args:
        points: those of `a`.
        tolerance: relative to depth.
    """
    pose = relative(a, b).astype(np.float32)
    seen = np.zeros(len(a.depth), bool)
    for start in range(0, len(a.valid), _POINTS_AT_ONCE):
        some = slice(start, start + _POINTS_AT_ONCE)
        x, y, z = (axis[some] for axis in points)
        # One multiplication and one addition at a time, never a matrix product: the same bits on every processor.
        x, y, z = (row[0] * x + row[1] * y + row[2] * z + row[3] for row in pose)
        seen[a.valid[some][_found(x, y, z, b, np.float32(tolerance))]] = True
    return seen


def _found(
    x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32], b: SeenDepth, tolerance: np.float32
) -> NDArray[np.int64]:
    """Which points in the camera of `b` are where its map says something is."""
    camera = b.camera
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u = x / z * np.float32(camera.fx) + np.float32(camera.cx)
        v = y / z * np.float32(camera.fy) + np.float32(camera.cy)
        at = np.flatnonzero((z > 0) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height))
    there, deep = _depth_at(b, u[at], v[at]), z[at]
    return at[(there > 0) & (np.abs(deep - there) <= tolerance * deep)]


def packed(pixels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[words] a set of pixels as the ops take sets of triangles: bit k % 64 of word k / 64."""
    bits = np.zeros(-(-len(pixels) // 64) * 8, np.uint8)
    bits[: -(-len(pixels) // 8)] = np.packbits(pixels, bitorder="little")
    return bits.view("<i8").astype(np.int64, copy=False)


def _depth_at(b: SeenDepth, u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinear depth; 0 where one of the four pixels around has none. Beyond the outermost centres, the edge's."""
    width, height = b.camera.width, b.camera.height
    u, v = u - np.float32(0.5), v - np.float32(0.5)
    left, top = np.floor(u), np.floor(v)
    right_share, low_share = u - left, v - top
    column, row = left.astype(np.int32), top.astype(np.int32)
    columns = (np.maximum(column, 0), np.minimum(column + 1, width - 1))
    rows = (np.maximum(row, 0) * width, np.minimum(row + 1, height - 1) * width)
    a, c = b.depth[rows[0] + columns[0]], b.depth[rows[0] + columns[1]]
    d, e = b.depth[rows[1] + columns[0]], b.depth[rows[1] + columns[1]]
    upper, lower = a + (c - a) * right_share, d + (e - d) * right_share
    known = (a > 0) & (c > 0) & (d > 0) & (e > 0)
    return np.where(known, upper + (lower - upper) * low_share, np.float32(0))


def _product(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a @ b, one operation at a time: the same bits on every processor."""
    return a[:, 0:1] * b[0] + a[:, 1:2] * b[1] + a[:, 2:3] * b[2]
