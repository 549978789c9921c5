"""BlendedMVS and BlendedMVG: `cams/*_cam.txt`, `cams/pair.txt`, `rendered_depth_maps/*.pfm`, `blended_images/`.

Their cameras follow MVSNet, whose own program puts the first pixel's centre at (0.5, 0.5).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mirror_sfm.photos import shown
from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.depth_files import depth_size, picture_size, read_depth
from mirror_sfm.scenes.files import Line, broken, listed, read_lines
from mirror_sfm.scenes.photo_names import Photos, on_photos, photo_names, stem
from mirror_sfm.scenes.plain import rigid
from mirror_sfm.scenes.scene import DepthMap, Scene

_log = logging.getLogger("mirror_sfm")

_CAMERA = "_cam.txt"
_TWIN = "_masked"  # a photo's background removed: the same photo


@dataclass(frozen=True)
class BlendedCamera:
    """A file `*_cam.txt`.

    Attributes:
        cam_from_world: [3, 4] float64.
        k: fx, fy, cx, cy.
        depths: (nearest, farthest) depth of the scene in this photo; None where the file has none (nearest <= 0).
    """

    cam_from_world: np.ndarray
    k: tuple[float, ...]
    depths: tuple[float, float] | None


def is_blended(scene: Path) -> bool:
    """Whether a folder is a scene of BlendedMVS."""
    return any(name.endswith(_CAMERA) for name in listed(scene / "cams"))


def read_blended(scene: str | os.PathLike[str], images: Path | None = None) -> Scene:
    """Reads a scene.

    Args:
        images: folder of the photos, by default `blended_images`.

    Raises:
        UsageError: a file cannot be read.
        MirrorError: a file is broken, or cameras and photos do not belong together.
    """
    scene = Path(scene)
    images = images or (scene / "blended_images" if (scene / "blended_images").is_dir() else None)
    names = tuple(n for n in photo_names(images) if not stem(n).endswith(_TWIN)) if images is not None else ()
    photos = {stem(name): name for name in names}
    maps = scene / "rendered_depth_maps"
    views = []
    for file in listed(scene / "cams"):
        if file.endswith(_CAMERA):
            number, found = file.removesuffix(_CAMERA), read_blended_camera(scene / "cams" / file)
            if images is not None and number in photos:
                size = picture_size(images / photos[number])
            elif (maps / f"{number}.pfm").is_file():
                size = depth_size(maps / f"{number}.pfm")
            else:
                size = (max(1, round(2 * found.k[2])), max(1, round(2 * found.k[3])))
            views.append(View(number, Camera("PINHOLE", found.k, *size), found.cam_from_world))
    given = None if images is None else Photos(images, names)
    placed = on_photos(views, given, shown(str(scene / "cams")))
    depths = {view.name: maps / f"{stem(view.name)}.pfm" for view in placed.views}
    empty = [path for path in depths.values() if path.is_file() and not path.stat().st_size]
    if empty:
        _log.warning("%s: %d depth maps are empty files, first %s", scene.name, len(empty), empty[0].name)
    return Scene(
        name=scene.resolve().name,
        views=placed.views,
        unregistered=placed.unregistered,
        images=images,
        depths={
            name: DepthMap(partial(read_depth, path))
            for name, path in depths.items()
            if path.is_file() and path not in empty
        },
        source=str(scene),
    )


def read_blended_camera(path: str | os.PathLike[str]) -> BlendedCamera:
    """Reads a file `*_cam.txt`: "extrinsic", 4 x 4 world to camera, "intrinsic", 3 x 3, and depths.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is broken.
    """
    path = Path(path)
    lines = read_lines(path)
    if len(lines) < 9:
        raise broken(path, f"line {len(lines) + 1}", "expected extrinsic, 4 x 4, intrinsic, 3 x 3, and depths")
    for place, word in ((0, "extrinsic"), (5, "intrinsic")):
        if lines[place].words != [word]:
            raise lines[place].broken(f"expected the word {word}")
    pose = rigid(np.array([_row(line, 4) for line in lines[1:5]]))
    if pose is None:
        raise lines[1].broken("expected a rotation and a translation, world to camera, 4 x 4")
    k = np.array([_row(line, 3) for line in lines[6:9]])
    if k[0, 1] != 0 or k[1, 0] != 0 or (k[2] != (0, 0, 1)).any() or min(k[0, 0], k[1, 1]) <= 0:
        raise lines[6].broken("expected fx 0 cx, 0 fy cy, 0 0 1")
    depths = None
    if len(lines) > 9:
        values = lines[9].numbers()
        if len(values) not in (2, 4):
            raise lines[9].broken("expected nearest depth, step, steps and farthest depth")
        nearest, farthest = values[0], values[-1] if len(values) == 4 else values[0]
        depths = (nearest, farthest) if 0 < nearest < farthest else None
    return BlendedCamera(pose, tuple(map(float, (k[0, 0], k[1, 1], k[0, 2], k[1, 2]))), depths)


def read_blended_pairs(path: str | os.PathLike[str]) -> dict[int, list[tuple[int, float]]]:
    """Reads `pair.txt`: for each photo the others it was to be matched with, and MVSNet's score, best first.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is broken.
    """
    path = Path(path)
    lines = read_lines(path)
    if not lines:
        raise broken(path, "line 1", "expected the number of photos")
    count = lines[0].whole(0, "the number of photos")
    if len(lines) != 1 + 2 * count:
        raise lines[0].broken(f"expected two lines for each of {count} photos, found {len(lines) - 1}")
    pairs: dict[int, list[tuple[int, float]]] = {}
    for head, body in zip(lines[1::2], lines[2::2], strict=True):
        number, others = head.whole(0, "the number of a photo"), body.whole(0, "the number of its partners")
        if len(body.words) != 1 + 2 * others:
            raise body.broken(f"expected {others} partners and scores, found {len(body.words) - 1} words")
        if number in pairs:
            raise head.broken(f"photo {number} is there twice")
        partners = [body.whole(k, "the number of a photo") for k in range(1, 1 + 2 * others, 2)]
        pairs[number] = list(zip(partners, body.numbers()[2::2], strict=True))
    return pairs


def _row(line: Line, count: int) -> list[float]:
    if len(line.words) != count:
        raise line.broken(f"expected {count} numbers, found {len(line.words)} words")
    return line.numbers()
