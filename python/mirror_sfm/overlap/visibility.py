"""Who sees which triangle of a surface: photos are drawn, a few at a time, and only the sets of triangles are kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mirror_ext import numpy as ext
from mirror_sfm.errors import MirrorError
from mirror_sfm.overlap.options import OverlapOptions
from mirror_sfm.overlap.photo_grid import carried, photo_rows, whole_pinhole
from mirror_sfm.photos import shown
from mirror_sfm.scenes.cameras import Camera, Pinhole, View
from mirror_sfm.scenes.scene import Mesh, Scene, Tracks

VIEWS_AT_ONCE = 8  # drawn in one call: they share the stream of triangles
PIXELS_AT_ONCE = 1 << 24
_REMEMBERED = 16  # cameras whose distortion is kept in memory


class Surface:
    """What the views of a scene see of its mesh. A `Sight` whose things are triangles, numbered along a Morton curve:
    what is near in space is near in the sets, whose empty parts are then skipped.

    Attributes:
        bitsets: [N, words] the triangles that each view sees.
        shared: "triangles" and "areas".
    """

    surface = "mesh"

    def __init__(self, scene: Scene, mesh: Mesh, options: OverlapOptions, views: Collection[int]) -> None:
        """Draws each of `views` once; the others see nothing.

        Raises:
            MirrorError: a camera cannot be drawn in, or the mesh has no triangles.
        """
        if not len(mesh.faces):
            raise MirrorError(f"{_named(mesh)} has no triangles")
        self._views, self._options = scene.views, options
        vertices, faces = np.ascontiguousarray(mesh.vertices, np.float64), np.ascontiguousarray(mesh.faces, np.int32)
        order = ext.morton_order(vertices, faces, num_threads=options.workers)
        self._vertices, self._faces = vertices, faces[order]
        self._cameras = {camera: _drawn_size(camera, options.long_side) for camera in {v.camera for v in scene.views}}
        self._near = np.array(
            [options.near * median_depth(view, k, scene.tracks, vertices) for k, view in enumerate(scene.views)]
        )
        self._rows = lru_cache(_REMEMBERED)(photo_rows)
        self.bitsets = self._visible(np.array(sorted(views), np.int64))
        areas = face_areas(vertices, self._faces)
        threads = options.workers
        self.shared = {
            "triangles": ext.shared_triangles(self.bitsets, num_threads=threads).astype(np.float64),
            "areas": ext.shared_triangles(self.bitsets, areas, num_threads=threads),
        }
        self.candidates = self.shared["triangles"]

    def batches(self, views: NDArray[np.integer]) -> Iterator[tuple[list[int], NDArray[np.int32]]]:
        """As `Sight`."""
        for batch in self._alike(views.tolist()):
            yield batch, self._draw(batch)

    def sets(self, view: int, partners: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As `Sight`."""
        return self.bitsets, partners.astype(np.int64)

    def _visible(self, views: NDArray[np.int64]) -> NDArray[np.int64]:
        faces = len(self._faces)
        bitsets = np.zeros((len(self._views), -(-faces // 64)), np.int64)
        bar = tqdm(total=len(views), desc="surface", unit="photo", disable=not self._options.progress, leave=False)
        with bar:
            for batch, ids in self.batches(views):
                bitsets[batch], _ = ext.visible_triangles(
                    ids, faces, self._options.min_pixels, num_threads=self._options.workers
                )
                bar.update(len(batch))
        return bitsets

    def _alike(self, views: list[int]) -> Iterator[list[int]]:
        """Batches of views of one camera after the other, cameras of one size together."""

        def size(view: int) -> tuple[int, ...]:
            pinhole, height, width = self._cameras[self._views[view].camera]
            return pinhole.height, pinhole.width, height, width

        first = {view.camera: -k for k, view in enumerate(reversed(self._views))}
        ordered = sorted(views, key=lambda view: (size(view), first[self._views[view].camera], view))
        batch: list[int] = []
        for view in ordered:
            pixels = (len(batch) + 1) * int(np.prod(size(view)[:2]))
            if batch and (size(view) != size(batch[0]) or len(batch) == VIEWS_AT_ONCE or pixels > PIXELS_AT_ONCE):
                yield batch
                batch = []
            batch.append(view)
        if batch:
            yield batch

    def _draw(self, batch: list[int]) -> NDArray[np.int32]:
        """[B, height, width] triangles on the photos' own grids."""
        views = [self._views[k] for k in batch]
        pinholes = [self._cameras[view.camera][0] for view in views]
        ids = ext.rasterize(
            self._vertices,
            self._faces,
            np.stack([view.cam_from_world for view in views]),
            np.stack([pinhole.intrinsics for pinhole in pinholes]),
            pinholes[0].height,
            pinholes[0].width,
            near=self._near[batch],
            cull=self._options.cull,
            num_threads=self._options.workers,
        )[0]
        if not any(view.camera.distorts for view in views):
            return ids
        return np.stack([self._on_photo(view.camera, picture) for view, picture in zip(views, ids, strict=True)])

    def _on_photo(self, camera: Camera, picture: NDArray[np.int32]) -> NDArray[np.int32]:
        if not camera.distorts:
            return picture
        pinhole, height, width = self._cameras[camera]
        return carried(picture, self._rows(camera, pinhole, width, height))


def _drawn_size(camera: Camera, long_side: int) -> tuple[Pinhole, int, int]:
    """The pinhole camera to draw in, and height and width of the photo, both in pixels of the same size."""
    scale = long_side / max(camera.width, camera.height)
    whole = whole_pinhole(camera)
    height, width = max(1, round(camera.height * scale)), max(1, round(camera.width * scale))
    if not camera.distorts:
        return whole.resized(width, height), height, width
    return whole.resized(max(1, round(whole.width * scale)), max(1, round(whole.height * scale))), height, width


def median_depth(view: View, row: int, tracks: Tracks | None, vertices: NDArray[np.float64]) -> float:
    """Median depth of the points that a view sees; without any, of the vertices before it; 1 where there are none."""
    for points in (tracks.points[tracks.of(row)] if tracks is not None else vertices[:0], vertices):
        # Spelled out, not as a matrix product: the same bits on every processor.
        rotation, shift = view.cam_from_world[2, :3], view.centre
        depth = sum(rotation[k] * (points[:, k] - shift[k]) for k in range(3))
        depth = depth[np.isfinite(depth) & (depth > 0)]
        if len(depth):
            return float(np.median(depth))
    return 1.0


def face_areas(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """[F] square units of the world; 0 of faces with a corner that is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        a, b, c = (vertices[faces[:, k]] for k in range(3))
        b, c = b - a, c - a
        x, y, z = (b[:, i] * c[:, j] - b[:, j] * c[:, i] for i, j in ((1, 2), (2, 0), (0, 1)))
        areas = 0.5 * np.sqrt(x * x + y * y + z * z)
    return np.where(np.isfinite(areas), areas, 0.0)


def _named(mesh: Mesh) -> str:
    return shown(str(mesh.path)) if mesh.path is not None else "the mesh"
