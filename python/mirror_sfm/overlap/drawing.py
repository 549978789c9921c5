"""Draws the views of a scene, a few at a time: which triangle each pixel shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mirror_ext import numpy as ext
from mirror_sfm.errors import MirrorError
from mirror_sfm.overlap.options import OverlapOptions
from mirror_sfm.overlap.photo_grid import carried, photo_rows, pinhole_rows_of, shown_pixels, whole_pinhole
from mirror_sfm.photos import shown
from mirror_sfm.scenes.cameras import Camera, Pinhole, View
from mirror_sfm.scenes.scene import DepthMap, Scene, Tracks

# Drawn in one call, which sorts the triangles first: the more there are, the more views have to share that. Pictures
# then take about as much memory as the mesh.
VIEWS_AT_ONCE = 8
PIXELS_AT_ONCE = 1 << 24
FACES_PER_VIEW, PIXELS_PER_FACE = 1 << 18, 4
_VERTICES = 1 << 16  # are enough for a median
_REMEMBERED = 16  # cameras whose distortion is kept in memory


class Drawing:
    """Pictures of a surface.

    Attributes:
        views: of the scene.
        faces: [F, 3] int32, in the order in which they are numbered.
    """

    def __init__(
        self, scene: Scene, vertices: NDArray[np.float64], faces: NDArray[np.int32], options: OverlapOptions
    ) -> None:
        self.views, self.faces, self._scene = scene.views, faces, scene.name
        self._depths = sensor_maps(scene, options.sensed)
        self._vertices, self._options = vertices, options
        self._sizes = _sizes_of(scene, options.long_side)
        self._first = {view.camera: -k for k, view in enumerate(reversed(self.views))}
        self._near = lru_cache(None)(lambda k: options.near * median_depth(self.views[k], k, scene.tracks, vertices))
        self._rows = lru_cache(_REMEMBERED)(self._photo_rows)
        self._shown = lru_cache(_REMEMBERED)(self._shown_pixels)

    def batches(self, views: list[int], finer: int = 1) -> Iterator[tuple[list[int], NDArray[np.int32]]]:
        """Views in an order of their own, and for some at a time [B, height, width] triangles in pinhole pictures, -1
        for none, `finer` times finer than the photos."""
        views_at_once = max(VIEWS_AT_ONCE, len(self.faces) // FACES_PER_VIEW)
        pixels_at_once = max(PIXELS_AT_ONCE, len(self.faces) * PIXELS_PER_FACE)
        batch: list[int] = []
        for view in sorted(views, key=lambda k: (self._size(k), self._first[self.views[k].camera], k)):
            height, width = self._size(view)[:2]
            many = len(batch) == views_at_once or (len(batch) + 1) * height * width * finer**2 > pixels_at_once
            if batch and (many or self._size(view) != self._size(batch[0])):
                yield batch, self._draw(batch, finer)
                batch = []
            batch.append(view)
        if batch:
            yield batch, self._draw(batch, finer)

    def on_photos(self, batch: list[int], ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """[B, height, width] the same on the photos, distorted as they are."""
        cameras = [self.views[k].camera for k in batch]
        if not any(camera.distorts for camera in cameras):
            return ids  # the photos are the pinhole pictures
        return np.stack([carried(picture, self._rows(camera)) for camera, picture in zip(cameras, ids, strict=True)])

    def crop(self, batch: list[int], ids: NDArray[np.int32], finer: int) -> None:
        """Clears what lies outside the photos, to a pixel of theirs."""
        for k, picture in zip(batch, ids, strict=True):
            if self.views[k].camera.distorts:
                inside = self._shown(self.views[k].camera)
                picture[~inside.repeat(finer, 0).repeat(finer, 1)] = -1

    def _draw(self, batch: list[int], finer: int) -> NDArray[np.int32]:
        views = [self.views[k] for k in batch]
        pinholes = [self._sizes[view.camera][0] for view in views]
        pinholes = [pinhole.resized(pinhole.width * finer, pinhole.height * finer) for pinhole in pinholes]
        try:
            ids, *_ = ext.rasterize(
                self._vertices,
                self.faces,
                np.stack([view.cam_from_world for view in views]),
                np.stack([pinhole.intrinsics for pinhole in pinholes]),
                pinholes[0].height,
                pinholes[0].width,
                near=np.array([self._near(k) for k in batch]),
                cull=self._options.cull,
                num_threads=self._options.workers,
            )
        except ValueError as error:  # a camera that is none
            names = ", ".join(shown(view.name) for view in views)
            raise MirrorError(f"{shown(self._scene)}: cannot draw {names}: {error}") from error
        if self._depths:
            for view, pinhole, picture in zip(views, pinholes, ids, strict=True):
                picture[~sensed_pixels(self._depths[view.name], view.camera.pinhole, pinhole)] = -1
        return ids

    def _size(self, view: int) -> tuple[int, int, int, int]:
        pinhole, height, width = self._sizes[self.views[view].camera]
        return pinhole.height, pinhole.width, height, width

    def _photo_rows(self, camera: Camera) -> NDArray[np.int32]:
        pinhole, height, width = self._sizes[camera]
        return photo_rows(camera, pinhole, width, height)

    def _shown_pixels(self, camera: Camera) -> NDArray[np.bool_]:
        return shown_pixels(self._rows(camera), self._sizes[camera][0])


def _sizes_of(scene: Scene, long_side: int) -> dict[Camera, tuple[Pinhole, int, int]]:
    """`_sizes` of all cameras.

    Raises:
        MirrorError: a photo's camera is unknown, or no plane shows what it shows.
    """
    sizes: dict[Camera, tuple[Pinhole, int, int]] = {}
    for view in scene.views:
        try:
            if view.camera not in sizes:
                sizes[view.camera] = _sizes(view.camera, long_side)
        except MirrorError as error:
            raise MirrorError(f"scene {shown(scene.name)}, photo {shown(view.name)}: {error}") from error
    return sizes


def _sizes(camera: Camera, long_side: int) -> tuple[Pinhole, int, int]:
    """The pinhole camera to draw in, and height and width of the photo, both in pixels of the same size."""
    scale = long_side / max(camera.width, camera.height)
    whole = whole_pinhole(camera)
    height, width = max(1, round(camera.height * scale)), max(1, round(camera.width * scale))
    if not camera.distorts:
        return whole.resized(width, height), height, width
    return whole.resized(max(1, round(whole.width * scale)), max(1, round(whole.height * scale))), height, width


def sensor_maps(scene: Scene, wanted: bool | None) -> dict[str, DepthMap]:
    """The depth maps whose readings decide which pixels count, by name of the view; empty where all count.

    Args:
        wanted: as `OverlapOptions.sensed`.

    Raises:
        MirrorError: they are wanted, and a view has none.
    """
    maps = {view.name: scene.depths[view.name] for view in scene.views if view.name in scene.depths}
    if wanted is None:
        whole = len(maps) == len(scene.views) and all(map_.camera is not None for map_ in maps.values())
        return maps if whole else {}
    missing = [view.name for view in scene.views if view.name not in maps]
    if wanted and missing:
        raise MirrorError(
            f"{shown(scene.name)}: only what was sensed shall count, but {shown(missing[0])} has no depth map"
        )
    return maps if wanted else {}


def sensed_pixels(map_: DepthMap, own: Pinhole, pinhole: Pinhole) -> NDArray[np.bool_]:
    """[height, width] the pixels of a pinhole picture at which a depth map has a reading; none beside the map.

    Args:
        own: the pinhole camera of the map's view, which is the map's too where it has none.
        pinhole: of the picture, looking the same way from the same place.
    """
    depth = map_.read()
    height, width = depth.shape
    camera = map_.camera or own.resized(width, height)
    rows = pinhole_rows_of(pinhole, replace(camera, width=width, height=height))
    return (rows >= 0) & (depth.reshape(-1)[np.maximum(rows, 0)] > 0)


def median_depth(view: View, row: int, tracks: Tracks | None, vertices: NDArray[np.float64]) -> float:
    """Median depth of the points that a view sees; without any, of an even share of the vertices, those before it;
    1 where there are none, and nothing to see."""
    some = vertices[:: max(1, len(vertices) // _VERTICES)]
    for points in (tracks.points[tracks.of(row)] if tracks is not None else some[:0], some, vertices):
        # Spelled out, not as a matrix product: the same bits on every processor.
        rotation, shift = view.cam_from_world[2, :3], view.centre
        depth = sum(rotation[k] * (points[:, k] - shift[k]) for k in range(3))
        depth = depth[np.isfinite(depth) & (depth > 0)]
        if len(depth):
            return float(np.median(depth))
    return 1.0
