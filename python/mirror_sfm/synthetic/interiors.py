"""Two furnished rooms with a door between them and windows to the south. Metres; x east, y north, z up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from mirror_sfm.synthetic.furnishings import CLOTHS, cabinet, carpet, cloth, painting, shelves, wallpaper
from mirror_sfm.synthetic.noise import SolidNoise
from mirror_sfm.synthetic.pictures import WOODS, finished, leaves, palette, planks, plaster
from mirror_sfm.synthetic.shapes import box, cube_sphere, rectangle, turned
from mirror_sfm.synthetic.surfaces import Patch

TEXELS = 110.0  # per metre
CELL = 0.12  # of triangles, metres
HEIGHT = 2.8  # of the rooms
WALLS = palette("d8cdb4 b8c4b4 d4b8a0 bcc6d0 d8c8c4 c8bc98")
ROOMS = ((0.0, 0.0, 5.4, 4.4), (5.5, 0.0, 10.1, 4.4))  # x and y of the south-west and north-east corners

Rng = np.random.Generator
Opening = tuple[float, float, float, float]  # left, right, bottom, top, metres along and up the wall


def interior(rng: Rng) -> list[Patch]:
    """The rooms with all that stands and hangs in them."""
    patches = []
    for number, (x0, y0, x1, y1) in enumerate(ROOMS):
        colour = rng.choice(WALLS)
        door = [(1.2, 2.2, 0.0, 2.1)]
        west = door if number else []
        east = [] if number else [(y1 - 2.2, y1 - 1.2, 0.0, 2.1)]  # along it runs from north to south
        width = x1 - x0
        windows = [(0.7, 1.9, 0.9, 2.3), (width - 1.9, width - 0.7, 0.9, 2.3)]
        patches += _wall(rng, colour, (x0, y1), (x1, y1), [])
        patches += _wall(rng, colour, (x1, y1), (x1, y0), east)
        patches += _wall(rng, colour, (x1, y0), (x0, y0), windows)
        patches += _wall(rng, colour, (x0, y0), (x0, y1), west)
        floor = finished(planks(rng, y1 - y0, width, TEXELS))
        sill = 0.0 if number else ROOMS[1][0] - x1  # the floor goes on through the door
        patches.append(rectangle((x0, y1, 0), (width + sill, 0, 0), (0, y0 - y1, 0), floor, CELL))
        ceiling = finished(plaster(rng, y1 - y0, width, 40, (232, 228, 220), 0.35))
        patches.append(rectangle((x0, y0, HEIGHT), (width, 0, 0), (0, y1 - y0, 0), ceiling, CELL))
    return patches + _living_room(rng) + _study(rng)


def _wall(
    rng: Rng, colour: np.ndarray, start: tuple[float, float], end: tuple[float, float], openings: Sequence[Opening]
) -> list[Patch]:
    """A wall seen from inside, from its left end to its right, around its openings; with their frames."""
    along = np.array([end[0] - start[0], end[1] - start[1], 0.0])
    width = float(np.linalg.norm(along))
    along /= width
    picture = finished(wallpaper(rng, HEIGHT, width, TEXELS, colour))
    scale_x, scale_y = picture.shape[1] / width, picture.shape[0] / HEIGHT
    corner = np.array([*start, 0.0])
    columns = sorted({0.0, width, *(x for left, right, *_ in openings for x in (left, right))})
    patches = []
    for left, right in pairwise(columns):
        holes = [hole for hole in openings if hole[0] <= left < hole[1]]
        spans = [(hole[3], HEIGHT) for hole in holes] + [(0.0, hole[2]) for hole in holes] or [(0.0, HEIGHT)]
        for bottom, top in spans:
            if top > bottom:
                part = (left * scale_x, (HEIGHT - top) * scale_y, right * scale_x, (HEIGHT - bottom) * scale_y)
                place = corner + left * along + [0, 0, top]
                patches.append(rectangle(place, (right - left) * along, (0, 0, bottom - top), picture, CELL, part))
    for hole in openings:
        patches += _frame(rng, corner, along, hole)
    return patches


def _frame(rng: Rng, corner: np.ndarray, along: np.ndarray, hole: Opening) -> list[Patch]:
    left, right, bottom, top = hole
    turn = float(np.arctan2(along[1], along[0]))
    white = palette("e8e2d4")[0]

    def picture(_: int, tall: float, wide: float) -> np.ndarray:
        return finished(plaster(rng, tall, wide, 60, white, 0.6))

    posts = [(left, bottom, 0.09, top - bottom), (right, bottom, 0.09, top - bottom)]
    bars = [((left + right) / 2, top, right - left + 0.1, 0.09)]
    if bottom > 0:  # a window: a cross and a sill
        posts.append(((left + right) / 2, bottom, 0.05, top - bottom))
        middle = (left + right) / 2
        bars += [
            (middle, bottom + 0.62 * (top - bottom), right - left, 0.05),
            (middle, bottom - 0.05, right - left + 0.2, 0.05),
        ]
    patches = []
    for at, foot, wide, tall in posts + bars:
        deep = 0.3 if foot < bottom else 0.14
        patches += box(corner + at * along + [0, 0, foot], (wide, deep, tall), picture, CELL, turn, (0, 1, 2, 3, 4, 5))
    return patches


def _wooden(rng: Rng, wood: np.ndarray) -> Callable[[int, float, float], np.ndarray]:
    return lambda _, tall, wide: finished(planks(rng, tall, wide, TEXELS, 0.11, 1.4, wood))


def _table(rng: Rng, x: float, y: float, size: tuple[float, float, float], turn: float = 0.0) -> list[Patch]:
    wood = rng.choice(WOODS)
    length, depth, height = size
    side = _wooden(rng, wood)
    patches = box((x, y, height - 0.05), (length, depth, 0.05), side, CELL, turn, (0, 1, 2, 3, 4, 5))
    c, s = np.cos(turn), np.sin(turn)
    for i in (-1, 1):
        for j in (-1, 1):
            a, b = i * (length / 2 - 0.06), j * (depth / 2 - 0.06)
            patches += box(
                (x + c * a - s * b, y + s * a + c * b, 0), (0.07, 0.07, height - 0.05), side, CELL, turn, range(4)
            )
    return patches


def _chair(rng: Rng, x: float, y: float, turn: float) -> list[Patch]:
    wood = rng.choice(WOODS)
    patches = _table(rng, x, y, (0.44, 0.44, 0.46), turn)
    c, s = np.cos(turn), np.sin(turn)
    back = (x - s * 0.2, y + c * 0.2, 0.46)
    return patches + box(back, (0.44, 0.05, 0.5), _wooden(rng, wood), CELL, turn)


def _case(rng: Rng, x: float, y: float, size: tuple[float, float, float], turn: float, books: bool) -> list[Patch]:
    """A bookcase or a cabinet; its front is its own -y."""
    wood = rng.choice(WOODS)

    def picture(side: int, tall: float, wide: float) -> np.ndarray:
        if side:
            return finished(planks(rng, tall, wide, TEXELS, 0.2, 2.0, wood))
        if books:
            return shelves(rng, tall, wide, TEXELS, wood)
        return cabinet(rng, tall, wide, TEXELS, wood, max(1, round(tall / 0.28)))

    return box((x, y, 0), size, picture, CELL, turn)


def _sofa(rng: Rng, x: float, y: float, turn: float, length: float = 2.0) -> list[Patch]:
    colour, parts = rng.choice(CLOTHS), []
    c, s = np.cos(turn), np.sin(turn)
    arm, other = length / 2 - 0.1, rng.choice(CLOTHS)
    blocks = [  # along, across, up; length, depth, height; colour, turn
        (0.0, 0.0, 0.05, length, 0.85, 0.38, colour, 0.0),
        (0.0, 0.34, 0.43, length, 0.2, 0.42, colour, 0.0),
        (-arm, 0.0, 0.43, 0.2, 0.85, 0.2, colour, 0.0),
        (arm, 0.0, 0.43, 0.2, 0.85, 0.2, colour, 0.0),
        (-0.55, 0.16, 0.43, 0.42, 0.14, 0.38, CLOTHS[3], 0.2),
        (0.5, 0.16, 0.43, 0.42, 0.14, 0.38, other, 0.2),
    ]
    for a, b, z, long, deep, tall, tint, more in blocks:

        def picture(_: int, height: float, width: float, tint: np.ndarray = tint) -> np.ndarray:
            return cloth(rng, height, width, TEXELS, tint)

        parts += box((x + c * a - s * b, y + s * a + c * b, z), (long, deep, tall), picture, CELL, turn + more)
    return parts


def _hung(rng: Rng, corner: ArrayLike, towards: ArrayLike, width: float, height: float) -> list[Patch]:
    """A painting, 2 cm before its wall, its top left corner and where its top edge goes."""
    along = np.asarray(towards, np.float64)
    inward = np.array([along[1], -along[0], 0.0])  # along runs to the right as seen from inside
    place = np.asarray(corner, np.float64) + 0.02 * inward
    return [rectangle(place, along * width, (0, 0, -height), painting(rng, height, width, TEXELS * 1.4), CELL)]


def _pot(rng: Rng, x: float, y: float, z: float, size: float) -> list[Patch]:
    """A plant in a pot."""
    clay = finished(plaster(rng, size, 3 * size, TEXELS, (176, 104, 72), 1.6))
    profile = [(0.0, 0.86), (0.9, 0.86), (1.0, 1.0), (0.92, 0.6), (0.7, 0.0)]
    patches = turned(np.array(profile) * [0.5 * size, size], clay, 16, (x, y, z))
    sphere, green = cube_sphere(5), leaves(rng, 256, rng.choice(palette("3c6a38 507a40 6a8a48")))
    lump = 1 + 0.5 * SolidNoise(rng)(2.6 * sphere, 1.0, 3)
    for side in range(6):
        points = sphere[side] * lump[side][..., None] * [0.7 * size, 0.7 * size, 0.9 * size] + [x, y, z + 1.7 * size]
        patches.append(Patch(points, green))
    return patches


def _lamp(x: float, y: float, z: float, size: float) -> list[Patch]:
    """A shade that glows."""
    paper = np.full((16, 16, 3), (255, 226, 178), np.uint8)
    shade = [(0.5 * size, 0.7 * size), (size, 0.0)]
    glowing = [Patch(p.points, p.picture, glow=0.9) for p in turned(shade, paper, 20, (x, y, z))]
    return glowing + turned([(0.03, 0.0), (0.03, -z)], np.full((8, 8, 3), 60, np.uint8), 6, (x, y, z))


def _living_room(rng: Rng) -> list[Patch]:
    x0, y0, x1, y1 = ROOMS[0]
    rug = carpet(rng, 2.0, 2.9, TEXELS)
    patches = [rectangle((1.2, 3.1, 0.012), (2.9, 0, 0), (0, -2.0, 0), rug, CELL)]
    patches += _sofa(rng, 2.5, y1 - 0.5, 0.0, 2.2)
    patches += _table(rng, 2.6, 2.1, (1.2, 0.6, 0.45), 0.1)
    patches += _case(rng, 0.24, 2.9, (1.5, 0.4, 2.1), np.pi / 2, books=True)
    patches += _case(rng, 0.24, 1.1, (1.2, 0.44, 0.9), np.pi / 2, books=False)
    patches += _pot(rng, 0.3, 1.3, 0.9, 0.2) + _pot(rng, 5.0, 0.45, 0.0, 0.36) + _pot(rng, 2.5, 2.1, 0.45, 0.13)
    patches += _lamp(4.35, y1 - 0.45, 1.45, 0.24)
    for at, wide, tall in ((0.5, 0.7, 0.9), (1.5, 1.1, 0.8), (2.9, 0.6, 0.75), (3.8, 0.9, 1.1)):
        patches += _hung(rng, (x0 + at, y1, 2.25), (1, 0, 0), wide, tall)
    patches += _hung(rng, (x1, 1.05, 2.2), (0, -1, 0), 0.8, 0.95)
    patches += _hung(rng, (x1, y1 - 0.3, 2.1), (0, -1, 0), 0.7, 0.7)
    patches += _hung(rng, (x1 / 2 + 0.45, y0, 2.1), (-1, 0, 0), 0.9, 0.7)
    return patches + _hung(rng, (x0, 0.6, 2.1), (0, 1, 0), 0.9, 0.8)


def _study(rng: Rng) -> list[Patch]:
    x0, _, x1, y1 = ROOMS[1]
    rug = carpet(rng, 1.8, 2.2, TEXELS)
    patches = [rectangle((x0 + 1.3, 3.2, 0.012), (2.2, 0, 0), (0, -1.8, 0), rug, CELL)]
    patches += _table(rng, x1 - 1.5, 2.2, (1.6, 0.8, 0.75), 0.15)
    patches += _chair(rng, x1 - 1.6, 1.5, 3.0) + _chair(rng, x1 - 1.3, 3.0, 0.2)
    patches += _case(rng, x0 + 1.1, y1 - 0.22, (1.6, 0.38, 2.2), 0.0, books=True)
    patches += _case(rng, x0 + 2.9, y1 - 0.22, (1.4, 0.42, 1.0), 0.0, books=False)
    patches += _case(rng, x1 - 0.24, 3.4, (1.2, 0.4, 1.8), -np.pi / 2, books=True)
    patches += _pot(rng, x0 + 2.9, y1 - 0.25, 1.0, 0.22) + _pot(rng, x1 - 1.2, 2.3, 0.75, 0.14)
    patches += _lamp(x0 + 0.4, 0.5, 1.5, 0.22)
    patches += _hung(rng, (x0 + 2.2, y1, 2.2), (1, 0, 0), 0.8, 0.7) + _hung(
        rng, (x0 + 3.3, y1, 2.3), (1, 0, 0), 0.9, 1.0
    )
    patches += _hung(rng, (x1, 2.5, 2.2), (0, -1, 0), 1.1, 0.9) + _hung(rng, (x1, 1.1, 2.1), (0, -1, 0), 0.7, 0.9)
    return patches + _hung(rng, (x0, 2.5, 2.2), (0, 1, 0), 1.2, 0.9)
