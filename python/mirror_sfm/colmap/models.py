"""COLMAP models as scenes: cameras, poses, tracks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mirror_sfm.colmap.library import last_words, pycolmap, quiet
from mirror_sfm.colmap.model_binary import walk_binary
from mirror_sfm.colmap.model_parts import PARTS, ModelImage, ModelPoints, model_kind
from mirror_sfm.colmap.model_text import walk_text
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.scene import Tracks


def read_model(folder: str | os.PathLike[str]) -> tuple[tuple[View, ...], tuple[str, ...], Tracks]:
    """Reads a model, binary or text, with rigs or without.

    Returns:
        Views by name; names of the images without a pose; tracks of the views, each point once per view, points that
        fewer than two views see left out.

    Raises:
        UsageError: there is no model.
        MirrorError: a file is broken.
    """
    folder = Path(folder)
    kind = model_kind(folder)
    if not kind:
        files = ", ".join(f"{part}.bin" for part in PARTS)
        raise UsageError(f"no COLMAP model in {shown(str(folder))}: looked for {files}, or the same with .txt")
    images, points = walk_binary(folder) if kind == "bin" else walk_text(folder)
    for image in images:
        if PurePosixPath(image.name).is_absolute() or ".." in PurePosixPath(image.name).parts:
            raise MirrorError(f"{shown(str(folder))}: the image {shown(image.name)} lies outside the folder of photos")
    model = pycolmap.Reconstruction()
    try:
        with quiet():
            (model.read_binary if kind == "bin" else model.read_text)(folder)
            posed = {image.number: _view(model, image) for image in images if model.image(image.number).has_pose}
    except MirrorError as error:
        raise MirrorError(f"{shown(str(folder))}, {error}") from None
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError, MemoryError) as error:
        raise MirrorError(f"{shown(str(folder))} is not a COLMAP model: {shown(last_words(error))}") from error
    views = sorted(posed, key=lambda number: posed[number].name)
    unregistered = sorted(image.name for image in images if image.number not in posed)
    return tuple(posed[number] for number in views), tuple(unregistered), _tracks(points, views)


def _view(model: Any, image: ModelImage) -> View:
    found = model.image(image.number)
    camera = found.camera
    params = tuple(map(float, camera.params))
    made = Camera(camera.model_name, params, int(camera.width), int(camera.height))
    if any(params[place] <= 0 for place in camera.focal_length_idxs()):
        raise MirrorError(f"camera {image.camera}: expected focal lengths above 0, found {params[0]:g}")
    return View(image.name, made, np.array(found.cam_from_world().matrix(), np.float64))


def _tracks(points: ModelPoints, views: list[int]) -> Tracks:
    """Tracks of the views (numbers of images), from those of the model."""
    order = np.argsort(views, kind="stable")
    place = np.searchsorted(np.array(views, np.int64), points.images, sorter=order)
    there = place < len(views)
    there[there] = np.array(views)[order[place[there]]] == points.images[there]
    point = np.repeat(np.arange(len(points.ids)), points.lengths)[there]
    view = order[place[there]] if len(order) else place[there]
    sights = np.unique(view.astype(np.int64) * len(points.ids) + point)  # sorted by view, then point
    view, point = np.divmod(sights, max(1, len(points.ids)))
    return tracks_of(points.xyz, view, point, len(views))


def tracks_of(xyz: np.ndarray, view: np.ndarray, point: np.ndarray, views: int) -> Tracks:
    """Tracks without the points that fewer than two views see.

    Args:
        xyz: [M, 3].
        view, point: [K] each sight once, sorted by view, then point.
        views: how many.
    """
    kept = np.bincount(point, minlength=len(xyz)) >= 2
    row = np.cumsum(kept) - 1
    sights = kept[point]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(view[sights], minlength=views))])
    return Tracks(np.ascontiguousarray(xyz[kept]), offsets.astype(np.int64), row[point[sights]].astype(np.int32))


def tracks_kept(tracks: Tracks, views: Sequence[int]) -> Tracks:
    """Tracks of some of the views, which are counted anew in the order given."""
    seen = [tracks.of(view) for view in views]
    view = np.repeat(np.arange(len(views)), [len(points) for points in seen])
    point = np.concatenate(seen) if seen else np.empty(0, np.int32)
    return tracks_of(tracks.points, view, point, len(views))


def write_model(
    folder: str | os.PathLike[str],
    views: tuple[View, ...],
    tracks: Tracks | None = None,
    colours: np.ndarray | None = None,
) -> None:
    """Writes a binary model; equal cameras are stored once, key points are where the points fall in the photos.

    Args:
        folder: made where missing; the files of an earlier model are overwritten.
        views: with different names.
        tracks: of the views, in their order.
        colours: [M, 3] uint8 of the points.

    Raises:
        MirrorError: a camera is unknown to COLMAP, a point lies behind one that sees it, or the files cannot be
            written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            _model(views, tracks, colours).write_binary(folder)
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        reason = shown(last_words(error))
        raise MirrorError(f"cannot write the COLMAP model {shown(str(folder))}: {reason}") from error


def _model(views: tuple[View, ...], tracks: Tracks | None, colours: np.ndarray | None) -> Any:
    model, cameras = pycolmap.Reconstruction(), {}
    for k, view in enumerate(views):
        if view.camera not in cameras:
            camera = colmap_camera(view.camera)
            cameras[view.camera] = camera
            camera.camera_id = len(cameras)
            model.add_camera_with_trivial_rig(camera)
        camera = cameras[view.camera]
        image = pycolmap.Image(name=view.name, camera_id=camera.camera_id, image_id=k + 1)
        if tracks is not None:
            seen = tracks.points[tracks.of(k)] @ view.cam_from_world[:, :3].T + view.cam_from_world[:, 3]
            places = camera.img_from_cam(seen)
            if not np.isfinite(places).all():
                raise ValueError(f"{view.name} cannot see a point of its tracks: it lies behind the camera")
            image.points2D = pycolmap.Point2DList([pycolmap.Point2D(place) for place in places])
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(view.cam_from_world))
    if tracks is not None:
        viewer = np.repeat(np.arange(len(views)), np.diff(tracks.offsets))
        row = np.arange(len(tracks.seen)) - tracks.offsets[viewer]
        order = np.argsort(tracks.seen, kind="stable")
        ends = np.searchsorted(tracks.seen[order], np.arange(len(tracks.points) + 1))
        colours = np.zeros((len(tracks.points), 3), np.uint8) if colours is None else colours
        for point, xyz in enumerate(tracks.points):
            sights = order[ends[point] : ends[point + 1]]
            track = [pycolmap.TrackElement(int(viewer[s]) + 1, int(row[s])) for s in sights]
            model.add_point3D(xyz, pycolmap.Track(track), colours[point])
    return model


def colmap_camera(camera: Camera) -> Any:
    """pycolmap's camera.

    Raises:
        MirrorError: COLMAP does not know the model, or it takes another number of parameters.
    """
    if camera.model not in pycolmap.CameraModelId.__members__ or camera.model == "INVALID":
        known = ", ".join(name for name in pycolmap.CameraModelId.__members__ if name != "INVALID")
        raise MirrorError(f"unknown camera model {shown(camera.model)}; COLMAP knows {known}")
    made = pycolmap.Camera(model=camera.model, width=camera.width, height=camera.height, params=list(camera.params))
    if not made.verify_params() or not np.isfinite(camera.params).all():
        raise MirrorError(
            f"a {camera.model} camera has the parameters {made.params_info}; found {len(camera.params)} numbers"
        )
    if any(camera.params[place] <= 0 for place in made.focal_length_idxs()):
        raise MirrorError(f"a {camera.model} camera has focal lengths above 0; found {camera.params[0]:g}")
    return made
