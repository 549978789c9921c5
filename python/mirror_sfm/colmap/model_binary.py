"""The binary files of a COLMAP model, looked through before pycolmap opens them: it believes their counts.

A file is walked record by record for its lengths; what is inside the records is looked at in bulk.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from mirror_sfm.colmap.model_parts import MOST_SIDE, NONE, ModelImage, ModelPoints, check_names, check_points
from mirror_sfm.errors import MirrorError
from mirror_sfm.scenes.files import broken, read_bytes

_MOST_POINTS = (1 << 31) - 1
# Parameters by number of the model; every number COLMAP 4 knows.
_PARAMS = (3, 4, 4, 5, 8, 8, 12, 5, 4, 5, 12, 16, 4, 5, 3, 4, 6, 2)
_SEEN = np.dtype([("x", "<f8"), ("y", "<f8"), ("point", "<u8")])
_TRACK = np.dtype([("image", "<u4"), ("row", "<u4")])


def walk_binary(folder: Path) -> tuple[list[ModelImage], ModelPoints]:
    """Looks through a binary model.

    Raises:
        UsageError: a file cannot be read.
        MirrorError: a file is broken: its name, the byte, and what was expected.
    """
    cameras = _cameras(folder / "cameras.bin")
    images = _images(folder / "images.bin", cameras)
    points = _points(folder / "points3D.bin", images)
    rigs, sensors = folder / "rigs.bin", {(0, camera) for camera in cameras}
    if rigs.is_file() and (folder / "frames.bin").is_file():
        _frames(folder / "frames.bin", _rigs(rigs, sensors), {image.number: image.camera for image in images})
    return images, points


class _Walk:
    """A file and the place in it."""

    def __init__(self, path: Path) -> None:
        self.path, self.content, self.at = path, read_bytes(path), 0

    def take(self, form: str, what: str) -> tuple:
        """The next values; `form` as in `struct`, without the byte order."""
        size = struct.calcsize("<" + form)
        if size > len(self.content) - self.at:
            raise self.broken(f"expected {what} ({size} bytes), {len(self.content) - self.at} bytes are left")
        values = struct.unpack_from("<" + form, self.content, self.at)
        self.at += size
        return values

    def count(self, least: int, what: str, form: str = "Q") -> int:
        """A number of things that take at least `least` bytes each."""
        start = self.at
        (count,) = self.take(form, f"the number of {what}")
        if count * least > len(self.content) - self.at:
            raise self.broken(
                f"expected a number of {what} of {least} bytes or more each, found {count} and "
                f"{len(self.content) - self.at} bytes after it",
                start,
            )
        return count

    def end(self) -> None:
        if self.at != len(self.content):
            raise self.broken(f"expected the end, {len(self.content) - self.at} bytes follow")

    def broken(self, expected: str, at: int | None = None) -> MirrorError:
        return broken(self.path, f"byte {self.at if at is None else at}", expected)


def _cameras(path: Path) -> set[int]:
    walk, cameras = _Walk(path), set()
    for _ in range(walk.count(24, "cameras")):
        start = walk.at
        number, model, width, height = walk.take("IiQQ", "a camera")
        if not 0 <= model < len(_PARAMS):
            raise walk.broken(f"expected a camera model from 0 to {len(_PARAMS) - 1}, found {model}", start + 4)
        if not (1 <= width < MOST_SIDE and 1 <= height < MOST_SIDE):
            raise walk.broken(f"expected a width and a height in pixels, found {width} and {height}", start + 8)
        params = walk.take(f"{_PARAMS[model]}d", "the parameters of a camera")
        if not np.isfinite(params).all():
            raise walk.broken("expected finite parameters of a camera", start + 24)
        if number in cameras:
            raise walk.broken(f"camera {number} is there twice", start)
        cameras.add(number)
    walk.end()
    return cameras


def _images(path: Path, cameras: set[int]) -> list[ModelImage]:
    walk, images = _Walk(path), {}
    for _ in range(walk.count(4 + 56 + 4 + 1 + 8, "images")):
        start = walk.at
        number, *pose, camera = walk.take("I7dI", "an image")
        if number in images:
            raise walk.broken(f"image {number} is there twice", start)
        if not np.isfinite(pose).all() or not 1e-6 < sum(q * q for q in pose[:4]) < 1e6:
            raise walk.broken("expected a rotation (a quaternion that is not 0) and a translation", start + 4)
        if camera not in cameras:
            raise walk.broken(f"expected a camera of cameras.bin, found {camera}", start + 60)
        end = walk.content.find(b"\0", walk.at, walk.at + 4097)
        if end <= walk.at:
            raise walk.broken("expected a name of 1 to 4096 bytes and a zero byte")
        try:
            name = walk.content[walk.at : end].decode()
        except UnicodeDecodeError:
            raise walk.broken("expected a name in UTF-8; rename the photo and its file") from None
        walk.at = end + 1
        count = walk.count(_SEEN.itemsize, "key points")
        points = np.frombuffer(walk.content, _SEEN, count, walk.at)["point"]
        walk.at += count * _SEEN.itemsize
        images[number] = ModelImage(number, camera, name, points)
    walk.end()
    check_names(path, list(images.values()))
    return list(images.values())


def _points(path: Path, images: list[ModelImage]) -> ModelPoints:
    walk = _Walk(path)
    least = 8 + 24 + 3 + 8 + 8
    count = walk.count(least, "points")
    if count > _MOST_POINTS:
        raise walk.broken(f"expected at most {_MOST_POINTS} points, found {count}", 0)
    starts, lengths = np.empty(count, np.int64), np.empty(count, np.int64)
    at, content, unpack, size = walk.at, walk.content, struct.Struct("<Q").unpack_from, len(walk.content)
    for k in range(count):  # the only loop over points: nothing but additions
        starts[k] = at
        at += least
        length = unpack(content, at - 8)[0] if at <= size else NONE
        if length * 8 > size - at:
            raise walk.broken(f"expected a point and its track, {size - starts[k]} bytes are left", int(starts[k]))
        lengths[k] = length
        at += length * 8
    walk.at = at
    walk.end()
    raw = np.frombuffer(content, np.uint8)
    heads = raw[starts[:, None] + np.arange(32)]
    ids, xyz = heads[:, :8].copy().view("<u8").ravel(), heads[:, 8:].copy().view("<f8").reshape(-1, 3)
    inside = np.repeat(starts + least - 8 * (np.cumsum(lengths) - lengths), lengths) + 8 * np.arange(lengths.sum())
    track = raw[inside[:, None] + np.arange(8)].view(_TRACK).ravel()
    points = ModelPoints(ids, xyz, lengths, track["image"], track["row"])

    def fault(point: int, element: int, what: str) -> MirrorError:
        return walk.broken(what, int(starts[point]) + (0 if element < 0 else least + 8 * element))

    check_points(points, images, fault)
    return points


def _rigs(path: Path, sensors: set[tuple[int, int]]) -> dict[int, set[tuple[int, int]]]:
    """Sensors by rig."""
    walk, rigs = _Walk(path), {}
    for _ in range(walk.count(8, "rigs")):
        start = walk.at
        rig, count = walk.take("II", "a rig")
        if count * 8 > len(walk.content) - walk.at:
            raise walk.broken(f"expected a number of sensors, found {count}", start + 4)
        members: set[tuple[int, int]] = set()
        for k in range(count):
            place = walk.at
            sensor = walk.take("iI", "a sensor")
            if sensor in members or (sensor[0] == 0 and sensor not in sensors) or sensor[0] not in (0, 1):
                raise walk.broken("expected a sensor: a camera of cameras.bin, in one rig once", place)
            members.add(sensor)
            if k:
                (has_pose,) = walk.take("B", "whether the sensor has a pose")
                if has_pose > 1:
                    raise walk.broken(f"expected 0 or 1, found {has_pose}", walk.at - 1)
                if has_pose:
                    _pose(walk)
        if rig in rigs:
            raise walk.broken(f"rig {rig} is there twice", start)
        rigs[rig] = members
    walk.end()
    every = [sensor for members in rigs.values() for sensor in members]
    if len(every) != len(set(every)):
        raise broken(path, "sensors", "expected every sensor in one rig only")
    return rigs


def _frames(path: Path, rigs: dict[int, set[tuple[int, int]]], images: dict[int, int]) -> None:
    walk, frames, told = _Walk(path), set(), set()
    for _ in range(walk.count(8 + 56 + 4, "frames")):
        start = walk.at
        frame, rig = walk.take("II", "a frame")
        if frame in frames or rig not in rigs:
            raise walk.broken("expected a frame that is there once, of a rig of rigs.bin", start)
        frames.add(frame)
        _pose(walk)
        for _ in range(walk.count(16, "images of a frame", "I")):
            place = walk.at
            kind, sensor, data = walk.take("iIQ", "an image of a frame")
            if (kind, sensor) not in rigs[rig]:
                raise walk.broken("expected a sensor of the frame's rig", place)
            if kind == 0 and (images.get(data) != sensor or data in told):
                raise walk.broken("expected an image of images.bin that this camera took, in one frame", place + 8)
            told.add(data if kind == 0 else -1)
    walk.end()
    missing = sorted(set(images) - told)
    if missing:
        raise broken(path, f"byte {walk.at}", f"the end; expected a frame of image {missing[0]}")


def _pose(walk: _Walk) -> None:
    start = walk.at
    pose = walk.take("7d", "a pose")
    if not np.isfinite(pose).all() or not 1e-6 < sum(q * q for q in pose[:4]) < 1e6:
        raise walk.broken("expected a rotation (a quaternion that is not 0) and a translation", start)
