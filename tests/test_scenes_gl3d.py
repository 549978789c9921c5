"""GL3D: byte for byte, in both directions."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirror_sfm.errors import MirrorError
from mirror_sfm.overlap.measured import Overlap
from mirror_sfm.scenes import gl3d, gl3d_cameras, gl3d_lists, gl3d_masks
from mirror_sfm.scenes.pfm import read_pfm, write_pfm
from mirror_sfm.scenes.reading import read_scene

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())
BYTES = GOLDEN["gl3d_bytes"]["expected"]
LINE = (
    "0 3995.67 3995.67 2304 1728 0 63.6722 -28.8643 53.9166 0.919771 -0.39198 0.0192924 -0.390128 -0.918559 -0.0636394 "
    "0.0426665 0.0510072 -0.997786 0.0131149 0.0165777 -0.0248811 4608 3456"
)


def stored(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(bytes.fromhex(BYTES[name]["hex"]))
    return path


@pytest.mark.parametrize(("name", "key"), [("mask_v2", "int32"), ("mask_v1", "uint64")])
def test_masks_byte_for_byte(tmp_path, name, key):
    path = stored(tmp_path, name)
    masks = gl3d_masks.read_masks(path, 6, sides=(2,))
    assert masks.key == key and masks.side == 2
    assert masks.pairs.tolist() == [BYTES[name]["idx"]]
    assert masks.masks[0].tolist() == [BYTES["mask_v2"]["first"], BYTES["mask_v2"]["second"]]
    gl3d_masks.write_masks(tmp_path / "again", masks)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_correspondences_byte_for_byte(tmp_path):
    path = stored(tmp_path, "corr")
    (found,) = gl3d_cameras.read_correspondences(path)
    assert [found.first, found.second] == BYTES["corr"]["idx"]
    assert found.rows.tolist() == BYTES["corr"]["rows"]
    gl3d_cameras.write_correspondences(tmp_path / "again", [found])
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_keypoints_byte_for_byte(tmp_path):
    path = stored(tmp_path, "keypoint")
    points = gl3d_cameras.read_keypoints(path)
    assert points.reshape(2, 3).tolist() == BYTES["keypoint"]["transform"]
    assert gl3d_cameras.keypoint_positions(points, 4608, 3456)[0].tolist() == BYTES["keypoint"]["xy_for_4608x3456"]
    gl3d_cameras.write_keypoints(tmp_path / "again", points)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("columns", [6, 9])
@pytest.mark.parametrize("count", [0, 1, 5, 12, 36])
def test_keypoints_of_both_versions(tmp_path, columns, count):
    points = np.random.default_rng(count).uniform(-1, 1, (count, columns)).astype(np.float32)
    if columns == 9:
        points[:, 8] = np.arange(count) % 5  # octaves
    gl3d_cameras.write_keypoints(tmp_path / "a.bin", points)
    found = gl3d_cameras.read_keypoints(tmp_path / "a.bin")
    assert np.array_equal(found, points) if count else found.shape == (0, 6)


def test_pfm_byte_for_byte(tmp_path):
    path = stored(tmp_path, "pfm")
    depth = read_pfm(path)
    assert depth.tolist() == BYTES["pfm"]["array_top_row_first"]
    write_pfm(tmp_path / "again", depth)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_training_list_byte_for_byte(tmp_path):
    path = stored(tmp_path, "train_list_with_mask")
    ((photo,),) = gl3d_masks.read_training_list(path)
    told = BYTES["train_list_with_mask"]["datasets"][0][0]
    assert (photo.reference, photo.positives.tolist(), photo.weak.tolist()) == (told["ref"], told["pos"], told["neg"])
    assert photo.masks.shape == (1, 2, 14, 14) and photo.masks.sum() == told["true_bits"]
    gl3d_masks.write_training_list(tmp_path / "again", [[photo]])
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_pair_file(tmp_path):
    lines = GOLDEN["gl3d_pair_file"]["inputs"]["lines"]
    path = tmp_path / "mesh_overlap.txt"
    path.write_text("\n".join(lines) + "\n")
    ratios = gl3d_lists.read_ratios(path, 21)
    assert list(ratios) == [(1, 20), (20, 1)]
    gl3d_lists.write_ratios(tmp_path / "again", ratios)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    (tmp_path / "geolabel").mkdir()
    path.rename(tmp_path / "geolabel" / "mesh_overlap.txt")
    gl3d_lists.write_list(tmp_path / "image_list.txt", [f"{k:08d}.jpg" for k in range(21)])
    overlap = gl3d.read_overlap(tmp_path)
    assert overlap.averaged("triangles")[0] == pytest.approx(GOLDEN["gl3d_pair_file"]["expected"]["mo"], abs=1e-12)
    assert overlap.halves["triangles"].tolist() == [[0.447471, 0.0652112]]  # the share of 1 that 20 sees, first


@pytest.mark.parametrize("words", [18, 23])
def test_cameras_byte_for_byte(tmp_path, words):
    lines = [" ".join(LINE.split()[:words]), " ".join(["7", *LINE.split()[1:words]])]
    path = tmp_path / "cameras.txt"
    path.write_text("".join(line + "\n" for line in lines))
    cameras = gl3d_cameras.read_cameras(path)
    assert [camera.index for camera in cameras] == [0, 7]
    gl3d_cameras.write_cameras(tmp_path / "again", cameras)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    path.write_text("".join(line + " \r\n" for line in lines))  # a blank at the end does not matter
    assert gl3d_cameras.read_cameras(path) == cameras


def test_numbers_are_written_whole(tmp_path):
    """Six digits as C++ prints them, and more where six are not enough."""
    values = np.random.default_rng(0).normal(size=3) * 1e6
    (tmp_path / "a").write_text(LINE)
    (camera,) = gl3d_cameras.read_cameras(tmp_path / "a")
    moved = gl3d_cameras.GL3DCamera(0, camera.k, tuple(values), camera.rotation, camera.distortion, camera.size)
    gl3d_cameras.write_cameras(tmp_path / "a", [moved])
    assert gl3d_cameras.read_cameras(tmp_path / "a") == [moved]


def test_camera_of_the_format_document(tmp_path):
    from mirror_sfm.colmap.models import colmap_camera

    told, expected = GOLDEN["camera"]["inputs"], GOLDEN["camera"]["expected"]
    (tmp_path / "cameras.txt").write_text(LINE)
    (camera,) = gl3d_cameras.read_cameras(tmp_path / "cameras.txt")
    pose = camera.cam_from_world
    assert -pose[:, :3].T @ pose[:, 3] == pytest.approx(np.array(expected["centre"]), abs=1e-9)
    point = pose[:, :3] @ told["X_world"] + pose[:, 3]
    assert point == pytest.approx(np.array(expected["X_cam"]), abs=1e-9)
    pinhole = camera.undistorted()
    assert pinhole.fx * point[0] / point[2] + pinhole.cx == pytest.approx(expected["pixel_undistorted"][0], abs=1e-9)
    photo = colmap_camera(camera.photo())
    assert photo.img_from_cam(point) == pytest.approx(np.array(expected["pixel_distorted"]), abs=1e-9)
    small = pinhole.resized(1000, 1000)
    k = np.array(expected["K_for_1000x1000"])
    assert small.intrinsics == pytest.approx(k[[0, 1, 0, 1], [0, 1, 2, 2]], abs=1e-9)
    pixel = small.intrinsics[:2] * point[:2] / point[2] + small.intrinsics[2:]
    assert pixel == pytest.approx(np.array(expected["pixel_in_1000x1000"]), abs=1e-9)


@pytest.mark.parametrize("side", gl3d_masks.SIDES)
@pytest.mark.parametrize("key", gl3d_masks.KEYS)
def test_layout_of_masks_is_found(tmp_path, side, key):
    rng = np.random.default_rng(side)
    pairs = np.array([[0, 1], [0, 7], [3, 9], [4, 4]])
    made = gl3d_masks.GL3DMasks(pairs, rng.integers(0, 2, (4, 2, side, side)).astype(np.uint8), key)
    gl3d_masks.write_masks(tmp_path / "mask.bin", made)
    assert (tmp_path / "mask.bin").stat().st_size == 4 * (8 + 2 * side * side)
    found = gl3d_masks.read_masks(tmp_path / "mask.bin", 10)
    assert (found.side, found.key) == (side, key)
    assert np.array_equal(found.pairs, pairs) and np.array_equal(found.masks, made.masks)
    with pytest.raises(MirrorError, match=r"mask.bin, byte 0: expected masks of a known side .*no two of 9 images"):
        gl3d_masks.read_masks(tmp_path / "mask.bin", 9)
    content = bytearray((tmp_path / "mask.bin").read_bytes())
    content[8 + 5] = 2
    (tmp_path / "mask.bin").write_bytes(content)
    with pytest.raises(MirrorError, match="byte 13 is neither 0 nor 1"):
        gl3d_masks.read_masks(tmp_path / "mask.bin", 10)


def test_no_masks_at_all(tmp_path):
    (tmp_path / "mask.bin").write_bytes(b"")
    assert len(gl3d_masks.read_masks(tmp_path / "mask.bin", 3).pairs) == 0


def test_holes_are_filled():
    ring = np.ones((1, 2, 5, 5), np.uint8)
    ring[0, 0, 2, 2] = 0
    ring[0, 1, 0, 2] = 0  # on the edge, no hole
    full = gl3d_masks.filled(ring)
    assert full[0, 0].all() and full[0, 1, 0, 2] == 0


def test_lists(tmp_path):
    scenes = ["000000000000000000000001", "5862388d712a9a7a7f5a1a8f"]
    gl3d_lists.write_list(tmp_path / "imageset_test.txt", scenes)
    assert gl3d_lists.read_scene_list(tmp_path / "imageset_test.txt") == scenes
    offsets = {scenes[0]: range(0, 120), scenes[1]: range(120, 121)}
    gl3d_lists.write_offsets(tmp_path / "image_index_offset.txt", offsets)
    assert gl3d_lists.read_offsets(tmp_path / "image_index_offset.txt") == offsets
    assert (tmp_path / "image_index_offset.txt").read_text().splitlines()[1] == f"{scenes[1]} 120 121"


def made_overlap(names=("a.jpg", "b.jpg", "c.jpg", "d.jpg")) -> Overlap:
    rng = np.random.default_rng(3)
    masks = np.repeat(np.repeat(rng.integers(0, 2, (2, 2, 14, 14)).astype(np.uint8) * 255, 4, 2), 4, 3)
    return Overlap(
        names=tuple(names),
        pairs=np.array([[0, 1], [0, 3]], np.int32),
        halves={
            "tracks": np.array([[0.25, 1 / 3], [0, 0.125]]),
            "triangles": np.array([[0.447471, 0.0652112], [1, 0.5]]),
        },
        seen={"tracks": np.array([4.0, 3, 0, 8]), "triangles": np.array([40.0, 30, 0, 80])},
        masks=masks,
        surface="mesh",
    )


@pytest.mark.parametrize("key", gl3d_masks.KEYS)
@pytest.mark.parametrize("side", [14, 28])
def test_overlap_survives(tmp_path, side, key):
    """Sides that divide 56 lose nothing."""
    overlap = made_overlap()
    gl3d.write_overlap(tmp_path, overlap, side, key)
    assert (tmp_path / "geolabel" / "common_track.txt").read_text().splitlines()[0] == "0 1 0.25"
    found = gl3d.read_overlap(tmp_path, fill_holes=False)
    assert found.names == overlap.names and np.array_equal(found.pairs, overlap.pairs)
    for measure, halves in overlap.halves.items():
        assert np.array_equal(found.halves[measure], halves)
    assert np.array_equal(found.masks, overlap.masks)
    assert found.seen["triangles"].tolist() == [np.inf, np.inf, 0, np.inf]  # GL3D does not tell how many
    assert np.array_equal(found.matrix("triangles").diagonal(), [1, 1, 0, 1])
    first = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*.*"))}
    gl3d.write_overlap(tmp_path, found, side, key)
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*.*"))} == first


def test_overlap_of_names_in_another_order(tmp_path):
    """Indices are lines of image_list.txt; the pairs that come out are rows of sorted names."""
    overlap = made_overlap()
    gl3d.write_overlap(tmp_path, overlap, 14)
    gl3d_lists.write_list(tmp_path / "image_list.txt", ["/z/d.jpg", "c.jpg", "b.jpg", "a.jpg"])
    found = gl3d.read_overlap(tmp_path, fill_holes=False)
    assert found.names == overlap.names
    assert found.pairs.tolist() == [[0, 3], [2, 3]]  # were d-c and d-a; a's and d's index are now swapped
    assert found.halves["triangles"].tolist() == [[0.5, 1], [0.0652112, 0.447471]]
    assert np.array_equal(found.masks, overlap.masks[::-1, ::-1])


@pytest.mark.parametrize("side", [32, 64])
def test_masks_of_other_sides_keep_their_area(tmp_path, side):
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 2, (1, 2, side, side)).astype(np.uint8)
    overlap = made_overlap()
    gl3d.write_overlap(tmp_path, overlap, side)
    gl3d_masks.write_masks(tmp_path / "geolabel" / "mask.bin", gl3d_masks.GL3DMasks(np.array([[0, 1]]), cells))
    found = gl3d.read_overlap(tmp_path, fill_holes=False)
    assert found.masks[0].mean() / 255 == pytest.approx(cells.mean(), abs=2e-3)
    sums, area = gl3d.area_sums(cells[0, 0], 56)
    brute = np.kron(cells[0, 0], np.ones((56, 56))).reshape(56, side, 56, side).mean(axis=(1, 3))
    assert np.allclose(sums / area, brute)


@pytest.fixture
def scene(tmp_path) -> Path:
    folder = tmp_path / "0001"
    for name in ("undist_images", "geolabel", "rendered_depths"):
        (folder / name).mkdir(parents=True)
    for k in range(3):
        Image.new("RGB", (1000, 1000), (k, 0, 0)).save(folder / "undist_images" / f"{k:08d}.jpg")
    lines = [" ".join([str(k), *LINE.split()[1:]]) for k in (0, 2)]
    (folder / "geolabel" / "cameras.txt").write_text("\n".join(lines) + "\n")
    depth = np.zeros((300, 400), np.float32)
    depth[1, 2] = 20
    write_pfm(folder / "rendered_depths" / "00000002.pfm", depth)
    return folder


def test_scene(scene):
    found = read_scene(scene)
    assert found.name == "0001" and found.images == scene / "undist_images"
    assert [view.name for view in found.views] == ["00000000.jpg", "00000002.jpg"]
    assert found.unregistered == ("00000001.jpg",)
    view = found.views[0]
    assert (view.camera.model, view.camera.width, view.camera.height) == ("PINHOLE", 1000, 1000)
    assert view.camera.params == pytest.approx((867.1158854166667, 1156.154513888889, 500, 500))
    (name,) = found.depths
    assert name == "00000002.jpg" and found.depths[name].read()[1, 2] == 20
    camera = found.depths[name].camera
    assert (camera.width, camera.height) == (400, 300)
    assert camera.intrinsics == pytest.approx([3995.67 * 400 / 4608, 3995.67 * 300 / 3456, 200, 150])


@pytest.mark.parametrize(("old", "new"), [(1, "00000003"), (1, "999999999"), (2, "0002"), (0, "04")])
def test_photos_of_other_indices(scene, old, new):
    photos = scene / "undist_images"
    (photos / f"{old:08d}.jpg").rename(photos / f"{new}.jpg")
    if new == "0002":  # digits more or less: the same index
        photos_twice = photos / "2.png"
        (photos / "00000001.jpg").rename(photos_twice)
        with pytest.raises(MirrorError, match="undist_images: two photos of one index"):
            read_scene(scene)
        photos_twice.rename(photos / "00000001.jpg")
        assert read_scene(scene).views[1].name == "0002.jpg"
    else:
        with pytest.raises(
            MirrorError, match=rf"undist_images: 3 photos, none of index {old}; expected one for each of"
        ):
            read_scene(scene)


def test_scene_without_photos(scene):
    for photo in (scene / "undist_images").iterdir():
        photo.unlink()
    (scene / "undist_images").rmdir()
    (scene / "image_list.txt").write_text("x/p q.jpg\n/x/r.jpg\n/x/s.jpg\n")
    found = read_scene(scene)
    assert [view.name for view in found.views] == ["s.jpg", "x/p q.jpg"]
    assert found.views[0].camera.model == "FULL_OPENCV" and found.views[0].camera.width == 4608
    (scene / "image_list.txt").write_text("x/p.jpg\n")
    with pytest.raises(MirrorError, match=r"image_list.txt: 1 different names; expected 3 or more"):
        read_scene(scene)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0 1 2\n", r"line 1: expected 23 numbers \(18 in version 1\) of a camera, found 3 words"),
        (LINE + "\n" + LINE, "line 2: image 0 is there twice"),
        (LINE.replace("0.919771", "nan"), "line 1: expected a finite number, found 'nan'"),
        (LINE.replace("0.919771", "0.5"), "line 1: expected a rotation, row by row"),
        (LINE.replace("4608 3456", "4608.5 3456"), "line 1: expected the photo's width and height"),
        (LINE.replace("0 3995.67", "99999999 3995.67", 1), "line 1: expected an index below 1048576, found 99999999"),
        (LINE.replace("0 3995.67", "-1 3995.67", 1), "line 1: expected the index of the image"),
        (LINE.replace("3995.67", "0", 1), "line 1: expected focal lengths above 0"),
        ("", "line 1: expected a camera, found nothing"),
        (b"\xff\xfe", "line 1: expected UTF-8 text"),
    ],
)
def test_broken_cameras(tmp_path, content, message):
    path = tmp_path / "cameras.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(MirrorError, match=message) as error:
        gl3d_cameras.read_cameras(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_skew_is_refused(tmp_path):
    words = LINE.split()
    words[5] = "0.5"
    (tmp_path / "cameras.txt").write_text(" ".join(words))
    (camera,) = gl3d_cameras.read_cameras(tmp_path / "cameras.txt")
    with pytest.raises(MirrorError, match=r"a skew of 0.5; expected 0"):
        camera.photo()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 2\n", "line 1: expected two indices of images and a ratio, found 2 words"),
        ("1 2 1.5\n", "line 1: expected a ratio from 0 to 1, found 1.5"),
        ("1 2 0.5\n1 2 0.5\n", "line 2: the pair 1 2 is there twice"),
        ("1 9 0.5\n", "line 1: expected indices below 9, the number of images, found 9"),
        ("1 x 0.5\n", "line 1: expected the index of an image, a whole number, found 'x'"),
    ],
)
def test_broken_ratios(tmp_path, content, message):
    (tmp_path / "mesh_overlap.txt").write_text(content)
    with pytest.raises(MirrorError, match=message):
        gl3d_lists.read_ratios(tmp_path / "mesh_overlap.txt", 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack("<3q", 0, 1, 1), r"byte 24: expected 15 numbers, 15 for each of 1 correspondences, of 4 bytes"),
        (struct.pack("<3q", 0, 1, 1 << 60), "byte 24: expected"),
        (struct.pack("<3q", 0, 1, -1), "byte 24: expected -15 numbers"),
        (struct.pack("<3q", 0, 1, 0) + b"abc", r"byte 24: expected 3 numbers of a record's header"),
        (struct.pack("<3q", -2, 1, 0), "byte 0: expected the indices of two images, found -2 and 1"),
    ],
)
def test_broken_correspondences(tmp_path, content, message):
    (tmp_path / "corr.bin").write_bytes(content)
    with pytest.raises(MirrorError, match=f"corr.bin, {message}"):
        gl3d_cameras.read_correspondences(tmp_path / "corr.bin")


def test_broken_training_list(tmp_path):
    path = tmp_path / "list.bin"
    for content, message in (
        (struct.pack("<i", 1 << 30), "byte 0: expected a number of scenes, found 1073741824"),
        (struct.pack("<4i", 1, 1, 7, 5), "byte 4: expected a number of images of a scene"),
        (struct.pack("<5i", 1, 1, 7, 0, 0) + b"x", "byte 20: expected the end, 1 bytes follow"),
    ):
        path.write_bytes(content)
        with pytest.raises(MirrorError, match=message):
            gl3d_masks.read_training_list(path)
