"""The demo scene's landscape: hills, fields, a road, a river, a village and trees, all from one random seed.

World axes: x east, y north, z up, in metres. Points and rays are [3, ...]: one plane of numbers per axis. Everything is
procedural and needs NumPy alone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

EXTENT = 260.0  # side of the landscape
TEXELS = 2048  # of the ground's colour
HEIGHT_CELLS = 512  # of the ground's height
GRAIN = 512  # side of the texture that roughens walls, roofs and leaves


def floats(values: ArrayLike) -> np.ndarray:
    return np.array(values, np.float32)


TO_SUN = floats([-0.479, -0.519, 0.708])  # unit vector
SUN = 20_000.0 * TO_SUN.astype(np.float64)  # the sun is near, but far enough

Rng = np.random.Generator
Colour = tuple[int, int, int]

# ---------------------------------------------------------------------------------------------------------------- noise


class Noise:
    """Octaves of smoothly interpolated random values, each twice as fine and `gain` as strong as the last."""

    def __init__(self, rng: Rng, size: int, cells: int, octaves: int, gain: float = 0.6) -> None:
        self.size, self.octaves = size, []
        for i in range(octaves):
            grid = np.float32(gain**i) * rng.uniform(-1, 1, ((cells << i) + 1, (cells << i) + 1)).astype(np.float32)
            index, t = self.position(np.arange(size), cells << i)
            # Columns are interpolated here, rows on demand.
            self.octaves.append((cells << i, grid[:, index] + (grid[:, index + 1] - grid[:, index]) * t))

    def position(self, texels: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
        position = (texels.astype(np.float32) + np.float32(0.5)) * np.float32(cells / self.size)
        index = position.astype(np.int64)
        t = position - index
        return index, t * t * (3 - 2 * t)

    def rows(self, texels: np.ndarray) -> np.ndarray:
        """[len(texels), size]"""
        total = np.zeros((len(texels), self.size), np.float32)
        for cells, columns in self.octaves:
            index, t = self.position(texels % self.size, cells)
            below, above = columns[index], columns[index + 1]
            total += below + (above - below) * t[:, None]
        return total

    def image(self) -> np.ndarray:
        return self.rows(np.arange(self.size))


def sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear values of image [h, w, ...] at texel coordinates (texel centres at whole numbers), clamped."""
    height, width = image.shape[:2]
    x = np.clip(x, 0, width - 1.001)
    y = np.clip(y, 0, height - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    flat = image.reshape(height * width, *image.shape[2:])
    fx, fy, first = x - column, y - row, row * width + column
    if image.ndim == 3:
        fx, fy = fx[..., None], fy[..., None]
    top, bottom = flat[first], flat[first + width]
    top = top + (flat[first + 1] - top) * fx
    bottom = bottom + (flat[first + width + 1] - bottom) * fx
    return top + (bottom - top) * fy


def grain(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return sample(image, x % (GRAIN - 2), y % (GRAIN - 2))


# --------------------------------------------------------------------------------------------------------------- solids


def cube_corners() -> np.ndarray:
    """[3, 8], coordinates -1 and 1."""
    return np.stack(np.meshgrid([-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0])).reshape(3, 8)


@dataclass(frozen=True)
class Building:
    """A convex solid: the points with planes[:, :3] . x <= planes[:, 3]. Four walls, then the sides of the roof."""

    planes: np.ndarray  # [p, 4] outward unit normals and offsets
    bounds: np.ndarray  # [3, n] points around it
    foot: np.ndarray  # [3] middle of its floor
    wall_colour: np.ndarray
    roof_colour: np.ndarray
    cut: np.ndarray  # [2] where its surfaces lie in the grain

    def hit(self, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ray parameter where each ray enters (inf: it does not) and the plane it enters by."""
        enter = np.zeros(rays.shape[1:], rays.dtype)
        leave = np.full(rays.shape[1:], np.inf, rays.dtype)
        face = np.zeros(rays.shape[1:], np.int8)
        for index, (a, b, c, offset) in enumerate(self.planes):
            room = rays.dtype.type(offset - (a * origin[0] + b * origin[1] + c * origin[2]))
            speed = a * rays[0] + b * rays[1] + c * rays[2]
            if room < 0:  # the origin is outside this plane: only rays against its normal enter
                t = room / np.minimum(speed, -1e-9)
                face[t > enter] = index
                np.maximum(enter, t, out=enter)
            else:
                np.minimum(leave, room / np.maximum(speed, 1e-9), out=leave)
        return np.where(enter < leave, enter, np.inf), face

    def colour(self, points: np.ndarray, face: np.ndarray, texture: np.ndarray) -> np.ndarray:
        """Walls with windows, roofs with courses of tiles, skylights and stains, lit by the sun. [n, 3]"""
        nx, ny, nz = self.planes[face, :3].T
        along = ((points[1] - self.foot[1]) * nx - (points[0] - self.foot[0]) * ny) / np.hypot(nx, ny)
        rise = points[2] - self.foot[2]
        stain = grain(texture, along * 9 + self.cut[0] + 97 * face, rise * 13 + self.cut[1])
        roof = face >= 4
        column, storey = np.floor(along / 2.1), np.floor(rise / 2.9)
        a, b = np.abs(along / 2.1 - column - 0.5), np.abs(rise / 2.9 - storey - 0.5)
        chance = np.sin(column * 12.99 + storey * 78.2 + face * 37.7 + self.cut[0]) * 437.5 % 1.0
        window = ~roof & (a < 0.25) & (b < 0.27) & (chance > 0.2)
        skylight = roof & (a < 0.3) & (b < 0.25) & (chance > 0.82)
        tiles = 1 + 0.12 * roof * np.sin(rise * np.float32(2 * np.pi / 0.42))
        result = np.where(roof[:, None], self.roof_colour, self.wall_colour) * (tiles * (1 + 0.3 * stain))[:, None]
        result[window] = floats([62, 74, 92]) * (0.6 + 0.8 * chance[window])[:, None]
        result[window & ((a > 0.19) | (b > 0.21))] = (236, 232, 222)
        result[skylight] = floats([70, 88, 120]) * (0.7 + 0.5 * chance[skylight])[:, None]
        facing = nx * TO_SUN[0] + ny * TO_SUN[1] + nz * TO_SUN[2]
        return result * (0.5 + 0.6 * np.maximum(facing, 0))[:, None]


@dataclass(frozen=True)
class Tree:
    """An ellipsoid of leaves."""

    centre: np.ndarray  # [3]
    radii: np.ndarray  # [3]
    tint: np.ndarray
    cut: np.ndarray

    @property
    def bounds(self) -> np.ndarray:
        return self.centre[:, None] + self.radii[:, None] * cube_corners()

    def hit(self, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        o = (origin - self.centre) / self.radii
        d = rays / self.radii.reshape(3, *[1] * (rays.ndim - 1)).astype(rays.dtype)
        a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
        b = d[0] * o[0] + d[1] * o[1] + d[2] * o[2]
        inside = b * b - a * (o @ o - 1)
        return np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf), np.zeros(a.shape, np.int8)

    def colour(self, points: np.ndarray, face: np.ndarray, texture: np.ndarray) -> np.ndarray:
        nx, ny, nz = (points - self.centre[:, None]) / self.radii[:, None]
        leaves = grain(texture, nx * 80 + self.cut[0], ny * 80 - nz * 20 + self.cut[1])
        facing = nx * TO_SUN[0] + ny * TO_SUN[1] + nz * TO_SUN[2]
        return self.tint * np.clip(0.45 + 0.6 * np.maximum(facing, 0) + 0.4 * leaves, 0.2, 1.6)[:, None]


def palette(colours: str) -> np.ndarray:
    """[n, 3] float32 from hexadecimal rrggbb."""
    return floats([list(bytes.fromhex(colour)) for colour in colours.split()])


CROPS = palette("7e8e4c a69c5c 647e44 bca86c 927656 708a52 ccbc82 587244 9e8662 8a965e")
WALLS = palette("ece2cd e0ceb0 f3f0e8 d6c4b2 e2bea0")
ROOFS = palette("ac5840 9c4c3a bc7050 80584c 686a72")
LEAVES = palette("4a6832 5c763a 3c5c34 707c38 847634")


def build(
    rng: Rng,
    foot: np.ndarray,
    length: float,
    width: float,
    eaves: float,
    ridge: float,
    angle: float,
    spire: bool = False,
) -> Building:
    """Four walls under a gable roof or, with `spire`, under a pyramid."""
    along, across = np.array([np.cos(angle), np.sin(angle), 0]), np.array([-np.sin(angle), np.cos(angle), 0])
    sides = [(across, width / 2), (-across, width / 2), (along, length / 2), (-along, length / 2)]
    planes = [(normal, half) for normal, half in sides]
    for normal, half in sides if spire else sides[:2]:
        slope = normal * (ridge - eaves) + np.array([0, 0, half])
        planes.append((slope / np.linalg.norm(slope), ridge * half / np.linalg.norm(slope)))
    i, j, up = cube_corners()
    box = foot[:, None] + np.outer(along * length / 2, i) + np.outer(across * width / 2, j)
    box[2] += ridge * (up > 0)
    walls = floats([[*normal, offset + normal @ foot] for normal, offset in planes])
    return Building(walls, box, foot, rng.choice(WALLS), rng.choice(ROOFS), rng.uniform(0, 500, 2))


# --------------------------------------------------------------------------------------------------------------- ground


def river_x(y: Any) -> Any:
    return 62 + 14 * np.sin(y / 31) + 7 * np.sin(y / 13 + 1)


def road_y(x: Any) -> Any:
    return -18 + 20 * np.sin(x / 52 + 0.5) + 5 * np.sin(x / 17)


def metres(texels: np.ndarray, size: int) -> np.ndarray:
    return ((texels.astype(np.float32) + np.float32(0.5)) / np.float32(size) - np.float32(0.5)) * np.float32(EXTENT)


@dataclass(frozen=True)
class Landscape:
    height: np.ndarray  # [HEIGHT_CELLS, HEIGHT_CELLS]; row 0 is the south
    colour: np.ndarray  # [TEXELS, TEXELS, 3] float32, 0..255, with light and shadows
    texture: np.ndarray  # [GRAIN, GRAIN]
    solids: tuple[Building | Tree, ...]

    def altitude(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        scale, middle = np.float32(HEIGHT_CELLS / EXTENT), np.float32(HEIGHT_CELLS / 2 - 0.5)
        return sample(self.height, x * scale + middle, y * scale + middle)

    def ground_colour(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        scale, middle = np.float32(TEXELS / EXTENT), np.float32(TEXELS / 2 - 0.5)
        return sample(self.colour, x * scale + middle, y * scale + middle)


def ground_height(rng: Rng) -> np.ndarray:
    """Hills that nowhere hide each other from a drone's steep rays, with the river's bed cut in."""
    axis = metres(np.arange(HEIGHT_CELLS), HEIGHT_CELLS)
    x, y = axis[None], axis[:, None]
    hills = 7 * np.exp(-((x + 55) ** 2 + (y - 60) ** 2) / 45**2) + 5 * np.exp(-((x - 10) ** 2 + (y + 75) ** 2) / 38**2)
    bed = 2.2 * np.exp(-(((x - river_x(y)) / 7) ** 2))
    return (hills + 2.2 * Noise(rng, HEIGHT_CELLS, 5, 5, 0.45).image() - bed).astype(np.float32)


def lay(colour: np.ndarray, paint: Colour, amount: np.ndarray) -> None:
    """Mixes paint into a colour image, in place; most of `amount` is 0."""
    where = amount > 0
    colour[where] += (floats(paint) - colour[where]) * np.minimum(amount[where], 1)[:, None].astype(np.float32)


class Painter:
    """Fields with furrows and hedges, a river with stony banks, a road with its markings; no light yet."""

    def __init__(self, rng: Rng) -> None:
        self.coarse, self.fine = Noise(rng, TEXELS, 12, 4), Noise(rng, TEXELS, 256, 4, 0.75)
        self.widths, self.offsets = rng.uniform([[22], [0]], 48, (2, 32)).astype(np.float32)
        self.kinds = rng.integers(0, len(CROPS), 64)
        turn, pitch = rng.uniform(0, np.pi, 64), rng.uniform(1.1, 2.6, 64)
        self.waves = (2 * np.pi / pitch * np.stack([np.cos(turn), np.sin(turn)])).astype(np.float32)

    def rows(self, texels: np.ndarray) -> np.ndarray:
        """[len(texels), TEXELS, 3]"""
        x, y = metres(np.arange(TEXELS), TEXELS)[None], metres(texels, TEXELS)[:, None]
        coarse, fine = self.coarse.rows(texels), self.fine.rows(texels)
        u, v = 0.94 * x + 0.34 * y + 2.2 * coarse, 0.94 * y - 0.34 * x + 2.2 * self.coarse.rows(texels + TEXELS // 3)
        row = np.floor((v + 400) / 37).astype(np.int32)
        shifted, width = u + 400 + self.offsets[row], self.widths[row]
        field = (row * 31 + np.floor(shifted / width).astype(np.int32) * 17) % 64
        furrow = np.sin(u * self.waves[0][field] + v * self.waves[1][field] + fine)
        colour = CROPS[self.kinds[field]] * (1 + 0.11 * furrow + 0.15 * coarse + 0.2 * fine)[..., None]
        border = np.minimum((v + 400) % 37, shifted % width)
        lay(colour, (78, 96, 52), np.clip(1.3 - border / 1.4, 0, 1) * np.clip(0.8 + fine, 0, 1))
        river = np.abs(x - river_x(y))
        lay(colour, (176, 166, 146), np.clip(7.4 - river + 2.5 * fine, 0, 1))
        lay(colour, (66, 104, 116), np.clip((4.8 - river) * 1.5 + 0.8 * coarse, 0, 1) * (0.85 + 0.28 * fine))
        road = np.abs(y - road_y(x))
        lay(colour, (186, 170, 140), np.clip(4.6 - road + 1.5 * fine, 0, 1))
        lay(colour, (112, 110, 112), np.clip((2.7 - road) * 4, 0, 1) * (0.85 + 0.3 * fine))
        lay(colour, (238, 236, 228), ((road < 0.14) & (x % 5 < 2.6)) * np.float32(0.9))
        return colour


def place_solids(rng: Rng, land: Landscape) -> tuple[Building | Tree, ...]:
    """The church, houses along both sides of the road, then trees, many of them on the river's banks."""

    def foot(x: float, y: float) -> np.ndarray:
        return np.array([x, y, float(land.altitude(floats([x]), floats([y]))[0]) - 0.4])

    nave, tower = (19, 9, 7, 12, 0.35), (6.5, 6.5, 15, 24, 0.35)
    houses = [build(rng, foot(0, 22), *nave), build(rng, foot(-11.5, 17.8), *tower, spire=True)]
    for x in np.arange(-112, 50, 13.5):
        for side in (-1, 1):
            px, size = x + rng.uniform(-2.5, 2.5), rng.uniform(0.85, 1.25)
            py = road_y(px) + side * rng.uniform(11, 15)
            angle = np.arctan((road_y(px + 1) - road_y(px - 1)) / 2) + rng.uniform(-0.15, 0.15)
            if rng.random() < 0.85 and np.hypot(px, py - 22) > 19:
                houses.append(build(rng, foot(px, py), 10 * size, 7 * size, 3.5 * size + 1.5, 6.5 * size + 2, angle))
    trees: list[Tree] = []
    taken = np.array([[*house.foot[:2], 9 if i > 1 else 14] for i, house in enumerate(houses)])
    while len(trees) < 190:
        (x, y), size = rng.uniform(-122, 122, 2), rng.uniform(1.3, 3.4)
        if rng.random() < 0.45:
            x = river_x(y) + rng.choice([-1, 1]) * rng.uniform(8, 15)
        beside_ways = abs(y - road_y(x)) > 5 + size and abs(x - river_x(y)) > 6 + size
        if beside_ways and (np.hypot(taken[:, 0] - x, taken[:, 1] - y) > taken[:, 2] + 0.6 * size).all():
            radii = size * np.array([1, rng.uniform(0.8, 1.1), 1.25])
            centre = foot(x, y) + np.array([0, 0, 0.95 * size])
            trees.append(Tree(centre, radii, rng.choice(LEAVES), rng.uniform(0, 500, 2)))
            taken = np.concatenate([taken, [[x, y, size]]])
    return (*houses, *trees)


def daylight(height: np.ndarray) -> np.ndarray:
    """[TEXELS, TEXELS], what the sun gives to open ground."""
    slope_y, slope_x = np.gradient(height, np.float32(EXTENT / HEIGHT_CELLS))
    facing = (TO_SUN[2] - slope_x * TO_SUN[0] - slope_y * TO_SUN[1]) / np.sqrt(1 + slope_x**2 + slope_y**2)
    ratio = TEXELS // HEIGHT_CELLS
    return np.repeat(np.repeat(np.float32(0.28) + np.float32(1.03) * np.maximum(facing, 0), ratio, 0), ratio, 1)


def cast_shadows(land: Landscape, light: np.ndarray) -> None:
    """Dims the texels whose ray from the sun meets a solid first."""
    for solid in land.solids:
        bottom = solid.bounds[2].min()
        reach = solid.bounds[:2] - (TO_SUN[:2, None] / TO_SUN[2]) * (solid.bounds[2] - bottom)
        edges = np.stack([reach.min(axis=1) - 1, reach.max(axis=1) + 1])
        low, high = np.clip((edges / EXTENT + 0.5) * TEXELS, 0, TEXELS).astype(int)
        x, y = metres(np.arange(low[0], high[0]), TEXELS)[None], metres(np.arange(low[1], high[1]), TEXELS)[:, None]
        x, y = np.broadcast_arrays(x, y)
        rays = np.stack([x, y, land.altitude(x, y)]) - SUN[:, None, None]
        dark = solid.hit(SUN, rays)[0] < 1
        window = light[low[1] : high[1], low[0] : high[0]]
        window[dark] = np.minimum(window[dark], np.float32(0.5))


def make_landscape(seed: int) -> Landscape:
    rng = np.random.default_rng(seed)
    height = ground_height(rng)
    land = Landscape(height, np.empty((TEXELS, TEXELS, 3), np.float32), Noise(rng, GRAIN, 128, 3).image(), ())
    land = replace(land, solids=place_solids(rng, land))
    light, painter = daylight(height), Painter(rng)
    cast_shadows(land, light)

    def paint(texels: np.ndarray) -> None:
        land.colour[texels] = np.clip(painter.rows(texels) * light[texels, :, None], 0, 255)

    with ThreadPoolExecutor() as pool:
        list(pool.map(paint, np.array_split(np.arange(TEXELS), TEXELS // 32)))
    return land
