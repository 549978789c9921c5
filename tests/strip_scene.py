"""A scene known in closed form: a strip of ground, cameras in a row above it that look straight down.

Photo k shows the ground from x = STEP k to STEP k + 1, a share of 1 - STEP (j - i) of which photo j shows too. The red
of a photo is the x of what it shows, so that a mask can be told from the photo beneath it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.meshes import write_mesh
from mirror_sfm.scenes.scene import Mesh, Tracks

PHOTOS, STEP, SIZE = 8, 0.15, (96, 72)
LENGTH = STEP * (PHOTOS - 1) + 1
DOWN = np.diag([1.0, -1.0, -1.0])
CELLS = 0.0125  # side of two triangles


def write_strip(folder: Path, kind: str = "mesh", photos: int = PHOTOS, offset: float = 0.0) -> Path:
    """Writes a scene of photos and cameras with a "mesh", "depth" maps, or the "points" of a model."""
    width, height = SIZE
    (folder / "images").mkdir(parents=True)
    camera = Camera("PINHOLE", (width, width, width / 2, height / 2), width, height)
    views = []
    for k in range(photos):
        x = STEP * k + (np.arange(width) + 0.5) / width
        y = (np.arange(height) + 0.5) / height
        pixels = np.zeros((height, width, 3))
        pixels[:, :, 0], pixels[:, :, 1] = x / LENGTH, y[:, None]
        pixels[:, :, 2] = (np.sin(50 * x) + np.cos(40 * y[:, None]) + 2) / 4
        Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(folder / "images" / f"{k}.png")
        centre = np.array([STEP * k + 0.5 + offset, 0, 1])
        views.append(View(f"{k}.png", camera, np.column_stack([DOWN, -DOWN @ centre])))
    if kind == "points":
        from mirror_sfm.colmap.models import write_model

        write_model(folder / "sparse" / "0", tuple(views), _tracks(photos, offset))
        return folder
    described = [
        {
            "name": view.name,
            "model": camera.model,
            "params": camera.params,
            "width": width,
            "height": height,
            "cam_from_world": view.cam_from_world.tolist(),
        }
        for view in views
    ]
    (folder / "cameras.json").write_text(json.dumps({"cameras": described, "depth_scale": 1000}))
    if kind == "mesh":
        write_mesh(folder / "ground.ply", _ground(offset))
    else:
        (folder / "depth").mkdir()
        for view in views:
            Image.fromarray(np.full((height, width), 1000, np.uint16)).save(folder / "depth" / view.name)
    return folder


def shares(i: int, j: int) -> float:
    """Of photo i that photo j shows too."""
    return max(0.0, 1 - STEP * abs(i - j))


def band(i: int, j: int, side: int) -> np.ndarray:
    """[side, side] coverage of photo i by what photo j shows too."""
    low, high = np.clip(STEP * (j - i), 0, 1), np.clip(STEP * (j - i) + 1, 0, 1)
    cells = np.arange(side)
    covered = np.clip(np.minimum(side * high, cells + 1) - np.maximum(side * low, cells), 0, 1)
    return np.broadcast_to(covered, (side, side))


def _ground(offset: float) -> Mesh:
    columns, rows = round(LENGTH / CELLS) + 8, round(0.75 / CELLS) + 8
    x, y = np.meshgrid(np.arange(columns + 1) - 4, np.arange(rows + 1) - rows / 2)
    vertices = np.stack([CELLS * x.ravel() + offset, CELLS * y.ravel(), np.zeros(x.size)], axis=1)
    first = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    corners = np.stack([first, first + 1, first + columns + 1, first + columns + 2], axis=1)
    faces = np.concatenate([corners[:, [0, 1, 2]], corners[:, [1, 3, 2]]])
    return Mesh(vertices, faces.astype(np.int32))


def _tracks(photos: int, offset: float) -> Tracks:
    """Points on the ground, each seen by the photos above it; few of them by any two, so that the surface counts."""
    rng = np.random.default_rng(0)
    points = np.stack([rng.uniform(0, LENGTH, 3000), rng.uniform(-0.36, 0.36, 3000), np.zeros(3000)], axis=1)
    seen = []
    for k in range(photos):
        inside = (points[:, 0] > STEP * k) & (points[:, 0] < STEP * k + 1)
        seen.append(np.flatnonzero(inside & (rng.random(3000) < 0.15)))
    counts = np.bincount(np.concatenate(seen), minlength=3000)
    rows = np.cumsum(counts > 1) - 1
    seen = [rows[found[counts[found] > 1]].astype(np.int32) for found in seen]
    offsets = np.concatenate([[0], np.cumsum([len(found) for found in seen])])
    return Tracks(points[counts > 1] + [offset, 0, 0], offsets, np.concatenate(seen))
