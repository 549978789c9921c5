"""Terrain: hills, fields with furrows and hedges, a river with stony banks, roads. x east, y north, z up, in metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mirror_sfm.synthetic.noise import floats, fractal, ramp, wave
from mirror_sfm.synthetic.pictures import finished, lay, palette
from mirror_sfm.synthetic.surfaces import Patch
from mirror_sfm.threads import parallel

EXTENT = 260.0  # side of the terrain
TEXELS = 2304  # of its picture, along a side
CELLS = 260  # of its mesh, along a side
CROPS = palette("708644 968e52 5a7640 a4985e 806a50 628448 aca470 506e3e 6f8a4e 7a8646")

Rng = np.random.Generator


@dataclass(frozen=True)
class Terrain:
    """Ground and its picture.

    Attributes:
        height: [CELLS + 1, CELLS + 1] float64 at the corners of the cells; row 0 is the north, column 0 the west.
        picture: [TEXELS, TEXELS, 3] uint8, north up.
        course: of its river and roads.
    """

    height: np.ndarray
    picture: np.ndarray
    course: Course

    def altitude(self, x: Any, y: Any) -> Any:
        """Height of the mesh (of its cells' corners, between them bilinear), metres."""
        column = np.clip((np.asarray(x) / EXTENT + 0.5) * CELLS, 0, CELLS - 1e-6)
        row = np.clip((0.5 - np.asarray(y) / EXTENT) * CELLS, 0, CELLS - 1e-6)
        j, i = column.astype(int), row.astype(int)
        u, v, h = column - j, row - i, self.height
        upper, lower = h[i, j] * (1 - u) + h[i, j + 1] * u, h[i + 1, j] * (1 - u) + h[i + 1, j + 1] * u
        return upper * (1 - v) + lower * v

    def patch(self) -> Patch:
        axis = np.linspace(-EXTENT / 2, EXTENT / 2, CELLS + 1)
        x, y = np.meshgrid(axis, -axis)
        return Patch(np.stack([x, y, self.height], axis=-1), self.picture)


@dataclass(frozen=True)
class Course:
    """Where the river and the road run; phases 0 .. 1 of their bends."""

    phases: tuple[float, ...]

    def river_x(self, y: Any) -> Any:
        return 62 + 14 * wave(y / 195 + self.phases[0]) + 7 * wave(y / 82 + self.phases[1])

    def road_y(self, x: Any) -> Any:
        return -18 + 20 * wave(x / 327 + self.phases[2]) + 5 * wave(x / 107 + self.phases[3])

    def lane_x(self, y: Any) -> Any:
        """A lane that crosses the road."""
        return -52 + 12 * wave(y / 150 + self.phases[4])


def make_terrain(rng: Rng, threads: int = 1) -> Terrain:
    """Terrain of a random seed: low enough that a drone 60 m up looks down on all of it."""
    # The first bends are fixed, so that the village of every seed has its church by the road.
    course = Course((0.0, 0.16, 0.08, 0.0, float(rng.random())))
    axis = np.linspace(-EXTENT / 2, EXTENT / 2, CELLS + 1)
    x, y = axis[None], -axis[:, None]
    hills = 7 * _bump((x + 55) / 45, (y - 60) / 45) + 5 * _bump((x - 10) / 38, (y + 75) / 38)
    bed = 2.2 * _bump((x - course.river_x(y)) / 7, 0 * y)
    height = hills + 2.2 * fractal(rng, CELLS + 1, CELLS + 1, CELLS / 5, 5, 0.45) - bed
    return Terrain(height, _picture(rng, course, threads), course)


def _bump(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """1 at the origin, falling like a bell; no exp, so the same bits everywhere."""
    r = u * u + v * v
    return 1 / (1 + r + 0.5 * r * r + r * r * r / 6)


def _picture(rng: Rng, course: Course, threads: int) -> np.ndarray:
    pixels = floats((np.arange(TEXELS) + 0.5) / TEXELS - 0.5) * np.float32(EXTENT)
    scale = TEXELS / EXTENT
    octaves = zip(rng.spawn(3), ((21, 4, 0.6), (1.1, 4, 0.8), (24, 3, 0.6)), strict=True)
    coarse, fine, warp = parallel(
        lambda noise: fractal(noise[0], TEXELS, TEXELS, noise[1][0] * scale, *noise[1][1:]), octaves, threads
    )
    fields = _Fields(rng)
    result = np.empty((TEXELS, TEXELS, 3), np.uint8)

    def paint(top: int) -> None:
        rows = slice(top, top + 64)  # a band that stays in the cache
        x, y = np.broadcast_arrays(pixels[None], -pixels[rows, None])
        colour = fields.paint(x, y, coarse[rows], fine[rows], warp[rows])
        _water(colour, x, y, course, coarse[rows], fine[rows])
        _roads(colour, x, y, course, fine[rows])
        result[rows] = finished(colour)

    list(parallel(paint, range(0, TEXELS, 64), threads))
    return result


class _Fields:
    """Rows of fields, each with a crop, furrows and a hedge."""

    def __init__(self, rng: Rng) -> None:
        self.widths, self.offsets = floats(rng.uniform([[22], [0]], 48, (2, 32)))
        self.kinds = rng.integers(0, len(CROPS), 64)
        turn, pitch = rng.uniform(-1, 1, 64), rng.uniform(1.1, 2.6, 64)
        across = np.sqrt(1 - turn**2)
        self.waves = floats(np.stack([turn, across]) / pitch)
        self.strength = floats(rng.uniform(0.04, 0.15, 64))

    def paint(self, x: np.ndarray, y: np.ndarray, coarse: np.ndarray, fine: np.ndarray, warp: np.ndarray) -> np.ndarray:
        u, v = 0.94 * x + 0.34 * y + 2.2 * coarse, 0.94 * y - 0.34 * x + 2.2 * warp
        row = np.floor((v + 400) / 37).astype(np.int32)
        shifted, width = u + 400 + self.offsets[row % 32], self.widths[row % 32]
        field = (row * 31 + np.floor(shifted / width).astype(np.int32) * 17) % 64
        furrow = wave(u * self.waves[0][field] + v * self.waves[1][field] + 0.16 * fine)
        tone = 1 + self.strength[field] * furrow + 0.13 * coarse + 0.19 * fine
        colour = CROPS[self.kinds[field]] * tone[..., None]
        border = np.minimum((v + 400) % 37, shifted % width)
        lay(colour, (78, 96, 52), np.clip(1.3 - border / 1.4, 0, 1) * np.clip(0.8 + fine, 0, 1))
        lay(colour, (58, 78, 40), 0.8 * ramp(0.45, 0.75, warp) * ramp(-0.3, 0.5, fine))  # scrub
        return colour


def _water(
    colour: np.ndarray, x: np.ndarray, y: np.ndarray, course: Course, coarse: np.ndarray, fine: np.ndarray
) -> None:
    off = np.abs(x - course.river_x(y))
    lay(colour, (176, 166, 146), np.clip(7.4 - off + 2.5 * fine, 0, 1))
    shallow = np.clip((4.8 - off) / 4.8, 0, 1)[..., None]
    depth = floats((96, 128, 122)) * (1 - shallow) + floats((44, 84, 100)) * shallow
    lay(colour, depth * (1 + 0.22 * fine)[..., None], np.clip((4.8 - off) * 1.5 + 0.8 * coarse, 0, 1))


def _roads(colour: np.ndarray, x: np.ndarray, y: np.ndarray, course: Course, fine: np.ndarray) -> None:
    dry = ramp(6.0, 7.5, np.abs(x - course.river_x(y)))
    lane = np.abs(x - course.lane_x(y))
    lay(colour, (178, 158, 124), np.clip(2.1 - lane + 1.2 * fine, 0, 1) * dry)
    lay(colour, (112, 122, 70), 0.7 * np.clip(0.5 - lane + 0.5 * fine, 0, 1) * dry)
    road = np.abs(y - course.road_y(x))
    lay(colour, (186, 170, 140), np.clip(4.6 - road + 1.5 * fine, 0, 1))
    lay(colour, floats((104, 102, 104)) * (1 + 0.18 * fine)[..., None], np.clip((2.7 - road) * 4, 0, 1))
    lay(colour, (226, 222, 210), 0.9 * ((road < 0.14) & (x % 5 < 2.6)))
    lay(colour, (206, 202, 192), 0.7 * ((road > 2.35) & (road < 2.5)))
