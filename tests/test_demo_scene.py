"""The rendered scene: its cameras, depth and overlap must tell the truth, or everything tested on it lies."""

import csv
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from mirror_sfm.demo_landscape import Noise, make_landscape
from mirror_sfm.demo_scene import HEIGHT, WIDTH, flight, look, make_demo_scene, overlap, render

PHOTOS = 8


@pytest.fixture(scope="module")
def landscape():
    return make_landscape(0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    assert make_demo_scene(folder, photos=PHOTOS) == folder / "images"
    return folder


def read_overlap(folder):
    with (folder / "pairs_overlap.csv").open() as file:
        return list(csv.DictReader(file))


def test_files(scene):
    names = [f"photo_{i:03d}.jpg" for i in range(PHOTOS)]
    assert sorted(path.name for path in (scene / "images").iterdir()) == names
    for name in names:
        with Image.open(scene / "images" / name) as photo:
            assert photo.size == (WIDTH, HEIGHT) and photo.mode == "RGB"
            assert np.asarray(photo).std() > 15
    rows = read_overlap(scene)
    assert [(row["image_a"], row["image_b"]) for row in rows] == list(itertools.combinations(names, 2))
    for row in rows:
        there, back, least, mean = (float(row[f"overlap_{key}"]) for key in ("a_to_b", "b_to_a", "min", "mean"))
        assert 0 <= there <= 1 and 0 <= back <= 1 and least == min(there, back)
        assert mean == pytest.approx((there + back) / 2, abs=1e-4)
    cameras = json.loads((scene / "cameras.json").read_text())["cameras"]
    assert [camera["name"] for camera in cameras] == names
    for camera in cameras:
        rotation = np.array(camera["cam_from_world"])[:, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-8)
        assert np.linalg.det(rotation) == pytest.approx(1)


def test_same_seed_same_bytes(scene, tmp_path):
    make_demo_scene(tmp_path / "again", photos=PHOTOS)
    make_demo_scene(tmp_path / "other", photos=PHOTOS, seed=1)
    for path in sorted(scene.rglob("*.*")):
        again, other = (tmp_path / name / path.relative_to(scene) for name in ("again", "other"))
        assert again.read_bytes() == path.read_bytes(), path.name
        assert other.read_bytes() != path.read_bytes(), path.name


def test_overlap_is_varied():
    """The default flight: neighbours share much, the ends nothing, and no photo is alone."""
    rng = np.random.default_rng([0, 1])
    cameras = flight(24, rng)
    footprints = []
    for camera in cameras:
        x, y, z = camera.centre
        rays = camera.rays(np.float32([0, WIDTH, WIDTH, 0]), np.float32([0, 0, HEIGHT, HEIGHT]))
        assert (rays[2] < -0.3).all()  # steeper than any slope of the ground
        corners = np.array([x, y])[:, None] + -z / rays[2] * rays[:2]
        assert np.abs(corners).max() < 130  # nothing beyond the landscape's edge
        footprints.append(corners.mean(axis=1))
        assert camera.project(np.array([[x], [y], [z - 30]]))[2] > 0
    distance = np.linalg.norm(np.array(footprints)[:, None] - np.array(footprints)[None], axis=-1)
    assert distance.max() > 150
    assert np.sort(distance, axis=1)[:, 1].max() < 45


def test_project_undoes_rays():
    camera = look("a", np.array([3.0, -2, 40]), np.array([0.2, 0.1, -1]), np.array([0, 1.0, 0]))
    x, y = np.float32([0.5, 100, 639.5]), np.float32([0.5, 300, 479.5])
    points = camera.centre[:, None] + np.float32([7, 40, 90]) * camera.rays(x, y)
    back = camera.project(points)
    np.testing.assert_allclose(back, [x, y, [7, 40, 90]], atol=1e-3)


def test_depth_and_overlap_agree_with_the_photos(landscape):
    """Points carried from one photo to another by depth and cameras show the same colours there."""
    cameras = flight(24, np.random.default_rng([0, 1]))
    for i, j in ((8, 9), (18, 19)):
        (photo_a, depth_a), (photo_b, depth_b) = (render(cameras[k], landscape) for k in (i, j))
        assert overlap(cameras[i], depth_a, cameras[i], depth_a) == 1
        share = overlap(cameras[i], depth_a, cameras[j], depth_b)
        assert 0.3 < share < 0.95
        y, x = np.mgrid[2:HEIGHT:4, 2:WIDTH:4]
        rays = cameras[i].rays(x.ravel() + np.float32(0.5), y.ravel() + np.float32(0.5))
        u, v, z = cameras[j].project(cameras[i].centre[:, None] + depth_a[y.ravel(), x.ravel()] * rays)
        inside = (u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT)
        column, row = u[inside].astype(int), v[inside].astype(int)
        visible = z[inside] < depth_b[row, column] * 1.01
        assert visible.sum() == pytest.approx(share * x.size)
        grey_a, grey_b = photo_a.mean(axis=2)[y.ravel(), x.ravel()][inside], photo_b.mean(axis=2)[row, column]
        assert np.corrcoef(grey_a[visible], grey_b[visible])[0, 1] > 0.9
        # The depths meet at visible points: the surfaces are the same ones, not merely in front of each other.
        assert np.median(np.abs(z[inside] - depth_b[row, column])[visible]) < 0.03


def test_a_building_hides_what_is_behind_it(landscape):
    church = landscape.solids[0]
    top = church.foot + np.array([0, 0, 200])
    rays = (church.foot - top)[:, None].astype(np.float32)
    hit, face = church.hit(top.astype(np.float32), rays)
    assert hit[0] == pytest.approx((200 - 12) / 200, abs=1e-3) and face[0] >= 4  # the ridge, 12 m up
    beside = rays + np.float32([[40], [0], [0]])
    assert np.isinf(church.hit(top.astype(np.float32), beside)[0]).all()


def test_noise_rows_are_those_of_the_image():
    noise = Noise(np.random.default_rng(0), 64, 4, 3)
    np.testing.assert_array_equal(noise.rows(np.arange(10, 20)), noise.image()[10:20])


def test_no_photos_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="photos: expected at least 1, got 0"):
        make_demo_scene(tmp_path, photos=0)


def test_one_photo(tmp_path):
    assert len(list(make_demo_scene(tmp_path, photos=1).iterdir())) == 1
    assert read_overlap(tmp_path) == []
