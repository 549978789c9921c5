"""Who sees which triangle of a surface: photos are drawn, a few at a time, and only the sets of triangles are kept."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mirror_ext import numpy as ext
from mirror_sfm.errors import MirrorError
from mirror_sfm.overlap.drawing import Drawing
from mirror_sfm.overlap.options import OverlapOptions
from mirror_sfm.photos import shown
from mirror_sfm.scenes.scene import Mesh, Scene

_log = logging.getLogger("mirror_sfm")

ENOUGH = 2  # pixels per triangle that is seen: nine in ten of those in view then own one
LONGEST = 16384  # pixels of a picture's long side
_FACES_AT_ONCE = 1 << 18  # whose areas are computed


class Surface:
    """What the views of a scene see of its mesh. A `Sight` whose things are triangles, numbered along a Morton curve:
    what is near in space is near in the sets, whose empty parts are then skipped.

    Attributes:
        finer: how many times finer than the photos the sets were drawn.
        bitsets: [N, words] the triangles that each view sees.
        shared: "triangles" and "areas".
    """

    surface = "mesh"

    def __init__(self, scene: Scene, mesh: Mesh, options: OverlapOptions, views: Collection[int]) -> None:
        """Draws each of `views` once or, where triangles are small, again and finer; the others see nothing.

        Raises:
            MirrorError: a camera cannot be drawn in, or the mesh has no triangles.
        """
        if not len(mesh.faces):
            raise MirrorError(f"{_named(mesh)} has no triangles")
        self._options, threads = options, options.workers
        vertices, faces = np.ascontiguousarray(mesh.vertices, np.float64), np.ascontiguousarray(mesh.faces, np.int32)
        try:
            faces = faces[ext.morton_order(vertices, faces, num_threads=threads)]
        except ValueError as error:  # a face without its vertices
            raise MirrorError(f"{_named(mesh)}: {error}") from error
        self._drawing = Drawing(scene, vertices, faces, options)
        self.finer = 1
        while True:
            self.bitsets, each = self._visible(np.array(sorted(views), np.int64))
            if each >= ENOUGH or 2 * self.finer > options.finest or 2 * self.finer * options.long_side > LONGEST:
                break
            self.finer *= 2
        if self.finer > 1 or each < ENOUGH:
            told = f"drawn {self.finer} times finer they show {each:.1f}" if self.finer > 1 else f"they show {each:.1f}"
            _log.info("photos of %d pixels show less than %d pixels per triangle; %s", options.long_side, ENOUGH, told)
        if views and not self.bitsets.any():
            _log.warning("%s: no photo sees any of it; it may be in another frame than the cameras", _named(mesh))
        self.shared = {
            "triangles": ext.shared_triangles(self.bitsets, num_threads=threads).astype(np.float64),
            "areas": ext.shared_triangles(self.bitsets, face_areas(vertices, faces), num_threads=threads),
        }
        self.candidates = self.shared["triangles"]

    def batches(self, views: NDArray[np.integer]) -> Iterator[tuple[list[int], NDArray[np.int32]]]:
        """As `Sight`."""
        for batch, ids in self._drawing.batches(views.tolist()):
            yield batch, self._drawing.on_photos(batch, ids)

    def sets(self, view: int, partners: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As `Sight`."""
        return self.bitsets, partners.astype(np.int64)

    def _visible(self, views: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
        """Sets, and how many pixels there are per triangle that is seen; infinitely many where none is."""
        faces = len(self._drawing.faces)
        bitsets = np.zeros((len(self._drawing.views), -(-faces // 64)), np.int64)
        pixels = triangles = 0
        name = f"surface, {self.finer} x" if self.finer > 1 else "surface"
        with tqdm(total=len(views), desc=name, unit="photo", disable=not self._options.progress, leave=False) as bar:
            for batch, ids in self._drawing.batches(views.tolist(), self.finer):
                self._drawing.crop(batch, ids, self.finer)
                bitsets[batch], counts = ext.visible_triangles(
                    ids, faces, self._options.min_pixels, num_threads=self._options.workers
                )
                pixels, triangles = pixels + int(np.count_nonzero(ids >= 0)), triangles + int(counts.sum())
                bar.update(len(batch))
        return bitsets, pixels / triangles if triangles else np.inf


def face_areas(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """[F] square units of the world; 0 of faces with a corner that is not finite."""
    areas = np.zeros(len(faces))
    for start in range(0, len(faces), _FACES_AT_ONCE):
        with np.errstate(invalid="ignore", over="ignore"):
            a, b, c = (vertices[corner] for corner in faces[start : start + _FACES_AT_ONCE].T)
            b, c = b - a, c - a
            x, y, z = (b[:, i] * c[:, j] - b[:, j] * c[:, i] for i, j in ((1, 2), (2, 0), (0, 1)))
            some = 0.5 * np.sqrt(x * x + y * y + z * z)
        areas[start : start + _FACES_AT_ONCE] = np.where(np.isfinite(some), some, 0.0)
    return areas


def _named(mesh: Mesh) -> str:
    return shown(str(mesh.path)) if mesh.path is not None else "the mesh"
