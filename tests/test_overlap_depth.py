"""Overlap from depth maps, where it can be worked out."""

import dataclasses

import numpy as np
import pytest
from overlap_scenes import SIZE, looking, plane, scaled, tracks, view

from mirror_sfm.errors import MirrorError
from mirror_sfm.overlap.depth import covisible, may_see, read_seen
from mirror_sfm.overlap.masks import area_mean, stored
from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap
from mirror_sfm.scenes.cameras import Camera, Pinhole, View
from mirror_sfm.scenes.scene import DepthMap, Scene

WIDTH, HEIGHT = SIZE
FLAT = np.full((HEIGHT, WIDTH), 48, np.float32)


def flight(*places: tuple[float, float, float], depth: np.ndarray | None = None) -> Scene:
    """Photos straight down at the plane z = 0, one unit a pixel where z = -48."""
    views = tuple(view(f"{k}.jpg", place) for k, place in enumerate(places))
    maps = {
        photo.name: DepthMap(lambda z=-place[2]: FLAT * np.float32(z / 48) if depth is None else depth)
        for photo, place in zip(views, places, strict=True)
    }
    return Scene("flight", views, depths=maps)


def half(scene: Scene, **options: float) -> np.ndarray:
    return measure_overlap(scene, OverlapOptions(**options)).matrix("pixels")


@pytest.mark.parametrize("shift", [(0, 0), (16, 0), (-20, 12), (63, 0), (64, 0), (0, 300)])
def test_footprints_on_a_plane_overlap_as_rectangles_do(shift: tuple[int, int]) -> None:
    overlap = measure_overlap(flight((0, 0, -48), (*shift, -48)))
    expected = max(0, 1 - abs(shift[0]) / WIDTH) * max(0, 1 - abs(shift[1]) / HEIGHT)
    np.testing.assert_allclose(overlap.matrix("pixels"), [[1, expected], [expected, 1]], atol=1e-12)
    assert overlap.surface == "depth" and set(overlap.halves) == {"pixels"}
    if expected >= 0.05:
        shared = np.zeros((HEIGHT, WIDTH))
        shared[max(0, shift[1]) : HEIGHT + min(0, shift[1]), max(0, shift[0]) : WIDTH + min(0, shift[0])] = 1
        np.testing.assert_array_equal(overlap.masks[0, 0], stored(area_mean(shared, 56, 56).astype(np.float32)))
        np.testing.assert_array_equal(overlap.masks[0, 0], overlap.masks[0, 1, ::-1, ::-1])


def test_shifts_by_parts_of_a_pixel_lose_part_of_a_pixel() -> None:
    matrix = half(flight((0, 0, -48), (7.4, -3.3, -48)))
    expected = (1 - 7.4 / WIDTH) * (1 - 3.3 / HEIGHT)
    assert matrix[0, 1] == pytest.approx(expected, abs=0.02)
    assert matrix[1, 0] == pytest.approx(expected, abs=0.02)


def test_a_photo_from_twice_as_close_sees_a_quarter() -> None:
    matrix = half(flight((0, 0, -48), (0, 0, -24)))
    assert matrix[0, 1] == 0.25 and matrix[1, 0] == 1


def test_what_stands_in_front_hides_what_is_behind() -> None:
    """A screen half way down before the second photo: its map is 24 deep there."""
    scene = flight((0, 0, -48), (16, 0, -48))
    screened = FLAT.copy()
    screened[20:28, 8:20] = 24
    depths = {**scene.depths, "1.jpg": DepthMap(lambda: screened)}
    matrix = half(dataclasses.replace(scene, depths=depths))
    # Bilinear depth on the border of the screen is neither; the centres of our pixels fall on its.
    assert matrix[0, 1] == pytest.approx(0.75 - 8 * 12 / (WIDTH * HEIGHT), abs=1e-12)
    # From the other side the screen is a thing 24 deep where the first photo's map says 48.
    assert matrix[1, 0] == pytest.approx(0.75 - 8 * 12 / (WIDTH * HEIGHT), abs=1e-12)


def test_tolerance_is_relative_to_depth() -> None:
    scene = flight((0, 0, -48), (0, 0, -48))
    depths = {**scene.depths, "1.jpg": DepthMap(lambda: FLAT * np.float32(1.02))}
    scene = dataclasses.replace(scene, depths=depths)
    assert half(scene)[0, 1] == 0 and half(scene, depth_tolerance=0.03)[0, 1] == 1
    for factor in (1e-3, 1e3):
        assert half(scaled(scene, factor))[0, 1] == 0 and half(scaled(scene, factor), depth_tolerance=0.03)[0, 1] == 1


def test_a_point_needs_four_known_neighbours() -> None:
    """Half a pixel off, one missing depth takes four points with it."""
    holed = FLAT.copy()
    holed[24, 32] = 0
    scene = flight((0, 0, -48), (0.5, 0.5, -48))
    scene = dataclasses.replace(scene, depths={**scene.depths, "1.jpg": DepthMap(lambda: holed)})
    a, b = (read_seen(photo, scene.depths[photo.name], 1024) for photo in scene.views)
    seen = covisible(a, a.points(), b, 0.01).reshape(HEIGHT, WIDTH)
    assert not seen[24:26, 32:34].any()
    assert (~seen).sum() == 4  # on the edge of the map its outermost pixels are enough


def test_pixels_without_depth_do_not_count() -> None:
    """0, negative, infinite, not a number: all of it is no depth, and no surface in the photo."""
    depth = FLAT.copy()
    depth[:, :8], depth[:, 8:16], depth[:, 16:24], depth[:, 24:32] = 0, -1, np.inf, np.nan
    overlap = measure_overlap(flight((0, 0, -48), (0, 0, -48), depth=depth))
    assert overlap.seen["pixels"].tolist() == [32 * HEIGHT] * 2
    assert overlap.matrix("pixels")[0, 1] == 1
    assert (overlap.covered[:, :, 28:] == 255).all() and not overlap.covered[:, :, :28].any()


def test_masks_are_on_the_photo_where_the_map_has_another_camera() -> None:
    """The sensor looks twice as wide as the photo: the photo shows the middle half of the map."""
    wide = Pinhole(WIDTH, HEIGHT, 24, 24, WIDTH / 2, HEIGHT / 2)
    views = (view("a.jpg", (0, 0, -48)), view("b.jpg", (32, 0, -48)))
    scene = Scene("wide", views, depths={photo.name: DepthMap(lambda: FLAT, wide) for photo in views})
    overlap = measure_overlap(scene)
    assert overlap.seen["pixels"].tolist() == [WIDTH * HEIGHT] * 2
    # All of a's photo, x -32..32, is inside b's map, x -32..96.
    assert overlap.matrix("pixels")[0, 1] == 1 and (overlap.masks == 255).all()
    narrow = Pinhole(WIDTH, HEIGHT, 96, 96, WIDTH / 2, HEIGHT / 2)
    scene = Scene("narrow", views, depths={photo.name: DepthMap(lambda: FLAT, narrow) for photo in views})
    overlap = measure_overlap(scene)
    assert overlap.seen["pixels"].tolist() == [WIDTH * HEIGHT / 4] * 2 and len(overlap.pairs) == 0
    assert (overlap.covered[:, 14:42, 14:42] == 255).all() and overlap.covered.sum() == 2 * 255 * 28 * 28


def test_large_maps_are_thinned() -> None:
    big = np.full((HEIGHT * 3, WIDTH * 3), 48, np.float32)
    scene = flight((0, 0, -48), (16, 0, -48), depth=big)
    overlap = measure_overlap(scene, OverlapOptions(long_side=WIDTH))
    assert overlap.seen["pixels"].tolist() == [WIDTH * HEIGHT] * 2
    assert overlap.matrix("pixels")[0, 1] == 0.75


def test_depth_agrees_with_the_mesh() -> None:
    views = (view("a.jpg", (0, 0, -48)), view("b.jpg", (20, 8, -48)), view("c.jpg", (0, 10, -36)))
    scene = Scene("both", views, mesh=plane(-128, 128, 512))
    depths = {photo.name: DepthMap(lambda z=-photo.centre[2]: FLAT * np.float32(z / 48)) for photo in views}
    mesh = measure_overlap(scene, OverlapOptions(long_side=512))
    depth = measure_overlap(dataclasses.replace(scene, mesh=None, depths=depths))
    np.testing.assert_allclose(depth.matrix("pixels"), mesh.matrix("pixels"), atol=0.02)
    difference = np.abs(depth.masks.astype(int) - mesh.masks)
    assert difference.mean() < 0.02 * 255


def test_pairs_are_skipped_only_where_nothing_can_be_seen() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        poses = []
        for _ in range(2):
            rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            rotation *= np.sign(np.linalg.det(rotation))
            poses.append(looking(tuple(rng.uniform(-60, 60, 3)), rotation))
        camera = Camera("PINHOLE", (48, 48, 32, 24), WIDTH, HEIGHT)
        depth = rng.uniform(20, 90, (HEIGHT, WIDTH)).astype(np.float32)
        a, b = (read_seen(View("x", camera, pose), DepthMap(lambda depth=depth: depth), 1024) for pose in poses)
        if not may_see(a, b):
            assert not covisible(a, a.points(), b, 0.99).any()


def test_coordinates_far_from_the_origin_keep_their_precision() -> None:
    far = 5e6
    matrix = half(flight((far, far, -48), (far + 16, far, -48)))
    np.testing.assert_allclose(matrix, [[1, 0.75], [0.75, 1]], atol=1e-12)


def test_tracks_join_depth() -> None:
    scene = dataclasses.replace(flight((0, 0, -48), (56, 0, -48), (60, 0, -48)), tracks=tracks([0, 1], [2], [0, 1]))
    overlap = measure_overlap(scene)
    assert overlap.combined()[overlap.pairs.tolist().index([0, 2])] == 1
    assert overlap.combined()[overlap.pairs.tolist().index([0, 1])] == pytest.approx(0.125)


def test_views_without_a_map_see_nothing_and_maps_without_a_view_are_refused() -> None:
    scene = flight((0, 0, -48), (0, 0, -48))
    one = {"0.jpg": scene.depths["0.jpg"]}
    overlap = measure_overlap(dataclasses.replace(scene, depths=one))
    assert overlap.seen["pixels"].tolist() == [WIDTH * HEIGHT, 0] and not len(overlap.pairs)
    with pytest.raises(MirrorError, match=r"depth map of x\.jpg, which has no pose"):
        measure_overlap(dataclasses.replace(scene, depths={**one, "x.jpg": one["0.jpg"]}))
    with pytest.raises(MirrorError, match=r"depth of 0\.jpg: expected \[height, width\], got \[3\]"):
        measure_overlap(dataclasses.replace(scene, depths={"0.jpg": DepthMap(lambda: np.zeros(3, np.float32))}))
