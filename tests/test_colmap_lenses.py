"""Every camera model of COLMAP: its pinhole camera, and which pixel of the pinhole picture a photo's pixel shows."""

import numpy as np
import pytest

from mirror_sfm.errors import MirrorError
from mirror_sfm.scenes.cameras import Camera

pytest.importorskip("pycolmap")

from mirror_sfm.colmap.lenses import pinhole_rows, undistorted
from mirror_sfm.colmap.library import pycolmap
from mirror_sfm.colmap.models import colmap_camera

F, C = (520.0, 500.0), (322.0, 238.0)
LENSES = {
    "SIMPLE_PINHOLE": (F[0], *C),
    "PINHOLE": (*F, *C),
    "SIMPLE_RADIAL": (F[0], *C, -0.1),
    "RADIAL": (F[0], *C, -0.1, 0.02),
    "OPENCV": (*F, *C, -0.1, 0.02, 0.001, -0.001),
    "OPENCV_FISHEYE": (*F, *C, 0.01, -0.002, 0.001, 0),
    "FULL_OPENCV": (*F, *C, -0.1, 0.02, 0.001, -0.001, 0.003, 0.01, 0, 0),
    "FOV": (*F, *C, 0.6),
    "SIMPLE_RADIAL_FISHEYE": (F[0], *C, 0.02),
    "RADIAL_FISHEYE": (F[0], *C, 0.02, 0.001),
    "THIN_PRISM_FISHEYE": (*F, *C, 0.01, 0.001, 0.001, 0.001, 0, 0, 0.001, 0.001),
    "RAD_TAN_THIN_PRISM_FISHEYE": (*F, *C, *[0.01] * 3, *[0] * 3, *[0.001] * 6),
    "SIMPLE_DIVISION": (F[0], *C, -0.1),
    "DIVISION": (*F, *C, -0.1),
    "SIMPLE_FISHEYE": (F[0], *C),
    "FISHEYE": (*F, *C),
    "EUCM": (*F, *C, 0.5, 1.1),
}
REFUSED = {"EQUIRECTANGULAR": (640.0, 480.0)}


LENSES = {model: params for model, params in LENSES.items() if model in pycolmap.CameraModelId.__members__}


def test_every_model_is_here():
    assert {*LENSES, *REFUSED, "INVALID"} >= set(pycolmap.CameraModelId.__members__)


@pytest.mark.parametrize("model", LENSES)
def test_pixels_of_the_photo_find_their_surface(model):
    """A ray through a photo's pixel meets the pinhole picture where `pinhole_rows` says, within a pixel of it."""
    camera = Camera(model, LENSES[model], 640, 480)
    pinhole = camera.pinhole.within(800)
    assert max(pinhole.width, pinhole.height) == 800
    rows = pinhole_rows(camera, pinhole, 160, 120)
    assert rows.dtype == np.int32 and rows.max() < pinhole.width * pinhole.height
    shown = rows >= 0
    assert shown.mean() > 0.85  # corners may lie outside
    v, u = np.divmod(rows[shown], pinhole.width)
    rays = np.column_stack([(u + 0.5 - pinhole.cx) / pinhole.fx, (v + 0.5 - pinhole.cy) / pinhole.fy, np.ones(len(u))])
    pixels = colmap_camera(camera).img_from_cam(rays)
    y, x = np.nonzero(shown)
    step = 640 / 800  # of the picture, in pixels of the photo; lenses squeeze by less than two
    assert np.abs(pixels - np.column_stack([(x + 0.5) * 4, (y + 0.5) * 4])).max() < 2 * step


@pytest.mark.parametrize("model", ["SIMPLE_PINHOLE", "PINHOLE"])
def test_photos_without_distortion_are_their_own_picture(model):
    camera = Camera(model, LENSES[model], 64, 48)
    rows = pinhole_rows(camera, camera.pinhole, 64, 48)
    assert np.array_equal(rows, np.arange(64 * 48).reshape(48, 64))


@pytest.mark.parametrize("model", LENSES)
def test_pinhole_is_that_of_colmap(model):
    camera = Camera(model, LENSES[model], 640, 480)
    flat = pycolmap.undistort_camera(pycolmap.UndistortCameraOptions(), colmap_camera(camera))
    ours = undistorted(camera)
    assert (ours.width, ours.height, *ours.intrinsics) == (flat.width, flat.height, *flat.params)


def test_the_part_of_a_photo_that_folds_back_shows_nothing():
    """Barrel distortion that turns round before the corner: no ray comes back to those pixels."""
    camera = Camera("SIMPLE_RADIAL", (200.0, 320.0, 240.0, -0.15), 640, 480)
    rows = pinhole_rows(camera, Camera("PINHOLE", (200.0, 200.0, 2000.0, 2000.0), 4000, 4000).pinhole, 160, 120)
    radius = np.hypot(*(4 * np.mgrid[:120, :160] + 2 - np.array([240, 320])[:, None, None])) / 200
    farthest = (2 / 3) / np.sqrt(3 * 0.15)  # of r (1 - 0.15 r^2), at r^2 = 1 / 0.45
    assert (rows[radius > farthest + 0.01] == -1).all() and (rows[radius < farthest - 0.05] >= 0).all()


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        (
            Camera("EQUIRECTANGULAR", REFUSED["EQUIRECTANGULAR"], 640, 480),
            "(no pinhole camera shows what a|unknown camera model) EQUIRECTANGULAR",
        ),
        (Camera("OMNI", (1.0,), 640, 480), "unknown camera model OMNI; COLMAP knows SIMPLE_PINHOLE"),
        (Camera("INVALID", (1.0,), 640, 480), "unknown camera model INVALID"),
        (
            Camera("RADIAL", (1.0, 2.0), 640, 480),
            "a RADIAL camera has the parameters f, cx, cy, k1, k2; found 2 numbers",
        ),
        (Camera("RADIAL", (np.nan, 1.0, 1.0, 0.0, 0.0), 640, 480), "a RADIAL camera has the parameters"),
        (
            Camera("SIMPLE_RADIAL", (0.0, 320.0, 240.0, 0.0), 640, 480),
            "a SIMPLE_RADIAL camera has focal lengths above 0",
        ),
    ],
)
def test_refused_by_name(camera, message):
    with pytest.raises(MirrorError, match=message):
        _ = camera.pinhole
    with pytest.raises(MirrorError, match=camera.model):
        undistorted(camera)
    if camera.model in REFUSED:
        return  # rays it has
    with pytest.raises(MirrorError, match=camera.model):
        pinhole_rows(camera, Camera("PINHOLE", (1.0, 1.0, 1.0, 1.0), 2, 2).pinhole, 2, 2)
