"""GL3D: cameras, key points and correspondences of a scene (`geolabel/cameras.txt`, `img_kpts/`, `geolabel/corr.bin`).

Key points and correspondences are in the photos as they were taken; depth, masks and overlap in the undistorted ones,
which are resized to 1000 x 1000 without keeping their proportions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mirror_sfm.errors import MirrorError
from mirror_sfm.scenes.cameras import Camera, Pinhole
from mirror_sfm.scenes.files import Cursor, Line, broken, read_lines, write_file, written

_ROW = np.dtype("<f4")
_MOST = 1 << 20  # images of a scene


@dataclass(frozen=True)
class GL3DCamera:
    """A line of `cameras.txt`.

    Attributes:
        index: of the photo in its scene.
        k: fx, fy, px, py, skew, in pixels of the photo as it was taken.
        translation: [3].
        rotation: [9], row by row; x_cam = R X + t.
        distortion: k1, k2, k3 of x_d = x (1 + k1 r^2 + k2 r^4 + k3 r^6); None in files of version 1.
        size: (W, H) of the photo as it was taken; None in files of version 1.
    """

    index: int
    k: tuple[float, ...]
    translation: tuple[float, ...]
    rotation: tuple[float, ...]
    distortion: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None

    @property
    def cam_from_world(self) -> np.ndarray:
        """[3, 4] float64."""
        return np.column_stack([np.reshape(self.rotation, (3, 3)), self.translation])

    def photo(self) -> Camera:
        """The camera of the photo as it was taken.

        Raises:
            MirrorError: it has a skew, which COLMAP does not know, or is of version 1.
        """
        fx, fy, px, py, _ = self._without_skew()
        if self.size is None or self.distortion is None:
            raise MirrorError(f"camera {self.index}: a GL3D camera of version 1 has neither size nor distortion")
        k1, k2, k3 = self.distortion
        return Camera("FULL_OPENCV", (fx, fy, px, py, k1, k2, 0, 0, k3, 0, 0, 0), *self.size)

    def undistorted(self) -> Pinhole:
        """The pinhole camera of the undistorted photo before it is resized; its K is that of the photo.

        Version 1 tells no size: its principal point is the middle of the photo.

        Raises:
            MirrorError: it has a skew.
        """
        fx, fy, px, py, _ = self._without_skew()
        width, height = self.size or (max(1, round(2 * px)), max(1, round(2 * py)))
        return Pinhole(width, height, fx, fy, px, py)

    def _without_skew(self) -> tuple[float, ...]:
        if self.k[4] != 0:
            raise MirrorError(f"camera {self.index}: a skew of {self.k[4]:g}; expected 0, pixels without skew")
        return self.k


def read_cameras(path: str | os.PathLike[str]) -> list[GL3DCamera]:
    """Reads `cameras.txt`: lines of 23 numbers (version 2) or 18 (version 1).

    Raises:
        UsageError: the file cannot be read.
        MirrorError: a line is broken, or an index is there twice.
    """
    path = Path(path)
    cameras = [_camera(line) for line in read_lines(path)]
    if not cameras:
        raise broken(path, "line 1", "expected a camera, found nothing")
    seen: set[int] = set()
    for line, camera in zip(read_lines(path), cameras, strict=True):
        if camera.index in seen:
            raise line.broken(f"image {camera.index} is there twice")
        seen.add(camera.index)
    return cameras


def _camera(line: Line) -> GL3DCamera:
    if len(line.words) not in (18, 23):
        raise line.broken(f"expected 23 numbers (18 in version 1) of a camera, found {len(line.words)} words")
    index, values = line.whole(0, "the index of the image"), line.numbers(1)
    if index >= _MOST:
        raise line.broken(f"expected an index below {_MOST}, found {index}")
    k, translation, rotation = tuple(values[:5]), tuple(values[5:8]), tuple(values[8:17])
    if k[0] <= 0 or k[1] <= 0:
        raise line.broken("expected focal lengths above 0")
    turn = np.reshape(rotation, (3, 3))
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-2 or np.linalg.det(turn) < 0:
        raise line.broken("expected a rotation, row by row, in numbers 10 to 18")
    if len(values) == 17:
        return GL3DCamera(index, k, translation, rotation)
    width, height = values[20:]
    if not (1 <= width < 1 << 20 and 1 <= height < 1 << 20 and width % 1 == height % 1 == 0):
        raise line.broken("expected the photo's width and height in pixels at the end")
    return GL3DCamera(index, k, translation, rotation, tuple(values[17:20]), (int(width), int(height)))


def write_cameras(path: str | os.PathLike[str], cameras: Sequence[GL3DCamera]) -> None:
    """Writes `cameras.txt`; numbers get more than the usual six digits only where they need them.

    Raises:
        MirrorError: it cannot be written.
    """
    lines = []
    for camera in cameras:
        values = [*camera.k, *camera.translation, *camera.rotation]
        if camera.size is not None:
            values += [*(camera.distortion or (0, 0, 0)), *camera.size]
        lines.append(" ".join([str(camera.index), *map(written, values)]) + "\n")
    write_file(Path(path), "".join(lines))


def read_keypoints(path: str | os.PathLike[str], columns: int | None = None) -> np.ndarray:
    """Reads the key points of a photo.

    Args:
        columns: 6 (version 2) or 9 (version 1); None: as the length of the file says, and where it allows both, 9 if
            the ninth column then holds whole numbers throughout (the octave).

    Returns:
        [n, 6 or 9] float32: a 2 x 3 matrix, row by row, in coordinates from -1 to 1, x = a02 W / 2 + W / 2; in
        version 1 then the size of the region, its orientation in radians, its octave.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it does not hold whole key points, or a number is not finite.
    """
    path = Path(path)
    cursor = Cursor(path)
    fitting = [k for k in ((6, 9) if columns is None else (columns,)) if cursor.left % (4 * k) == 0]
    if not fitting:
        raise broken(path, f"byte {cursor.left}", "the end; expected whole key points of 6 or 9 numbers of 4 bytes")
    values = cursor.take(_ROW, cursor.left // 4, "numbers")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise broken(path, f"byte {4 * bad[0]}", "expected a finite number")
    if len(fitting) == 2:
        octaves = values[8::9]
        fitting = [9] if len(values) and not (octaves % 1).any() else [6]
    return values.reshape(-1, fitting[0])


def write_keypoints(path: str | os.PathLike[str], keypoints: np.ndarray) -> None:
    """Writes [n, 6 or 9].

    Raises:
        MirrorError: it cannot be written.
    """
    write_file(Path(path), np.asarray(keypoints, _ROW).tobytes())


def keypoint_positions(keypoints: np.ndarray, width: int, height: int) -> np.ndarray:
    """[n, 2] float64 pixels x, y of key points in a photo of this size."""
    return (np.asarray(keypoints, np.float64)[:, [2, 5]] + 1) * (width / 2, height / 2)


@dataclass(frozen=True)
class Correspondences:
    """Key points of two photos that show the same points.

    Attributes:
        first, second: indices of the photos.
        rows: [n, 15] float32: transform in the first photo (6), in the second (6), geometric distance, row of the key
            point in the first photo's file, in the second's.
    """

    first: int
    second: int
    rows: np.ndarray


def read_correspondences(path: str | os.PathLike[str]) -> list[Correspondences]:
    """Reads `corr.bin`.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is broken.
    """
    cursor, found = Cursor(Path(path)), []
    while cursor.left:
        start = cursor.at
        first, second, count = map(int, cursor.take("<i8", 3, "numbers of a record's header (two images, a count)"))
        if not (0 <= first < 1 << 31 and 0 <= second < 1 << 31):
            raise cursor.broken(f"expected the indices of two images, found {first} and {second}", start)
        rows = cursor.take(_ROW, 15 * count, f"numbers, 15 for each of {count} correspondences,")
        found.append(Correspondences(first, second, rows.reshape(-1, 15)))
    return found


def write_correspondences(path: str | os.PathLike[str], records: Sequence[Correspondences]) -> None:
    """Writes `corr.bin`.

    Raises:
        MirrorError: it cannot be written.
    """
    parts = []
    for record in records:
        parts.append(np.array([record.first, record.second, len(record.rows)], "<i8").tobytes())
        parts.append(np.asarray(record.rows, _ROW).tobytes())
    write_file(Path(path), b"".join(parts))
