"""BlendedMVS: cameras, pairs, depth maps of which some are empty."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirror_sfm.errors import MirrorError
from mirror_sfm.scenes.blended import read_blended_camera, read_blended_pairs
from mirror_sfm.scenes.pfm import write_pfm
from mirror_sfm.scenes.reading import read_scene

CAMERA = """extrinsic
0.0 -1.0 0.0 1.5
1.0 0.0 0.0 -2.5
0.0 0.0 1.0 3.5
0.0 0.0 0.0 1.0

intrinsic
577.5 0.0 380.25
0.0 577.5 290.0
0.0 0.0 1.0

{depths}
"""


@pytest.fixture
def scene(tmp_path) -> Path:
    folder = tmp_path / "5a3ca9cb270f0e3f14d0eddb"
    for name in ("cams", "blended_images", "rendered_depth_maps"):
        (folder / name).mkdir(parents=True)
    for k in range(3):
        (folder / "cams" / f"{k:08d}_cam.txt").write_text(CAMERA.format(depths="1.5 0.1 128 14.2"))
        Image.new("RGB", (768, 576)).save(folder / "blended_images" / f"{k:08d}.jpg")
        Image.new("RGB", (768, 576)).save(folder / "blended_images" / f"{k:08d}_masked.jpg")
        write_pfm(folder / "rendered_depth_maps" / f"{k:08d}.pfm", np.full((576, 768), k, np.float32))
    (folder / "cams" / "pair.txt").write_text("2\n0\n2 2 0.5 1 0.25 \n1\n0\n")
    return folder


def test_scene(scene, caplog):
    (scene / "rendered_depth_maps" / "00000001.pfm").write_bytes(b"")
    found = read_scene(scene)
    assert [view.name for view in found.views] == [f"{k:08d}.jpg" for k in range(3)] and found.unregistered == ()
    view = found.views[0]
    assert view.camera.params == (577.5, 577.5, 380.25, 290.0) and (view.camera.width, view.camera.height) == (768, 576)
    assert view.cam_from_world.tolist() == [[0, -1, 0, 1.5], [1, 0, 0, -2.5], [0, 0, 1, 3.5]]
    assert sorted(found.depths) == ["00000000.jpg", "00000002.jpg"] and "1 depth maps are empty files" in caplog.text
    assert not found.depths["00000000.jpg"].read().any() and (found.depths["00000002.jpg"].read() == 2).all()


def test_without_photos_and_depth(scene):
    for folder in ("blended_images", "rendered_depth_maps"):
        (scene / folder).rename(scene.parent / folder)
    found = read_scene(scene)
    assert found.views[0].name == "00000000" and found.images is None and not found.depths
    assert (found.views[0].camera.width, found.views[0].camera.height) == (760, 580)  # twice the principal point


@pytest.mark.parametrize(
    ("depths", "expected"),
    [("1.5 0.1 128 14.2", (1.5, 14.2)), ("0 0 128 0", None), ("-1 0.1 128 9", None), ("3 0.1 128 2", None), ("", None)],
)
def test_depths(tmp_path, depths, expected):
    (tmp_path / "a_cam.txt").write_text(CAMERA.format(depths=depths))
    assert read_blended_camera(tmp_path / "a_cam.txt").depths == expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("extrinsic", "intrinsic", "line 1: expected the word extrinsic"),
        ("577.5 0.0 380.25", "577.5 0.1 380.25", "line 8: expected fx 0 cx"),
        ("577.5 0.0 380.25", "577.5 380.25", "line 8: expected 3 numbers, found 2 words"),
        ("0.0 -1.0 0.0 1.5", "0.0 -9.0 0.0 1.5", "line 2: expected a rotation"),
        ("0.0 -1.0 0.0 1.5", "0.0 -1.0 0.0 nan", "line 2: expected a finite number, found 'nan'"),
        ("1 2 3 4", "1 2 3", "line 12: expected nearest depth"),
        ("0.0 0.0 1.0\n\n1 2 3 4", "", "line 9: expected extrinsic, 4 x 4"),
    ],
)
def test_broken_cameras(tmp_path, old, new, message):
    content = CAMERA.format(depths="1 2 3 4")
    assert old in content
    (tmp_path / "a_cam.txt").write_text(content.replace(old, new, 1))
    with pytest.raises(MirrorError, match=f"a_cam.txt, {message}"):
        read_blended_camera(tmp_path / "a_cam.txt")


def test_pairs(scene):
    assert read_blended_pairs(scene / "cams" / "pair.txt") == {0: [(2, 0.5), (1, 0.25)], 1: []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: expected the number of photos"),
        ("2\n0\n0\n", "line 1: expected two lines for each of 2 photos, found 2"),
        ("1\n0\n2 1 0.5\n", "line 3: expected 2 partners and scores, found 2 words"),
        ("2\n0\n0\n0\n0\n", "line 4: photo 0 is there twice"),
        ("99999999999999999999\n", "line 1: expected the number of photos, a whole number"),
    ],
)
def test_broken_pairs(tmp_path, content, message):
    (tmp_path / "pair.txt").write_text(content)
    with pytest.raises(MirrorError, match=f"pair.txt, {message}"):
        read_blended_pairs(tmp_path / "pair.txt")
