"""Pictures of facades: plaster, brick or timber framing, with windows, shutters, doors and a plinth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mirror_sfm.synthetic.noise import floats, ramp
from mirror_sfm.synthetic.pictures import bricks, finished, lay, metres, palette, plaster, stones

WALLS = palette("ece2cd e0c8a4 f3f0e8 d8c0ac e2b494 c8d0c4 e8d890 d4a088")
SHUTTERS = palette("4a6450 6c3a34 3c5270 8a8272 5a4632 2f5b5e")
BEAMS = palette("4c3a2c 3a2e26 5e4834")
STOREY = 2.9  # metres

Rng = np.random.Generator


@dataclass(frozen=True)
class Style:
    """What the facades of one house have in common."""

    wall: np.ndarray
    shutter: np.ndarray
    beam: np.ndarray
    kind: str  # "plaster", "brick", "timber" or "stone"

    @classmethod
    def draw(cls, rng: Rng) -> Style:
        kind = str(rng.choice(["plaster", "plaster", "timber", "brick", "stone"]))
        return cls(rng.choice(WALLS), rng.choice(SHUTTERS), rng.choice(BEAMS), kind)


def wall(rng: Rng, height: float, width: float, texels: float, style: Style) -> np.ndarray:
    """[h, w, 3] float32: the wall alone."""
    if style.kind == "brick":
        return bricks(rng, height, width, texels, (0.16, 0.44), tint=(1.05, 1, 1))
    if style.kind == "stone":
        return stones(rng, height, width, texels, 0.5)
    result = plaster(rng, height, width, texels, style.wall)
    if style.kind == "timber":
        _beams(rng, result, height, width, texels, style.beam)
    return result


def facade(rng: Rng, height: float, width: float, texels: float, style: Style, door: bool = False) -> np.ndarray:
    """[h, w, 3] uint8: a wall with its windows, and a door."""
    result = wall(rng, height, width, texels, style)
    x, y = metres(height, width, texels)
    rise = np.float32(height) - y
    lay(result, (124, 118, 108), 0.85 * ramp(0.62, 0.5, rise) + 0 * x)
    bays = max(1, round((width - 0.8) / 2.3))
    pitch = (width - 0.6) / bays
    entrance = int(rng.integers(bays)) if door else -1
    for storey in range(max(1, round(height / STOREY))):
        for bay in range(bays):
            middle = 0.3 + pitch * (bay + 0.5)
            part = np.s_[:, max(0, int((middle - 1.3) * texels)) : int((middle + 1.3) * texels) + 1]
            across = x[part] - np.float32(middle)
            if storey == 0 and bay == entrance:
                _door(result[part], across, rise, style)
            elif rng.random() < 0.86:
                up = rise - np.float32(storey * STOREY + 1.55)
                rows = np.abs(up[:, 0]) < 1
                first, last = int(rows.argmax()), int(rows.sum())
                band = slice(first, first + last)
                _window(rng, result[band, part[1]], across, up[band], style)
    return finished(result)


def _within(across: np.ndarray, up: np.ndarray, width: float, height: float, soft: float = 0.03) -> np.ndarray:
    """1 inside a rectangle around the origin, with soft edges."""
    return ramp(width / 2 + soft, width / 2 - soft, np.abs(across)) * ramp(
        height / 2 + soft, height / 2 - soft, np.abs(up)
    )


def _window(rng: Rng, colour: np.ndarray, across: np.ndarray, up: np.ndarray, style: Style) -> None:
    wide, tall = 0.5 + 0.25 * rng.random(), 1.25
    wide = 2 * wide * 0.8
    for side in (-1, 1):
        lay(
            colour,
            style.shutter * (0.85 + 0.3 * rng.random()),
            _within(across - side * wide * 0.78, up, wide * 0.5, tall),
        )
        lay(colour, style.shutter * 0.6, 0.5 * _within(across - side * wide * 0.78, up, 0.06, tall))
    lay(colour, (240, 236, 226), _within(across, up, wide, tall))
    glass = floats((52, 64, 82)) * (0.6 + 0.8 * rng.random())
    lay(colour, glass, _within(across, up, wide - 0.18, tall - 0.18))
    lay(
        colour,
        (150, 176, 206),
        0.5 * rng.random() * ramp(-0.4, 0.6, across + up) * _within(across, up, wide - 0.2, tall - 0.2),
    )
    lay(
        colour,
        (236, 230, 220),
        0.9 * np.maximum(_within(across, up, 0.08, tall), _within(across, up - 0.2, wide, 0.07)),
    )
    lay(colour, (168, 160, 148), _within(across, up + tall / 2 + 0.1, wide + 0.24, 0.14))
    if rng.random() < 0.3:  # a flower box
        lay(colour, (150 + 90 * rng.random(), 60, 70), 0.9 * _within(across, up + tall / 2 - 0.02, wide, 0.2))


def _door(colour: np.ndarray, across: np.ndarray, rise: np.ndarray, style: Style) -> None:
    up = rise - np.float32(1.1)
    lay(colour, (176, 168, 152), _within(across, up, 1.36, 2.36))
    lay(colour, style.shutter * 0.9, _within(across, up, 1.04, 2.1))
    for side in (-1, 1):
        for level in (-0.5, 0.4):
            lay(colour, style.shutter * 0.6, 0.8 * _within(across - side * 0.25, up - level, 0.34, 0.66))


def _beams(rng: Rng, colour: np.ndarray, height: float, width: float, texels: float, beam: np.ndarray) -> None:
    x, y = metres(height, width, texels)
    rise = np.float32(height) - y
    bays = max(2, round(width / 1.5))
    pitch = np.float32(width / bays)
    off = np.abs((x / pitch + 0.5) % 1 - 0.5) * pitch
    upright = ramp(0.14, 0.09, off) + 0 * y
    level = ramp(0.15, 0.1, np.abs((rise / np.float32(STOREY) + 0.5) % 1 - 0.5) * np.float32(STOREY)) + 0 * x
    bay = np.floor(x / pitch)
    slant = np.where(rng.integers(0, 2, 64)[bay.astype(int) % 64] == 1, x / pitch - bay, 1 - (x / pitch - bay))
    storey = np.floor(rise / np.float32(STOREY))
    brace = ramp(0.13, 0.08, np.abs(slant - (rise / np.float32(STOREY) - storey))) * (
        rng.random(256)[(bay * 7 + storey * 29).astype(int) % 256] < 0.4
    )
    tone = beam * floats(0.85 + 0.3 * rng.random(colour.shape[:2], np.float32))[..., None]
    lay(colour, tone, np.maximum(np.maximum(upright, level), brace))
