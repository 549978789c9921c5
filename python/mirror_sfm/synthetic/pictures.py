"""Procedural pictures of materials: plaster, bricks, tiles, planks, stones, leaves. All sRGB, [h, w, 3] uint8."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mirror_sfm.synthetic.noise import floats, fractal, ramp, wave

Rng = np.random.Generator


def palette(colours: str) -> np.ndarray:
    """[n, 3] float32 from hexadecimal rrggbb."""
    return floats([list(bytes.fromhex(colour)) for colour in colours.split()])


BRICKS = palette("9c5a44 8a4c3a ac6c50 7c463a b47c5e")
WOODS = palette("8a6240 a47c50 6c4a34 b8925e 5a4232")
STONES = palette("a8a294 989088 b8b0a0 888478 c0b49c")


def finished(colour: np.ndarray) -> np.ndarray:
    return np.clip(colour + np.float32(0.5), 0, 255).astype(np.uint8)


def lay(colour: np.ndarray, paint: ArrayLike, amount: np.ndarray) -> None:
    """Mixes paint (a colour, or one per pixel) into colours [h, w, 3] float32, in place; amount is 0 .. 1."""
    amount = np.asarray(amount)
    if amount.shape != colour.shape[:2]:
        amount = np.broadcast_to(amount, colour.shape[:2])
    where = amount > 0  # mostly little of a picture
    paint, under = floats(paint), colour[where]
    over = paint[where] if paint.ndim == 3 else paint
    colour[where] = under + (over - under) * np.minimum(amount[where], 1)[:, None].astype(np.float32)


def metres(height: float, width: float, texels: float) -> tuple[np.ndarray, np.ndarray]:
    """x [1, w] and y [h, 1] float32 of the pixels of a picture so large, from its top left, in metres."""
    h, w = size(height, width, texels)
    x, y = (np.arange(w) + 0.5) * (width / w), (np.arange(h) + 0.5) * (height / h)
    return floats(x)[None], floats(y)[:, None]


def size(height: float, width: float, texels: float) -> tuple[int, int]:
    """Pixels of a picture of height x width metres at `texels` pixels per metre."""
    return max(4, round(height * texels)), max(4, round(width * texels))


def chance(rng: Rng, *indices: np.ndarray) -> np.ndarray:
    """Random values 0 .. 1 float32, one per combination of whole numbers."""
    table = rng.random(4096, np.float32)
    total = np.zeros(1, np.int64)
    for k, index in enumerate(indices):
        total = total * 31 + index.astype(np.int64) * (7 + 12 * k)
    return table[total % 4096]


def plaster(rng: Rng, height: float, width: float, texels: float, colour: ArrayLike, wear: float = 1.0) -> np.ndarray:
    """[h, w, 3] float32: paint with stains, streaks that run down, and fine grain."""
    h, w = size(height, width, texels)
    broad, fine = fractal(rng, h, w, 1.6 * texels, 5), fractal(rng, h, w, 0.14 * texels, 3, 0.8)
    streaks = fractal(rng, 1, w, 0.35 * texels, 3) * floats(np.linspace(1, 0.2, h))[:, None]
    tone = 1 + np.float32(wear) * (0.07 * broad + 0.05 * fine + 0.05 * streaks)
    result = floats(colour) * tone[..., None]
    lay(result, floats(colour) * 0.7, np.float32(wear) * ramp(0.95, 1.4, broad + 0.4 * fine))
    return result


def bricks(
    rng: Rng,
    height: float,
    width: float,
    texels: float,
    brick: tuple[float, float] = (0.075, 0.23),
    tint: ArrayLike = 1.0,
) -> np.ndarray:
    """[h, w, 3] float32: courses of bricks, each of its own colour, and the joints between."""
    x, y = metres(height, width, texels)
    course = np.floor(y / brick[0])
    along = x / np.float32(brick[1]) + 0.5 * (course % 2)
    number = np.floor(along)
    u, v = along - number, y / np.float32(brick[0]) - course
    shade = chance(rng, number, course)
    result = BRICKS[(chance(rng, number, course + 7) * 4.99).astype(np.int32)] * (0.8 + 0.4 * shade)[..., None]
    joint = np.maximum(ramp(0.06, 0.02, np.minimum(u, 1 - u)), ramp(0.16, 0.06, np.minimum(v, 1 - v)))
    lay(result, (176, 168, 154), joint)
    h, w = result.shape[:2]
    grain = 1 + 0.1 * fractal(rng, h, w, 0.9 * texels, 5) + 0.1 * fractal(rng, h, w, 0.04 * texels, 2)
    return result * grain[..., None] * floats(tint)


def tiles(rng: Rng, height: float, width: float, texels: float, colour: ArrayLike) -> np.ndarray:
    """[h, w, 3] float32: a roof, its courses across, every tile a little different, moss and dark patches."""
    x, y = metres(height, width, texels)
    course = np.floor(y / np.float32(0.34))
    along = x / np.float32(0.3) + 0.5 * (course % 2)
    number = np.floor(along)
    u, v = along - number, y / np.float32(0.34) - course
    h, w = u.shape
    tone = 0.74 + 0.34 * chance(rng, number, course) + 0.1 * wave(u * 0.5) - 0.28 * ramp(0.2, 0.0, v)
    broad, fine = fractal(rng, h, w, 2.2 * texels, 5, 0.7), fractal(rng, h, w, 0.3 * texels, 3)
    result = floats(colour) * (tone + 0.12 * broad + 0.1 * fine)[..., None]
    lay(result, (92, 98, 62), 0.7 * ramp(0.5, 1.0, broad + 0.3 * fine))
    lay(result, (196, 172, 146), 0.7 * (chance(rng, number + 3, course) > 0.984))
    return result


def planks(
    rng: Rng,
    height: float,
    width: float,
    texels: float,
    board: float = 0.14,
    length: float = 1.3,
    wood: ArrayLike | None = None,
) -> np.ndarray:
    """[h, w, 3] float32: boards along x with their grain, ends and knots."""
    x, y = metres(height, width, texels)
    row = np.floor(y / np.float32(board))
    along = x / np.float32(length) + chance(rng, row)
    number = np.floor(along)
    h, w = number.shape
    own = chance(rng, number, row)
    base = WOODS[(chance(rng, number + 5, row) * 2.99).astype(np.int32)] if wood is None else floats(wood)
    bend = fractal(rng, h, w, 0.5 * texels, 4)
    rings = wave(y / np.float32(board) * 2.2 + bend * 1.6 + 9 * own)
    fibre = fractal(rng, h, max(4, w // 6), 0.02 * texels, 2).repeat(7, axis=1)[:, :w]
    tone = 0.78 + 0.3 * own + 0.09 * rings + 0.09 * fibre + 0.06 * bend
    result = base * tone[..., None]
    u, v = along - number, y / np.float32(board) - row
    edge = np.maximum(ramp(0.05, 0.0, np.minimum(v, 1 - v)), ramp(0.008, 0.0, np.minimum(u, 1 - u)))
    lay(result, base * np.float32(0.3), 0.85 * edge)
    knot = fractal(rng, h, w, 0.11 * texels, 2)
    lay(result, base * np.float32(0.42), 0.8 * ramp(0.88, 1.05, knot))
    return result


def stones(
    rng: Rng, height: float, width: float, texels: float, stone: float = 0.45, tint: ArrayLike = 1.0
) -> np.ndarray:
    """[h, w, 3] float32: paving or masonry of stones of many sizes: cells around scattered points."""
    x, y = metres(height, width, texels)
    h, w = y.shape[0], x.shape[1]
    x = x + np.float32(0.12 * stone) * fractal(rng, h, w, 0.5 * stone * texels, 3)
    y = y + np.float32(0.12 * stone) * fractal(rng, h, w, 0.5 * stone * texels, 3)
    column, row = np.floor(x / np.float32(stone)), np.floor(y / np.float32(stone))
    table = rng.random((3, 4096), np.float32)
    first = np.full((h, w), np.inf, np.float32)
    second, owner = first.copy(), np.zeros((h, w), np.int64)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            key = ((column + i).astype(np.int64) * 31 + (row + j).astype(np.int64) * 977) % 4096
            dx = x - (column + i + 0.5 + 0.8 * (table[0][key] - 0.5)) * np.float32(stone)
            dy = y - (row + j + 0.5 + 0.8 * (table[1][key] - 0.5)) * np.float32(stone)
            distance = dx * dx + dy * dy
            nearer = distance < first
            second = np.where(nearer, first, np.minimum(second, distance))
            owner = np.where(nearer, key, owner)
            first = np.minimum(first, distance)
    shade = table[2][owner]
    fine = fractal(rng, h, w, 0.25 * stone * texels, 4)
    result = STONES[(shade * 4.99).astype(np.int32)] * (0.86 + 0.3 * (shade * 7 % 1) + 0.16 * fine)[..., None]
    gap = (np.sqrt(second) - np.sqrt(first)) / np.float32(stone)
    lay(result, (74, 68, 60), 0.9 * ramp(0.1, 0.02, gap))
    return result * floats(tint)


def leaves(rng: Rng, side: int, colour: ArrayLike) -> np.ndarray:
    """[side, side, 3] uint8: foliage, clumps of light and dark leaves."""
    clumps, leaf = fractal(rng, side, side, 26, 3, 0.8), fractal(rng, side, side, 5, 3, 0.9)
    tone = 0.8 + 0.3 * clumps + 0.42 * leaf
    result = floats(colour) * np.clip(tone, 0.16, 1.7)[..., None]
    lay(result, (196, 190, 96), 0.35 * ramp(0.75, 1.2, leaf + 0.5 * clumps))
    return finished(result)
