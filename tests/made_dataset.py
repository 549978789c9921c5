"""A small data set written by hand: photos of one colour per cell, pairs and masks that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mirror_sfm.dataset.format import INDEX, SCENE, json_bytes, write_array
from mirror_sfm.overlap.measured import MASK_SIDE, NONE, STRONG, WEAK


def write_scene(
    folder: Path,
    name: str,
    photos: np.ndarray,
    pairs: list[tuple[int, int, float]],
    masks: np.ndarray | None = None,
    orientations: list[int] | None = None,
    held_out: tuple[int, ...] = (),
) -> None:
    """Pairs are (i, j, overlap), masks one per pair with a label."""
    place = folder / name
    place.mkdir(parents=True)
    overlap = np.array([pair[2] for pair in pairs])
    weak = (overlap >= 0.05) & (overlap <= 0.2)
    labels = np.where(overlap >= 0.5, STRONG, np.where(weak, WEAK, NONE))
    write_array(place, "photos", photos)
    write_array(place, "pairs", np.array([pair[:2] for pair in pairs]).reshape(-1, 2))
    write_array(place, "overlap", overlap)
    write_array(place, "labels", labels)
    write_array(place, "halves_triangles", np.repeat(overlap[:, None], 2, axis=1))
    write_array(place, "seen_triangles", np.full(len(photos), 100.0))
    if masks is not None:
        write_array(place, "masks", masks)
    turns = orientations or [1] * len(photos)
    about = {
        "name": name,
        "photos": [
            {"name": f"{k}.jpg", "width": 640, "height": 480, "orientation": turns[k], "held_out": k in held_out}
            for k in range(len(photos))
        ],
        "measures": ["triangles"],
        "surface": "mesh",
        "has_masks": masks is not None,
        "has_covered": False,
        "anchors": 0,
        "pairs": {
            "strong": int((labels == STRONG).sum()),
            "weak": int((labels == WEAK).sum()),
            "neither": int((labels == NONE).sum()),
        },
    }
    (place / SCENE).write_bytes(json_bytes(about))


def write_index(folder: Path, size: int, scenes: list[str]) -> None:
    (folder / INDEX).write_bytes(json_bytes({"settings": {"size": size}, "scenes": scenes}))


def blocks(rng: np.random.Generator) -> np.ndarray:
    """[56, 56] coverage that no flip or turn leaves as it is: random blocks of 8 x 8 cells."""
    return np.kron(rng.integers(0, 256, (7, 7)), np.ones((8, 8))).astype(np.uint8)


def picture_of(mask: np.ndarray, size: int) -> np.ndarray:
    """[size, size, 3] whose red is the mask."""
    red = np.kron(mask, np.ones((size // MASK_SIDE, size // MASK_SIDE), np.uint8))
    return np.stack([red, np.zeros_like(red), np.zeros_like(red)], axis=2)
