"""Houses and a church, as patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mirror_sfm.synthetic.facades import Style, facade, wall
from mirror_sfm.synthetic.pictures import finished, palette, tiles
from mirror_sfm.synthetic.shapes import box, quadrangle
from mirror_sfm.synthetic.surfaces import Patch

TEXELS = 14.0  # of pictures, per metre
CELL = 1.0  # of triangles, metres
ROOFS = palette("b05a40 a04c38 bc7050 8a5848 70686c 94503c")
OVERHANG = 0.45

Rng = np.random.Generator


@dataclass(frozen=True)
class Frame:
    """Where a building stands: the middle of its floor, its own axes, its length (along x) and width."""

    foot: np.ndarray
    turn: float
    length: float
    width: float

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """[3] in the world of a place given in half lengths, half widths, and metres up."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        along, across = x * self.length / 2, y * self.width / 2
        return self.foot + np.array([c * along - s * across, s * along + c * across, z])


def house(
    rng: Rng, foot: np.ndarray, length: float, width: float, eaves: float, ridge: float, turn: float
) -> list[Patch]:
    """Four facades, a gable roof, a chimney, sometimes an extension."""
    style, roof, frame = Style.draw(rng), rng.choice(ROOFS), Frame(foot, turn, length, width)
    door = int(rng.integers(4))
    patches = box(
        foot,
        (length, width, eaves),
        lambda side, tall, wide: facade(rng, tall, wide, TEXELS, style, door=side == door),
        CELL,
        turn,
        sides=(0, 1, 2, 3),
    )
    patches += gable_roof(rng, frame, eaves, ridge, style, roof)
    along = float(rng.uniform(-0.6, 0.6))
    chimney = Style(style.wall, style.shutter, style.beam, "brick")
    patches += box(
        frame.at(along, 0.35, eaves + 0.5 * (ridge - eaves)),
        (0.9, 0.8, 0.5 * (ridge - eaves) + 0.9),
        lambda side, tall, wide: finished(wall(rng, tall, wide, TEXELS, chimney) * (0.45 if side == 4 else 1)),
        CELL,
        turn,
    )
    if rng.random() < 0.45:  # an extension under a flat roof
        side = int(rng.choice([-1, 1]))
        patches += box(
            frame.at(float(rng.uniform(-0.4, 0.4)), side * 1.35, 0),
            (0.4 * length, 0.45 * width, 2.7),
            lambda number, tall, wide: (
                finished(tiles(rng, tall, wide, TEXELS, ROOFS[4] * 1.1))
                if number == 4
                else facade(rng, tall, wide, TEXELS, style)
            ),
            CELL,
            turn,
        )
    return patches


def gable_roof(
    rng: Rng, frame: Frame, eaves: float, ridge: float, style: Style, colour: np.ndarray, over: float = OVERHANG
) -> list[Patch]:
    """Two slopes that reach beyond the walls, and the triangles of wall under their ends."""
    wide, long = 1 + 2 * over / frame.width, 1 + 2 * over / frame.length
    low = eaves - over * (ridge - eaves) * 2 / frame.width
    slope = float(np.hypot(frame.width / 2 + over, ridge - low))
    patches = []
    for side in (-1, 1):
        top = [frame.at(side * long, 0, ridge), frame.at(-side * long, 0, ridge)]
        foot = [frame.at(-side * long, side * wide, low), frame.at(side * long, side * wide, low)]
        picture = finished(tiles(rng, slope, frame.length + 2 * over, TEXELS, colour))
        patches.append(quadrangle([*top, *foot], picture, CELL))
        under = finished(wall(rng, ridge - eaves, frame.width, TEXELS, style))
        tip, right, left = (frame.at(side, 0, ridge), frame.at(side, side, eaves), frame.at(side, -side, eaves))
        patches.append(quadrangle([tip, tip, right, left], under, CELL))
    return patches


def tower(rng: Rng, foot: np.ndarray, side: float, eaves: float, tip: float, turn: float) -> list[Patch]:
    """A square tower of stone under a spire."""
    style = Style(palette("e4dccb")[0], palette("4a4238")[0], palette("4c3a2c")[0], "stone")
    frame = Frame(foot, turn, side, side)
    patches = box(
        foot,
        (side, side, eaves),
        lambda _, tall, wide: facade(rng, tall, wide, TEXELS, style),
        CELL,
        turn,
        (0, 1, 2, 3),
    )
    reach = 1 + 0.7 / side
    corners = [frame.at(reach * x, reach * y, eaves - 0.2) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    top = frame.at(0, 0, tip)
    for k in range(4):
        picture = finished(tiles(rng, tip - eaves, side, TEXELS, palette("5c6a70")[0]))
        patches.append(quadrangle([top, top, corners[(k + 1) % 4], corners[k]], picture, CELL))
    return patches


def church(rng: Rng, foot: np.ndarray, turn: float) -> list[Patch]:
    """A nave with buttresses, a choir, and a tower at its west end."""
    style = Style(palette("f0e8d8")[0], palette("6a4a3a")[0], palette("4c3a2c")[0], "stone")
    frame = Frame(foot, turn, 19, 9)
    roof = palette("9c4c3a")[0]
    patches = box(
        foot, (19, 9, 7), lambda _, tall, wide: facade(rng, tall, wide, TEXELS, style), CELL, turn, (0, 1, 2, 3)
    )
    patches += gable_roof(rng, frame, 7, 12.5, style, roof)
    choir = Frame(frame.at(1.3, 0, 0), turn, 6, 6.4)
    patches += box(
        choir.foot,
        (6, 6.4, 5.6),
        lambda _, tall, wide: facade(rng, tall, wide, TEXELS, style),
        CELL,
        turn,
        (0, 1, 2, 3),
    )
    patches += gable_roof(rng, choir, 5.6, 9, style, roof)
    for side in (-1, 1):
        for along in (-0.8, -0.3, 0.2, 0.7):
            patches += box(
                frame.at(along, side * 1.09, 0),
                (0.8, 0.9, 5.2),
                lambda _, tall, wide: finished(wall(rng, tall, wide, TEXELS, style)),
                CELL,
                turn,
            )
    return patches + tower(rng, frame.at(-1.22, -0.0, 0), 6.5, 16, 27, turn)


def low_wall(rng: Rng, start: np.ndarray, end: np.ndarray, height: float = 1.0, thick: float = 0.5) -> list[Patch]:
    """A wall of field stones from one place to another."""
    style = Style(palette("c8c0b0")[0], palette("4a4238")[0], palette("4c3a2c")[0], "stone")
    along = end - start
    turn = float(np.arctan2(along[1], along[0]))
    return box(
        (start + end) / 2 - [0, 0, 0.4],
        (float(np.linalg.norm(along)), thick, height + 0.4),
        lambda _, tall, wide: finished(wall(rng, tall, wide, TEXELS, style)),
        CELL,
        turn,
    )
