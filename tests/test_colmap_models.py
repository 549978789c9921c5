"""COLMAP models, with pycolmap as the oracle."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.scene import Tracks

pytest.importorskip("pycolmap")

from mirror_sfm.colmap.library import pycolmap
from mirror_sfm.colmap.models import read_model, tracks_kept, write_model

LENSES = (Camera("OPENCV", (500, 510, 320, 240, 0.01, 0, 0, 0.001), 640, 480), Camera("PINHOLE", (9, 9, 5, 4), 10, 8))


def made_views(names=("c d.jpg", "a/é.png", "b.jpg", "z.jpg")) -> tuple[View, ...]:
    rng = np.random.default_rng(5)
    turns = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in names]
    turns = [turn * np.linalg.det(turn) for turn in turns]
    return tuple(
        View(name, LENSES[k % 2], np.column_stack([turn, np.array([0, 0, 9]) + rng.normal(size=3)]))
        for k, (name, turn) in enumerate(sorted(zip(names, turns, strict=True)))
    )


def made_tracks(views: int = 4, points: int = 60) -> Tracks:
    rng = np.random.default_rng(6)
    sees = rng.random((views, points)) < 0.4
    sees[:, sees.sum(axis=0) < 2] = True
    seen = np.concatenate([np.flatnonzero(row) for row in sees]).astype(np.int32)
    return Tracks(rng.normal(size=(points, 3)), np.concatenate([[0], sees.sum(axis=1).cumsum()]), seen)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, made_views(), made_tracks(), np.arange(180).reshape(60, 3).astype(np.uint8))
    return folder


def oracle(folder: Path) -> tuple[dict, dict]:
    """By pycolmap: poses and cameras by name, and names of images by point."""
    found = pycolmap.Reconstruction(folder)
    images = {image.name: image for image in found.images.values() if image.has_pose}
    points = {
        tuple(point.xyz): {found.image(e.image_id).name for e in point.track.elements}
        for point in found.points3D.values()
    }
    return images, {xyz: names for xyz, names in points.items() if len(names) > 1}


def agrees(folder: Path) -> None:
    views, unregistered, tracks = read_model(folder)
    images, points = oracle(folder)
    assert [view.name for view in views] == sorted(images) and not unregistered
    for view in views:
        image = images[view.name]
        assert np.array_equal(view.cam_from_world, image.cam_from_world().matrix())
        assert np.allclose(view.centre, image.projection_center())
        assert (view.camera.model, view.camera.width) == (image.camera.model_name, image.camera.width)
        assert np.array_equal(view.camera.params, image.camera.params)
    seen = [{tuple(tracks.points[k]) for k in tracks.of(v)} for v in range(len(views))]
    assert {tuple(xyz) for xyz in tracks.points} == set(points)
    for view, mine in zip(views, seen, strict=True):
        assert mine == {xyz for xyz, names in points.items() if view.name in names}
        assert (np.diff(tracks.of(views.index(view))) > 0).all()


def test_survives(model):
    views, unregistered, tracks = read_model(model)
    before = made_views()
    assert [(v.name, v.camera) for v in views] == [(v.name, v.camera) for v in before] and unregistered == ()
    for view, old in zip(views, before, strict=True):
        assert np.abs(view.cam_from_world - old.cam_from_world).max() < 1e-12
    assert np.array_equal(tracks.points, made_tracks().points)
    assert np.array_equal(tracks.offsets, made_tracks().offsets) and np.array_equal(tracks.seen, made_tracks().seen)
    found = pycolmap.Reconstruction(model)
    colours = [found.points3D[k].color.tolist() for k in sorted(found.points3D)]
    assert colours == np.arange(180).reshape(60, 3).tolist()
    assert len(found.cameras) == 2


def test_written_key_points_are_where_the_points_fall(model):
    found = pycolmap.Reconstruction(model)
    for image in found.images.values():
        for point in image.points2D:
            xyz = image.cam_from_world() * found.points3D[point.point3D_id].xyz
            assert point.xy == pytest.approx(image.camera.img_from_cam(xyz))


def test_same_bytes(model, tmp_path):
    write_model(tmp_path, made_views(), made_tracks(), np.arange(180).reshape(60, 3).astype(np.uint8))
    for file in model.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()


def test_without_tracks(tmp_path):
    write_model(tmp_path, made_views())
    views, _, tracks = read_model(tmp_path)
    assert len(views) == 4 and tracks.points.shape == (0, 3) and tracks.offsets.tolist() == [0] * 5


def test_agrees_with_pycolmap(model):
    agrees(model)


def test_legacy_models(model, tmp_path):
    """COLMAP before 3.12 wrote neither rigs nor frames."""
    for name in ("cameras.bin", "images.bin", "points3D.bin"):
        shutil.copy(model / name, tmp_path)
    agrees(tmp_path)


def test_rigs(tmp_path):
    """Two cameras in one rig: the pose of an image is that of its sensor."""
    options = pycolmap.SyntheticDatasetOptions(
        num_rigs=2, num_cameras_per_rig=2, num_frames_per_rig=3, num_points3D=50, sensor_from_rig_translation_stddev=0.1
    )
    pycolmap.set_random_seed(1)
    made = pycolmap.synthesize_dataset(options)
    for kind in ("binary", "text"):
        folder = tmp_path / kind
        folder.mkdir()
        getattr(made, f"write_{kind}")(folder)
        agrees(folder)


def test_real_models(data):
    for name in ("drone_brighton", "indoor_chair"):
        agrees(data / "scenes" / name / "sfm")


def text_of(model: Path, folder: Path) -> Path:
    pycolmap.Reconstruction(model).write_text(folder)
    return folder


def test_text_models_keep_their_names_whole(model, tmp_path):
    """pycolmap cuts them at the first space."""
    views, _, tracks = read_model(text_of(model, tmp_path))
    binary, _, same = read_model(model)
    assert [view.name for view in views] == [view.name for view in binary]
    assert np.allclose(tracks.points, same.points, rtol=1e-15) and np.array_equal(tracks.seen, same.seen)
    for view, other in zip(views, binary, strict=True):
        assert np.allclose(view.cam_from_world, other.cam_from_world, atol=1e-12) and view.camera == other.camera


def test_binary_before_text(model, tmp_path):
    text_of(model, tmp_path)
    for file in model.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "images.txt").write_text("nonsense")
    assert len(read_model(tmp_path)[0]) == 4


def test_points_that_a_photo_has_twice_count_once(tmp_path):
    """and those that only one photo sees, however often, do not count."""
    made = pycolmap.Reconstruction()
    camera = pycolmap.Camera(model="PINHOLE", width=10, height=10, params=[9, 9, 5, 5], camera_id=1)
    made.add_camera_with_trivial_rig(camera)
    for k in (1, 2):
        image = pycolmap.Image(name=f"{k}.jpg", camera_id=1, image_id=k)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(np.array([i, i])) for i in range(4)])
        made.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    element = pycolmap.TrackElement
    made.add_point3D(np.array([0.0, 0, 1]), pycolmap.Track([element(1, 0), element(1, 1)]))
    made.add_point3D(np.array([0.0, 0, 2]), pycolmap.Track([element(1, 2), element(1, 3), element(2, 0)]))
    made.write_binary(tmp_path)
    _, _, tracks = read_model(tmp_path)
    assert tracks.points.tolist() == [[0, 0, 2]] and tracks.offsets.tolist() == [0, 1, 2]
    assert tracks.seen.tolist() == [0, 0]


def test_tracks_of_some_views():
    tracks = made_tracks()
    kept = tracks_kept(tracks, [2, 0])
    both = np.intersect1d(tracks.of(0), tracks.of(2))
    assert np.array_equal(kept.points, tracks.points[both])
    assert kept.of(0).tolist() == kept.of(1).tolist() == list(range(len(both)))


def test_no_model(tmp_path):
    with pytest.raises(
        UsageError, match=r"no COLMAP model in .*: looked for cameras.bin, images.bin, points3D.bin, or"
    ):
        read_model(tmp_path)


def changed(model: Path, folder: Path, name: str, at: int, number: bytes) -> Path:
    for file in model.iterdir():
        shutil.copy(file, folder)
    content = bytearray((model / name).read_bytes())
    content[at : at + len(number)] = number
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "at", "number", "message"),
    [
        ("cameras.bin", 0, struct.pack("<Q", 1 << 60), "byte 0: expected a number of cameras of 24 bytes or more each"),
        ("cameras.bin", 12, struct.pack("<i", 99), "byte 12: expected a camera model from 0 to 17, found 99"),
        ("cameras.bin", 16, struct.pack("<Q", 0), "byte 16: expected a width and a height"),
        ("cameras.bin", 32, struct.pack("<d", np.nan), "byte 32: expected finite parameters"),
        ("cameras.bin", 32, struct.pack("<d", -1), "camera 1: expected focal lengths above 0, found -1"),
        ("images.bin", 0, struct.pack("<Q", 5), "expected"),
        ("images.bin", 12, bytes(32), "byte 12: expected a rotation"),
        ("images.bin", 68, struct.pack("<I", 77), "byte 68: expected a camera of cameras.bin, found 77"),
        ("images.bin", 72, b"\xff\xff", "byte 72: expected a name in UTF-8"),
        ("points3D.bin", 0, struct.pack("<Q", 61), "expected a point and its track, 0 bytes are left"),
        ("points3D.bin", 0, struct.pack("<Q", 1 << 62), "byte 0: expected a number of points"),
        ("points3D.bin", 16, struct.pack("<d", np.inf), "byte 8: expected a finite position"),
        ("points3D.bin", 51, struct.pack("<Q", 1 << 61), "byte 8: expected a point and its track"),
        ("points3D.bin", 59, struct.pack("<I", 900), "byte 59: expected an image of the model"),
        ("points3D.bin", 63, struct.pack("<I", 900), "byte 59: expected a key point of the image"),
        ("points3D.bin", 8, struct.pack("<Q", 900), "byte 59: expected a key point that names this point"),
        ("rigs.bin", 8, struct.pack("<I", 900), "expected a frame that is there once, of a rig of rigs.bin"),
        ("rigs.bin", 12, struct.pack("<I", 1 << 30), "byte 12: expected a number of sensors, found 1073741824"),
        ("frames.bin", 72, struct.pack("<I", 1 << 30), "byte 72: expected a number of images of a frame"),
    ],
)
def test_broken_binary(model, tmp_path, name, at, number, message):
    with pytest.raises(MirrorError, match=message) as error:
        read_model(changed(model, tmp_path, name, at, number))
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin", "rigs.bin", "frames.bin"])
def test_cut_short_and_too_long(model, tmp_path, name):
    whole = (model / name).read_bytes()
    for content in (whole[:-1], whole[:4], b"", whole + b"\0"):
        changed(model, tmp_path, name, 0, b"")
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MirrorError, match=f"{name}, byte [0-9]+: expected"):
            read_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "cameras.txt",
            "1 OPENCV",
            "x OPENCV",
            "line [0-9]+: expected the number of a camera, a whole number, found 'x'",
        ),
        ("cameras.txt", "OPENCV", "OPENCVX", "is not a COLMAP model: Camera model does not exist"),
        ("cameras.txt", " 640 480", " 640", "is not a COLMAP model|expected a height"),
        ("images.txt", "\n1 ", "\n1 nan ", "line [0-9]+: expected a finite number, found 'nan'"),
        ("images.txt", " b.jpg", " z.jpg", "image [0-9]: another image is called 'z.jpg' too"),
        ("points3D.txt", "\n1 ", "\n1 1 ", r"line [0-9]+: expected a point: number, x y z, r g b, error, track; found"),
        ("points3D.txt", "\n2 ", "\n1 ", "line [0-9]+, word 1: expected a number that no other point has"),
    ],
)
def test_broken_text(model, tmp_path, name, old, new, message):
    text_of(model, tmp_path)
    content = (tmp_path / name).read_text()
    assert old in content
    (tmp_path / name).write_text(content.replace(old, new, 1))
    with pytest.raises(MirrorError, match=message) as error:
        read_model(tmp_path)
    assert "\n" not in str(error.value)


def test_names_that_leave_the_folder(tmp_path):
    write_model(tmp_path, made_views(("../a.jpg", "b.jpg")))
    with pytest.raises(MirrorError, match=r"the image ../a.jpg lies outside the folder of photos"):
        read_model(tmp_path)


def test_points_behind_a_camera(tmp_path):
    tracks = Tracks(np.array([[0.0, 0, -20]]), np.array([0, 1, 2]), np.zeros(2, np.int32))
    views = tuple(View(name, LENSES[1], np.eye(3, 4)) for name in "ab")
    with pytest.raises(MirrorError, match="a cannot see a point of its tracks: it lies behind the camera"):
        write_model(tmp_path, views, tracks)


def test_unknown_cameras_are_not_written(tmp_path):
    view = View("a.jpg", Camera("OMNI", (1.0,), 4, 4), np.eye(3, 4))
    with pytest.raises(MirrorError, match="unknown camera model OMNI"):
        write_model(tmp_path, (view,))


def test_tracks_in_another_order():
    tracks = made_tracks()
    turned = tracks_kept(tracks, [2, 0, 1, 3])
    assert np.array_equal(turned.points, tracks.points)
    for new, old in enumerate((2, 0, 1, 3)):
        assert np.array_equal(turned.of(new), tracks.of(old))
