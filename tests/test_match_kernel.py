"""match_kernel: the same bits as the specification, at every level, with any number of threads, in torch and NumPy."""

import inputs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mirror_ext
import mirror_ext.numpy as ops
from mirror_ext import reference

KINDS = ("scene", "few", "zeros", "saturated", "uniform")


def tensor(array):
    return None if array is None else torch.from_numpy(array)


def one_hot(*rows: dict[int, int]) -> np.ndarray:
    """Descriptors [len(rows), 128] with the given components."""
    out = np.zeros((len(rows), 128), np.uint8)
    for row, components in zip(out, rows, strict=True):
        for index, value in components.items():
            row[index] = value
    return out


@st.composite
def cases(draw):
    """Arguments of match_kernel: shapes around the kernels' block lengths, every kind of value, sizes, depth, form."""
    photos, others = draw(st.integers(0, 4)), draw(st.integers(0, 3))
    n, m = draw(st.integers(0, 70)), draw(st.integers(0, 40))
    kind, seed = draw(st.sampled_from(KINDS)), draw(st.integers(0, 2**16))
    a = {"descriptors": inputs.descriptors(photos, n, seed, kind)}
    if draw(st.booleans()):
        a["sizes"] = inputs.sizes_for(photos, n, seed)
    if draw(st.booleans()):
        a["other"] = inputs.descriptors(others, m, seed, kind)
        if draw(st.booleans()):
            a["other_sizes"] = inputs.sizes_for(others, m, seed + 1)
    columns = len(a.get("other", a["descriptors"]))
    if draw(st.booleans()):
        count = draw(st.integers(0, 6)) if photos and columns else 0
        rng = np.random.default_rng(seed)
        a["pairs"] = np.stack([rng.integers(0, max(1, k), count) for k in (photos, columns)], 1).astype(np.int64)
    if draw(st.booleans()):
        a["depth"] = draw(st.integers(0, 80))
    return a


@settings(max_examples=120, deadline=None)
@given(cases())
def test_same_bits_as_the_reference(arguments):
    expected = reference.match_kernel(**arguments)
    for level, scores in inputs.every_isa(lambda: ops.match_kernel(**arguments, num_threads=2)).items():
        assert inputs.same_bits(scores, expected), level
    tensors = {k: v if k == "depth" else tensor(v) for k, v in arguments.items()}
    assert inputs.same_bits(mirror_ext.match_kernel(**tensors).numpy(), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_at_real_depths(kind):
    d = inputs.descriptors(3, 517, seed=5, kind=kind)
    sizes = np.array([517, 300, 512], np.int32)
    expected = reference.match_kernel(d, sizes)
    for level, scores in inputs.every_isa(lambda: ops.match_kernel(d, sizes)).items():
        assert inputs.same_bits(scores, expected), level


@pytest.mark.parametrize("level", inputs.isa_levels())
def test_same_bits_for_any_number_of_threads(level):
    d = inputs.descriptors(17, 130, seed=3)
    sizes = inputs.sizes_for(17, 130, seed=3)
    pairs = np.argwhere(np.ones((17, 17)))[::-3].copy()
    with inputs.isa(level):
        for arguments in ({}, {"other": d[3:]}, {"pairs": pairs}):
            first = ops.match_kernel(d, sizes, **arguments, num_threads=1)
            tensors = {k: tensor(v) for k, v in arguments.items()}
            before = torch.get_num_threads()
            try:
                for count in inputs.THREADS:
                    assert inputs.same_bits(ops.match_kernel(d, sizes, **arguments, num_threads=count), first)
                    torch.set_num_threads(count)
                    scores = mirror_ext.match_kernel(tensor(d), tensor(sizes), **tensors)
                    assert inputs.same_bits(scores.numpy(), first)
            finally:
                torch.set_num_threads(before)


def test_all_forms_agree():
    d, sizes = inputs.descriptors(9, 64, seed=1), inputs.sizes_for(9, 64, seed=1)
    every = ops.match_kernel(d, sizes)
    assert every.max() > 5 and np.array_equal(every, every.T)
    assert np.array_equal(ops.match_kernel(d, sizes, d, sizes), every)
    pairs = np.argwhere(np.ones((9, 9)))
    assert np.array_equal(ops.match_kernel(d, sizes, pairs=pairs), every.ravel())
    assert np.array_equal(ops.match_kernel(d, sizes, depth=20), ops.match_kernel(d[:, :20], np.minimum(sizes, 20)))


def test_a_hand_made_pair():
    """Two features each, d^2 to the best 0 (counted as 1) and to the second 200: ratio sqrt(1 / 200)."""
    a = one_hot({0: 10}, {1: 10})[None]
    score = ops.match_kernel(a, other=a)
    assert score.shape == (1, 1)
    assert score[0, 0] == pytest.approx(2 * (1 - np.sqrt(1 / 200)) ** 2, rel=1e-6)


def test_neighbours_rank_by_product_not_by_distance():
    """(0: 20) is the nearest of (0: 1) by product although (0: 1) itself is nearer by distance."""
    a = one_hot({0: 1}, {5: 9})[None]
    b = one_hot({0: 1}, {0: 20}, {5: 9})[None]
    found = ops.mutual_matches(a, other=b, pairs=np.array([[0, 0]]), max_ratio=2.0)
    assert found.matches.tolist() == [[0, 1], [1, 2]]


def test_fewer_than_two_features_score_nothing():
    d = inputs.descriptors(2, 8, seed=2)
    assert not ops.match_kernel(d, np.array([1, 8], np.int32)).diagonal()[0]
    assert not ops.match_kernel(d, depth=1).any()
    assert ops.match_kernel(d).diagonal().all()


def test_the_largest_photos():
    """Indices near the limit of 32768 features."""
    d = inputs.descriptors(2, 32768, seed=9, kind="uniform")
    sizes = np.array([32768, 3], np.int32)
    d[1, :3] = d[0, [32767, 17, 32766]]
    expected = reference.match_kernel(d, sizes, pairs=np.array([[0, 1]]))
    assert expected[0] > 1
    for level, scores in inputs.every_isa(lambda: ops.match_kernel(d, sizes, pairs=np.array([[0, 1]]))).items():
        assert inputs.same_bits(scores, expected), level


def test_memory_layouts():
    d, sizes = inputs.descriptors(4, 33, seed=4), np.array([33, 0, 20, 33], np.int32)
    pairs = np.argwhere(np.ones((4, 4)))
    expected = ops.match_kernel(d, sizes, pairs=pairs)
    for change in (inputs.scattered, inputs.misaligned, np.asfortranarray):
        assert np.array_equal(ops.match_kernel(change(d), change(sizes), pairs=change(pairs)), expected)
    for a in (d, sizes, pairs):
        a.flags.writeable = False
    assert np.array_equal(ops.match_kernel(d, sizes, pairs=pairs), expected)
    d, sizes, pairs = (torch.tensor(x) for x in (d, sizes, pairs))
    wide = torch.zeros(4, 33, 256, dtype=torch.uint8)[..., ::2]
    wide.copy_(d)
    view = pairs.T.contiguous().T
    assert not wide.is_contiguous() and not view.is_contiguous()
    assert np.array_equal(mirror_ext.match_kernel(wide, sizes, pairs=view).numpy(), expected)
    odd = torch.frombuffer(bytearray(b"x" + sizes.numpy().tobytes()), dtype=torch.int32, offset=1)
    assert odd.data_ptr() % 4
    assert np.array_equal(mirror_ext.match_kernel(d, odd, pairs=pairs).numpy(), expected)


@pytest.mark.parametrize("level", inputs.isa_levels())
def test_rows_beyond_size_and_depth_are_never_read(level):
    d, sizes = inputs.descriptors(3, 40, seed=6), np.array([40, 13, 25], np.int32)
    with inputs.isa(level):
        expected = ops.match_kernel(d, sizes, depth=30)
        for photo, size in enumerate(sizes):
            d[photo, min(size, 30) :] = 255
        assert np.array_equal(ops.match_kernel(d, sizes, depth=30), expected)


def test_photos_outside_the_pairs_are_never_read():
    d = inputs.descriptors(3, 16, seed=6)
    expected = ops.match_kernel(d, pairs=np.array([[0, 2]]))
    d[1] = 200
    assert np.array_equal(ops.match_kernel(d, pairs=np.array([[0, 2]])), expected)


D = inputs.descriptors(3, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"descriptors": D[0]}, "descriptors: expected uint8 [N, n, 128], got uint8 [16, 128]"),
        ({"descriptors": D[..., :64]}, "descriptors: expected uint8 [N, n, 128], got uint8 [3, 16, 64]"),
        ({"descriptors": D.astype(np.float32)}, "descriptors: expected uint8 [N, n, 128], got float32 [3, 16, 128]"),
        ({"descriptors": D | 128}, "descriptors: expected values 0..127, got "),
        ({"descriptors": np.zeros((1, 32769, 128), np.uint8)}, "at most 32768 features a photo, got 32769"),
        ({"sizes": np.array([1, 2], np.int32)}, "sizes: expected int32 [3], got int32 [2]"),
        ({"sizes": np.array([1, 2, 3])}, "sizes: expected int32 [3], got int64 [3]"),
        ({"sizes": np.array([1, 2, 17], np.int32)}, "sizes: expected sizes 0..16, got 17 at 2"),
        ({"sizes": np.array([1, -1, 1], np.int32)}, "sizes: expected sizes 0..16, got -1 at 1"),
        ({"other": D[..., None]}, "other: expected uint8 [N, n, 128], got uint8 [3, 16, 128, 1]"),
        ({"other": D | 128}, "other: expected values 0..127, got "),
        ({"other_sizes": np.array([1, 1, 1], np.int32)}, "other_sizes: expected None without `other`, got int32 [3]"),
        ({"other": D, "other_sizes": np.array([1, 1, 99], np.int32)}, "other_sizes: expected sizes 0..16, got 99 at 2"),
        ({"pairs": np.array([[0, 1, 2]])}, "pairs: expected int64 [P, 2], got int64 [1, 3]"),
        ({"pairs": np.array([[0, 1]], np.int32)}, "pairs: expected int64 [P, 2], got int32 [1, 2]"),
        ({"pairs": np.array([[0, 1], [3, 0]])}, "pairs: expected indices 0..2 in column 0, got 3 in row 1"),
        ({"pairs": np.array([[0, -1]])}, "pairs: expected indices 0..2 in column 1, got -1 in row 0"),
        ({"pairs": np.array([[0, 2]]), "other": D[:2]}, "pairs: expected indices 0..1 in column 1, got 2 in row 0"),
        ({"depth": -1}, "depth: expected None or a number >= 0, got -1"),
    ],
)
def test_errors_are_one_sentence(arguments, message):
    arguments = {"descriptors": D} | arguments
    tensors = {k: v if k == "depth" else tensor(v) for k, v in arguments.items()}
    for call, given_arguments in ((ops.match_kernel, arguments), (mirror_ext.match_kernel, tensors)):
        with pytest.raises(ValueError) as caught:
            call(**given_arguments)
        text = str(caught.value)
        assert text.startswith("match_kernel: ") and message in text and "\n" not in text


def test_errors_of_numpy_alone():
    with pytest.raises(TypeError, match=r"match_kernel: descriptors: expected a NumPy array, got list"):
        ops.match_kernel(D.tolist())
    with pytest.raises(TypeError, match=r"match_kernel: sizes: expected native byte order, got >i4"):
        ops.match_kernel(D, np.zeros(3, ">i4"))
    with pytest.raises(ValueError, match=r"match_kernel: num_threads: expected None or a number >= 1, got 0"):
        ops.match_kernel(D, num_threads=0)


def test_torch_op_is_well_behaved():
    d, sizes = tensor(inputs.descriptors(4, 16)), torch.tensor([16, 3, 0, 16], dtype=torch.int32)
    op = torch.ops.mirror.match_kernel.default
    torch.library.opcheck(op, (d, sizes, None, None, None, -1))
    torch.library.opcheck(op, (d, sizes, d[:2], sizes[:2], None, 8))
    torch.library.opcheck(op, (d, None, None, None, torch.tensor([[0, 1], [2, 3], [1, 1]]), -1))


def test_compiles_with_dynamic_shapes():
    @torch.compile(fullgraph=True, dynamic=True, backend="aot_eager")
    def best(d, pairs):
        return mirror_ext.match_kernel(d).amax(1), mirror_ext.match_kernel(d, pairs=pairs, depth=8) * 2

    for photos, features in ((4, 16), (5, 20), (7, 9)):
        d = inputs.descriptors(photos, features, seed=photos)
        pairs = np.array([[0, 1], [2, 3]] * photos)
        strongest, doubled = best(tensor(d), tensor(pairs))
        assert np.array_equal(strongest.numpy(), ops.match_kernel(d).max(1))
        assert np.array_equal(doubled.numpy(), 2 * ops.match_kernel(d, pairs=pairs, depth=8))
