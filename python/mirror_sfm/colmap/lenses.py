"""Lenses: the pinhole camera of an undistorted photo, and which of its pixels a pixel of the photo shows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mirror_sfm.colmap.library import last_words, pycolmap, quiet
from mirror_sfm.colmap.models import colmap_camera
from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.cameras import Camera, Pinhole

_FOUND_AGAIN = (
    0.5  # pixels within which a ray must come back to its pixel: high-order terms fold back outside the image
)
_ROWS = 64  # of a photo at a time


def undistorted(camera: Camera) -> Pinhole:
    """The pinhole camera of the undistorted photo, as COLMAP's image_undistorter makes it: every pixel of the picture
    shows something, so that corners of the photo may be left out.

    Raises:
        MirrorError: the model is unknown, its parameters do not describe a camera, or its photos cannot be undistorted.
    """
    found = colmap_camera(camera)
    if not found.focal_length_idxs():  # it maps directions, not a plane
        raise MirrorError(
            f"no pinhole camera shows what a {camera.model} camera does; cut its photos into perspective views first"
        )
    try:
        with quiet():
            flat = pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), found)
    except (RuntimeError, ValueError) as error:
        raise MirrorError(f"a {camera.model} camera cannot be undistorted: {shown(last_words(error))}") from error
    values = (flat.focal_length_x, flat.focal_length_y, flat.principal_point_x, flat.principal_point_y)
    if flat.width < 1 or flat.height < 1 or not all(map(math.isfinite, values)) or min(values[:2]) <= 0:
        raise MirrorError(
            f"a {camera.model} camera with the parameters {', '.join(f'{p:g}' for p in camera.params)} cannot be "
            "undistorted: nothing is left; expected a calibrated camera"
        )
    return Pinhole(flat.width, flat.height, *values)


def principal_point(model: str) -> tuple[int, int]:
    """Which parameters of a camera model are its principal point.

    Raises:
        MirrorError: the model is unknown, or has none.
    """
    known = pycolmap.CameraModelId.__members__.get(model)
    places = (
        []
        if known in (None, pycolmap.CameraModelId.INVALID)
        else pycolmap.Camera.create_from_model_name(1, model, 1.0, 1, 1).principal_point_idxs()
    )
    if len(places) != 2:
        raise MirrorError(f"the camera model {shown(model)} is unknown or has no principal point")
    return places[0], places[1]


def pinhole_rows(camera: Camera, pinhole: Pinhole, width: int, height: int) -> np.ndarray:
    """Where the pixels of a photo are in the pinhole picture, for carrying what was drawn there back to the photo.

    Args:
        camera: of the photo.
        pinhole: of the picture that was drawn, looking the same way: `undistorted(camera)` resized, or any other.
        width, height: of the photo, at the size at which it is wanted.

    Returns:
        [height, width] int32: the pixel of the picture, row * pinhole.width + column, that the centre of the photo's
        pixel shows; -1 where it shows none of them.

    Raises:
        MirrorError: as `undistorted`.
    """
    lens = colmap_camera(camera)
    rows = np.empty((height, width), np.int32)
    for first, x, y in _centres(width, height):
        pixel = np.column_stack([x.ravel() * (camera.width / width), y.ravel() * (camera.height / height)])
        u, v = _rays(lens, pixel).T
        with np.errstate(invalid="ignore"):
            column = np.floor(u * pinhole.fx + pinhole.cx)
            row = np.floor(v * pinhole.fy + pinhole.cy)
            inside = (column >= 0) & (column < pinhole.width) & (row >= 0) & (row < pinhole.height)
        place = np.full(len(u), -1, np.int32)
        place[inside] = (row[inside] * pinhole.width + column[inside]).astype(np.int32)
        rows[first : first + len(x)] = place.reshape(x.shape)
    return rows


def _centres(width: int, height: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Strips of a picture: the first row, x and y of its pixels' centres."""
    for first in range(0, height, _ROWS):
        y, x = np.mgrid[first : min(first + _ROWS, height), :width] + 0.5
        yield first, x, y


def _rays(lens: pycolmap.Camera, pixels: np.ndarray) -> np.ndarray:
    """[n, 2] X / Z, Y / Z of pixels [n, 2]; NaN where the lens sees nothing in front of the camera."""
    rays = np.asarray(lens.cam_from_img(pixels))
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(rays).all(axis=1) & (np.abs(rays) < 1e6).all(axis=1)
        points = np.column_stack([np.where(finite[:, None], rays, 0), np.ones(len(rays))])
        again = np.asarray(lens.img_from_cam(points))
        finite &= (np.abs(again - pixels) <= _FOUND_AGAIN).all(axis=1)
    return np.where(finite[:, None], rays, np.nan)
