"""The text files of a COLMAP model, looked through before pycolmap opens them: its errors name no line, and it cuts
names of images at their first space."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mirror_sfm.colmap.model_parts import MOST_SIDE, NONE, ModelImage, ModelPoints, check_names, check_points
from mirror_sfm.errors import MirrorError
from mirror_sfm.scenes.files import Line, broken, read_lines


def walk_text(folder: Path) -> tuple[list[ModelImage], ModelPoints]:
    """Looks through a text model.

    Raises:
        UsageError: a file cannot be read.
        MirrorError: a file is broken: its name, the line, and what was expected.
    """
    cameras = _cameras(folder / "cameras.txt")
    images = _images(folder / "images.txt", cameras)
    return images, _points(folder / "points3D.txt", images)


def _cameras(path: Path) -> set[int]:
    cameras: set[int] = set()
    for line in read_lines(path, comments=True):
        number = _number(line, 0, "the number of a camera")
        if len(line.words) < 5:
            raise line.broken(f"expected number, model, width, height and parameters, found {len(line.words)} words")
        for place, what in ((2, "a width"), (3, "a height")):
            if not 1 <= line.whole(place, what) < MOST_SIDE:
                raise line.broken(f"expected {what} in pixels, found {line.words[place]}")
        line.numbers(4)
        if number in cameras:
            raise line.broken(f"camera {number} is there twice")
        cameras.add(number)
    return cameras


def _images(path: Path, cameras: set[int]) -> list[ModelImage]:
    images: dict[int, ModelImage] = {}
    lines = [line for line in read_lines(path, blank=True) if not line.text.lstrip().startswith("#")]
    while lines and not lines[0].words:
        lines.pop(0)
    for head, body in zip(lines[::2], [*lines[1::2], Line(path, 0, "")], strict=False):
        if not head.words:  # the empty end of the file
            break
        number = _number(head, 0, "the number of an image")
        if len(head.words) < 10:
            raise head.broken(f"expected number, pose, camera and name of an image, found {len(head.words)} words")
        if not math.fsum(q * q for q in head.numbers(1, 8)[:4]):
            raise head.broken("expected a rotation, a quaternion that is not 0")
        camera = _number(head, 8, "the number of a camera")
        if camera not in cameras:
            raise head.broken(f"expected a camera of cameras.txt, found {camera}")
        if number in images:
            raise head.broken(f"image {number} is there twice")
        name = head.text.split(None, 9)[9].rstrip()
        images[number] = ModelImage(number, camera, name, _named_points(body))
    check_names(path, list(images.values()))
    return list(images.values())


def _named_points(line: Line) -> np.ndarray:
    if len(line.words) % 3:
        raise line.broken(f"expected x, y and a point of each key point, found {len(line.words)} words")
    try:
        np.array([word for k, word in enumerate(line.words) if k % 3 < 2], np.float64)
        points = np.array(line.words[2::3], np.int64)
    except (ValueError, OverflowError):
        raise line.broken("expected x, y and the number of a point (or -1) of each key point") from None
    return np.where(points < 0, np.int64(-1), points).astype(np.uint64)


def _points(path: Path, images: list[ModelImage]) -> ModelPoints:
    lines = read_lines(path, comments=True)
    ids, xyz, lengths, track = [], [], [], []
    for line in lines:
        if len(line.words) < 8 or len(line.words) % 2:
            raise line.broken(f"expected a point: number, x y z, r g b, error, track; found {len(line.words)} words")
        ids.append(line.whole(0, "the number of a point"))
        xyz.append(line.numbers(1, 4))
        try:
            track.append(np.array(line.words[8:], np.uint32))
        except (ValueError, OverflowError):
            raise line.broken("expected whole numbers, pairs of image and key point") from None
        lengths.append(len(track[-1]) // 2)
    elements = np.concatenate(track) if track else np.empty(0, np.uint32)
    points = ModelPoints(
        np.array(ids, np.uint64),
        np.array(xyz).reshape(-1, 3),
        np.array(lengths, np.int64),
        elements[::2],
        elements[1::2],
    )

    def fault(point: int, element: int, what: str) -> MirrorError:
        word = 0 if element < 0 else 8 + 2 * element
        return broken(path, f"line {lines[point].number}, word {word + 1}", what)

    check_points(points, images, fault)
    return points


def _number(line: Line, place: int, what: str) -> int:
    number = line.whole(place, what)
    if number >= NONE >> 32:
        raise line.broken(f"expected {what} below {NONE >> 32}, found {number}")
    return number
