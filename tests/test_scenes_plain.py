"""Cameras in JSON: every layout, where pixels are, and what is broken."""

import json

import numpy as np
import pytest

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.scenes.plain import read_matrix, read_plain_cameras

ANGLE = 0.3
TURN = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])
POSE = np.column_stack([TURN, (1, 2, 3)])  # cam_from_world
BACK = np.column_stack([TURN.T, -TURN.T @ (1, 2, 3)])
K = [[500, 0, 321], [0, 510, 239], [0, 0, 1]]


def square(matrix: np.ndarray) -> list:
    return np.vstack([matrix, (0, 0, 0, 1)]).tolist()


def read(tmp_path, described):
    path = tmp_path / "cameras.json"
    path.write_text(described if isinstance(described, str) else json.dumps(described))
    return read_plain_cameras(path)


def entry(**more) -> dict:
    return {"K": K, "cam_from_world": POSE.tolist(), **more}


@pytest.mark.parametrize(
    "pose",
    [
        {"cam_from_world": POSE.tolist()},
        {"world_to_cam": square(POSE)},
        {"cam_to_world": square(BACK)},
        {"world_from_cam": BACK.tolist()},
        {"R_world_to_cam": TURN.tolist(), "C": BACK[:, 3].tolist()},
        {"R_world_to_cam": TURN.tolist(), "t": [1, 2, 3]},
    ],
)
def test_poses(tmp_path, pose):
    (camera,) = read(tmp_path, {"cameras": {"a": {"K": K, **pose}}}).cameras
    assert camera.cam_from_world == pytest.approx(POSE, abs=1e-12)
    assert (camera.name, camera.model, camera.params) == ("a", "PINHOLE", (500, 510, 321, 239))
    assert camera.size is None and camera.sized(640, 480).width == 640


@pytest.mark.parametrize("prefix", ["", "CameraModelId."])
def test_models(tmp_path, prefix):
    model = {
        "name": "a.jpg",
        "width": 640,
        "height": 480,
        "model": f"{prefix}SIMPLE_RADIAL",
        "params": [500, 320, 240, 0.1],
    }
    (camera,) = read(tmp_path, {"cameras": [{**model, "cam_from_world": POSE.tolist()}]}).cameras
    assert (camera.name, camera.model, camera.size) == ("a.jpg", "SIMPLE_RADIAL", (640, 480))
    assert camera.params == (500, 320, 240, 0.1)


@pytest.mark.parametrize(
    ("told", "centres", "moved"),
    [
        ({}, [(319.5, 239.5)] * 2, 0.5),  # the middle only if the first pixel's centre is at (0, 0)
        ({}, [(320, 240)] * 2, 0),
        ({}, [(319.5, 239.5), (320, 239.5)], 0),
        ({}, [(319.5, 240)] * 2, 0),
        ({"first_pixel_centre": [0.5, 0.5]}, [(319.5, 239.5)] * 2, 0),
        ({"first_pixel_centre": [0, 0]}, [(321, 239)] * 2, 0.5),
    ],
)
def test_where_pixels_are(tmp_path, told, centres, moved):
    cameras = {
        str(n): {"K": [[500, 0, x], [0, 500, y], [0, 0, 1]], "cam_from_world": POSE.tolist()}
        for n, (x, y) in enumerate(centres)
    }
    found = read(tmp_path, {**told, "image_size": [640, 480], "cameras": cameras}).cameras
    assert [camera.params[2:] for camera in found] == [(x + moved, y + moved) for x, y in centres]


def test_where_pixels_are_in_colmaps_models(tmp_path):
    pytest.importorskip("pycolmap")
    model = {"model": "OPENCV", "params": [1, 2, 3, 4, 5, 6, 7, 8], "cam_from_world": POSE.tolist()}
    (camera,) = read(tmp_path, {"first_pixel_centre": [0, 0], "cameras": {"a": model}}).cameras
    assert camera.params == (1, 2, 3.5, 4.5, 5, 6, 7, 8)
    with pytest.raises(MirrorError, match=r"cameras.json, camera a: the camera model OMNI is unknown"):
        read(tmp_path, {"first_pixel_centre": [0, 0], "cameras": {"a": {**model, "model": "OMNI"}}})


def test_rotations_are_made_exact(tmp_path):
    rounded = POSE.round(4)
    (camera,) = read(tmp_path, {"cameras": {"a": entry(cam_from_world=rounded.tolist())}}).cameras
    turn = camera.cam_from_world[:, :3]
    assert np.abs(turn @ turn.T - np.eye(3)).max() < 1e-14 and np.abs(turn - TURN).max() < 1e-4


def test_depth_scale(tmp_path):
    assert read(tmp_path, {"depth_scale": 1000, "cameras": {"a": entry()}}).depth_scale == 1000
    assert read(tmp_path, {"cameras": {"a": entry()}}).depth_scale is None
    for wrong in (0, -1, "1000", True, [1]):
        with pytest.raises(MirrorError, match=r"cameras.json, depth_scale: expected"):
            read(tmp_path, {"depth_scale": wrong, "cameras": {"a": entry()}})


MIRRORED = [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ("{", "line 1, column 2: expected JSON"),
        ("[]", "byte 0: expected a JSON object"),
        ("[" * 100_000, "expected JSON"),
        ("\x00\x00", "expected JSON"),
        ({}, "cameras: expected a list of cameras with names, or an object by name"),
        ({"cameras": []}, "cameras: expected a camera, found none"),
        ({"cameras": [entry()]}, "camera 0: expected an object with a name"),
        ({"cameras": [3]}, "camera 0: expected an object with a name"),
        ({"cameras": [entry(name="a"), entry(name="a")]}, "camera a: is there twice"),
        ({"cameras": {"x/../../a": entry()}}, "expected a name inside the folder of photos"),
        ({"cameras": {"a": {"K": K}}}, "camera a: expected one of cam_from_world, world_to_cam"),
        ({"cameras": {"a": entry(cam_to_world=POSE.tolist())}}, "camera a: expected one of cam_from_world"),
        ({"cameras": {"a": {"cam_from_world": POSE.tolist()}}}, "camera a: expected model and params, or K"),
        ({"cameras": {"a": entry(K=[[1, 2], [3, 4]])}}, "camera a, K: expected a matrix of 3 x 3"),
        ({"cameras": {"a": entry(K=[[1, 0.1, 2], [0, 1, 2], [0, 0, 1]])}}, "camera a, K: expected .*fx, 0, cx"),
        ({"cameras": {"a": entry(K=[[-1, 0, 2], [0, 1, 2], [0, 0, 1]])}}, "camera a, K: expected .*fx, 0, cx"),
        ({"cameras": {"a": entry(K=[["1", 0, 2], [0, 1, 2], [0, 0, 1]])}}, "camera a, K: expected 3 finite numbers"),
        ({"cameras": {"a": entry(cam_from_world=MIRRORED)}}, "camera a: expected a rotation and a translation"),
        ({"cameras": {"a": entry(cam_from_world=[[1, 0, 0, 0]] * 3)}}, "camera a: expected a rotation"),
        (
            {"cameras": {"a": entry(cam_from_world=[[1, 0, 0]] * 3)}},
            "cam_from_world: expected a matrix of 3 x 4 or 4 x 4",
        ),
        ({"cameras": {"a": entry(width=640)}}, "camera a: expected 2 finite numbers"),
        ({"cameras": {"a": entry(width=640.5, height=2)}}, "camera a: expected width and height in pixels"),
        ({"cameras": {"a": entry()}, "image_size": [0, 4]}, "image_size: expected width and height"),
        ({"cameras": {"a": entry()}, "first_pixel_centre": [1, 1]}, r"expected \[0.5, 0.5\] or \[0, 0\]"),
        ('{"cameras": {"a": {"model": "PINHOLE", "params": [NaN]}}}', "camera a, params: expected finite numbers"),
        ('{"cameras": {"a": {"model": "PINHOLE", "params": [1, 2, 3]}}}', "a, params: expected fx fy cx cy, focal"),
        ('{"cameras": {"a": {"model": "SIMPLE_PINHOLE", "params": [0, 2, 3]}}}', "a, params: expected f cx cy, focal"),
        (
            '{"cameras": {"a": {"model": "PINHOLE", "params": [1' + "0" * 400 + "]}}}",
            "camera a, params: expected finite",
        ),
    ],
)
def test_broken(tmp_path, described, message):
    with pytest.raises(MirrorError, match=message) as error:
        read(tmp_path, described)
    assert "cameras.json, " in str(error.value) and "\n" not in str(error.value)


def test_matrices(tmp_path):
    path = tmp_path / "k.txt"
    path.write_text("5.85e+02 0 320\n\n0 585 240\n0 0 1\n")
    assert read_matrix(path, 3, 3).tolist() == [[585, 0, 320], [0, 585, 240], [0, 0, 1]]
    path.write_text("-inf 1\n2 3\n")
    assert np.isneginf(read_matrix(path, 2, 2, finite=False)[0, 0])
    for content, line in (
        ("1 2\n", 2),
        ("1 2\n3\n", 2),
        ("1 2\n3 4\n5 6\n", 3),
        ("1 2\n3 inf\n", 2),
        ("1 2\n3 x\n", 2),
    ):
        path.write_text(content)
        with pytest.raises(
            MirrorError, match=rf"k.txt, line {line}: expected a (matrix of 2 x 2 numbers|finite number)"
        ):
            read_matrix(path, 2, 2)
    with pytest.raises(UsageError, match="no such file"):
        read_matrix(tmp_path / "none.txt", 2, 2)
