"""Shapes out of patches: rectangles, boxes, bodies of revolution, balls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from mirror_sfm.synthetic.surfaces import Patch

Point: TypeAlias = ArrayLike


def rectangle(
    corner: Point,
    right: Point,
    down: Point,
    picture: np.ndarray,
    cell: float,
    part: tuple[float, float, float, float] | None = None,
    glow: float = 0.0,
) -> Patch:
    """A flat patch from its top left corner and its sides; triangles of about `cell`."""
    corner, right, down = (np.asarray(value, np.float64) for value in (corner, right, down))
    columns, rows = (max(1, round(float(np.linalg.norm(side)) / cell)) for side in (right, down))
    u, v = np.linspace(0, 1, columns + 1)[None, :, None], np.linspace(0, 1, rows + 1)[:, None, None]
    return Patch(corner + u * right + v * down, picture, part, glow=glow)


def quadrangle(corners: Point, picture: np.ndarray, cell: float) -> Patch:
    """A patch between four corners [4, 3], given as top left, top right, bottom right, bottom left."""
    a, b, c, d = np.asarray(corners, np.float64)
    across, down = np.linalg.norm([b - a, c - d], axis=1).max(), np.linalg.norm([d - a, c - b], axis=1).max()
    u = np.linspace(0, 1, max(1, round(across / cell)) + 1)[None, :, None]
    v = np.linspace(0, 1, max(1, round(down / cell)) + 1)[:, None, None]
    return Patch((1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c), picture)


def box(
    middle: Point,
    size: Point,
    picture: Callable[[int, float, float], np.ndarray],
    cell: float,
    turn: float = 0.0,
    sides: Sequence[int] = (0, 1, 2, 3, 4),
) -> list[Patch]:
    """An upright box.

    Args:
        middle: of its floor.
        size: along its own x and y, and its height.
        picture: gives that of a side: its number, height, width. 0 front (-y), 1 right, 2 back, 3 left, 4 top, 5 below.
        cell: of its triangles.
        turn: anticlockwise, in radians.
        sides: which to make.
    """
    middle, (length, depth, height) = np.asarray(middle, np.float64), np.asarray(size, np.float64)
    x, y = np.array([np.cos(turn), np.sin(turn), 0]), np.array([-np.sin(turn), np.cos(turn), 0])
    up = np.array([0, 0, 1.0])
    a, b, c = x * length / 2, y * depth / 2, up * height
    walls = [(-a - b, 2 * a), (a - b, 2 * b), (a + b, -2 * a), (-a + b, -2 * b)]
    patches = []
    for side in sides:
        if side < 4:
            corner, right, down = walls[side][0] + c, walls[side][1], -c
        elif side == 4:
            corner, right, down = -a + b + c, 2 * a, -2 * b
        else:
            corner, right, down = -a - b, 2 * a, 2 * b
        wide, tall = float(np.linalg.norm(right)), float(np.linalg.norm(down))
        patches.append(rectangle(middle + corner, right, down, picture(side, tall, wide), cell))
    return patches


def cube_sphere(cells: int) -> np.ndarray:
    """[6, cells + 1, cells + 1, 3] unit vectors: the six sides of a cube blown up to a sphere, each a patch's grid."""
    axis = np.tan(np.linspace(-np.pi / 4, np.pi / 4, cells + 1)).round(12)  # cells of nearly equal angles
    u, v = np.meshgrid(axis, -axis)
    one = np.ones_like(u)
    sides = [(u, -one, v), (one, u, v), (-u, one, v), (-one, -u, v), (u, v, one), (u, -v, -one)]
    points = np.stack([np.stack(side, axis=-1) for side in sides])
    return points / np.sqrt((points * points).sum(axis=-1, keepdims=True))


def disc(middle: Point, radius: float, picture: np.ndarray, cells: int = 24) -> Patch:
    """A round top: a square grid pushed into a circle, so that the picture is bent little."""
    axis = np.linspace(-1, 1, cells + 1)
    u, v = axis[None], -axis[:, None]
    points = [u * np.sqrt(1 - v * v / 2), v * np.sqrt(1 - u * u / 2), 0 * u * v]
    return Patch(radius * np.stack(points, axis=-1) + np.asarray(middle, np.float64), picture)


def turned(profile: Point, picture: np.ndarray, around: int, middle: Point = (0, 0, 0), parts: int = 1) -> list[Patch]:
    """A body turned on a lathe.

    Args:
        profile: [n, 2] radius and height, from the top down (the picture's top is its first point).
        picture: wrapped around it.
        around: triangles around it.
        middle: where its axis stands, at height 0.
        parts: how often the picture repeats.
    """
    radius, height = np.asarray(profile, np.float64).T
    patches = []
    for part in range(parts):
        angle = 2 * np.pi * (part + np.linspace(0, 1, around // parts + 1)) / parts
        points = np.empty((len(radius), len(angle), 3))
        points[..., 0] = radius[:, None] * np.cos(angle).round(12)
        points[..., 1] = radius[:, None] * np.sin(angle).round(12)
        points[..., 2] = height[:, None]
        patches.append(Patch(points + np.asarray(middle, np.float64), picture))
    return patches
