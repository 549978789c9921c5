"""What a folder holds: `read_scene` finds its cameras, photos, surface and depth, whatever program left them there."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from mirror_sfm.colmap.model_parts import model_kind
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.blended import is_blended, read_blended
from mirror_sfm.scenes.cameras import Camera, Pinhole, View
from mirror_sfm.scenes.depth_files import depth_maps, picture_size, scaled_camera
from mirror_sfm.scenes.files import first_of, listed
from mirror_sfm.scenes.filling import filled_share
from mirror_sfm.scenes.gl3d import is_gl3d, read_gl3d
from mirror_sfm.scenes.meshes import MESH_SUFFIXES, holds_faces, read_mesh
from mirror_sfm.scenes.photo_names import Photos, Placed, on_photos, photos_of
from mirror_sfm.scenes.plain import depth_scale as told_scale
from mirror_sfm.scenes.plain import read_json, read_plain_cameras
from mirror_sfm.scenes.poses import (
    MILLIMETRES,
    find_intrinsics,
    intrinsics_file,
    pose_folder,
    read_intrinsics,
    read_poses,
)
from mirror_sfm.scenes.scene import Mesh, Scene, Tracks

_log = logging.getLogger("mirror_sfm")

Location = str | os.PathLike[str]
_MODELS = ("", "sparse", "sfm")  # and numbered folders in them
_DEPTHS = ("depth", "depths", "rendered_depths", "rendered_depth_maps", "stereo/depth_maps")
_FILLED = 0.5  # of the pictures of cameras that were meant for a mesh
_SAME = 1e-3  # of the extent of the cameras: two files with the same cameras


def read_scene(
    path: Location,
    *,
    name: str | None = None,
    images: Location | None = None,
    model: Location | None = None,
    mesh: Location | None = None,
    depth: Location | None = None,
    cameras: Location | Pinhole | None = None,
    depth_camera: Location | Pinhole | None = None,
    depth_scale: float | None = None,
) -> Scene:
    """Reads the scene in a folder. What is not named is looked for there.

    Cameras: GL3D (`geolabel/cameras.txt`), BlendedMVS (`cams/*_cam.txt`), a COLMAP model (in the folder itself,
    `sparse`, `sfm`, or a numbered folder in one of them), a file `cameras*.json` (`plain.read_plain_cameras`), or
    `pose/*.txt` with `camera-intrinsics.txt`. Photos: `images` and its like. Surface: the one mesh in the folder.
    Depth: `depth` and its like. Of a COLMAP model and a file of cameras that agree, the model is taken; where they do
    not, those cameras in whose pictures the mesh is, if that is clear.

    Args:
        path: folder of the scene, or of a COLMAP model.
        name: of the scene; by default that of the folder.
        images: folder of the photos.
        model: folder of a COLMAP model.
        mesh: file of the surface.
        depth: folder of depth maps, each with the stem of its photo.
        cameras: a file of cameras; with poses in text files, the photos' camera, or a file of its 3 x 3 matrix.
        depth_camera: pinhole camera of the depth maps, or a file of its 3 x 3 matrix, where it is not the photos'.
        depth_scale: values of a depth map per unit of the world.

    Raises:
        UsageError: there is no such folder or file, no cameras were found, or several.
        MirrorError: a file is broken, or files do not belong together.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(f"{shown(str(folder))}: expected the folder of a scene")
    named = _existing(images, "folder of photos") if images is not None else None
    file = _existing(mesh, "mesh", file=True) if mesh is not None else _mesh(folder)
    surface = read_mesh(file) if file is not None else None
    scene = replace(_cameras(folder, named, model, cameras, surface), mesh=surface)
    maps = _existing(depth, "folder of depth maps") if depth is not None else None
    if maps is not None or (not scene.depths and depth_folder(folder)):
        scene = _with_depth(folder, maps or depth_folder(folder) or folder, scene, depth_camera, depth_scale)
    elif depth_camera is not None or depth_scale is not None:
        told = "depth_camera" if depth_camera is not None else "depth_scale"
        raise UsageError(
            f"{told}: there are no depth maps in {shown(str(folder))} that it could be of; give their folder (--depth)"
        )
    return replace(scene, name=name or folder.resolve().name, source=str(folder))


def _cameras(
    folder: Path,
    images: Path | None,
    model: Location | None,
    cameras: Location | Pinhole | None,
    surface: Mesh | None,
) -> Scene:
    """Views, by the first reader that fits."""
    if model is not None and cameras is not None:
        raise UsageError("model and cameras: give one of them")
    if model is None and cameras is None and (is_gl3d(folder) or is_blended(folder)):
        return (read_gl3d if is_gl3d(folder) else read_blended)(folder, images)
    photos = photos_of(folder, images)
    if model is not None:
        return _colmap(find_model(_existing(model, "folder of a COLMAP model")), photos)
    if cameras is not None and not isinstance(cameras, Pinhole) and Path(cameras).suffix.lower() == ".json":
        return _plain(_existing(cameras, "file of cameras", file=True), photos)
    return _found(folder, photos, cameras, surface)


def _found(folder: Path, photos: Photos | None, cameras: Location | Pinhole | None, surface: Mesh | None) -> Scene:
    poses = pose_folder(folder)
    if cameras is not None and poses is None:
        raise UsageError(
            "cameras: expected a JSON file; intrinsics alone go with poses in text files, which are missing in "
            f"{shown(str(folder))}"
        )
    ways: dict[str, Callable[[], Scene]] = {}
    if cameras is None:
        for place in models(folder):
            ways[shown(str(place))] = partial(_colmap, place, photos)
        for file in _camera_files(folder):
            ways[shown(str(folder / file))] = partial(_plain, folder / file, photos, sized=not ways)
    if poses is not None:
        ways[shown(str(poses))] = partial(_posed, folder, poses, photos, cameras)
    if not ways:
        raise UsageError(
            f"no cameras in {shown(str(folder))}: looked for a COLMAP model (in sparse, sparse/0, sfm, the folder), "
            "cameras*.json, pose/*.txt, geolabel/cameras.txt, cams/*_cam.txt; found "
            f"{first_of(listed(folder), 8) or 'nothing'}"
        )
    read = {place: way() for place, way in ways.items()}
    first, *others = read
    strangers = [other for other in others if not _agree(read[first], read[other])]
    if not strangers:
        return read[first]
    chosen = _of_the_surface(read, surface) if surface is not None else None
    if chosen is None:
        raise UsageError(
            f"{first} and {strangers[0]} have different cameras: say which is meant, model=FOLDER or cameras=FILE "
            "(--model, --cameras)"
        )
    return read[chosen]


def _of_the_surface(read: dict[str, Scene], surface: Mesh) -> str | None:
    """Of cameras in different worlds, those whose pictures the surface fills; None where that is not clear."""
    filled = {place: filled_share(scene.views, surface) for place, scene in read.items()}
    chosen = max(filled, key=lambda place: filled[place])
    others = [place for place in filled if not _agree(read[chosen], read[place])]
    if filled[chosen] < _FILLED or any(filled[place] > filled[chosen] / 2 for place in others):
        return None
    told = ", ".join(f"{filled[place]:.0%} of those of {place}" for place in others)
    _log.warning("cameras of %s: the mesh fills %.0f%% of their pictures, %s", chosen, 100 * filled[chosen], told)
    return chosen


def _agree(first: Scene, second: Scene) -> bool:
    """Whether two readings put the photos that both have in the same places."""
    others = {view.name: view for view in second.views}
    both = [(view, others[view.name]) for view in first.views if view.name in others]
    if not both:
        return False
    centres = np.array([(a.centre, b.centre) for a, b in both])
    turns = np.array([a.cam_from_world[:, :3] - b.cam_from_world[:, :3] for a, b in both])
    extent = np.ptp(centres[:, 0], axis=0).max() or np.abs(centres).max()
    return bool(np.abs(centres[:, 0] - centres[:, 1]).max() <= _SAME * extent and np.abs(turns).max() <= _SAME)


def models(folder: Path) -> list[Path]:
    """Folders of COLMAP models in the folder of a scene."""
    found = []
    for name in _MODELS:
        place = folder / name
        if model_kind(place):
            found.append(place)
        else:
            found += [place / number for number in listed(place) if number.isdigit() and model_kind(place / number)]
    return found


def find_model(folder: Path) -> Path:
    """The one COLMAP model in a folder or a numbered folder in it.

    Raises:
        UsageError: there is none, or there are several.
    """
    found = models(folder)
    if not found:
        raise UsageError(f"no COLMAP model in {shown(str(folder))}: looked for cameras, images, points3D, .bin or .txt")
    if len(found) > 1:
        several = first_of([str(place) for place in found], 5)
        raise UsageError(f"several COLMAP models in {shown(str(folder))}: {several}; say which (--model)")
    return found[0]


def _colmap(model: Path, photos: Photos | None) -> Scene:
    from mirror_sfm.colmap.models import read_model, tracks_kept

    views, unregistered, tracks = read_model(model)
    placed = on_photos(views, photos, shown(str(model)), unregistered)
    if placed.rows != tuple(range(len(views))):
        tracks = tracks_kept(tracks, placed.rows)
    return _scene(placed, placed.views, tracks)


def _plain(file: Path, photos: Photos | None, sized: bool = True) -> Scene:
    """`sized`: cameras that tell their size are brought to that of their photo; else they stay, as a model's do."""
    told = [View(c.name, c.sized(0, 0), c.cam_from_world) for c in read_plain_cameras(file).cameras]
    placed = on_photos(told, photos, shown(str(file)))
    views = []
    for view in placed.views:
        camera = view.camera
        if placed.folder is not None and (sized or not camera.width):
            camera = _sized(camera, placed.folder / view.name)
        elif not camera.width:
            raise MirrorError(
                f"{shown(str(file))}, camera {shown(view.name)}: expected width and height, or image_size: there "
                "are no photos to take them from"
            )
        views.append(replace(view, camera=camera))
    return _scene(placed, tuple(views))


def _sized(camera: Camera, photo: Path) -> Camera:
    """The camera, for a picture of the size of the photo."""
    width, height = picture_size(photo)
    try:
        return scaled_camera(camera if camera.width else replace(camera, width=width, height=height), width, height)
    except MirrorError as error:
        raise MirrorError(f"{shown(str(photo))}: {error}") from error


def _posed(folder: Path, poses: Path, photos: Photos | None, cameras: Location | Pinhole | None) -> Scene:
    found = read_poses(poses)
    blank = Camera("PINHOLE", (1, 1, 0, 0), 1, 1)
    bare = [View(stem, blank, pose) for stem, pose in found.items() if pose is not None]
    placed = on_photos(bare, photos, shown(str(poses)))
    if placed.folder is None:
        raise UsageError(f"{shown(str(folder))} has poses but no photos, of whose size the intrinsics are; give images")
    views = []
    for view in placed.views:
        width, height = picture_size(placed.folder / view.name)
        if isinstance(cameras, Pinhole):
            pinhole = cameras
        else:
            pinhole = read_intrinsics(Path(cameras) if cameras is not None else intrinsics_file(folder), width, height)
        camera = Camera("PINHOLE", tuple(pinhole.intrinsics.tolist()), pinhole.width, pinhole.height)
        views.append(replace(view, camera=_sized(camera, placed.folder / view.name)))
    return _scene(placed, tuple(views))


def _scene(placed: Placed, views: tuple[View, ...], tracks: Tracks | None = None) -> Scene:
    return Scene(name="", views=views, unregistered=placed.unregistered, images=placed.folder, tracks=tracks)


def _mesh(folder: Path) -> Path | None:
    """The mesh in the folder of a scene, None where there is none."""
    files = [folder / name for name in listed(folder) if Path(name).suffix.lower() in MESH_SUFFIXES]
    found = [file for file in files if file.is_file() and holds_faces(file)]
    if len(found) > 1:
        raise UsageError(
            f"several meshes in {shown(str(folder))}: {first_of([f.name for f in found])}; say which (--mesh)"
        )
    return found[0] if found else None


def depth_folder(scene: Path) -> Path | None:
    """The folder of depth maps of a scene, None where it has none."""
    return next((scene / name for name in _DEPTHS if listed(scene / name)), None)


def _with_depth(
    folder: Path, maps: Path, scene: Scene, depth_camera: Location | Pinhole | None, scale: float | None
) -> Scene:
    """The scene with depth maps. Poses in text files come with maps in millimetres, and the intrinsics beside them are
    those of the depth sensor."""
    posed = pose_folder(folder) is not None
    if scale is None:
        told = _told_scale(folder)
        scale = told if told is not None else MILLIMETRES if posed else None
    elif not (np.isfinite(scale) and scale > 0):
        raise UsageError(f"depth_scale: expected a number above 0, got {scale}")
    source = depth_camera if depth_camera is not None else find_intrinsics(folder) if posed else None

    def camera(width: int, height: int) -> Pinhole | None:
        if source is None or isinstance(source, Pinhole):
            return None if source is None else source.resized(width, height)
        return read_intrinsics(Path(source), width, height)

    return replace(scene, depths=depth_maps(maps, [view.name for view in scene.views], scale, camera))


def _told_scale(folder: Path) -> float | None:
    """What the JSON files of a scene say of its depth maps."""
    files = ["manifest.json", *_camera_files(folder)]
    told = {told_scale(folder / file, read_json(folder / file)) for file in files if (folder / file).is_file()}
    scales = sorted(scale for scale in told if scale is not None)
    if len(scales) > 1:
        raise MirrorError(f"{shown(str(folder))}: depth_scale is {scales[0]:g} and {scales[1]:g}; expected one")
    return scales[0] if scales else None


def _camera_files(folder: Path) -> list[str]:
    return [name for name in listed(folder) if name.startswith("cameras") and name.endswith(".json")]


def _existing(path: Location, what: str, file: bool = False) -> Path:
    found = Path(path)
    if not (found.is_file() if file else found.is_dir()):
        raise UsageError(f"no such {what}: {shown(str(found))}")
    return found
