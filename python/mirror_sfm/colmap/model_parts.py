"""What a COLMAP model's files hold, as arrays, and whether its parts fit together.

pycolmap hands out tracks one object at a time, and what leads nowhere it finds late, without a place. So the files are
walked before it opens them, and tracks are taken from the walk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mirror_sfm.errors import MirrorError
from mirror_sfm.scenes.files import broken

NONE = (1 << 64) - 1  # a key point without a 3-D point
MOST_SIDE = 1 << 20  # of a photo, in pixels
PARTS = ("cameras", "images", "points3D")


@dataclass(frozen=True)
class ModelImage:
    """An image: its number, its camera's, its name, the 3-D points of its key points [m] uint64 (NONE: none)."""

    number: int
    camera: int
    name: str
    points: np.ndarray


@dataclass(frozen=True)
class ModelPoints:
    """3-D points and their tracks.

    Attributes:
        ids: [M] uint64.
        xyz: [M, 3] float64.
        lengths: [M] int64 of the tracks.
        images, rows: [sum of lengths] uint32, the images that see them, and their key points, track after track.
    """

    ids: np.ndarray
    xyz: np.ndarray
    lengths: np.ndarray
    images: np.ndarray
    rows: np.ndarray


def model_kind(folder: str | os.PathLike[str]) -> str:
    """How the model in a folder is written: "bin" (also where both are), "txt", or "" where there is none."""
    for kind in ("bin", "txt"):
        if all((Path(folder) / f"{part}.{kind}").is_file() for part in PARTS):
            return kind
    return ""


def check_names(path: Path, images: list[ModelImage]) -> None:
    """Raises `MirrorError` where two images have one name."""
    seen: set[str] = set()
    for image in images:
        if image.name in seen:
            raise broken(path, f"image {image.number}", f"another image is called {image.name!r} too")
        seen.add(image.name)


def check_points(
    points: ModelPoints,
    images: list[ModelImage],
    fault: Callable[[int, int, str], MirrorError],
) -> None:
    """Numbers are finite, ids unique, and what points say of images is what images say of points.

    Args:
        fault: the error of a point and an element of its track (-1: of the point itself).
    """

    def expect(holds: np.ndarray, what: str, element: bool = True) -> None:
        wrong = np.flatnonzero(~holds)
        if not len(wrong):
            return
        at = int(wrong[0])
        if not element:
            raise fault(at, -1, what)
        point = int(np.searchsorted(np.cumsum(points.lengths), at, side="right"))
        raise fault(point, at - int(points.lengths[:point].sum()), what)

    expect(np.isfinite(points.xyz).all(axis=1), "expected a finite position", False)
    expect(first_of_its_kind(points.ids) & (points.ids != NONE), "expected a number that no other point has", False)
    numbers = np.array([image.number for image in images], np.int64)
    sizes = np.array([len(image.points) for image in images], np.int64)
    order = np.argsort(numbers, kind="stable")
    place = np.searchsorted(numbers, points.images, sorter=order)
    known = place < len(numbers)
    known[known] = numbers[order[place[known]]] == points.images[known]
    expect(known, "expected an image of the model")
    image = order[place] if len(order) else place
    expect(points.rows < sizes[image], "expected a key point of the image")
    said = np.concatenate([image.points for image in images]) if images else np.empty(0, np.uint64)
    keypoint = (np.cumsum(sizes) - sizes)[image] + points.rows
    expect(said[keypoint] == np.repeat(points.ids, points.lengths), "expected a key point that names this point")
    expect(first_of_its_kind(keypoint), "expected a key point that is in no other place of a track")


def first_of_its_kind(values: np.ndarray) -> np.ndarray:
    """[n] bool: whether no earlier value is equal."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first
