"""Pictures for rooms: paintings, wallpaper, carpets, rows of books, fronts of cabinets, cloth."""

from __future__ import annotations

import numpy as np

from mirror_sfm.synthetic.noise import floats, fractal, ramp, wave
from mirror_sfm.synthetic.pictures import finished, lay, metres, palette, planks, plaster

PAINTS = palette("d8a048 b8452f 2f5d7c 3c7a5a e8d8b0 7a3c5c 283248 c87850 86a8b8 e0b8a0 586038 a02840")
BOOKS = palette("7c2f2a 2c4a66 3f5f3f b08840 5a3a5c d8c8a0 303438 946044 6a7c88 a8a070")
CLOTHS = palette("8c4a3c 3c5470 5a6e50 b08a58 70506c 4c5a5c")

Rng = np.random.Generator


def painting(rng: Rng, height: float, width: float, texels: float) -> np.ndarray:
    """[h, w, 3] uint8: an invented picture in a frame, every one different."""
    x, y = metres(height, width, texels)
    h, w = y.shape[0], x.shape[1]
    u, v = x / np.float32(width) + 0 * y, y / np.float32(height) + 0 * x
    result = PAINTS[rng.integers(len(PAINTS))] * np.ones((h, w, 1), np.float32)
    kind = rng.integers(3)
    if kind == 0:  # hills before a sky
        result = floats((236, 214, 176)) * (1 - v[..., None]) + floats((120, 160, 200)) * v[..., None]
        lay(result, (250, 226, 150), ramp(0.12, 0.1, np.hypot(u - rng.uniform(0.2, 0.8), 1.2 * (v - 0.28))))
        for k in range(5):
            ridge = 0.4 + 0.12 * k + 0.16 * fractal(rng, 1, w, w / (2 + k), 4)
            lay(result, PAINTS[rng.integers(len(PAINTS))] * (0.9 - 0.1 * k), ramp(0.0, 0.012, v - ridge))
    elif kind == 1:  # discs and bars
        for _ in range(26):
            cx, cy, size, paint = rng.random(), rng.random(), 0.03 + 0.16 * rng.random(), rng.choice(PAINTS)
            if rng.random() < 0.5:
                shape = ramp(size, size - 0.012, np.hypot(u - cx, (v - cy) * height / width))
            else:
                turn = rng.uniform(0, 3.1)
                a = (u - cx) * np.float32(np.cos(turn)) + (v - cy) * np.float32(np.sin(turn))
                b = (v - cy) * np.float32(np.cos(turn)) - (u - cx) * np.float32(np.sin(turn))
                shape = ramp(size * 1.6, size * 1.6 - 0.01, np.abs(a)) * ramp(0.035, 0.025, np.abs(b))
            lay(result, paint, shape)
    else:  # fields of colour between lines
        edges = [np.sort(rng.random(5)), np.sort(rng.random(4))]
        cell = np.searchsorted(edges[0], u[0])[None] * 7 + np.searchsorted(edges[1], v[:, 0])[:, None] * 3
        result = PAINTS[(cell + rng.integers(12)) % len(PAINTS)]
        for edge in edges[0]:
            lay(result, (26, 24, 26), ramp(0.016, 0.01, np.abs(u - np.float32(edge))))
        for edge in edges[1]:
            lay(result, (26, 24, 26), ramp(0.02, 0.014, np.abs(v - np.float32(edge))))
    strokes = fractal(rng, h, w, 0.07 * texels, 4, 0.8)
    result *= (1 + 0.16 * strokes)[..., None]
    rim = np.minimum(np.minimum(x, width - x) + 0 * y, np.minimum(y, height - y) + 0 * x)
    wood = rng.choice(palette("3a2a20 8a6a34 201c1c b89a5a"))
    lay(result, (232, 226, 212), ramp(0.078, 0.074, rim) * (rng.random() < 0.6))
    lay(result, wood * (0.8 + 0.4 * np.abs(wave(rim * 14)))[..., None], ramp(0.045, 0.042, rim))
    return finished(result)


def wallpaper(rng: Rng, height: float, width: float, texels: float, colour: np.ndarray) -> np.ndarray:
    """[h, w, 3] float32: plaster over which a pale pattern is printed, never quite the same twice; a skirting board."""
    result = plaster(rng, height, width, texels, colour, 0.45)
    x, y = metres(height, width, texels)
    h, w = result.shape[:2]
    u, v = x / np.float32(0.32), y / np.float32(0.4)
    u = u + 0.5 * (np.floor(v) % 2)
    a, b = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    r = np.sqrt(a * a + b * b)
    petals = ramp(0.04, 0.0, r - 0.18 - 0.12 * wave(np.arctan2(b, a) * np.float32(5 / (2 * np.pi))))
    worn = 0.5 + 0.8 * fractal(rng, h, w, 0.5 * texels, 4)
    lay(result, floats(colour) * 0.72, 0.55 * petals * np.clip(worn, 0, 1))
    lay(result, (226, 220, 208), ramp(0.11, 0.105, np.float32(height) - y) + 0 * x)
    lay(result, (90, 80, 70), 0.8 * ramp(0.012, 0.004, np.abs(np.float32(height - 0.115) - y)) + 0 * x)
    # Corners are darker: light reaches them from fewer sides.
    edge = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y))
    return result * (0.72 + 0.28 * ramp(0.0, 0.5, edge))[..., None]


def carpet(rng: Rng, height: float, width: float, texels: float) -> np.ndarray:
    """[h, w, 3] uint8: a woven carpet with borders and medallions."""
    x, y = metres(height, width, texels)
    cx, cy = x - np.float32(width / 2), y - np.float32(height / 2)
    border = np.minimum(width / 2 - np.abs(cx) + 0 * y, height / 2 - np.abs(cy) + 0 * x)
    ground, second, third, pale = (CLOTHS[k] for k in rng.permutation(len(CLOTHS))[:4])
    result = ground * np.ones((*border.shape, 1), np.float32)
    lattice = wave(cx / 0.37 + cy / 0.53) * wave(cx / 0.37 - cy / 0.53)
    lay(result, second, ramp(0.15, 0.3, lattice))
    lay(result, pale * 1.4, ramp(0.5, 0.6, -lattice))
    for k, size in enumerate((0.62, 0.5, 0.34, 0.18)):
        star = (
            np.abs(cx) / (width / 2)
            + np.abs(cy) / (height / 2)
            + 0.06 * wave(np.abs(cx) / 0.2) * wave(np.abs(cy) / 0.2)
        )
        lay(result, (second, pale * 1.3, third, ground)[k], ramp(size, size - 0.02, star))
    for k, edge in enumerate((0.34, 0.28, 0.1, 0.05)):
        lay(result, (third, pale * 1.2, second, ground)[k], ramp(edge + 0.008, edge, border))
    lay(result, pale * 1.3, ramp(0.3, 0.5, wave((cx + cy) / 0.16)) * (border > 0.1) * (border < 0.28))
    h, w = border.shape
    weave = 1 + 0.14 * fractal(rng, h, w, 0.02 * texels, 2, 1.0) + 0.12 * fractal(rng, h, w, 0.6 * texels, 4)
    return finished(result * weave[..., None])


def shelves(rng: Rng, height: float, width: float, texels: float, wood: np.ndarray) -> np.ndarray:
    """[h, w, 3] uint8: a bookcase seen from the front, its rows of books."""
    result = planks(rng, height, width, texels, 0.3, 2.2, wood) * 0.28
    x, y = metres(height, width, texels)
    rows = max(1, round(height / 0.36))
    tall = height / rows
    for row in range(rows):
        at, floor = 0.04, (row + 1) * tall - 0.02
        while at < width - 0.09:
            thick, high = rng.uniform(0.02, 0.055), tall * rng.uniform(0.58, 0.86)
            if rng.random() < 0.08:
                at += rng.uniform(0.05, 0.15)
                continue
            place = np.s_[
                round((floor - high) * texels) : round(floor * texels),
                round(at * texels) : round((at + thick) * texels),
            ]
            _book(rng, result[place], rng.choice(BOOKS))
            at += thick + 0.003
    frame = np.minimum(np.minimum(x, width - x) + 0 * y, np.abs((y + 0.0) % tall - 0.0) + 0 * x)
    board = planks(rng, height, width, texels, 0.08, 2.0, wood)
    lay(result, board, ramp(0.03, 0.026, frame))
    return finished(result)


def _book(rng: Rng, spine: np.ndarray, colour: np.ndarray) -> None:
    """A spine, drawn in place: round, with bands and a line of print."""
    h, w = spine.shape[:2]
    if min(h, w) < 2:
        return
    across = np.linspace(-1, 1, w, dtype=np.float32)
    spine[:] = colour * (0.75 + 0.4 * rng.random()) * (1 - 0.4 * across**2)[None, :, None]
    gold = floats((222, 190, 110)) if rng.random() < 0.5 else floats((236, 230, 216))
    for band in rng.uniform(0.05, 0.95, 3):
        spine[int(band * h)] += 0.7 * (gold - spine[int(band * h)])
    top, bottom = int(0.25 * h), int(0.7 * h)
    letters = rng.random((bottom - top, max(1, w // 2)), np.float32) > 0.6
    middle = spine[top:bottom, w // 4 : w // 4 + letters.shape[1]]
    middle[letters] += 0.6 * (gold - middle[letters])


def cabinet(rng: Rng, height: float, width: float, texels: float, wood: np.ndarray, drawers: int) -> np.ndarray:
    """[h, w, 3] uint8: the front of a piece of furniture: drawers with knobs."""
    result = planks(rng, height, width, texels, 0.2, 2.0, wood)
    x, y = metres(height, width, texels)
    columns = max(1, round(width / 0.6))
    u, v = x / np.float32(width / columns), y / np.float32(height / drawers)
    a, b = (u - np.floor(u) - 0.5) * (width / columns), (v - np.floor(v) - 0.5) * (height / drawers)
    rim = np.minimum(width / columns / 2 - np.abs(a) + 0 * b, height / drawers / 2 - np.abs(b) + 0 * a)
    lay(result, wood * 0.25, ramp(0.02, 0.014, np.abs(rim - 0.022)))
    lay(result, wood * 1.3, 0.5 * ramp(0.012, 0.004, np.abs(rim - 0.04)))
    knob = np.sqrt(a * a + b * b)
    lay(result, (60, 48, 36), ramp(0.03, 0.026, knob))
    lay(result, (206, 180, 120), ramp(0.022, 0.016, knob))
    return finished(result)


def cloth(rng: Rng, height: float, width: float, texels: float, colour: np.ndarray) -> np.ndarray:
    """[h, w, 3] uint8: upholstery, checked and worn."""
    x, y = metres(height, width, texels)
    check = 0.12 * (wave(x / 0.09) > 0.3) + 0.12 * (wave(y / 0.09) > 0.3) + 0.1 * (np.abs(wave(x / 0.27)) < 0.1)
    h, w = check.shape
    tone = 0.85 + check + 0.14 * fractal(rng, h, w, 0.3 * texels, 5) + 0.12 * fractal(rng, h, w, 0.012 * texels, 1)
    return finished(floats(colour) * tone[..., None])
