"""similarity_support: hand-made pairs, the specification, and the same bits on every path."""

import inputs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mirror_ext
import mirror_ext.numpy as ops
from mirror_ext import reference


def tensors(arguments):
    return {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}


def one_pair(a, b, ratio=0.5, diagonal=800.0):
    """Arguments for one pair of photos whose key points match row by row."""
    count = len(a)
    rows = np.arange(count, dtype=np.int32)
    return {
        "keypoints": np.stack([a, b]).astype(np.float32).reshape(2, count, 4),
        "sizes": np.full(2, count, np.int32),
        "diagonals": np.full(2, diagonal, np.float32),
        "pairs": np.array([[0, 1]]),
        "matches": np.stack([rows, rows], 1),
        "ratios": np.full((count, 2), ratio, np.float32),
        "offsets": np.array([0, count]),
    }


def moved(points, grow, turn, shift=(30.0, -20.0)):
    """Key points after a similarity transform: scale `grow`, rotation `turn` in degrees."""
    z = (points[:, 0] + 1j * points[:, 1]) * grow * np.exp(1j * np.deg2rad(turn))
    return np.stack([z.real + shift[0], z.imag + shift[1], points[:, 2] * grow, points[:, 3] + turn], 1)


GRID = np.array([[x, y, 4, 10 * (x + y)] for x in (100, 160, 220) for y in (100, 160, 220)], np.float64)


@pytest.mark.parametrize(("grow", "turn"), [(1, 0), (2, 0), (1, 90), (0.5, -135), (1.7, 410)])
def test_a_similarity_supports_itself(grow, turn):
    """Nine matches of one similarity transform, all within reach: everybody supports everybody."""
    found = ops.similarity_support(**one_pair(GRID, moved(GRID, grow, turn)))
    assert found.good.all() and found.good.dtype == bool
    assert found.evidence[0] == pytest.approx(9 * 0.5 * 1.01, rel=1e-6)


def test_one_that_went_astray_is_not_good():
    other = moved(GRID, 1.5, 30)
    other[4, :2] += 200
    found = ops.similarity_support(**one_pair(GRID, other))
    assert found.good.tolist() == [i != 4 for i in range(9)]
    assert found.evidence[0] == pytest.approx(8 * 0.5 + 0.01 * 9 * 0.5, rel=1e-6)


def test_either_direction_suffices():
    """Two of three matches have a wrong scale; the third predicts both, so each has one supporter and it has two."""
    a = np.array([[100, 100, 4, 0], [150, 100, 4, 0], [100, 150, 4, 0]], np.float64)
    b = a.copy()
    b[1:, 2] *= 3
    found = ops.similarity_support(**one_pair(a, b), min_support=2)
    assert found.good.tolist() == [True, False, False]
    assert ops.similarity_support(**one_pair(a, b), min_support=1).good.all()


def test_the_smaller_ratio_counts():
    arguments = one_pair(GRID, GRID)
    arguments["ratios"] = np.tile(np.array([[0.25, 0.75]], np.float32), (9, 1))
    assert ops.similarity_support(**arguments).evidence[0] == pytest.approx(9 * 0.75 * 1.01, rel=1e-6)
    assert ops.similarity_support(**arguments, weak=0.5).evidence[0] == pytest.approx(9 * 0.75 * 1.5, rel=1e-6)


def test_reach():
    """Three points 60 pixels apart: supported between near and far of the diagonal, which is the first photo's."""
    a = np.array([[100, 100, 4, 0], [160, 100, 4, 0], [130, 152, 4, 0]], np.float64)
    arguments = one_pair(a, a)
    assert ops.similarity_support(**arguments, near=0.0, far=61 / 800).good.all()
    assert not ops.similarity_support(**arguments, near=0.0, far=59 / 800).good.any()
    assert not ops.similarity_support(**arguments, near=61 / 800).good.any()
    arguments["diagonals"] = np.array([100, 800], np.float32)
    assert not ops.similarity_support(**arguments).good.any(), "60 is more than a quarter of 100"
    arguments["pairs"] = np.array([[1, 0]])
    assert ops.similarity_support(**arguments).good.all()


def test_min_share():
    """Half of 40 matches move together: 19 supporters each."""
    grid = np.array([[x, y, 4, 0] for x in range(100, 300, 40) for y in range(100, 260, 40)], np.float64)[:20]
    both = np.concatenate([grid, grid + np.array([5, 5, 0, 0])])
    other = both.copy()
    other[20:, :2] = np.random.default_rng(0).uniform(5e3, 5e5, (20, 2))
    arguments = one_pair(both, other)
    good = ops.similarity_support(**arguments, min_share=0.4, far=1.0, near=0.0, tolerance=0.1).good
    assert good[:20].all() and not good[20:].any()
    assert not ops.similarity_support(**arguments, min_share=0.5, far=1.0, near=0.0, tolerance=0.1).good.any()


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 4),
    st.integers(0, 60),
    st.integers(0, 2**16),
    st.floats(0, 1),
    st.sampled_from(
        ({}, {"tolerance": 0.1, "near": 0.02}, {"far": 0.6, "min_share": 0.2}, {"min_support": 0.0, "weak": 1.0})
    ),
)
def test_evidence_of_the_reference(pairs, matches, seed, inliers, options):
    arguments = inputs.matched_keypoints(pairs, matches, seed, inliers) | options
    expected = reference.similarity_support(**arguments)
    found = inputs.every_isa(lambda: ops.similarity_support(**arguments, num_threads=2))
    for level, result in found.items():
        assert np.array_equal(result.good, expected.good), level
        np.testing.assert_allclose(result.evidence, expected.evidence, rtol=1e-6)
        assert inputs.same_bits(result.evidence, found["portable"].evidence), level
    twin = mirror_ext.similarity_support(**tensors(arguments))
    assert inputs.same_bits(twin.evidence.numpy(), found["portable"].evidence)
    assert inputs.same_bits(twin.good.numpy(), expected.good)


def test_evidence_of_real_matches():
    """From mutual_matches: ragged lists, a photo in several pairs, two sets."""
    d = inputs.descriptors(5, 200, seed=2)
    pairs = np.argwhere(np.ones((5, 5)))
    matches, ratios, offsets = ops.mutual_matches(d, pairs=pairs)
    k = inputs.matched_keypoints(3, 200, seed=3)
    first = (k["keypoints"][:5], k["sizes"][:5], k["diagonals"][:5], pairs, matches, ratios, offsets)
    found, expected = ops.similarity_support(*first), reference.similarity_support(*first)
    assert np.array_equal(found.good, expected.good) and found.good.any()
    np.testing.assert_allclose(found.evidence, expected.evidence, rtol=1e-6)
    two = {"other": first[0][::-1], "other_sizes": first[1], "other_diagonals": first[2]}
    turned = ops.similarity_support(*first[:3], pairs * (1, -1) + (0, 4), *first[4:], **two)
    assert inputs.same_bits(turned.evidence, found.evidence)


@pytest.mark.parametrize("level", inputs.isa_levels())
def test_same_bits_for_any_number_of_threads(level):
    arguments = inputs.matched_keypoints(20, 150, seed=7)
    with inputs.isa(level):
        first = ops.similarity_support(**arguments, num_threads=1)
        assert first.good.any() and not first.good.all()
        before = torch.get_num_threads()
        try:
            for count in inputs.THREADS:
                again = ops.similarity_support(**arguments, num_threads=count)
                torch.set_num_threads(count)
                twin = mirror_ext.similarity_support(**tensors(arguments))
                for evidence, good in (again, (x.numpy() for x in twin)):
                    assert inputs.same_bits(evidence, first.evidence) and inputs.same_bits(good, first.good)
        finally:
            torch.set_num_threads(before)


def test_pairs_without_support():
    empty = inputs.matched_keypoints(3, 0)
    found = ops.similarity_support(**empty)
    assert found.evidence.tolist() == [0, 0, 0] and found.good.shape == (0,)
    lone = one_pair(GRID[:1], GRID[:1])
    found = ops.similarity_support(**lone, min_support=0)
    assert not found.good.any() and found.evidence[0] == pytest.approx(0.01 * 0.5)
    none = inputs.matched_keypoints(0, 0)
    assert ops.similarity_support(**none).evidence.shape == (0,)


def test_memory_layouts():
    arguments = inputs.matched_keypoints(4, 30, seed=1)
    expected = ops.similarity_support(**arguments)
    for change in (inputs.scattered, inputs.misaligned):
        found = ops.similarity_support(**{k: change(v) for k, v in arguments.items()})
        assert inputs.same_bits(found.evidence, expected.evidence) and inputs.same_bits(found.good, expected.good)
    arguments["keypoints"] = np.concatenate([arguments["keypoints"], np.full((8, 3, 4), np.nan, np.float32)], 1)
    assert inputs.same_bits(ops.similarity_support(**arguments).evidence, expected.evidence), "rows beyond size"


GOOD = inputs.matched_keypoints(2, 5)


def changed(name, index, value):
    array = GOOD[name].copy()
    array[index] = value
    return {name: array}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keypoints": GOOD["keypoints"][..., :3]}, "keypoints: expected float32 [N, n, 4], got float32 [4, 5, 3]"),
        (
            {"keypoints": GOOD["keypoints"].astype(float)},
            "keypoints: expected float32 [N, n, 4], got float64 [4, 5, 4]",
        ),
        (changed("keypoints", (1, 2, 0), np.nan), "keypoints: expected finite numbers, got nan in row 2 of photo 1"),
        (changed("keypoints", (1, 2, 3), np.inf), "keypoints: expected finite numbers, got inf in row 2 of photo 1"),
        (changed("keypoints", (0, 4, 2), 0), "keypoints: expected scales above 0, got 0.000000 in row 4 of photo 0"),
        (changed("diagonals", 3, 0), "diagonals: expected finite numbers above 0, got 0.000000 at 3"),
        ({"diagonals": GOOD["diagonals"][:3]}, "diagonals: expected float32 [4], got float32 [3]"),
        (changed("sizes", 0, 6), "sizes: expected sizes 0..5, got 6 at 0"),
        (changed("pairs", (1, 1), 4), "pairs: expected indices 0..3 in column 1, got 4 in row 1"),
        (changed("matches", (7, 0), 5), "matches: expected rows 0..4 of photo 2, got 5 in match 7"),
        (changed("matches", (7, 1), -1), "matches: expected rows 0..4 of photo 3, got -1 in match 7"),
        (changed("sizes", 2, 3), "matches: expected rows 0..2 of photo 2, got 3 in match 8"),
        (changed("ratios", (3, 1), 1.5), "ratios: expected numbers 0..1, got 1.500000 in match 3"),
        (changed("ratios", (3, 0), np.nan), "ratios: expected numbers 0..1, got nan in match 3"),
        ({"ratios": GOOD["ratios"][:4]}, "ratios: expected float32 [10, 2], got float32 [4, 2]"),
        (changed("offsets", 0, 1), "offsets: expected 0 first, got 1"),
        (changed("offsets", 1, 11), "offsets: expected at most 10 (the matches), got 11"),
        (changed("offsets", 1, -1), "offsets: expected numbers that never fall, got -1 after 0"),
        (changed("offsets", 2, 9), "offsets: expected 10 (the matches) last, got 9"),
        (changed("offsets", 2, 12), "offsets: expected at most 10 (the matches), got 12"),
        ({"offsets": GOOD["offsets"][:2]}, "offsets: expected int64 [3], got int64 [2]"),
        ({"other_sizes": GOOD["sizes"]}, "other_sizes: expected None without `other`, got int32 [4]"),
        ({"other": GOOD["keypoints"]}, "other_diagonals: expected float32 [M] together with `other`, got None"),
        ({"near": -1.0}, "near: expected a finite number >= 0, got -1.000000"),
        ({"far": float("nan")}, "far: expected a finite number >= 0, got nan"),
    ],
)
def test_errors_are_one_sentence(arguments, message):
    arguments = GOOD | arguments
    for call, given_arguments in (
        (ops.similarity_support, arguments),
        (mirror_ext.similarity_support, tensors(arguments)),
    ):
        with pytest.raises(ValueError) as caught:
            call(**given_arguments)
        assert str(caught.value) == f"similarity_support: {message}"


def test_torch_op_is_well_behaved():
    t = tensors(inputs.matched_keypoints(2, 6))
    head = (t["keypoints"], t["sizes"], t["diagonals"], t["pairs"], t["matches"], t["ratios"], t["offsets"])
    numbers = (0.004, 0.25, 0.3, 0.06, 2.0, 0.01)
    torch.library.opcheck(torch.ops.mirror.similarity_support.default, (*head, None, None, None, *numbers))


def test_compiles_with_dynamic_shapes():
    """The whole second stage in one graph: the number of matches is known only at run time."""

    @torch.compile(fullgraph=True, dynamic=True, backend="aot_eager")
    def second_stage(d, keypoints, sizes, diagonals, pairs):
        found = mirror_ext.mutual_matches(d, sizes, pairs=pairs)
        return mirror_ext.similarity_support(keypoints, sizes, diagonals, pairs, *found).evidence.sqrt()

    for photos, features in ((4, 40), (6, 51)):
        k = inputs.matched_keypoints(photos // 2, features, seed=photos)
        d = inputs.descriptors(photos, features, seed=photos)
        arguments = [d, k["keypoints"], k["sizes"], k["diagonals"], np.array([[0, 1], [2, 3], [1, 2]])]
        evidence = second_stage(*(torch.from_numpy(x) for x in arguments)).numpy()
        matches = ops.mutual_matches(d, k["sizes"], pairs=arguments[-1])
        expected = ops.similarity_support(*arguments[1:], *matches).evidence
        np.testing.assert_allclose(evidence, np.sqrt(expected), rtol=1e-6)
        assert expected.all()
