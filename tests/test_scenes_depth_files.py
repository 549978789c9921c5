"""Depth maps: what is no depth is 0, whole numbers need a scale."""

import numpy as np
import pytest
from PIL import Image

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.scenes.cameras import Camera, Pinhole
from mirror_sfm.scenes.depth_files import depth_maps, depth_size, read_depth, scaled_camera
from mirror_sfm.scenes.pfm import read_pfm, write_pfm

VALUES = np.array([[0, 1, 1000], [65534, 65535, 2500]], np.uint16)


def test_sixteen_bits(tmp_path):
    Image.fromarray(VALUES).save(tmp_path / "a.png")
    assert depth_size(tmp_path / "a.png") == (3, 2)
    depth = read_depth(tmp_path / "a.png", 1000)
    assert depth.dtype == np.float32
    assert np.array_equal(depth, np.array([[0, 0.001, 1], [65.534, 0, 2.5]], np.float32))
    with pytest.raises(MirrorError, match=r"a.png holds whole numbers and nothing says how many make one unit"):
        read_depth(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".npy", ".pfm"])
def test_numbers_with_a_point(tmp_path, suffix):
    values = np.array([[1.5, np.nan, np.inf], [-1, 0, 65535]], np.float32)
    path = tmp_path / f"a{suffix}"
    np.save(path, values) if suffix == ".npy" else write_pfm(path, values)
    assert depth_size(path) == (3, 2)
    assert read_depth(path).tolist() == [[1.5, 0, 0], [0, 0, 65535]]
    assert read_depth(path, 0.5)[0, 0] == 3


def test_whole_numbers_in_numpy(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    assert read_depth(tmp_path / "a.npy", 1000)[1].tolist() == pytest.approx([65.534, 0, 2.5])
    with pytest.raises(MirrorError, match="depth_scale"):
        read_depth(tmp_path / "a.npy")


def test_maps_of_colmap(tmp_path):
    pycolmap = pytest.importorskip("mirror_sfm.colmap.library").pycolmap
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for kind, factor in (("photometric", 2), ("geometric", 1)):
        pycolmap.DepthMap.from_array(factor * values, 0, 10).write(tmp_path / f"a.jpg.{kind}.bin")
    path = tmp_path / "a.jpg.geometric.bin"
    assert depth_size(path) == (3, 2) and np.array_equal(read_depth(path), values)
    (found,) = depth_maps(tmp_path, ["a.jpg"], None).values()  # the geometric one
    assert np.array_equal(found.read(), values)
    content = path.read_bytes()
    for broken, message in (
        (content[:-1], "byte 6: expected 3 x 2 numbers of 4 bytes, found 23 bytes"),
        (b"3&2&3&" + content[6:], "byte 0: expected COLMAP's header of a depth map: width&height&1&"),
        (b"3;2;1;", "byte 0: expected COLMAP's header"),
        (b"", "byte 0: expected COLMAP's header"),
    ):
        path.write_bytes(broken)
        with pytest.raises(MirrorError, match=f"geometric.bin, {message}"):
            read_depth(path)


def test_other_pictures_are_refused(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(MirrorError, match=r"a.png is not a depth map: a picture of mode RGB; expected one channel"):
        read_depth(tmp_path / "a.png", 1000)
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    with pytest.raises(MirrorError, match=r"a.npy is not a depth map: expected an array of numbers \[height, width\]"):
        read_depth(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([[{}]]), allow_pickle=True)
    with pytest.raises(MirrorError, match=r"b.npy is not a depth map"):
        read_depth(tmp_path / "b.npy")
    with pytest.raises(UsageError, match="no such file"):
        read_depth(tmp_path / "c.pfm")


def test_byte_orders_of_pfm(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    (tmp_path / "a.pfm").write_bytes(b"Pf\n3 2\n1.0\n" + values[::-1].astype(">f4").tobytes())
    assert np.array_equal(read_pfm(tmp_path / "a.pfm"), values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "byte 0: expected a PFM header"),
        (b"P5\n3 2\n-1\n", "byte 0: expected a PFM header"),
        (b"PF\n3 2\n-1\n", r"byte 0: expected one channel \(Pf\), found three"),
        (b"Pf\n3 2\nx\n", "byte 7: expected a scale"),
        (b"Pf\n3 2\n0\n", "byte 7: expected a scale"),
        (b"Pf\n0 2\n-1\n", "byte 3: expected a width and a height of at least 1"),
        (b"Pf\n3 2\n-1\n" + bytes(23), "byte 10: expected 3 x 2 numbers of 4 bytes, found 23 bytes"),
        (b"Pf\n999999999 999999999\n-1\n", "byte 26: expected 999999999 x 999999999 numbers"),
    ],
)
def test_broken_pfm(tmp_path, content, message):
    (tmp_path / "a.pfm").write_bytes(content)
    with pytest.raises(MirrorError, match=f"a.pfm, {message}"):
        read_pfm(tmp_path / "a.pfm")


def test_maps_of_photos(tmp_path, caplog):
    (tmp_path / "left").mkdir()
    for name in ("left/a.png", "b.depth.png"):
        Image.fromarray(VALUES).save(tmp_path / name)
    found = depth_maps(tmp_path, ["left/a.jpg", "b.JPG", "c.jpg"], 1000, lambda w, h: Pinhole(w, h, 1, 1, 0, 0))
    assert list(found) == ["left/a.jpg", "b.JPG"] and found["b.JPG"].camera == Pinhole(3, 2, 1, 1, 0, 0)
    assert found["left/a.jpg"].read()[1, 2] == 2.5
    assert "1 of 3 photos have no depth map, first c.jpg" in caplog.text
    with pytest.raises(
        MirrorError, match=r"no depth map in .* belongs to a photo: looked for d with .png.*found b.depth"
    ):
        depth_maps(tmp_path, ["d.jpg"], 1000)
    Image.fromarray(VALUES).save(tmp_path / "b.png")
    with pytest.raises(MirrorError, match="two maps of one photo"):
        depth_maps(tmp_path, ["b.JPG"], 1000)


def test_cameras_of_other_sizes():
    camera = Camera("SIMPLE_PINHOLE", (100, 32, 24), 64, 48)
    assert scaled_camera(camera, 128, 96) == Camera("PINHOLE", (200, 200, 64, 48), 128, 96)
    assert scaled_camera(camera, 64, 48) is camera
    for other, size in ((camera, (48, 64)), (Camera("SIMPLE_RADIAL", (100, 32, 24, 0.1), 64, 48), (128, 96))):
        with pytest.raises(MirrorError, match=r"pixels, its camera is for 64 x 48; expected the same size"):
            scaled_camera(other, *size)


def test_sixteen_bits_in_thirty_two(tmp_path):
    Image.fromarray(VALUES.astype(np.int32)).save(tmp_path / "a.tif")
    assert read_depth(tmp_path / "a.tif", 1000)[1].tolist() == pytest.approx([65.534, 0, 2.5])
    Image.fromarray(VALUES.astype(np.int32) * 2).save(tmp_path / "a.tif")  # these really are 32
    assert read_depth(tmp_path / "a.tif", 1000)[1].tolist() == pytest.approx([131.068, 131.07, 5])
