"""A textured surface, put together from patches: grids of points with a picture stretched over each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from mirror_sfm.scenes.scene import Mesh
from mirror_sfm.synthetic.noise import floats

LEVELS = 5  # of the atlas: each has half the texels of the one before along each axis
MARGIN = 2 ** (LEVELS - 1)  # texels around each picture: the smallest level still has one
WIDTH = 2048  # texels of the atlas, more where a picture is wider


@dataclass(frozen=True)
class Patch:
    """A grid of points, rows from the picture's top to its bottom, columns from left to right as seen from outside.

    Attributes:
        points: [r + 1, c + 1, 3] float64.
        picture: [h, w, 3] uint8, sRGB. Patches may share one (the same array).
        part: left, top, right, bottom: which part of the picture it shows, in texels; None: all of it.
        normals: [r + 1, c + 1, 3] outward unit vectors; None: those of the grid.
        glow: light that it gives off itself, times the picture's colour.
    """

    points: np.ndarray
    picture: np.ndarray
    part: tuple[float, float, float, float] | None = None
    normals: np.ndarray | None = None
    glow: float = 0.0


@dataclass(frozen=True)
class Surface:
    """What a renderer draws: triangles, each a piece of the atlas.

    Attributes:
        mesh: its triangles. Patches share no vertices, so a vertex has one normal and one place in the atlas.
        normals: [V, 3] float32, outward unit vectors.
        texels: [V, 2] float32, x and y in the atlas; the first texel's centre is (0.5, 0.5).
        density: [F] float32, texels of the atlas per unit of the world.
        glow: [F] float32, light that faces give off.
        atlas: [h, w, 3] uint8, sRGB: all pictures, at full size and at LEVELS - 1 smaller ones.
        places: [LEVELS, 2] float32, x and y in the atlas of where each level begins.
    """

    mesh: Mesh
    normals: np.ndarray
    texels: np.ndarray
    density: np.ndarray
    glow: np.ndarray
    atlas: np.ndarray
    places: np.ndarray


@dataclass
class _Shelves:
    """Places for rectangles, tallest first, in rows."""

    width: int
    x: int = 0
    y: int = 0
    height: int = 0
    taken: dict[int, tuple[int, int]] = field(default_factory=dict)

    def place(self, key: int, width: int, height: int) -> None:
        if self.x + width > self.width:
            self.x, self.y, self.height = 0, self.y + self.height, 0
        self.taken[key] = (self.x, self.y)
        self.x, self.height = self.x + width, max(self.height, height)


def assemble(patches: Sequence[Patch]) -> Surface:
    """One surface from all patches."""
    pictures = {id(patch.picture): patch.picture for patch in patches}
    atlas, origins, places = _atlas(pictures)
    vertices, faces, normals, texels, density, glow, first = [], [], [], [], [], [], 0
    for patch in patches:
        rows, columns = patch.points.shape[0] - 1, patch.points.shape[1] - 1
        corners = _corners(rows, columns)
        height, width = patch.picture.shape[:2]
        left, top, right, bottom = patch.part or (0, 0, width, height)
        x, y = origins[id(patch.picture)]
        outward = _grid_normals(patch.points) if patch.normals is None else patch.normals
        vertices.append(patch.points.reshape(-1, 3))
        faces.append(corners + first)
        normals.append(outward.reshape(-1, 3).astype(np.float32))
        texels.append(_square(rows, columns) * floats((right - left, bottom - top)) + floats((x + left, y + top)))
        across, down = _side(patch.points, 1), _side(patch.points, 0)
        texel_area = (right - left) * (bottom - top) / max(across * down, 1e-12)
        density.append(np.full(len(corners), texel_area**0.5, np.float32))
        glow.append(np.full(len(corners), patch.glow, np.float32))
        first += (rows + 1) * (columns + 1)
    mesh = Mesh(np.concatenate(vertices).astype(np.float64), np.concatenate(faces).astype(np.int32))
    normal, texel, dense, glowing = (np.concatenate(values) for values in (normals, texels, density, glow))
    return Surface(mesh, normal, texel, dense, glowing, atlas, places)


@lru_cache(maxsize=64)
def _square(rows: int, columns: int) -> np.ndarray:
    """[(r + 1) (c + 1), 2] float32, x and y of a grid's points, both from 0 to 1."""
    x, y = np.meshgrid(np.arange(columns + 1) / columns, np.arange(rows + 1) / rows)
    return floats(np.stack([x, y], axis=-1).reshape(-1, 2))


@lru_cache(maxsize=64)
def _corners(rows: int, columns: int) -> np.ndarray:
    """[2 r c, 3] vertices of the faces of a grid, anticlockwise as seen from outside."""
    corner = np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)
    below = corner + columns + 1
    pairs = [[corner, below, below + 1], [corner, below + 1, corner + 1]]
    return np.stack([np.stack(pair, axis=-1) for pair in pairs], axis=2).reshape(-1, 3)


def _grid_normals(points: np.ndarray) -> np.ndarray:
    down, right = np.gradient(points, axis=0), np.gradient(points, axis=1)
    outward = np.cross(down, right)
    return outward / np.maximum(np.sqrt((outward * outward).sum(axis=-1, keepdims=True)), 1e-12)


def _side(points: np.ndarray, axis: int) -> float:
    """Mean length of a grid's lines along an axis."""
    steps = points[1:] - points[:-1] if axis == 0 else points[:, 1:] - points[:, :-1]
    return float(np.sqrt((steps * steps).sum(axis=-1)).sum(axis=axis).mean())


def _atlas(pictures: dict[int, np.ndarray]) -> tuple[np.ndarray, dict[int, tuple[int, int]], np.ndarray]:
    """The atlas, where each picture begins in its first level, and where its levels begin."""
    sizes = {key: [(side + 3 * MARGIN - 1) // MARGIN * MARGIN for side in p.shape[:2]] for key, p in pictures.items()}
    shelves = _Shelves(max(WIDTH, *(width for _, width in sizes.values())))
    for key in sorted(pictures, key=lambda key: -sizes[key][0]):  # sorted is stable: equal heights keep their order
        shelves.place(key, sizes[key][1], sizes[key][0])
    level: np.ndarray = np.zeros((shelves.y + shelves.height, shelves.width, 3), np.uint8)
    for key, picture in pictures.items():
        (height, width), (x, y) = sizes[key], shelves.taken[key]
        room = height - picture.shape[0] - MARGIN, width - picture.shape[1] - MARGIN
        padded = np.pad(picture, ((MARGIN, room[0]), (MARGIN, room[1]), (0, 0)), mode="edge")
        level[y : y + height, x : x + width] = padded
    height, width = level.shape[:2]
    atlas = np.zeros((height, width + width // 2, 3), np.uint8)
    places, top = np.zeros((LEVELS, 2), np.float32), 0
    for index in range(LEVELS):
        if index:
            level = cv2.resize(level, (level.shape[1] // 2, level.shape[0] // 2), interpolation=cv2.INTER_AREA)
        left = width if index else 0
        atlas[top : top + level.shape[0], left : left + level.shape[1]] = level
        places[index] = left, top
        top += level.shape[0] if index else 0
    origins = {key: (x + MARGIN, y + MARGIN) for key, (x, y) in shelves.taken.items()}
    return atlas, origins, places
