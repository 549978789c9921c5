"""mutual_matches: the matches of the specification, and the scores of match_kernel when they are summed."""

import inputs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mirror_ext
import mirror_ext.numpy as ops
from mirror_ext import reference


def tensor(array):
    return None if array is None else torch.from_numpy(array)


def assert_same(found, expected, note=None):
    for a, b, name in zip(found, expected, expected._fields, strict=True):
        assert inputs.same_bits(np.asarray(a), np.asarray(b)), (name, note)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(0, 70),
    st.integers(0, 40),
    st.sampled_from(("scene", "few", "zeros", "saturated", "uniform")),
    st.integers(0, 2**16),
    st.integers(0, 8),
    st.sampled_from((None, 0, 1, 2, 13, 64)),
    st.sampled_from((0.9, 2.0, 0.5, 0.0)),
    st.booleans(),
)
def test_same_bits_as_the_reference(photos, n, m, kind, seed, count, depth, max_ratio, two_sets):
    d, sizes = inputs.descriptors(photos, n, seed, kind), inputs.sizes_for(photos, n, seed)
    other = inputs.descriptors(2, m, seed, kind) if two_sets else None
    pairs = np.random.default_rng(seed).integers(0, (photos, 2 if two_sets else photos), (count, 2))
    options = {"pairs": pairs, "depth": depth, "max_ratio": max_ratio}
    expected = reference.mutual_matches(d, sizes, other, **options)
    for level, found in inputs.every_isa(lambda: ops.mutual_matches(d, sizes, other, **options)).items():
        assert_same(found, expected, level)
    assert_same(
        mirror_ext.mutual_matches(tensor(d), tensor(sizes), tensor(other), **options | {"pairs": tensor(pairs)}),
        expected,
    )


@pytest.mark.parametrize("kind", ("scene", "few", "zeros", "saturated", "uniform"))
@pytest.mark.parametrize(("n", "m"), ((1024, 1024), (1025, 1537), (1100, 1023), (2049, 1090)))
def test_two_passes_same_bits_as_the_reference(kind, n, m):
    d, other = inputs.descriptors(1, n, n, kind), inputs.descriptors(1, m, m, kind)
    other[0, ::3] = d[0, : len(other[0, ::3])] ^ 1  # so that there are matches
    options = {"pairs": np.array([[0, 0]]), "max_ratio": 2.0, "exact": False}
    expected = reference.mutual_matches(d, None, other, **options)
    for level, found in inputs.every_isa(lambda: ops.mutual_matches(d, None, other, **options)).items():
        assert_same(found, expected, level)
    options["pairs"] = tensor(options["pairs"])
    assert_same(mirror_ext.mutual_matches(tensor(d), None, tensor(other), **options), expected)


def two_large_photos(n=1500):
    """The second holds the first's features in reverse, each a little changed."""
    noise = np.random.default_rng(0).integers(-12, 13, (n, 128))
    first = inputs.descriptors(1, n, seed=5)[0]
    return np.stack([first, np.clip(first[::-1] + noise, 0, 127).astype(np.uint8)])


@pytest.mark.parametrize("level", inputs.isa_levels())
def test_two_passes_find_almost_all(level):
    d, pairs = two_large_photos(), np.array([[0, 1]])
    with inputs.isa(level):
        exact = ops.mutual_matches(d, pairs=pairs, max_ratio=0.8)
        found = ops.mutual_matches(d, pairs=pairs, max_ratio=2.0, exact=False)
    _, mine, true = np.intersect1d(found.matches @ [10**4, 1], exact.matches @ [10**4, 1], return_indices=True)
    assert len(exact.matches) > 1000
    assert len(true) > 0.98 * len(exact.matches)
    differences = exact.ratios[true] - found.ratios[mine]  # where the second best was missed
    assert 0 < differences.mean() < 0.05


def test_two_passes_for_any_number_of_threads_and_either_direction():
    large = two_large_photos()
    d, sizes = np.concatenate([large, large]), np.array([1500, 1400, 1024, 1023], np.int32)
    pairs = np.argwhere(np.ones((4, 4)))
    first = ops.mutual_matches(d, sizes, pairs=pairs, max_ratio=2.0, exact=False, num_threads=1)
    for count in inputs.THREADS:
        assert_same(ops.mutual_matches(d, sizes, pairs=pairs, max_ratio=2.0, exact=False, num_threads=count), first)
    place = {tuple(pair): slice(*first.offsets[n : n + 2]) for n, pair in enumerate(pairs.tolist())}
    for (i, j), there in place.items():
        back = place[j, i]
        order = np.argsort(first.matches[back, 1])
        assert np.array_equal(first.matches[there], first.matches[back][order][:, ::-1])
        assert np.array_equal(first.ratios[there], first.ratios[back][order][:, ::-1])


def test_small_photos_are_always_matched_exactly():
    d, pairs = two_large_photos(), np.array([[0, 1], [1, 0], [0, 0]])
    sizes = np.array([1500, 1023], np.int32)
    options = {"pairs": pairs[:2], "max_ratio": 2.0}
    assert_same(ops.mutual_matches(d, sizes, **options, exact=False), ops.mutual_matches(d, sizes, **options))
    options = {"pairs": pairs, "max_ratio": 2.0, "depth": 1023}
    assert_same(ops.mutual_matches(d, **options, exact=False), ops.mutual_matches(d, **options))


def test_ties_go_to_the_lowest_index():
    """Every feature occurs three times: only the first copies match, and their second best is as good."""
    distinct = inputs.descriptors(1, 5, seed=1, kind="uniform")[0]
    d = np.concatenate([distinct, distinct, distinct])[None]
    found = ops.mutual_matches(d, pairs=np.array([[0, 0]]), max_ratio=2.0)
    assert found.matches.tolist() == [[i, i] for i in range(5)]
    assert (found.ratios == 1).all()


@pytest.mark.parametrize("level", inputs.isa_levels())
def test_same_bits_for_any_number_of_threads(level):
    d, sizes = inputs.descriptors(12, 150, seed=3), inputs.sizes_for(12, 150, seed=3)
    pairs = np.argwhere(np.ones((12, 12)))[::-1].copy()
    with inputs.isa(level):
        first = ops.mutual_matches(d, sizes, pairs=pairs, num_threads=1)
        assert len(first.matches) > 500
        before = torch.get_num_threads()
        try:
            for count in inputs.THREADS:
                assert_same(ops.mutual_matches(d, sizes, pairs=pairs, num_threads=count), first, count)
                torch.set_num_threads(count)
                found = mirror_ext.mutual_matches(tensor(d), tensor(sizes), pairs=tensor(pairs))
                assert_same(found, first, count)
        finally:
            torch.set_num_threads(before)


def test_summed_matches_are_the_scores():
    d = inputs.descriptors(6, 100, seed=8)
    pairs = np.argwhere(np.ones((6, 6)))
    found = ops.mutual_matches(d, pairs=pairs, max_ratio=2.0)
    terms = (1 - found.ratios.astype(np.float64).mean(1)) ** 2
    sums = [terms[a:b].sum() for a, b in zip(found.offsets, found.offsets[1:], strict=False)]
    np.testing.assert_allclose(sums, ops.match_kernel(d, pairs=pairs), rtol=1e-6)
    few = ops.mutual_matches(d, pairs=pairs, max_ratio=0.7)
    assert np.array_equal(few.matches, found.matches[found.ratios.min(1) < np.float32(0.7)])
    for a, b in zip(found.offsets, found.offsets[1:], strict=False):
        assert (np.diff(found.matches[a:b, 0]) > 0).all()
        assert len(np.unique(found.matches[a:b, 1])) == b - a


def test_swapped_pairs_give_swapped_matches():
    d = inputs.descriptors(2, 200, seed=4)
    there, back = (ops.mutual_matches(d, pairs=np.array([p])) for p in ([0, 1], [1, 0]))
    order = np.argsort(back.matches[:, 1])
    assert len(there.matches) > 20
    assert np.array_equal(there.matches, back.matches[order][:, ::-1])
    assert np.array_equal(there.ratios, back.ratios[order][:, ::-1])


def test_nothing_gives_nothing():
    for photos, features, count in ((0, 5, 0), (2, 0, 3), (2, 5, 0)):
        pairs = np.zeros((count, 2), np.int64)
        found = ops.mutual_matches(inputs.descriptors(photos, features), pairs=pairs)
        assert found.matches.shape == found.ratios.shape == (0, 2)
        assert np.array_equal(found.offsets, np.zeros(count + 1))


def test_memory_layouts():
    d, sizes = inputs.descriptors(4, 33, seed=4), np.array([33, 0, 20, 33], np.int32)
    pairs = np.argwhere(np.ones((4, 4)))
    expected = ops.mutual_matches(d, sizes, pairs=pairs)
    for change in (inputs.scattered, inputs.misaligned):
        assert_same(ops.mutual_matches(change(d), change(sizes), pairs=change(pairs)), expected)


def test_errors_name_this_op():
    d = inputs.descriptors(2, 8)
    for call, convert in ((ops.mutual_matches, np.asarray), (mirror_ext.mutual_matches, torch.from_numpy)):
        with pytest.raises(
            ValueError, match=r"^mutual_matches: pairs: expected indices 0..1 in column 1, got 2 in row 0$"
        ):
            call(convert(d), pairs=convert(np.array([[0, 2]])))
        with pytest.raises(ValueError, match=r"^mutual_matches: depth: expected None or a number >= 0, got -3$"):
            call(convert(d), pairs=convert(np.array([[0, 1]])), depth=-3)
    with pytest.raises(TypeError, match=r"^mutual_matches: pairs: expected a NumPy array, got NoneType$"):
        ops.mutual_matches(d, pairs=None)


def test_torch_op_is_well_behaved():
    d, pairs = tensor(inputs.descriptors(3, 16)), torch.tensor([[0, 1], [1, 2], [2, 2]])
    for exact in (True, False):
        torch.library.opcheck(torch.ops.mirror.mutual_matches.default, (d, None, None, None, pairs, -1, 0.9, exact))


def test_compiles_with_dynamic_shapes():
    @torch.compile(fullgraph=True, dynamic=True, backend="aot_eager")
    def closeness(d, pairs):
        found = mirror_ext.mutual_matches(d, pairs=pairs)
        return (1 - found.ratios.amin(1)).sum(), found.offsets.diff()

    for photos, features in ((3, 30), (4, 41), (5, 22)):
        d, pairs = inputs.descriptors(photos, features, seed=photos), np.array([[0, 1], [1, 2], [0, 2]] * photos)
        total, counts = closeness(tensor(d), tensor(pairs))
        found = ops.mutual_matches(d, pairs=pairs)
        assert total.item() == pytest.approx((1 - found.ratios.min(1)).sum(), rel=1e-5)
        assert np.array_equal(counts.numpy(), np.diff(found.offsets))
