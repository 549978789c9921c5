"""Pictures of triplets: photos of a data set under their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mirror_sfm.colour import turned_upright
from mirror_sfm.dataset.format import Dataset, SceneEntry
from mirror_sfm.dataset.sampling import Column, Sampler
from mirror_sfm.exports.files import complete_file
from mirror_sfm.overlap.pictures import FIRST_ONLY, SECOND_ONLY, SHARED

_LIT, _DIM = 0.45, 0.35  # of the photo's light, under a colour and without one
_GAP = 8  # pixels


def write_pictures(dataset: Dataset, folder: Path, count: int) -> list[Path]:
    """Writes triplets as drawn for training: anchor and strong partner, anchor and weak partner, side by side.

    Raises:
        MirrorError: no scene has an anchor, or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sampler, written = Sampler(dataset, count, seed=0), []
    for place, column in enumerate(sampler.draw(0)):
        scene = dataset.scenes[column.scene]
        path = folder / f"{place:03d}_{scene.name}.png"
        with complete_file(path) as file:
            draw_triplet(scene, column).save(file, "PNG")
        written.append(path)
    return written


def draw_triplet(scene: SceneEntry, column: Column) -> Image.Image:
    """Four photos in a row: anchor, strong partner, anchor, weak partner; yellow what both of a pair see, red what
    only the anchor does, green what only the partner does; dim what shows no surface, or where nobody knows."""
    stored = scene.array("photos")
    side = stored.shape[1]
    row = Image.new("RGB", (4 * side + 3 * _GAP, side), "white")
    for pair, partner in enumerate(column.photos[1:]):
        anchor = column.photos[0]
        for k, (photo, other, only) in enumerate(((anchor, partner, FIRST_ONLY), (partner, anchor, SECOND_ONLY))):
            shared = _coverage(scene, "masks", (column.masks[pair], int(photo > other)), side)
            covered = np.maximum(shared, _coverage(scene, "covered", (photo,), side))
            picture = tinted(np.asarray(stored[photo]), shared, covered, only)
            upright = np.ascontiguousarray(turned_upright(picture, int(scene.orientations[photo])))
            row.paste(Image.fromarray(upright), ((2 * pair + k) * (side + _GAP), 0))
    return row


def tinted(
    photo: NDArray[np.uint8], shared: NDArray[np.float64], covered: NDArray[np.float64], only: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """A photo [S, S, 3] under its coverage [S, S]: yellow what is shared, `only` what is covered and not shared."""
    colour = shared[..., None] * np.array(SHARED) + (covered - shared)[..., None] * np.array(only)
    light = _DIM + (_LIT - _DIM) * covered[..., None]
    return np.rint(light * photo + (1 - _LIT) * colour).astype(np.uint8)


def _coverage(scene: SceneEntry, name: str, row: tuple[int, ...], side: int) -> NDArray[np.float64]:
    """[side, side] of cells of 56 x 56; 0 where the scene has none."""
    if name not in scene.arrays:
        return np.zeros((side, side))
    cells = Image.fromarray(np.asarray(scene.array(name)[row]))
    return np.asarray(cells.resize((side, side), Image.Resampling.NEAREST)) / 255
