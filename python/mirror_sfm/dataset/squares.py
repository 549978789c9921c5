"""The photos of a scene, as squares in one array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mirror_sfm.colour import Square, square_rgb
from mirror_sfm.dataset.format import new_array
from mirror_sfm.photos import Skipped, UnusablePhoto, large_photos_allowed, read_file
from mirror_sfm.scenes.cameras import View
from mirror_sfm.threads import parallel

_ASPECT = 0.02  # by which a photo's may differ from its camera's: sizes are rounded


def write_squares(
    out: Path, images: Path, views: Sequence[View], side: int, threads: int, progress: bool
) -> dict[str, Any]:
    """Writes photos.npy, a row per photo that can be used, in the order of the views.

    Returns:
        "photos": name, width, height and orientation of each row; "skipped": name and reason of the others.
    """

    def square(view: View) -> Square | Skipped:
        try:
            found = square_rgb(read_file(images / view.name), side)
            return _fitting(found, view)
        except UnusablePhoto as reason:
            return Skipped(view.name, str(reason))

    pixels = new_array(out, "photos", (len(views), side, side, 3))
    photos: list[dict[str, Any]] = []
    skipped: list[list[str]] = []
    with large_photos_allowed():
        done = parallel(square, views, threads)
        for view, found in zip(
            views, tqdm(done, "photos", len(views), disable=not progress, unit="photo"), strict=True
        ):
            if isinstance(found, Skipped):
                skipped.append([found.name, found.reason])
                continue
            pixels[len(photos)] = found.pixels
            width, height = found.size
            photos.append({"name": view.name, "width": width, "height": height, "orientation": found.orientation})
    if skipped:
        kept = np.array(pixels[: len(photos)])
        del pixels
        new_array(out, "photos", kept.shape)[:] = kept
    return {"photos": photos, "skipped": skipped}


def _fitting(found: Square, view: View) -> Square:
    """The photo, if it is laid out as its camera says: else masks would not lie where they belong.

    Raises:
        UnusablePhoto: it is not.
    """
    (width, height), camera = found.size, view.camera
    if abs(width * camera.height - height * camera.width) > _ASPECT * width * camera.height:
        turned = abs(height * camera.height - width * camera.width) <= _ASPECT * height * camera.height
        why = "it was turned after the reconstruction" if turned else "it was cropped, or another was meant"
        raise UnusablePhoto(
            f"{width} x {height} pixels as stored, but its camera has {camera.width} x {camera.height}: {why}"
        )
    return found
