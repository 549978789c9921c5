"""Terrain with what stands on it: a village with its church, trees, garden walls, cars."""

from __future__ import annotations

import numpy as np

from mirror_sfm.synthetic.buildings import church, house, low_wall
from mirror_sfm.synthetic.noise import SolidNoise, floats
from mirror_sfm.synthetic.pictures import finished, lay, leaves, metres, palette, stones
from mirror_sfm.synthetic.shapes import box, cube_sphere
from mirror_sfm.synthetic.surfaces import Patch
from mirror_sfm.synthetic.terrain import EXTENT, Terrain

TREES = 210
LEAF = 14.0  # texels of leaves per metre
LEAF_SIDE = 512  # texels of a picture of leaves
LEAVES = palette("4a6832 5c763a 3c5c34 707c38 847634 3f6a48")
CARS = palette("b03030 3050a0 d8d8d4 303438 c8a030 507850")
CHURCH = (0.0, 22.0)

Rng = np.random.Generator


def trees(rng: Rng, places: np.ndarray) -> list[Patch]:
    """Trees at places [n, 4]: x, y, z of the foot, and size."""
    noise, sphere = SolidNoise(rng), cube_sphere(4)
    pictures = [leaves(rng, LEAF_SIDE, colour) for colour in LEAVES]
    patches = []
    for x, y, z, size in places:
        conifer = rng.random() < 0.2
        slim = np.array([0.72, 0.72, 1.9]) if conifer else np.array([1, rng.uniform(0.85, 1.1), 1.15])
        lump = 1 + 0.34 * noise(2.1 * sphere + rng.uniform(0, 40, 3), 1.0, 2)
        points = size * slim * sphere * lump[..., None]
        if conifer:  # narrower towards the tip
            points[..., :2] *= np.clip(0.95 - 0.42 * points[..., 2:] / (1.9 * size), 0.1, 2)
        points += [x, y, z + 0.9 * size * slim[2]]
        picture = pictures[2 if conifer else int(rng.integers(len(pictures)))]
        span = min(1.6 * size * LEAF, LEAF_SIDE / 2)
        for side in range(6):
            left, top = rng.uniform(0, LEAF_SIDE - span, 2)
            normals = points[side] - [x, y, z + 0.6 * size * slim[2]]
            normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
            patches.append(Patch(points[side], picture, (left, top, left + span, top + span), normals))
    return patches


def wood(rng: Rng, land: Terrain, taken: np.ndarray, count: int = TREES) -> np.ndarray:
    """[n, 4] places of trees away from ways, water and what is taken ([m, 3]: x, y, radius)."""
    places: list[list[float]] = []
    while len(places) < count:
        (x, y), size = rng.uniform(-0.47 * EXTENT, 0.47 * EXTENT, 2), rng.uniform(1.3, 3.4)
        if rng.random() < 0.4:
            x = land.course.river_x(y) + rng.choice([-1, 1]) * rng.uniform(8, 15)
        free = abs(y - land.course.road_y(x)) > 5 + size and abs(x - land.course.river_x(y)) > 6 + size
        free = free and abs(x - land.course.lane_x(y)) > 2.5 + size
        if free and (np.hypot(taken[:, 0] - x, taken[:, 1] - y) > taken[:, 2] + 0.6 * size).all():
            places.append([x, y, float(land.altitude(x, y)) - 0.3, size])
            taken = np.concatenate([taken, [[x, y, size]]])
    return np.array(places)


def village(rng: Rng, land: Terrain) -> list[Patch]:
    """The church on its square, houses with gardens along the road and the lane, cars, trees."""

    def foot(x: float, y: float) -> np.ndarray:
        return np.array([x, y, float(land.altitude(x, y)) - 0.5])

    patches = [_square(rng, land)]
    patches += church(rng, foot(*CHURCH), 0.35)
    taken = [[CHURCH[0], CHURCH[1], 17.0], [CHURCH[0] - 11, CHURCH[1] - 4, 9.0]]
    for x, y, turn in _plots(rng, land):
        if all(np.hypot(x - tx, y - ty) > 0.86 * (radius + 8) for tx, ty, radius in taken):
            scale = rng.uniform(0.85, 1.25)
            storeys = 3.4 * scale + (1.4 if rng.random() < 0.6 else 3.2)
            patches += house(rng, foot(x, y), 10 * scale, 7 * scale, storeys, storeys + 3.2 * scale, turn)
            patches += _garden(rng, land, x, y, turn)
            taken.append([x, y, 8.0])
    for x in np.arange(-110, 45, 17.0) + rng.uniform(-5, 5, 10):
        patches += _car(rng, land, x)
    return patches + trees(rng, wood(rng, land, np.array(taken)))


def _plots(rng: Rng, land: Terrain) -> list[tuple[float, float, float]]:
    """Where houses may stand, x, y and turn: along both sides of the road, then of the lane."""
    plots = []
    for x in np.arange(-112, 50, 13.5):
        for side in (-1, 1):
            px = x + rng.uniform(-2.5, 2.5)
            slope = (land.course.road_y(px + 1) - land.course.road_y(px - 1)) / 2
            y = land.course.road_y(px) + side * rng.uniform(11, 14)
            plots.append((float(px), float(y), float(np.arctan(slope)) + rng.uniform(-0.12, 0.12)))
    for y in np.arange(18, 76, 14.0):
        for side in (-1, 1):
            py = y + rng.uniform(-2, 2)
            x = land.course.lane_x(py) + side * rng.uniform(9.5, 12)
            plots.append((float(x), float(py), np.pi / 2 + rng.uniform(-0.15, 0.15)))
    return [plot for plot in plots if rng.random() < 0.85]


def drape(land: Terrain, corners: np.ndarray, picture: np.ndarray, lift: float = 0.12) -> Patch:
    """A flat picture laid on the ground between four corners [4, 2]: top left, top right, bottom right, bottom left."""
    a, b, c, d = corners
    side = max(2, round(float(np.linalg.norm(b - a)) / 0.5))
    u, v = np.linspace(0, 1, side + 1)[None, :, None], np.linspace(0, 1, side + 1)[:, None, None]
    flat = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c)
    height = land.altitude(flat[..., 0], flat[..., 1]) + lift
    return Patch(np.concatenate([flat, height[..., None]], axis=-1), picture)


def _turned(x: float, y: float, turn: float, half_length: float, half_width: float) -> np.ndarray:
    c, s = np.cos(turn), np.sin(turn)
    local = np.array([[-half_length, half_width], [half_length, half_width], [half_length, -half_width]])
    local = np.concatenate([local, [[-half_length, -half_width]]])
    return np.array([x, y]) + local @ np.array([[c, s], [-s, c]])


def _square(rng: Rng, land: Terrain) -> Patch:
    picture = stones(rng, 26, 40, 12, 0.9)
    return drape(land, _turned(CHURCH[0] - 1, CHURCH[1], 0.35, 20, 13), finished(picture))


def _garden(rng: Rng, land: Terrain, x: float, y: float, turn: float) -> list[Patch]:
    """A bed of vegetables beside a house, sometimes within walls."""
    side = rng.choice([-1, 1])
    away = np.array([-np.sin(turn), np.cos(turn)]) * side * 7.2 + np.array([np.cos(turn), np.sin(turn)]) * 3
    gx, gy = x + away[0], y + away[1]
    if abs(gy - land.course.road_y(gx)) < 6 or abs(gx - land.course.lane_x(gy)) < 6:
        return []
    across, down = metres(4.4, 6.4, 12)
    colour = np.broadcast_to(floats((104, 82, 58)), (*(across + down).shape, 3)) * (
        0.8 + 0.4 * rng.random((*(across + down).shape, 1), np.float32)
    )
    for bed in range(6):
        tint = rng.choice(palette("5c8a3a 88a048 3c6a3c a8b060 b06a70 d0c060"))
        clumps = (np.abs(down - (bed + 0.5) * 0.73) < 0.24) & ((across * 3.1 + bed * 0.4) % 1 < 0.72)
        lay(colour, tint, 0.9 * clumps * rng.uniform(0.5, 1, clumps.shape))
    corners = _turned(gx, gy, turn, 3.2, 2.2)
    patches = [drape(land, corners, finished(colour))]
    if rng.random() < 0.5:
        posts = np.concatenate([corners, land.altitude(*corners.T)[:, None]], axis=1)
        for k in range(4):
            patches += low_wall(rng, posts[k], posts[(k + 1) % 4])
    return patches


def _car(rng: Rng, land: Terrain, x: float) -> list[Patch]:
    """A car on the road, two boxes high."""
    lane = rng.choice([-1.35, 1.35])
    slope = (land.course.road_y(x + 1) - land.course.road_y(x - 1)) / 2
    turn = float(np.arctan(slope))
    foot = np.array([x, float(land.course.road_y(x)) + lane, 0.0])
    foot[2] = float(land.altitude(foot[0], foot[1])) + 0.1
    paint = rng.choice(CARS)

    def body(_: int, tall: float, wide: float) -> np.ndarray:
        return finished(np.broadcast_to(paint, (8, 16, 3)) * (0.9 + 0.1 * rng.random((8, 16, 1), np.float32)))

    def cabin(side: int, tall: float, wide: float) -> np.ndarray:
        return body(side, tall, wide) if side == 4 else np.full((8, 16, 3), (42, 50, 60), np.uint8)

    return [
        *box(foot, (4.1, 1.75, 0.85), body, 1.0, turn),
        *box(foot + np.array([0, 0, 0.85]), (2.2, 1.6, 0.6), cabin, 1.0, turn),
    ]
