"""Cameras in JSON, as small data sets and our own demo have them, and poses and intrinsics in text files.

{"image_size": [640, 480], "cameras": {"a": {"K": [[..], [..], [..]], "cam_to_world": [[..], ..]}}}
{"cameras": [{"name": "a.jpg", "width": 640, "height": 480, "model": "SIMPLE_RADIAL", "params": [..],
              "cam_from_world": [[..], [..], [..]]}]}
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.cameras import PINHOLES, Camera
from mirror_sfm.scenes.files import broken, read_bytes, read_lines, said

_POSES = ("cam_from_world", "world_to_cam", "cam_to_world", "world_from_cam")


@dataclass(frozen=True)
class PlainCamera:
    """A camera as a file has it.

    Attributes:
        name: of the photo, with suffix or without.
        model, params: as COLMAP has them, the first pixel's centre at (0.5, 0.5).
        size: (width, height) of the picture they are for; None: not told.
        cam_from_world: [3, 4].
    """

    name: str
    model: str
    params: tuple[float, ...]
    size: tuple[int, int] | None
    cam_from_world: np.ndarray

    def sized(self, width: int, height: int) -> Camera:
        """The camera of a photo of this size; a file that told no size meant this one."""
        return Camera(self.model, self.params, *(self.size or (width, height)))


@dataclass(frozen=True)
class PlainCameras:
    """A file of cameras.

    Attributes:
        cameras: in the order of the file.
        depth_scale: values of a depth map per unit of the world; None: not told.
    """

    cameras: tuple[PlainCamera, ...]
    depth_scale: float | None = None


def read_plain_cameras(path: str | os.PathLike[str]) -> PlainCameras:
    """Reads a file of cameras: `cameras` is a list with names, or an object by name.

    Each camera has `model` and `params` (COLMAP's) or a 3 x 3 matrix `K`; `width` and `height`, or the file has
    `image_size`; and one of `cam_from_world`, `world_to_cam`, `cam_to_world`, `world_from_cam` (3 x 4 or 4 x 4), or
    `R_world_to_cam` with `C` (centre) or `t`. `first_pixel_centre` of the file, [0.5, 0.5] or [0, 0], says where pixels
    are. Where it is missing, [0, 0] is taken if every K has its principal point at ((width - 1) / 2, (height - 1) / 2),
    which is the middle only then; else [0.5, 0.5].

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is broken: the file, the camera, and what was expected.
    """
    path = Path(path)
    described = read_json(path)
    if not isinstance(described, dict):
        raise broken(path, "byte 0", "expected a JSON object")
    listed = described.get("cameras")
    if isinstance(listed, dict):
        entries = list(listed.items())
    elif isinstance(listed, list):
        entries = [(entry.get("name") if isinstance(entry, dict) else None, entry) for entry in listed]
    else:
        raise broken(path, "cameras", "expected a list of cameras with names, or an object by name")
    if not entries:
        raise broken(path, "cameras", "expected a camera, found none")
    size = _size(path, "image_size", described.get("image_size"))
    cameras, matrices, seen = [], [], set()
    for place, (name, entry) in enumerate(entries):
        if not isinstance(name, str) or not name or not isinstance(entry, dict):
            raise broken(path, f"camera {place}", "expected an object with a name")
        if name in seen:
            raise broken(path, f"camera {shown(name)}", "is there twice")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise broken(path, f"camera {shown(name)}", "expected a name inside the folder of photos")
        seen.add(name)
        cameras.append(_camera(path, name, entry, size))
        matrices.append("K" in entry)
    shift = _half_pixel(path, described, cameras, matrices)
    return PlainCameras(
        tuple(_moved(path, camera, shift) if shift else camera for camera in cameras), depth_scale(path, described)
    )


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is not JSON.
    """
    content = read_bytes(path)
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise broken(path, f"line {error.lineno}, column {error.colno}", f"expected JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise broken(path, "byte 0", f"expected JSON: {said(error)}") from None


def depth_scale(path: Path, described: Any) -> float | None:
    """`depth_scale` of what a JSON file holds, values of a depth map per unit of the world; None where it is missing.

    Raises:
        MirrorError: it is not a number above 0.
    """
    told = described.get("depth_scale") if isinstance(described, dict) else None
    if told is None:
        return None
    (scale,) = _numbers(path, "depth_scale", [told], 1)
    if scale <= 0:
        raise broken(path, "depth_scale", "expected a number above 0: values of a depth map per unit of the world")
    return scale


def _camera(path: Path, name: str, entry: Mapping[str, Any], size: tuple[int, int] | None) -> PlainCamera:
    where = f"camera {shown(name)}"
    if "width" in entry or "height" in entry:
        size = _size(path, where, [entry.get("width"), entry.get("height")])
    if "K" in entry:
        k = _matrix(path, f"{where}, K", entry["K"], ((3, 3),))
        if k[0, 1] != 0 or k[1, 0] != 0 or (k[2] != (0, 0, 1)).any() or min(k[0, 0], k[1, 1]) <= 0:
            raise broken(path, f"{where}, K", "expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
        model, params = "PINHOLE", [k[0, 0], k[1, 1], k[0, 2], k[1, 2]]
    elif isinstance(entry.get("model"), str) and isinstance(entry.get("params"), list):
        model = entry["model"].rpartition(".")[2]  # "CameraModelId.PINHOLE" is pycolmap's way of printing it
        params = _numbers(path, f"{where}, params", entry["params"], None)
        if model in PINHOLES and (len(params) != 3 + PINHOLES.index(model) or min(params[:-2]) <= 0):
            form = "f cx cy" if model == "SIMPLE_PINHOLE" else "fx fy cx cy"
            raise broken(path, f"{where}, params", f"expected {form}, focal lengths above 0")
    else:
        raise broken(path, where, "expected model and params, or K")
    return PlainCamera(name, model, tuple(map(float, params)), size, _pose(path, where, entry))


def _pose(path: Path, where: str, entry: Mapping[str, Any]) -> np.ndarray:
    """[3, 4] cam_from_world."""
    found = [key for key in _POSES if key in entry]
    if len(found) == 1:
        matrix = _matrix(path, f"{where}, {found[0]}", entry[found[0]], ((3, 4), (4, 4)))
        pose = rigid(matrix, inverse=found[0] in ("cam_to_world", "world_from_cam"))
    elif not found and "R_world_to_cam" in entry and ("C" in entry) != ("t" in entry):
        turn = _matrix(path, f"{where}, R_world_to_cam", entry["R_world_to_cam"], ((3, 3),))
        key = "C" if "C" in entry else "t"
        vector = np.array(_numbers(path, f"{where}, {key}", entry[key], 3))
        pose = rigid(np.column_stack([turn, vector]))
        if pose is not None and key == "C":
            pose[:, 3] = -pose[:, :3] @ vector
    else:
        raise broken(path, where, f"expected one of {', '.join(_POSES)}, or R_world_to_cam with C or t")
    if pose is None:
        raise broken(path, where, "expected a rotation and a translation")
    return pose


def rigid(matrix: np.ndarray, inverse: bool = False) -> np.ndarray | None:
    """[3, 4] of a pose [3, 4] or [4, 4], its rotation made exact, inverted if asked for; None where it is no pose."""
    turn = matrix[:3, :3]
    if not np.isfinite(matrix).all() or (len(matrix) == 4 and np.abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-6):
        return None
    if np.abs(turn).max() > 2 or np.abs(turn @ turn.T - np.eye(3)).max() > 1e-2 or np.linalg.det(turn) < 0:
        return None
    u, _, v = np.linalg.svd(turn)
    turn, shift = u @ v, matrix[:3, 3]
    return np.column_stack([turn.T, -(turn.T @ shift)]) if inverse else np.column_stack([turn, shift])


def _half_pixel(path: Path, described: Mapping[str, Any], cameras: list[PlainCamera], matrices: list[bool]) -> float:
    """What has to be added to principal points."""
    if "first_pixel_centre" in described:
        centre = _numbers(path, "first_pixel_centre", described["first_pixel_centre"], 2)
        if centre not in ([0.5, 0.5], [0.0, 0.0]):
            raise broken(path, "first_pixel_centre", "expected [0.5, 0.5] or [0, 0]")
        return 0.5 - centre[0]
    middle = [
        matrix and camera.size is not None and camera.params[2:] == tuple((side - 1) / 2 for side in camera.size)
        for camera, matrix in zip(cameras, matrices, strict=True)
    ]
    return 0.5 if all(middle) else 0.0


def _moved(path: Path, camera: PlainCamera, shift: float) -> PlainCamera:
    """The camera with its principal point moved."""
    if camera.model == "PINHOLE":
        places = (2, 3)
    else:
        from mirror_sfm.colmap.lenses import principal_point

        try:
            places = principal_point(camera.model)
        except MirrorError as error:
            raise broken(path, f"camera {shown(camera.name)}", str(error)) from None
    params = list(camera.params)
    if len(params) <= max(places):
        raise broken(path, f"camera {shown(camera.name)}, params", f"expected more than {len(params)} numbers")
    for place in places:
        params[place] += shift
    return PlainCamera(camera.name, camera.model, tuple(params), camera.size, camera.cam_from_world)


def _size(path: Path, where: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    width, height = _numbers(path, where, value, 2)
    if not all(1 <= side < 1 << 20 and side % 1 == 0 for side in (width, height)):
        raise broken(path, where, "expected width and height in pixels")
    return int(width), int(height)


def _numbers(path: Path, where: str, value: Any, count: int | None) -> list[float]:
    good = isinstance(value, list) and all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in value)
    try:
        numbers = [float(x) for x in value] if good else []
    except OverflowError:
        good = False
    if not good or not all(map(math.isfinite, numbers)) or (count is not None and len(numbers) != count):
        raise broken(path, where, f"expected {'' if count is None else f'{count} '}finite numbers")
    return numbers


def _matrix(path: Path, where: str, value: Any, shapes: tuple[tuple[int, int], ...]) -> np.ndarray:
    columns = shapes[0][1]
    rows = value if isinstance(value, list) else []
    if (len(rows), columns) not in shapes or any(not isinstance(row, list) or len(row) != columns for row in rows):
        raise broken(path, where, "expected a matrix of " + " or ".join(f"{a} x {b}" for a, b in shapes))
    return np.array([_numbers(path, where, row, columns) for row in value])


def read_matrix(path: Path, rows: int, columns: int, finite: bool = True) -> np.ndarray:
    """[rows, columns] float64 of a text file that holds nothing else; without `finite`, inf and nan count as numbers.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is broken.
    """
    lines = read_lines(path, comments=True)
    if len(lines) != rows or any(len(line.words) != columns for line in lines):
        wrong = next((line for line in lines[:rows] if len(line.words) != columns), None)
        number = wrong.number if wrong else lines[rows].number if len(lines) > rows else len(lines) + 1
        raise broken(path, f"line {number}", f"expected a matrix of {rows} x {columns} numbers")
    if finite:
        return np.array([line.numbers() for line in lines])
    try:
        return np.array([[float(word) for word in line.words] for line in lines])
    except ValueError:
        raise broken(path, "line 1", "expected numbers") from None
