"""visible_triangles, shared_triangles, overlap_masks, morton_order: golden numbers, the specification, errors."""

import json
from pathlib import Path

import inputs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mirror_ext
import mirror_ext.numpy as ops
from mirror_ext import reference

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())
NAMES = ("visible_triangles", "shared_triangles", "overlap_masks", "morton_order")
BOTH = np.array([[0, 1]])


def id_maps(views, height, width, faces, rng, run=3):
    """Maps in which some ids are often repeated side by side, and some pixels show nothing."""
    maps = rng.integers(-1, max(faces, 0), (views, height, width)) if faces else np.full((views, height, width), -1)
    source = np.maximum(np.arange(width) - rng.integers(0, run, (views, height, width)), 0)
    return np.take_along_axis(maps, source, 2).astype(np.int32)


def random_bits(views, words, density, rng):
    bits = rng.random((views, words, 64)) < density
    bits[rng.random((views, words)) < 0.3] = False
    return np.packbits(bits, axis=2, bitorder="little").view(np.int64).reshape(views, words)


def every_path(op, *arguments, **options):
    """What each way of calling the op gives: every instruction set, several threads, torch."""
    paths = inputs.every_isa(lambda: getattr(ops, op)(*arguments, **options, num_threads=1))
    paths["threads"] = getattr(ops, op)(*arguments, **options, num_threads=3)
    tensors = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments]
    found = getattr(mirror_ext, op)(*tensors, **options)
    paths["torch"] = [t.numpy() for t in found] if isinstance(found, tuple) else found.numpy()
    found = getattr(reference, op)(*tensors, **options)
    paths["reference"] = [t.numpy() for t in found] if isinstance(found, tuple) else found.numpy()
    return paths


def agree(op, *arguments, **options):
    """All ways give the same bits as the reference; these."""
    expected = getattr(reference, op)(*arguments, **options)
    for path, found in every_path(op, *arguments, **options).items():
        pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
        for a, b in pairs:
            assert inputs.same_bits(a, b), (op, path, a, b)
    return expected


def triangles_in(bitset):
    return np.flatnonzero(np.unpackbits(bitset.view(np.uint8), bitorder="little")).tolist()


# ---- golden numbers --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene():
    case = GOLDEN["mini_scene"]
    maps = np.array([case["expected"]["id_map_1"], case["expected"]["id_map_2"]], np.int32)
    vertices, faces = (np.array(case["inputs"][name]) for name in ("vertices", "faces"))
    a, b, c = vertices[faces].swapaxes(0, 1)
    return maps, len(faces), np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2, case["expected"]


@pytest.mark.parametrize("min_pixels", [1, 3])
def test_golden_sets(scene, min_pixels):
    maps, faces, areas, expected = scene
    expected = expected[f"min_px_{min_pixels}"]
    bitsets, counts = agree("visible_triangles", maps, faces, min_pixels)
    assert [triangles_in(b) for b in bitsets] == [expected["T1"], expected["T2"]]
    assert counts.tolist() == [len(expected["T1"]), len(expected["T2"])]
    shared = agree("shared_triangles", bitsets)
    assert np.diag(shared).tolist() == counts.tolist()
    np.testing.assert_allclose(shared[0, 1] / np.diag(shared), expected["mo_halves"], rtol=1e-12)
    weighed = agree("shared_triangles", bitsets, areas)
    np.testing.assert_allclose(weighed[0, 1] / np.diag(weighed), expected["mo_area_halves"], rtol=1e-12)


def test_golden_masks(scene):
    maps, faces, _, expected = scene
    bitsets, _ = ops.visible_triangles(maps, faces)
    masks = agree("overlap_masks", maps, bitsets, BOTH, maps.shape[1:])[0]
    assert np.array_equal(masks, [expected["mask_1_seen_by_2"], expected["mask_2_seen_by_1"]])
    seen = masks.sum((1, 2)) / (maps >= 0).sum((1, 2))
    np.testing.assert_allclose(seen, expected["pixel_halves"], rtol=1e-6)
    for grid in ((3, 4), (5, 7)):
        masks = agree("overlap_masks", maps, bitsets, BOTH, grid)[0]
        name = f"{grid[0]}x{grid[1]}"
        np.testing.assert_allclose(masks[0], expected[f"mask_12_area_{name}"], atol=1e-7)
        if grid == (3, 4):
            np.testing.assert_allclose(masks[1], expected[f"mask_21_area_{name}"], atol=1e-7)
            assert np.array_equal(masks >= 0.5, [expected["mask_12_bin_3x4"], expected["mask_21_bin_3x4"]])


def test_golden_overlap():
    case = GOLDEN["overlap"]
    names = "ijkl"
    words = np.zeros((4, 64), bool)
    for row, name in enumerate(names):
        words[row, case["inputs"]["triangles"][name]] = True
    bitsets = np.packbits(words, axis=1, bitorder="little").view(np.int64)
    areas = 1 + 0.5 * (np.arange(64) % 4)
    for weights, key in ((None, "mo_halves"), (areas, "mo_area_halves"), (areas.astype(np.float32), "mo_area_halves")):
        shared = agree("shared_triangles", bitsets, weights)
        for pair, expected in case["expected"].items():
            i, j = names.index(pair[0]), names.index(pair[1])
            np.testing.assert_allclose([shared[i, j] / shared[i, i], shared[i, j] / shared[j, j]], expected[key])


# ---- the specification -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_visible_triangles(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    faces = data.draw(st.sampled_from((0, 1, 63, 64, 65, 700)))
    shape = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 9)), data.draw(st.integers(0, 140))
    maps = id_maps(*shape, faces, rng, run=data.draw(st.sampled_from((1, 5, 70))))
    agree("visible_triangles", maps, faces, data.draw(st.sampled_from((1, 2, 3, 255, 256))))


def test_counts_beyond_a_byte():
    """Triangle 5 owns 300 pixels, triangle 6 owns 255, in pieces; maps longer than a piece of the kernel."""
    maps = np.full((1, 100, 150), -1, np.int32)
    maps.reshape(-1)[20 * np.arange(300)] = 5
    maps.reshape(-1)[20 * np.arange(255) + 3] = 6
    for least, expected in ((254, [5, 6]), (255, [5, 6]), (256, [5]), (300, [5]), (301, []), (2**40, [])):
        bitsets, counts = agree("visible_triangles", maps, 7, least)
        assert triangles_in(bitsets[0]) == expected and counts[0] == len(expected)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_shared_triangles(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    views, words = data.draw(st.integers(0, 21)), data.draw(st.integers(0, 37))
    bitsets = random_bits(views, words, data.draw(st.sampled_from((0.0, 0.02, 0.5, 1.0))), rng)
    shared = agree("shared_triangles", bitsets)
    assert np.array_equal(shared, shared.T)
    weights = rng.normal(size=64 * words) * 10.0 ** rng.integers(-9, 9, 64 * words)
    weighed = agree("shared_triangles", bitsets, weights.astype(data.draw(st.sampled_from((np.float32, np.float64)))))
    assert np.array_equal(weighed, weighed.T)


def test_many_views_of_many_blocks():
    """More rows than a task has and more blocks than a slab."""
    rng = np.random.default_rng(5)
    bitsets = np.zeros((90, 1500), np.int64)
    for view, start in zip(bitsets, rng.integers(0, 1300, 90), strict=True):
        view[start : start + 200] = rng.integers(-(2**63), 2**63, 200)
    bits = np.unpackbits(bitsets.view(np.uint8), axis=1, bitorder="little").astype(np.float32)
    for path, found in inputs.every_isa(lambda: ops.shared_triangles(bitsets, num_threads=2)).items():
        assert np.array_equal(found, bits @ bits.T), path
    weights = rng.random(64 * 1500)
    weighed = [ops.shared_triangles(bitsets, weights, num_threads=count) for count in inputs.THREADS]
    np.testing.assert_allclose(weighed[0], (bits * weights) @ bits.T, rtol=1e-9)
    for again in weighed[1:]:
        assert inputs.same_bits(again, weighed[0])
    part = ops.shared_triangles(bitsets[40:45], weights)  # what else is in the call does not matter
    assert inputs.same_bits(part, np.ascontiguousarray(weighed[0][40:45, 40:45]))


def test_weights_that_are_not_finite_count_where_they_are_shared():
    bitsets = np.array([[0b0111], [0b0011], [0b1001]])
    weights = np.array([1.0, np.nan, np.inf, -0.0])
    for found in every_path("shared_triangles", bitsets, weights).values():
        np.testing.assert_array_equal(found, [[np.nan, np.nan, 1], [np.nan, np.nan, 1], [1, 1, 1]])


def test_bits_beyond_the_last_triangle_are_the_callers():
    """They count; only weights must be there."""
    bitsets = np.array([[1 | 1 << 40], [1 << 40]])
    assert agree("shared_triangles", bitsets).tolist() == [[2, 1], [1, 1]]
    message = (
        r"^shared_triangles: weights: expected one for every triangle in the bitsets, got 40, but triangle 40 is in "
    )
    for module, convert in ((mirror_ext, torch.from_numpy), (ops, lambda x: x)):
        with pytest.raises(ValueError, match=message + "row 0$"):
            module.shared_triangles(convert(bitsets), convert(np.ones(40)))
    assert agree("shared_triangles", bitsets, np.ones(41)).tolist() == [[2, 1], [1, 1]]
    assert agree("shared_triangles", np.zeros((2, 9), np.int64), np.ones(0)).tolist() == [[0, 0], [0, 0]]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_overlap_masks(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    faces = data.draw(st.sampled_from((0, 1, 64, 500)))
    views, others = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    height, width = data.draw(st.integers(1, 12)), data.draw(st.sampled_from((1, 2, 7, 63, 64, 65, 128, 200)))
    maps = id_maps(views, height, width, faces, rng, run=data.draw(st.sampled_from((1, 5, 70))))
    size = data.draw(st.one_of(st.integers(1, 15), st.tuples(st.integers(1, 9), st.integers(1, 250))))
    directed = data.draw(st.booleans())
    bitsets = random_bits(others if directed else views, (faces + 63) // 64, 0.5, rng)
    count = data.draw(st.sampled_from((0, 1, 5, 30)))  # many pairs take another road
    pairs = np.stack([rng.integers(0, views, count), rng.integers(0, len(bitsets), count)], 1)
    masks = agree("overlap_masks", maps, bitsets, pairs, size, directed=directed)
    assert (masks >= 0).all() and (masks <= 1).all()


def test_both_directions_are_two_directed_pairs():
    rng = np.random.default_rng(1)
    maps = id_maps(5, 40, 130, 300, rng)
    bitsets, _ = ops.visible_triangles(maps, 300)
    pairs = rng.integers(0, 5, (12, 2))
    both = ops.overlap_masks(maps, bitsets, pairs, 14)
    assert np.array_equal(both[:, 0], ops.overlap_masks(maps, bitsets, pairs, 14, directed=True))
    assert np.array_equal(both[:, 1], ops.overlap_masks(maps, bitsets, pairs[:, ::-1], 14, directed=True))
    assert (both[(pairs[:, 0] == pairs[:, 1])] > 0.9).any()


def test_the_mean_of_a_mask_is_that_of_its_pixels():
    rng = np.random.default_rng(2)
    maps = id_maps(2, 61, 83, 900, rng)
    bitsets = random_bits(2, 15, 0.4, rng)
    pixels = ops.overlap_masks(maps, bitsets, BOTH, (61, 83)).mean((2, 3), dtype=np.float64)
    for size in (1, 7, 56, 100):
        masks = ops.overlap_masks(maps, bitsets, BOTH, size).mean((2, 3), dtype=np.float64)
        np.testing.assert_allclose(masks, pixels, rtol=1e-6)


def test_sizes_may_be_numpy_integers_and_lists():
    maps, bitsets, pairs, size = case_of("overlap_masks")
    for module, convert in ((mirror_ext, torch.from_numpy), (ops, lambda x: x), (reference, lambda x: x)):
        given = [convert(x) for x in (maps, bitsets, pairs)]
        expected = np.asarray(module.overlap_masks(*given, size))
        for other in (np.int64(size), [size, size], (np.int32(size), size)):
            assert np.array_equal(module.overlap_masks(*given, other), expected)


# ---- the order of a mesh ---------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_morton_order(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    points, faces = data.draw(st.sampled_from((1, 3, 50))), data.draw(st.sampled_from((0, 1, 2, 300)))
    scale = data.draw(st.sampled_from((1e-310, 1e-30, 1.0, 1e6, 1e308)))
    vertices = rng.uniform(-1, 1, (points, 3)) * scale + data.draw(st.sampled_from((0.0, 1e7)))
    if data.draw(st.booleans()):
        vertices[rng.integers(0, points)] = data.draw(st.sampled_from((np.nan, np.inf, -np.inf)))
    if scale < 1e30:
        vertices = vertices.astype(data.draw(st.sampled_from((np.float32, np.float64))))
    order = agree("morton_order", vertices, rng.integers(0, points, (faces, 3)).astype(np.int32))
    assert sorted(order.tolist()) == list(range(faces))


def test_a_grid_in_morton_order_is_a_z():
    corners = np.array([[x, y, 0] for y in range(4) for x in range(4)], np.float32)
    faces = np.repeat(np.arange(16, dtype=np.int32)[:, None], 3, 1)
    expected = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    assert agree("morton_order", corners, faces).tolist() == expected


def test_morton_order_of_many_faces():
    rng = np.random.default_rng(4)
    vertices = rng.normal(size=(5000, 3)).astype(np.float32)
    vertices[7] = np.nan
    faces = rng.integers(0, 5000, (40000, 3)).astype(np.int32)
    order = agree("morton_order", vertices, faces)
    broken = (faces == 7).any(1)
    assert broken.any() and broken[order[-broken.sum() :]].all()
    steps = np.linalg.norm(np.diff(np.nan_to_num(vertices)[faces[order]].mean(1), axis=0), axis=1)
    assert np.median(steps) < 0.25 * np.median(
        np.linalg.norm(np.diff(np.nan_to_num(vertices)[faces].mean(1), axis=0), axis=1)
    )


# ---- memory, threads, torch ------------------------------------------------------------------------------------------


def case_of(op):
    rng = np.random.default_rng(3)
    maps = id_maps(3, 20, 150, 200, rng)
    bitsets, _ = ops.visible_triangles(maps, 200)
    return {
        "visible_triangles": (maps, 200, 2),
        "shared_triangles": (bitsets, rng.random(200).astype(np.float32)),
        "overlap_masks": (maps, bitsets, np.array([[0, 1], [2, 0]]), 9),
        "morton_order": (rng.random((60, 3)), rng.integers(0, 60, (200, 3)).astype(np.int32)),
    }[op]


@pytest.mark.parametrize("op", NAMES)
def test_memory_layouts(op):
    arguments = case_of(op)
    agree(op, *arguments)
    expected = getattr(ops, op)(*arguments)
    for change in (inputs.scattered, inputs.misaligned, np.asfortranarray):
        changed = [change(a) if isinstance(a, np.ndarray) else a for a in arguments]
        found = getattr(ops, op)(*changed)
        for a, b in zip(*((x if isinstance(x, tuple) else (x,)) for x in (found, expected)), strict=True):
            assert inputs.same_bits(a, b)
    strided = [torch.from_numpy(np.asfortranarray(a)) if isinstance(a, np.ndarray) else a for a in arguments]
    found = getattr(mirror_ext, op)(*strided)
    for a, b in zip(*((x if isinstance(x, tuple) else (x,)) for x in (found, expected)), strict=True):
        assert inputs.same_bits(a.numpy(), b)


@pytest.mark.parametrize("op", NAMES)
def test_threads_do_not_matter(op):
    arguments = case_of(op)
    found = [getattr(ops, op)(*arguments, num_threads=count) for count in inputs.THREADS]
    for again in found[1:]:
        for a, b in zip(*((x if isinstance(x, tuple) else (x,)) for x in (again, found[0])), strict=True):
            assert inputs.same_bits(a, b)


def test_torch_ops_are_well_behaved():
    library, check = torch.ops.mirror, torch.library.opcheck

    def tensors(op):
        return [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in case_of(op)]

    check(library.visible_triangles.default, tensors("visible_triangles"))
    bitsets, weights = tensors("shared_triangles")
    check(library.shared_triangles.default, (bitsets, None))
    check(library.shared_triangles.default, (bitsets, weights))
    maps, bitsets, pairs, _ = tensors("overlap_masks")
    for directed in (False, True):
        check(library.overlap_masks.default, (maps, bitsets, pairs, 4, 5, directed))
    check(library.morton_order.default, tensors("morton_order"))


def test_compiles_with_dynamic_shapes():
    @torch.compile(fullgraph=True, dynamic=True, backend="aot_eager")
    def everything(maps, faces, pairs, vertices, corners):
        bitsets, counts = mirror_ext.visible_triangles(maps, faces)
        order = mirror_ext.morton_order(vertices, corners)
        return (
            mirror_ext.shared_triangles(bitsets) - counts,
            mirror_ext.overlap_masks(maps, bitsets, pairs, 7) * 2,
            mirror_ext.overlap_masks(maps, bitsets, pairs, (3, 5), directed=True) * 2,
            order + 1,
        )

    rng = np.random.default_rng(0)
    for views, height, width, faces in ((2, 9, 70, 100), (4, 11, 30, 333)):
        maps = id_maps(views, height, width, faces, rng)
        vertices, corners = rng.random((50, 3)), rng.integers(0, 50, (faces, 3)).astype(np.int32)
        given = [torch.from_numpy(x) for x in (maps, BOTH, vertices, corners)]
        shared, both, directed, order = everything(given[0], faces, *given[1:])
        bitsets, counts = reference.visible_triangles(maps, faces)
        assert np.array_equal(shared, reference.shared_triangles(bitsets) - counts)
        assert np.array_equal(both, reference.overlap_masks(maps, bitsets, BOTH, 7) * 2)
        assert np.array_equal(directed, reference.overlap_masks(maps, bitsets, BOTH, (3, 5), directed=True) * 2)
        assert np.array_equal(order, reference.morton_order(vertices, corners) + 1)


# ---- empty inputs and errors -----------------------------------------------------------------------------------------


def test_empty_inputs():
    none = np.zeros((0, 4, 5), np.int32)
    bitsets, counts = agree("visible_triangles", none, 100)
    assert bitsets.shape == (0, 2) and counts.shape == (0,)
    assert agree("visible_triangles", np.zeros((2, 0, 5), np.int32), 100)[0].tolist() == [[0, 0], [0, 0]]
    assert agree("visible_triangles", np.full((2, 4, 5), -1, np.int32), 0)[0].shape == (2, 0)
    assert agree("shared_triangles", np.zeros((0, 3), np.int64)).shape == (0, 0)
    assert agree("shared_triangles", np.zeros((2, 0), np.int64)).tolist() == [[0, 0], [0, 0]]
    assert agree("shared_triangles", np.zeros((2, 0), np.int64), np.zeros(0)).tolist() == [[0, 0], [0, 0]]
    nobody = np.zeros((0, 2), np.int64)
    assert agree("overlap_masks", none, bitsets, nobody, 7).shape == (0, 2, 7, 7)
    assert agree("overlap_masks", none, bitsets, nobody, (2, 3), directed=True).shape == (0, 2, 3)
    background = np.full((2, 4, 5), -1, np.int32)
    assert not agree("overlap_masks", background, np.zeros((2, 0), np.int64), BOTH, 3).any()
    assert agree("morton_order", np.zeros((0, 3)), np.zeros((0, 3), np.int32)).shape == (0,)


MAPS, BITS, PAIR = np.zeros((2, 4, 5), np.int32), np.zeros((2, 2), np.int64), np.array([[0, 1]])
POINTS = np.zeros((3, 3), np.float32)


def with_id(number):
    maps = MAPS.copy()
    maps[1, 2, 3] = number
    return maps


WRONG = [
    ("visible_triangles", (MAPS[0], 9), r"triangle_ids: expected int32 \[N, H, W\], got int32 \[4, 5\]"),
    (
        "visible_triangles",
        (MAPS.astype(np.int64), 9),
        r"triangle_ids: expected int32 \[N, H, W\], got int64 \[2, 4, 5\]",
    ),
    ("visible_triangles", (with_id(9), 9), r"triangle_ids: expected -1 or ids 0\.\.8, got 9 in view 1"),
    ("visible_triangles", (with_id(-2), 9), r"triangle_ids: expected -1 or ids 0\.\.8, got -2 in view 1"),
    (
        "visible_triangles",
        (with_id(2**31 - 1), 9),
        r"triangle_ids: expected -1 or ids 0\.\.8, got 2147483647 in view 1",
    ),
    (
        "visible_triangles",
        (with_id(-(2**31)), 9, 2),
        r"triangle_ids: expected -1 or ids 0\.\.8, got -2147483648 in view 1",
    ),
    ("visible_triangles", (MAPS, 0), r"triangle_ids: expected -1 only, without triangles, got 0 in view 0"),
    ("visible_triangles", (MAPS, -1), r"num_faces: expected a number 0\.\.2147483584, got -1"),
    ("visible_triangles", (MAPS, 2**40), r"num_faces: expected a number 0\.\.2147483584, got 1099511627776"),
    ("visible_triangles", (MAPS, 9, 0), r"min_pixels: expected a number >= 1, got 0"),
    ("shared_triangles", (BITS[0],), r"bitsets: expected int64 \[N, words\], got int64 \[2\]"),
    ("shared_triangles", (BITS.astype(np.int32),), r"bitsets: expected int64 \[N, words\], got int32 \[2, 2\]"),
    ("shared_triangles", (BITS, np.ones((4, 1))), r"weights: expected float32 or float64 \[F\], got float64 \[4, 1\]"),
    ("shared_triangles", (BITS, np.ones(4, int)), r"weights: expected float32 or float64 \[F\], got int64 \[4\]"),
    ("shared_triangles", (BITS, np.ones(129)), r"weights: expected at most 128, one for each bit, got 129"),
    ("overlap_masks", (MAPS, BITS, PAIR.astype(np.int32), 7), r"pairs: expected int64 \[P, 2\], got int32 \[1, 2\]"),
    ("overlap_masks", (MAPS, BITS, PAIR[0], 7), r"pairs: expected int64 \[P, 2\], got int64 \[2\]"),
    ("overlap_masks", (MAPS, BITS, PAIR + 1, 7), r"pairs: expected views 0\.\.1 in column 1, got 2 in row 0"),
    ("overlap_masks", (MAPS, BITS, PAIR - 1, 7), r"pairs: expected views 0\.\.1 in column 0, got -1 in row 0"),
    (
        "overlap_masks",
        (MAPS[:0], BITS[:0], PAIR, 7),
        r"pairs: expected no pairs of no views in column 0, got 0 in row 0",
    ),
    (
        "overlap_masks",
        (MAPS, BITS[:1], PAIR, 7),
        r"bitsets: expected 2 views, as many as maps, without directed=True, got 1",
    ),
    ("overlap_masks", (MAPS, BITS, PAIR, 0), r"size: expected numbers 1\.\.2147483647, got 0"),
    ("overlap_masks", (MAPS, BITS, PAIR, (3, -1)), r"size: expected numbers 1\.\.2147483647, got -1"),
    ("overlap_masks", (MAPS, BITS, PAIR, (3, 4, 5)), r"size: expected a number or \(rows, columns\), got \(3, 4, 5\)"),
    ("overlap_masks", (MAPS[:, :0], BITS, PAIR, 7), r"triangle_ids: expected at least one pixel, got maps of 0 x 5"),
    ("overlap_masks", (with_id(128), BITS, PAIR, 7), r"triangle_ids: expected -1 or ids 0\.\.127, got 128 in view 1"),
    ("overlap_masks", (with_id(-2), BITS, PAIR, 7), r"triangle_ids: expected -1 or ids 0\.\.127, got -2 in view 1"),
    (
        "morton_order",
        (POINTS[0], POINTS.astype(np.int32)),
        r"vertices: expected float32 or float64 \[V, 3\], got float32 \[3\]",
    ),
    ("morton_order", (POINTS, POINTS.astype(int)), r"faces: expected int32 \[F, 3\], got int64 \[3, 3\]"),
    (
        "morton_order",
        (POINTS, np.array([[0, 0, 0], [0, 3, 1]], np.int32)),
        r"faces: expected vertices 0\.\.2, got 3 in face 1",
    ),
    ("morton_order", (POINTS, np.array([[0, -1, 0]], np.int32)), r"faces: expected vertices 0\.\.2, got -1 in face 0"),
    (
        "morton_order",
        (POINTS[:0], np.zeros((1, 3), np.int32)),
        r"faces: expected no faces without vertices, got 0 in face 0",
    ),
]


@pytest.mark.parametrize(("op", "arguments", "message"), WRONG)
def test_errors_are_one_sentence(op, arguments, message):
    for module, convert in ((mirror_ext, torch.from_numpy), (ops, lambda x: x)):
        given = [convert(a) if isinstance(a, np.ndarray) else a for a in arguments]
        with pytest.raises(ValueError, match=f"^{op}: {message}$") as caught:
            getattr(module, op)(*given)
        assert "\n" not in str(caught.value)


def test_what_is_no_array_is_a_type_error():
    with pytest.raises(TypeError, match=r"^overlap_masks: bitsets: expected a NumPy array, got list$"):
        ops.overlap_masks(MAPS, [[0]], PAIR, 7)
    with pytest.raises(TypeError, match=r"^visible_triangles: triangle_ids: expected a tensor, got ndarray"):
        mirror_ext.visible_triangles(MAPS, 9)
