"""Overlap measured on scenes where it can be worked out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overlap_scenes import SIZE, joined, looking, plane, scaled, strip_overlap, tracks, view

from mirror_ext.numpy import shared_triangles
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.overlap.masks import area_mean, stored
from mirror_sfm.overlap.measured import MASK_SIDE, NONE, STRONG, WEAK, LabelOptions, Overlap
from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap
from mirror_sfm.scenes.cameras import Camera, Pinhole, View
from mirror_sfm.scenes.scene import DepthMap, Mesh, Scene, Tracks

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())
HIGH = -48.0  # z of a camera from which a pixel is a unit of the plane z = 0


def flight(*places: tuple[float, float], cells: int = 260) -> Scene:
    """Photos straight down at a plane, 64 x 48 units each."""
    views = [view(f"{k}.jpg", (x, y, HIGH)) for k, (x, y) in enumerate(places)]
    return Scene("flight", tuple(views), mesh=plane(-130, 130, cells))


def half(overlap: Overlap, a: int, b: int, measure: str = "pixels") -> float:
    return float(overlap.matrix(measure)[a, b])


def test_golden_mini_scene() -> None:
    inputs, expected = GOLDEN["mini_scene"]["inputs"], GOLDEN["mini_scene"]["expected"]
    width, height = inputs["width"], inputs["height"]
    views = []
    for k, camera in enumerate(inputs["cameras"]):
        fx, fy, cx, cy = (camera["K"][i][j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
        pose = np.column_stack([camera["R"], camera["t"]])
        views.append(View(f"{k}", Camera("PINHOLE", (fx, fy, cx, cy), width, height), pose))
    mesh = Mesh(np.array(inputs["vertices"]), np.array(inputs["faces"], np.int32))
    scene = Scene("mini", tuple(views), mesh=mesh)
    for pixels in (1, 3):
        overlap = measure_overlap(scene, OverlapOptions(long_side=width, min_pixels=pixels))
        case = expected[f"min_px_{pixels}"]
        np.testing.assert_allclose(overlap.halves["triangles"][0], case["mo_halves"], atol=1e-12)
        np.testing.assert_allclose(overlap.halves["areas"][0], case["mo_area_halves"], atol=1e-9)
        assert overlap.averaged("triangles")[0] == pytest.approx(case["mo"], abs=1e-12)
        assert overlap.averaged("areas")[0] == pytest.approx(case["mo_area"], abs=1e-9)
        assert overlap.seen["triangles"].tolist() == [len(case["T1"]), len(case["T2"])]
    overlap = measure_overlap(scene, OverlapOptions(long_side=width))
    np.testing.assert_allclose(overlap.halves["pixels"][0], expected["pixel_halves"], atol=1e-12)
    for side, name in enumerate(("mask_1_seen_by_2", "mask_2_seen_by_1")):
        whole = area_mean(np.array(expected[name]), MASK_SIDE, MASK_SIDE)
        np.testing.assert_array_equal(overlap.masks[0, side], stored(whole.astype(np.float32)))
    for side, name in enumerate(("id_map_1", "id_map_2")):
        whole = area_mean(np.array(expected[name]) >= 0, MASK_SIDE, MASK_SIDE)
        np.testing.assert_array_equal(overlap.covered[side], stored(whole.astype(np.float32)))
    np.testing.assert_allclose(area_mean(overlap.masks[0, 0], 3, 4, 255), expected["mask_12_area_3x4"], atol=1 / 255)


def test_golden_tracks_and_labels() -> None:
    """Tracks through the sparse product; triangles, in place of a mesh, through the same product."""
    case = GOLDEN["overlap"]
    order = ("i", "j", "k", "l")
    seen = {kind: tracks(*(case["inputs"][kind][name] for name in order)) for kind in ("tracks", "triangles")}
    views = tuple(view(f"{name}.jpg", (0, 0, HIGH)) for name in order)
    halves = {
        kind: measure_overlap(Scene("golden", views, tracks=points)).matrix("tracks") for kind, points in seen.items()
    }
    i, j = np.triu_indices(4, 1)
    overlap = Overlap(
        tuple(f"{name}.jpg" for name in order),
        np.stack([i, j], 1).astype(np.int32),
        {kind: np.stack([half[i, j], half[j, i]], 1) for kind, half in halves.items()},
        {},
    )
    for k, (a, b) in enumerate(zip(i, j, strict=True)):
        expected = case["expected"][order[a] + order[b]]
        np.testing.assert_allclose(overlap.halves["tracks"][k], expected["ct_halves"], atol=1e-12)
        np.testing.assert_allclose(overlap.halves["triangles"][k], expected["mo_halves"], atol=1e-12)
        assert overlap.averaged("tracks")[k] == pytest.approx(expected["ct"], abs=1e-12)
        assert overlap.averaged("triangles")[k] == pytest.approx(expected["mo"], abs=1e-12)
        assert overlap.combined()[k] == pytest.approx(expected["co"], abs=1e-12)
        assert {NONE: "none", WEAK: "weak", STRONG: "strong"}[overlap.labels()[k]] == expected["label"]


def test_golden_areas() -> None:
    """Sets of triangles with areas, as a surface weighs them."""
    case = GOLDEN["overlap"]
    order = ("i", "j", "k", "l")
    bits = np.zeros((4, 64), np.uint8)
    for row, name in zip(bits, order, strict=True):
        row[case["inputs"]["triangles"][name]] = 1
    areas = 1 + 0.5 * (np.arange(64) % 4)  # area_rule
    shared = shared_triangles(np.packbits(bits, axis=1, bitorder="little").view(np.int64), areas)
    halves = shared / shared.diagonal()[:, None]
    for a, b in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        expected = case["expected"][order[a] + order[b]]["mo_area_halves"]
        np.testing.assert_allclose((halves[a, b], halves[b, a]), expected, atol=1e-12)


def test_golden_boundaries_of_labels() -> None:
    case = GOLDEN["overlap_boundaries"]["expected"]
    values = np.array([float(text) for text in case["labels"]])
    pairs = np.stack([np.zeros(len(values)), 1 + np.arange(len(values))], 1).astype(np.int32)
    halves = {"triangles": np.stack([values, values], 1)}
    names = tuple(f"{k}" for k in range(len(values) + 1))
    labels = Overlap(names, pairs, halves, {}).labels()
    assert [{NONE: "none", WEAK: "weak", STRONG: "strong"}[label] for label in labels] == list(case["labels"].values())
    two = Overlap(
        names[:3],
        pairs[:2],
        {"tracks": np.array([[0.2, 0.2], [0.1999, 0.1999]]), "triangles": np.full((2, 2), 0.1)},
        {},
    )
    assert two.combined().tolist() == [case["ct_equal_threshold"], case["ct_below"]]


@settings(max_examples=10, deadline=None)
@given(st.integers(-70, 70), st.integers(-60, 60))
def test_footprints_on_a_plane_overlap_as_rectangles_do(x: int, y: int) -> None:
    """Borders of photos fall on borders of triangles: exact in every measure of a surface."""
    overlap = measure_overlap(flight((0, 0), (x, y)), OverlapOptions(long_side=256))
    expected = strip_overlap(x) * strip_overlap(y, SIZE[1])
    assert len(overlap.pairs) == (expected > 0)
    for measure in ("triangles", "areas", "pixels"):
        assert half(overlap, 0, 1, measure) == pytest.approx(expected, abs=1e-9)
        assert half(overlap, 1, 0, measure) == pytest.approx(expected, abs=1e-9)
    if expected >= 0.05:
        shared = np.zeros((48, 64))
        shared[max(0, y) : 48 + min(0, y), max(0, x) : 64 + min(0, x)] = 1
        mask = stored(area_mean(shared, MASK_SIDE, MASK_SIDE).astype(np.float32))
        np.testing.assert_array_equal(overlap.masks[0, 0], mask)
        np.testing.assert_array_equal(overlap.masks[0, 1], mask[::-1, ::-1])
    elif expected:
        assert not overlap.masks.any()
    assert (overlap.covered == 255).all()


def test_where_borders_cut_triangles_the_error_is_a_triangle_wide() -> None:
    scene = Scene("cut", flight((0, 0), (17.3, 9.1)).views, mesh=plane(-100.37, 100.37, 200))
    expected = strip_overlap(17.3) * strip_overlap(9.1, SIZE[1])
    overlap = measure_overlap(scene)
    for measure in ("triangles", "areas", "pixels"):
        assert expected < half(overlap, 0, 1, measure) < expected + 2 / SIZE[1]


def test_a_photo_from_twice_as_close_sees_a_quarter() -> None:
    views = (view("far.jpg", (0, 0, HIGH)), view("near.jpg", (0, 0, HIGH / 2)))
    overlap = measure_overlap(Scene("zoom", views, mesh=plane(-64, 64, 128)), OverlapOptions(long_side=256))
    assert half(overlap, 0, 1) == half(overlap, 0, 1, "triangles") == 0.25
    assert half(overlap, 1, 0) == half(overlap, 1, 0, "triangles") == 1
    inside = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    inside[14:42, 14:42] = 255
    np.testing.assert_array_equal(overlap.masks[0, 0], inside)
    assert (overlap.masks[0, 1] == 255).all()


def test_what_stands_in_front_hides_what_is_behind() -> None:
    """A small screen half way down, in view of the second photo only, hides 8 x 8 units from it."""
    screen = plane(-2, 2, 4, z=HIGH / 2)
    screen.vertices[:, 0] += 32
    views = (view("a.jpg", (0, 0, HIGH)), view("b.jpg", (32, 0, HIGH)))
    overlap = measure_overlap(
        Scene("screen", views, mesh=joined(plane(-128, 128, 256), screen)), OverlapOptions(long_side=256)
    )
    lost = 4 * 8 / (SIZE[0] * SIZE[1])  # the half of it that the first photo sees
    assert half(overlap, 0, 1) == pytest.approx(0.5 - lost, abs=1e-12)
    assert half(overlap, 1, 0) == pytest.approx(0.5 - lost, abs=1e-12)
    hidden = np.zeros((48, 64))
    hidden[:, 32:] = 1
    hidden[20:28, 60:] = 0
    np.testing.assert_array_equal(overlap.masks[0, 0], stored(area_mean(hidden, 56, 56).astype(np.float32)))


def test_a_surface_seen_from_behind_counts_unless_culled() -> None:
    views = (view("a.jpg", (0, 0, HIGH)), view("b.jpg", (0, 0, HIGH)))
    surface = plane(-64, 64, 128)
    turned = Mesh(surface.vertices, surface.faces[:, ::-1].copy())
    both_ways = [
        [
            measure_overlap(Scene("", views, mesh=mesh), OverlapOptions(cull=cull)).seen["pixels"][0]
            for cull in (False, True)
        ]
        for mesh in (surface, turned)
    ]
    assert both_ways[0][0] == both_ways[1][0] > 0
    assert sorted(row[1] for row in both_ways) == [0, both_ways[0][0]]


def test_labels_are_free_of_scale() -> None:
    rng = np.random.default_rng(5)
    scene = flight(*[(float(x), float(y)) for x, y in rng.uniform(-60, 60, (9, 2))], cells=150)
    bumps = scene.mesh.vertices + np.array([0, 0, 1]) * rng.uniform(-8, 8, (len(scene.mesh.vertices), 1))
    seen = [sorted(rng.choice(40, 12, replace=False).tolist()) for _ in scene.views]
    scene = Scene("bumps", scene.views, mesh=Mesh(bumps, scene.mesh.faces), tracks=tracks(*seen))
    as_is, *others = (
        measure_overlap(scaled(scene, factor), OverlapOptions(long_side=200)) for factor in (1, 1e-3, 1e3)
    )
    assert len(set(as_is.labels().tolist())) == 3
    for other in others:
        np.testing.assert_array_equal(other.pairs, as_is.pairs)
        np.testing.assert_array_equal(other.labels(), as_is.labels())
        for measure, halves in as_is.halves.items():
            np.testing.assert_allclose(other.halves[measure], halves, atol=1e-6)
        assert np.abs(other.masks.astype(int) - as_is.masks).max() <= 2


def test_bytes_do_not_depend_on_threads_or_on_who_else_is_there() -> None:
    scene = flight((0, 0), (10, 5), (30, -20), (50, 0), (400, 0))
    first = measure_overlap(scene, OverlapOptions(threads=1))
    again = measure_overlap(scene, OverlapOptions(threads=3))
    np.testing.assert_array_equal(first.masks, again.masks)
    assert all((first.halves[measure] == again.halves[measure]).all() for measure in first.halves)
    pair = measure_overlap(Scene("two", scene.views[1:3], mesh=scene.mesh))
    k = first.pairs.tolist().index([1, 2])
    np.testing.assert_array_equal(pair.masks[0], first.masks[k])
    assert pair.halves["areas"][0].tolist() == first.halves["areas"][k].tolist()


def test_a_mesh_that_nobody_sees_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Most often it is in another frame; tracks alone would then label every pair."""
    scene = flight((0, 0), (8, 0))
    measure_overlap(scene)
    assert not caplog.records
    mesh = replace(scene.mesh, vertices=scene.mesh.vertices + 1e4)
    assert not measure_overlap(replace(scene, mesh=mesh)).seen["pixels"].any()
    assert "the mesh: no photo sees any of it" in caplog.text


def test_photos_without_pose_or_surface_see_nothing() -> None:
    """Names are sorted as one list; rows of the others stay where they belong."""
    scene = flight((0, 0), (8, 0), (500, 0))
    scene = Scene("some", scene.views, ("0a.jpg", "zz.jpg"), mesh=scene.mesh, tracks=tracks([0, 1], [0, 1, 2], [2]))
    overlap = measure_overlap(scene)
    assert overlap.names == ("0.jpg", "0a.jpg", "1.jpg", "2.jpg", "zz.jpg")
    assert overlap.pairs.tolist() == [[0, 2], [2, 3]]
    assert (overlap.seen["pixels"] > 0).tolist() == [True, False, True, False, False]
    assert overlap.seen["tracks"].tolist() == [2, 0, 3, 1, 0]
    assert overlap.halves["tracks"].tolist() == [[1, 2 / 3], [1 / 3, 1]]
    assert overlap.halves["pixels"][1].tolist() == [0, 0] and not overlap.masks[1].any()
    assert overlap.matrix("pixels").diagonal().tolist() == [1, 0, 1, 0, 0]


def test_masks_are_made_where_labels_want_them() -> None:
    """Pairs of a tenth, of a fortieth, and of a fortieth that tracks make overlap wholly."""
    scene = flight((0, 0), (57.6, 0), (62.4, 0), (0, -46.8), cells=1)
    seen = tracks([0, 1], [2], [3], [0, 1])
    scene = Scene("few", scene.views, mesh=plane(-128, 128, 320), tracks=seen)
    overlap = measure_overlap(scene, OverlapOptions(long_side=320))
    made = {tuple(pair): bool(mask.any()) for pair, mask in zip(overlap.pairs.tolist(), overlap.masks, strict=True)}
    assert made[0, 1] and not made[0, 2] and made[0, 3]
    wider = OverlapOptions(long_side=320, labels=LabelOptions(weak=(0.02, 0.2)))
    assert measure_overlap(scene, wider).masks.any((1, 2, 3)).tolist() == (overlap.combined() >= 0.02).tolist()
    none = measure_overlap(scene, OverlapOptions(long_side=320, masks=False))
    assert none.masks is None and none.covered is None
    np.testing.assert_array_equal(none.halves["pixels"], overlap.halves["pixels"])


def test_photos_of_several_sizes_and_cameras() -> None:
    views = (
        view("a.jpg", (0, 0, HIGH)),
        view("b.jpg", (16, 0, HIGH), focal=96, size=(128, 96)),
        view("c.jpg", (0, 0, HIGH), size=(48, 64)),
    )
    overlap = measure_overlap(Scene("sizes", views, mesh=plane(-64, 64, 128)), OverlapOptions(long_side=256))
    assert half(overlap, 0, 1) == half(overlap, 1, 0) == 0.75
    assert half(overlap, 0, 2) == half(overlap, 2, 0) == 0.75
    assert half(overlap, 1, 2) == half(overlap, 2, 1) == pytest.approx((16 + 24) * 48 / (64 * 48), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.integers(0, 15), max_size=12, unique=True), min_size=2, max_size=6))
def test_shared_tracks_are_those_of_sets(seen: list[list[int]]) -> None:
    views = tuple(view(f"{k}.jpg", (0, 0, HIGH)) for k in range(len(seen)))
    overlap = measure_overlap(Scene("tracks", views, tracks=tracks(*seen)))
    for i, a in enumerate(seen):
        assert overlap.seen["tracks"][i] == len(a)
        for j, b in enumerate(seen):
            expected = len({*a} & {*b}) / len(a) if a else 0
            assert i == j or half(overlap, i, j, "tracks") == expected
    assert overlap.masks is None and overlap.surface == ""
    np.testing.assert_array_equal(overlap.combined() == 1, overlap.averaged("tracks") >= 0.2)


def test_near_plane_follows_the_points_that_a_view_sees() -> None:
    """A wall right before the lens stays out of the picture only where what is seen is far enough away."""
    wall = plane(-1, 1, 1, z=HIGH + 0.02)
    views = (view("a.jpg", (0, 0, HIGH)), view("b.jpg", (0, 0, HIGH)))
    mesh = joined(plane(-64, 64, 128), wall)
    points = Tracks(np.array([[0.0, 0, 0], [1, 0, 0]]), np.array([0, 2, 4]), np.array([0, 1, 0, 1], np.int32))
    clipped = measure_overlap(Scene("near", views, mesh=mesh, tracks=points))
    assert clipped.seen["triangles"][0] > 1000
    close = Tracks(np.array([[0.0, 0, HIGH + 1], [1, 0, HIGH + 1]]), points.offsets, points.seen)
    assert measure_overlap(Scene("near", views, mesh=mesh, tracks=close)).seen["triangles"][0] <= 2


def test_what_cannot_be_measured_is_said() -> None:
    views = flight((0, 0), (1, 1)).views
    with pytest.raises(MirrorError, match="neither tracks, nor a mesh, nor depth maps"):
        measure_overlap(Scene("bare", views))
    with pytest.raises(MirrorError, match="the mesh has no triangles"):
        measure_overlap(Scene("empty", views, mesh=Mesh(np.zeros((3, 3)), np.zeros((0, 3), np.int32))))
    for seen, lost in ((views[::-1], ()), (views[:1] * 2, ()), (views, ("1.jpg",))):
        with pytest.raises(MirrorError, match="scene twice: expected every photo once, views sorted by name"):
            measure_overlap(Scene("twice", seen, lost, mesh=plane(0, 1, 1)))
    torn = Mesh(np.zeros((3, 3)), np.array([[0, 1, 3]], np.int32))
    with pytest.raises(MirrorError, match="the mesh: morton_order: "):
        measure_overlap(Scene("torn", views, mesh=torn))
    lost = View("1.jpg", views[1].camera, views[1].cam_from_world * np.nan)
    with pytest.raises(MirrorError, match=r"lost: cannot draw 0\.jpg, 1\.jpg: rasterize: "):
        measure_overlap(Scene("lost", (views[0], lost), mesh=plane(0, 1, 1)))
    for wrong in (
        {"long_side": 0},
        {"finest": 0},
        {"min_pixels": 0},
        {"near": 0.0},
        {"depth_tolerance": 1.0},
        {"threads": 0},
    ):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            OverlapOptions(**wrong)


def test_a_scene_without_photos_has_no_pairs() -> None:
    overlap = measure_overlap(Scene("none", (), mesh=plane(0, 1, 1)))
    assert overlap.names == () and overlap.pairs.shape == (0, 2) and overlap.masks.shape == (0, 2, 56, 56)


def test_looking_is_what_it_says() -> None:
    assert View("a", Camera("PINHOLE", (1, 1, 0, 0), 1, 1), looking((1, 2, 3))).centre.tolist() == [1, 2, 3]


def test_what_a_sensor_did_not_see_does_not_count() -> None:
    """The first photo's sensor read the left half alone; its camera is not the photo's: it sees twice as far around."""
    depth = np.full((SIZE[1], SIZE[0]), abs(HIGH), np.float32)
    left = depth.copy()
    left[:, SIZE[0] // 2 :] = 0
    wide = Pinhole(*SIZE, 24.0, 24.0, SIZE[0] / 2, SIZE[1] / 2)
    scene = flight((0, 0), (16, 0))
    names = [one.name for one in scene.views]
    maps = [DepthMap(lambda: left, wide), DepthMap(lambda: depth, wide)]
    sensed = measure_overlap(replace(scene, depths=dict(zip(names, maps, strict=True))), OverlapOptions(long_side=256))
    assert sensed.seen["pixels"][0] * 2 == sensed.seen["pixels"][1] == 256 * 192
    assert half(sensed, 0, 1) == pytest.approx(0.5) and half(sensed, 1, 0) == pytest.approx(0.25)
    assert half(sensed, 0, 1, "triangles") == pytest.approx(0.5)
    assert (sensed.covered[0, :, :28] == 255).all() and not sensed.covered[0, :, 28:].any()
    whole = measure_overlap(scene, OverlapOptions(long_side=256))
    all_count = replace(scene, depths=dict(zip(names, maps, strict=True)))
    np.testing.assert_array_equal(
        measure_overlap(all_count, OverlapOptions(long_side=256, sensed=False)).halves["pixels"], whole.halves["pixels"]
    )
    own = {name: replace(map_, camera=None) for name, map_ in zip(names, maps, strict=True)}
    np.testing.assert_array_equal(
        measure_overlap(replace(scene, depths=own), OverlapOptions(long_side=256)).halves["pixels"],
        whole.halves["pixels"],
    )
    one = replace(scene, depths={names[0]: maps[0]})
    assert measure_overlap(one, OverlapOptions(long_side=256)).seen["pixels"].min() == 256 * 192
    with pytest.raises(MirrorError, match=f"{names[1]} has no depth map"):
        measure_overlap(one, OverlapOptions(sensed=True))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strong": (0.9, 0.1)}, "strong: expected two numbers from 0 to 1, low and high, got 0.9 and 0.1"),
        ({"strong": (float("nan"), 1)}, "strong: expected"),
        ({"weak": (-0.1, 0.2)}, "weak: expected"),
        ({"weak": (0.05, 0.6)}, "a pair of 0.6 would be weak, one of 0.5 strong"),
        ({"t_sfm": float("nan")}, "t_sfm: expected a number of at least 0"),
    ],
)
def test_labels_that_make_no_sense(wrong: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LabelOptions(**wrong)
