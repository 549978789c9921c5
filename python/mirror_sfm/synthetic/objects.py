"""A sculpture on a pedestal on a turntable. Metres; the sculpture's middle is at the origin."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mirror_sfm.synthetic.noise import SolidNoise, floats, fractal, ramp, wave
from mirror_sfm.synthetic.pictures import finished, lay, palette, planks, stones
from mirror_sfm.synthetic.shapes import cube_sphere, disc, turned
from mirror_sfm.synthetic.surfaces import Patch

RADIUS = 0.5
CELLS = 48  # along a side of each of the sculpture's six patches
TEXELS = 288  # the same, of its pictures
GLAZES = palette("2f6a78 b8452f d8a048 3c5a3c 7a3c5c e4d6b4 28344c c87850")

Rng = np.random.Generator


def statue(rng: Rng) -> list[Patch]:
    """The sculpture on its pedestal."""
    patches = sculpture(rng)
    foot = min(float(patch.points[..., 2].min()) for patch in patches)
    return patches + stand(rng, foot + 0.03)


def sculpture(rng: Rng) -> list[Patch]:
    """A glazed lump: bulges, hollows and ridges, painted in bands and speckles."""
    noise = SolidNoise(rng)
    shift = rng.uniform(0, 30, 3)
    glazes = GLAZES[rng.permutation(len(GLAZES))]
    patches = []
    for grid, texels in zip(cube_sphere(CELLS), _texel_directions(), strict=True):
        points = _sculpted(grid, noise, shift)
        around = _sculpted(_ring(grid), noise, shift)  # one more cell on every side: normals without a seam
        normals = np.cross(around[2:, 1:-1] - around[:-2, 1:-1], around[1:-1, 2:] - around[1:-1, :-2])
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        patches.append(Patch(points, _glazed(texels, noise, shift, glazes), normals=normals))
    return patches


def _texel_directions() -> np.ndarray:
    """[6, TEXELS, TEXELS, 3] directions of the texels' centres."""
    fine = cube_sphere(2 * TEXELS)
    return fine[:, 1::2, 1::2]


def _ring(grid: np.ndarray) -> np.ndarray:
    """A patch's grid of directions and one line more around it."""
    grown = np.pad(grid, ((1, 1), (1, 1), (0, 0)))
    for axis in (0, 1):
        view = np.moveaxis(grown, axis, 0)
        view[0], view[-1] = 2 * view[1] - view[2], 2 * view[-2] - view[-3]
    return grown / np.linalg.norm(grown, axis=-1, keepdims=True)


def _sculpted(directions: np.ndarray, noise: SolidNoise, shift: np.ndarray) -> np.ndarray:
    bulges = noise(directions + shift, 0.85, 2, 0.4).astype(np.float64)
    ridges = 1 - np.abs(noise(directions * 1.3 + shift + 7, 0.7, 2, 0.5)).astype(np.float64) * 2
    pits = noise(directions * 2 + shift + 3, 0.28, 2).astype(np.float64)
    reach = RADIUS * (0.78 + 0.26 * bulges + 0.13 * np.clip(ridges, 0, 1) ** 2 + 0.03 * pits)
    return directions * reach[..., None] * [1, 1, 1.12]


def _glazed(directions: np.ndarray, noise: SolidNoise, shift: np.ndarray, glazes: np.ndarray) -> np.ndarray:
    """[TEXELS, TEXELS, 3] uint8 colours of the sculpture in these directions."""
    broad, fine = noise(directions + shift, 0.5, 3, 0.6), noise(directions + shift, 0.09, 3, 0.7)
    grains = noise(directions + shift + 11, 0.026, 2, 0.8)
    height = floats(directions[..., 2]) + 0.22 * broad
    colour = glazes[0] * np.ones((*height.shape, 1), np.float32)
    for k, low in enumerate((-0.62, -0.3, 0.02, 0.33, 0.62)):
        lay(colour, glazes[k + 1], ramp(low - 0.012, low + 0.012, height))
        lay(colour, glazes[(k + 3) % 8] * 0.5, ramp(0.02, 0.01, np.abs(height - low)))
    scales = wave(height * 7 + 2.2 * fine) * wave(3 * broad + 0.9 * fine)
    lay(colour, glazes[7], 0.8 * ramp(0.25, 0.4, scales))
    lay(colour, (38, 32, 30), 0.85 * ramp(0.42, 0.52, fine))
    lay(colour, (238, 232, 216), 0.85 * ramp(0.62, 0.7, grains))
    return finished(colour * (1 + 0.2 * fine + 0.14 * grains)[..., None])


def stand(rng: Rng, top: float) -> list[Patch]:
    """The pedestal of stone, whose top is at height `top`, and the wooden table it turns on."""
    plinth = [(0.34, 0), (0.38, -0.03), (0.38, -0.08), (0.3, -0.12), (0.28, -0.3), (0.34, -0.36), (0.4, -0.38)]
    marble = finished(stones(rng, 0.5, 1.2, 200, 0.09, (1.0, 0.96, 0.9)))
    patches = turned(_denser(np.array(plinth) + np.array([0, top])), marble, 72, parts=2)
    patches.append(disc((0, 0, top), 0.34, finished(stones(rng, 0.68, 0.68, 200, 0.09, (1.0, 0.96, 0.9)))))
    rim = [(0.9, top - 0.38), (0.93, top - 0.4), (0.93, top - 0.46)]
    patches += turned(_denser(np.array(rim)), finished(planks(rng, 0.12, 3, 120, 0.1, 0.7)), 96, parts=2)
    return [*patches, disc((0, 0, top - 0.38), 0.9, _dial(rng), 40)]


def _denser(profile: np.ndarray, step: float = 0.03) -> np.ndarray:
    """The same line with points at most `step` apart."""
    points = [profile[0]]
    for start, end in pairwise(profile):
        count = max(1, round(float(np.hypot(*(end - start))) / step))
        points += [start + (end - start) * (k + 1) / count for k in range(count)]
    return np.array(points)


def _dial(rng: Rng) -> np.ndarray:
    """[h, w, 3] uint8: the table's boards with a few inlaid squares and stains."""
    colour = planks(rng, 1.8, 1.8, 200, 0.12, 0.8)
    h, w = colour.shape[:2]
    x, y = np.arange(w, dtype=np.float32)[None] / w, np.arange(h, dtype=np.float32)[:, None] / h
    for u, v, side, turn in rng.uniform((0.06, 0.06, 0.015, 0), (0.94, 0.94, 0.05, 1), (40, 4)):
        c, s = (1 - turn**2) ** 0.5, turn
        a, b = np.abs(c * (x - u) + s * (y - v)), np.abs(c * (y - v) - s * (x - u))
        inlay = np.maximum(a, b)
        lay(colour, rng.choice(GLAZES), 0.85 * ramp(side, side - 0.003, inlay))
        lay(colour, (228, 216, 190), 0.85 * ramp(0.003, 0.001, np.abs(inlay - 0.6 * side)))
    lay(colour, (50, 40, 32), 0.6 * ramp(0.5, 0.9, fractal(rng, h, w, 40, 3)))
    return finished(colour)
