"""RGB-D sequences with a file for each pose, as 7-Scenes and 3DMatch have them: `pose/NAME.pose.txt` (camera to world,
4 x 4), `camera-intrinsics.txt` (3 x 3), `depth/NAME.depth.png` (millimetres)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.cameras import Pinhole
from mirror_sfm.scenes.files import broken, first_of, listed
from mirror_sfm.scenes.plain import read_matrix, rigid

FOLDERS = ("pose", "poses")
INTRINSICS = ("camera-intrinsics.txt", "intrinsics.txt")
MILLIMETRES = 1000.0  # values of a depth map per unit of the world


def pose_folder(scene: Path) -> Path | None:
    """The folder of poses of a scene, None where it has none."""
    return next((scene / name for name in FOLDERS if any(n.endswith(".txt") for n in listed(scene / name))), None)


def read_poses(folder: Path) -> dict[str, np.ndarray | None]:
    """Poses [3, 4] cam_from_world by stem of the photo; None where tracking was lost (numbers that are not finite).

    Raises:
        UsageError: a file cannot be read.
        MirrorError: a file is broken, or two are of one photo.
    """
    poses: dict[str, np.ndarray | None] = {}
    for name in listed(folder):
        if not name.endswith(".txt"):
            continue
        stem = name.removesuffix(".txt").removesuffix(".pose")
        matrix = read_matrix(folder / name, 4, 4, finite=False)
        pose = rigid(matrix, inverse=True)
        if pose is None and np.isfinite(matrix).all():
            raise broken(folder / name, "line 1", "expected a rotation and a translation, camera to world, 4 x 4")
        if stem in poses:
            raise MirrorError(f"{shown(str(folder / name))}: two poses of {shown(stem)}")
        poses[stem] = pose
    return poses


def find_intrinsics(scene: Path) -> Path | None:
    """The file of intrinsics of a scene, None where there is none."""
    return next((scene / name for name in INTRINSICS if (scene / name).is_file()), None)


def intrinsics_file(scene: Path) -> Path:
    """The file of intrinsics of a scene.

    Raises:
        UsageError: there is none.
    """
    found = find_intrinsics(scene)
    if found is None:
        raise UsageError(
            f"{shown(str(scene))} has poses but no intrinsics: looked for {', '.join(INTRINSICS)}; found "
            f"{first_of(listed(scene))}"
        )
    return found


def read_intrinsics(path: Path, width: int, height: int) -> Pinhole:
    """The pinhole camera of a 3 x 3 matrix, for pictures of this size, the first pixel's centre at (0.5, 0.5).

    A principal point at ((width - 1) / 2, (height - 1) / 2) is the middle where that centre is at (0, 0), and is moved.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is broken, or for pictures of another size.
    """
    k = read_matrix(path, 3, 3)
    fx, fy, cx, cy = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
    if k[0, 1] != 0 or k[1, 0] != 0 or (k[2] != (0, 0, 1)).any() or min(fx, fy) <= 0:
        raise broken(path, "line 1", "expected fx 0 cx, 0 fy cy, 0 0 1")
    if not (0 < cx < width and 0 < cy < height):
        raise broken(path, "line 1", f"expected a principal point inside pictures of {width} x {height} pixels")
    shift = 0.5 if (cx, cy) == ((width - 1) / 2, (height - 1) / 2) else 0.0
    return Pinhole(width, height, float(fx), float(fy), float(cx + shift), float(cy + shift))
