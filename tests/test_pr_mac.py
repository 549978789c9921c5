"""pr_mac, pr_mac_topk, pr_mac_rerank: golden numbers, the specification, the same bits on every path, errors."""

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
#: Our names of the reductions and those of the golden numbers.
NAMES = {
    "cosine": "cosine_mean",
    "sqeuclid": "sqeuclid_sum",
    "euclid_sum": "euclid_sum",
    "euclid_l2": "euclid_l2",
    "best": "aml_cosine",
    "hausdorff": "aml_hausdorff",
}
KINDS = ("scene", "few", "zeros", "free")


def tensor(array):
    return None if array is None else torch.from_numpy(array)


def tensors(arguments):
    return {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}


def unit(degrees):
    angles = np.deg2rad(np.array(degrees, np.float64))
    return np.stack([np.cos(angles), np.sin(angles)], -1)[None]


def assert_close(found, expected, scale=1.0, dtype=None):
    """Within rounding: 1e-6 of the values' size in float32, 1e-12 in float64."""
    found, expected = np.asarray(found), np.asarray(expected)
    bound = (1e-12 if (dtype or expected.dtype) == np.float64 else 2e-6) * scale
    np.testing.assert_allclose(found, expected, rtol=bound, atol=bound)


# ---- golden numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", inputs.isa_levels())
@pytest.mark.parametrize("dtype", (np.float64, np.float32))
def test_golden_numbers(level, dtype):
    bound = 1e-9 if dtype == np.float64 else 1e-5

    def check(query, target, expected):
        for ours, theirs in NAMES.items():
            if theirs not in expected:
                continue
            with inputs.isa(level):
                score = ops.pr_mac(query.astype(dtype), target.astype(dtype), ours)
            assert score.dtype == dtype
            assert score[0, 0] == pytest.approx(expected[theirs], rel=bound, abs=bound), ours

    case = GOLDEN["prmac_unit"]
    q, t = (np.array(case["inputs"][k])[None] for k in "QT")
    check(q, t, case["expected"]["q_to_t"])
    check(t, q, case["expected"]["t_to_q"])
    case = GOLDEN["prmac_not_normalised"]
    q, t = (np.array(case["inputs"][k])[None] for k in "QT")
    check(q, t, case["expected"]["q_to_t"])
    check(t, q, case["expected"]["t_to_q"])
    case = GOLDEN["prmac_order_conflict"]
    q = unit(case["inputs"]["Q_degrees"])
    for image in "AB":
        check(q, unit(case["inputs"][f"{image}_degrees"]), case["expected"][image])
    both = np.concatenate([unit(case["inputs"][f"{image}_degrees"]) for image in "AB"]).astype(dtype)
    for ours, theirs in NAMES.items():
        if theirs in case["expected"]["closest"]:
            nearest = ops.pr_mac_topk(q.astype(dtype), both, 1, ours).indices[0, 0]
            assert "AB"[nearest] == case["expected"]["closest"][theirs], ours


def test_golden_reranking():
    """One region per image: the score is a product of two numbers."""
    given, expected = GOLDEN["rerank"]["inputs"], GOLDEN["rerank"]["expected"]
    first = np.argsort(-np.array(given["global_similarity"]), kind="stable")
    assert first.tolist() == expected["initial"]
    target = np.array(given["regional_similarity"])[:, None, None]
    shortlist = first[None, : given["shortlist"]]
    scores = ops.pr_mac_rerank(np.ones((1, 1, 1)), target, shortlist)
    head = shortlist[0, np.argsort(-scores[0], kind="stable")]
    assert [*head, *first[given["shortlist"] :]] == expected["reranked"]


# ---- the specification -----------------------------------------------------------------------------------------------


@st.composite
def cases(draw):
    """Arguments of pr_mac, around the kernels' block lengths; float32 mostly, float64 too."""
    images, targets = draw(st.integers(0, 6)), draw(st.integers(0, 20))
    r, s, c = draw(st.integers(0, 12)), draw(st.integers(0, 9)), draw(st.integers(0, 40))
    kind, seed = draw(st.sampled_from(KINDS)), draw(st.integers(0, 2**16))
    dtype = draw(st.sampled_from((np.float32, np.float32, np.float64)))
    a = {"query": inputs.regions(images, r, c, seed, kind).astype(dtype)}
    if draw(st.booleans()):
        a["query_sizes"] = inputs.sizes_for(images, r, seed)
    if draw(st.booleans()):
        a["target"] = inputs.regions(targets, s, c, seed + draw(st.integers(0, 1)), kind).astype(dtype)
        if draw(st.booleans()):
            a["target_sizes"] = inputs.sizes_for(targets, s, seed + 1)
    a["reduction"] = draw(st.sampled_from(inputs.REDUCTIONS))
    return a


def size_of(arguments):
    """What rounding errors of the scores are relative to."""
    length = max(
        1.0, *(float(np.square(arguments[k]).sum(-1).max(initial=0)) for k in ("query", "target") if k in arguments)
    )
    return length * max(1, arguments["query"].shape[1])


@settings(max_examples=200, deadline=None)
@given(cases())
def test_scores_of_the_reference(arguments):
    expected = reference.pr_mac(**arguments)
    per_level = inputs.every_isa(lambda: ops.pr_mac(**arguments, return_argmax=True, num_threads=2))
    # Square roots of tiny squared distances magnify rounding: compare squares there.
    power = 2 if arguments["reduction"] in ("euclid_sum", "euclid_l2", "hausdorff") else 1
    for level, (scores, argmax) in per_level.items():
        assert scores.dtype == expected.dtype and scores.shape == expected.shape
        assert_close(scores**power, expected**power, size_of(arguments) ** power)
        check_argmax(arguments, argmax)
        assert inputs.same_bits(scores, ops_at(level, arguments)), "with and without argmax"
    if "avx512" in per_level:
        for a, b in zip(per_level["avx2"], per_level["avx512"], strict=True):
            assert inputs.same_bits(a, b)
    scores, argmax = mirror_ext.pr_mac(**tensors(arguments), return_argmax=True)
    best = list(per_level.values())[-1]
    assert inputs.same_bits(scores.numpy(), best[0]) and inputs.same_bits(argmax.numpy(), best[1])


def ops_at(level, arguments):
    with inputs.isa(level):
        return ops.pr_mac(**arguments, num_threads=1)


def check_argmax(arguments, argmax):
    """Every existing region names a region that is as close as the closest, within rounding; the others say -1."""
    query = arguments["query"].astype(np.float64)
    target = arguments.get("target", arguments["query"]).astype(np.float64)
    sizes = arguments.get("query_sizes")
    target_sizes = arguments.get("target_sizes") if "target" in arguments else sizes
    n = np.full(len(query), query.shape[1]) if sizes is None else sizes
    m = np.full(len(target), target.shape[1]) if target_sizes is None else target_sizes
    assert argmax.shape == (len(query), len(target), query.shape[1]) and argmax.dtype == np.int32
    tolerance = 1e-5 * max(
        1.0, float(np.square(query).sum(-1).max(initial=0)), float(np.square(target).sum(-1).max(initial=0))
    )
    for i, q in enumerate(query):
        for j, t in enumerate(target):
            found = argmax[i, j]
            assert (found[n[i] :] == -1).all()
            if m[j] == 0:
                assert (found == -1).all()
                continue
            found = found[: n[i]]
            assert ((found >= 0) & (found < m[j])).all()
            if arguments["reduction"] in ("cosine", "best"):
                closeness = q[: n[i]] @ t[: m[j]].T
            else:
                closeness = -np.square(q[: n[i], None] - t[None, : m[j]]).sum(-1)
            chosen = np.take_along_axis(closeness, found[:, None], 1)[:, 0]
            assert (chosen >= closeness.max(1, initial=-np.inf) - tolerance).all()


@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
def test_scores_beyond_one_block(reduction):
    """More images, regions and channels than a tile holds, ragged."""
    x, sizes = inputs.regions(21, 18, 270, seed=12), inputs.sizes_for(21, 18, seed=12)
    y = inputs.regions(19, 33, 270, seed=13)
    two = {"query": x, "target": y, "reduction": reduction, "query_sizes": sizes}
    one = {"query": x, "reduction": reduction, "query_sizes": sizes}
    for arguments in (two, one):
        expected = reference.pr_mac(**arguments)
        off = ~np.eye(*expected.shape, dtype=bool) | (reduction in ("cosine", "best"))  # else roots of nothing
        for level, scores in inputs.every_isa(lambda: ops.pr_mac(**arguments)).items():  # noqa: B023  called at once
            np.testing.assert_allclose(scores[off], expected[off], rtol=3e-6, atol=1e-6, err_msg=level)


def test_ties_go_to_the_lowest_index():
    q = inputs.regions(2, 3, 24, seed=1)
    t = np.concatenate([inputs.regions(1, 2, 24, seed=2), q[:1], q[:1]], 1)  # regions 2..4 equal 5..7
    for reduction in inputs.REDUCTIONS:
        for level in inputs.isa_levels():
            with inputs.isa(level):
                _, argmax = ops.pr_mac(q[:1], t, reduction, return_argmax=True)
                assert argmax[0, 0].tolist() == [2, 3, 4], (reduction, level)
                found = ops.pr_mac_topk(q[:1], np.repeat(t, 40, 0), 17, reduction)
                assert found.indices.tolist() == [list(range(17))], (reduction, level)


@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
def test_equal_vectors_have_distance_zero(reduction):
    x = inputs.regions(5, 7, 64, seed=3)
    diagonal = ops.pr_mac(x, reduction=reduction).diagonal()
    np.testing.assert_allclose(diagonal, 1 if reduction in ("cosine", "best") else 0, atol=1e-6)
    near = x * np.float32(1 + 1e-4)
    if reduction == "euclid_sum":  # 7 regions, each 1e-4 away: lost by |q|^2 + |t|^2 - 2 q.t in float32
        np.testing.assert_allclose(ops.pr_mac(x, near, reduction).diagonal(), 7e-4, rtol=1e-2)


@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
def test_images_without_regions(reduction):
    x = inputs.regions(3, 4, 8, seed=4)
    sizes = np.array([4, 0, 2], np.int32)
    worst = -np.inf if reduction in ("cosine", "best") else np.inf
    scores = ops.pr_mac(x, reduction=reduction, query_sizes=sizes)
    assert (scores[1] == 0).all(), "as a query: 0"
    assert (scores[[0, 2], 1] == worst).all(), "as a target: infinitely far"
    assert np.isfinite(scores[:, [0, 2]]).all()


# ---- the same bits on every path -------------------------------------------------------------------------------------


def make(dtype):
    query, target, *sizes = (torch.from_numpy(x) for x in inputs.two_ragged_sets())
    return query.to(dtype), target.to(dtype), *sizes


@pytest.mark.parametrize("level", inputs.isa_levels())
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16, torch.float16))
@pytest.mark.parametrize("reduction", ("cosine", "euclid_sum", "hausdorff"))
def test_all_paths_give_the_same_bits(level, dtype, reduction):
    query, target, query_sizes, target_sizes = make(dtype)
    sizes = {"query_sizes": query_sizes, "target_sizes": target_sizes}
    with inputs.isa(level):
        scores, argmax = mirror_ext.pr_mac(query, target, reduction, **sizes, return_argmax=True)
        self_scores = mirror_ext.pr_mac(target, target, reduction, query_sizes=target_sizes, target_sizes=target_sizes)
        self_top = mirror_ext.pr_mac_topk(
            target, target, 6, reduction, query_sizes=target_sizes, target_sizes=target_sizes
        )
        before = torch.get_num_threads()
        try:
            for count in inputs.THREADS:
                torch.set_num_threads(count)
                again, matched = mirror_ext.pr_mac(query, target, reduction, **sizes, return_argmax=True)
                assert torch.equal(again, scores) and torch.equal(matched, argmax)
                joined = mirror_ext.pr_mac(target, None, reduction, query_sizes=target_sizes)
                assert torch.equal(joined, self_scores)
                found = mirror_ext.pr_mac_topk(query, target, 9, reduction, **sizes)
                order = scores.argsort(dim=1, stable=True, descending=reduction == "cosine")[:, :9]
                assert torch.equal(found.indices, order)
                assert torch.equal(found.values, scores.gather(1, order))
                found = mirror_ext.pr_mac_topk(target, k=6, reduction=reduction, query_sizes=target_sizes)
                assert torch.equal(found.indices, self_top.indices) and torch.equal(found.values, self_top.values)
                listed = torch.from_numpy(np.random.default_rng(0).integers(0, 41, (23, 5)))
                some = mirror_ext.pr_mac_rerank(query, target, listed, reduction, **sizes)
                assert torch.equal(some, scores.gather(1, listed))
        finally:
            torch.set_num_threads(before)
        if dtype != torch.bfloat16:
            arrays = {k: v.numpy() for k, v in sizes.items()}
            twin = ops.pr_mac(query.numpy(), target.numpy(), reduction, **arrays, num_threads=3)
            assert inputs.same_bits(twin, scores.numpy())


def test_half_types_are_storage():
    query, target, *_ = make(torch.float32)
    for dtype in (torch.bfloat16, torch.float16):
        q, t = query.to(dtype), target.to(dtype)
        scores = mirror_ext.pr_mac(q, t)
        assert scores.dtype == torch.float32
        assert torch.equal(scores, mirror_ext.pr_mac(q.float(), t.float()))


def test_levels_agree():
    """Portable within 1e-6 of the others; AVX2 and AVX-512 bit for bit."""
    x = inputs.regions(30, 14, 256, seed=8)
    for reduction in inputs.REDUCTIONS:
        found = inputs.every_isa(lambda: ops.pr_mac(x, reduction=reduction))  # noqa: B023  called at once
        for level, scores in found.items():
            off = ~np.eye(30, dtype=bool)  # the diagonal is the square root of nothing
            np.testing.assert_allclose(
                scores[off], found["portable"][off], rtol=2e-6, atol=1e-6, err_msg=f"{reduction} {level}"
            )
        if "avx512" in found:
            assert inputs.same_bits(found["avx2"], found["avx512"]), reduction


def test_memory_layouts():
    q, t = inputs.regions(5, 6, 33, seed=1), inputs.regions(7, 4, 33, seed=2)
    sizes = inputs.sizes_for(5, 6, seed=3)
    expected = ops.pr_mac(q, t, query_sizes=sizes)
    for change in (inputs.scattered, inputs.misaligned, lambda x: inputs.misaligned(x, 4), np.asfortranarray):
        assert inputs.same_bits(ops.pr_mac(change(q), change(t), query_sizes=change(sizes)), expected)
    strided = tensor(q).transpose(0, 2).contiguous().transpose(0, 2)
    shifted = torch.zeros(7 * 4 * 33 + 1)[1:].view(7, 4, 33)
    shifted.copy_(tensor(t))
    assert inputs.same_bits(mirror_ext.pr_mac(strided, shifted, query_sizes=tensor(sizes)).numpy(), expected)
    assert inputs.same_bits(
        mirror_ext.pr_mac(tensor(q), tensor(t).flip(0), query_sizes=tensor(sizes)).flip(1).numpy(), expected
    )


# ---- bfloat16 first pass ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", inputs.isa_levels())
def test_bf16_scores_are_close_and_do_not_depend_on_threads(level):
    x = inputs.regions(40, 9, 96, seed=6)
    with inputs.isa(level):
        exact, rounded = (ops.pr_mac(x, precision=p) for p in ("exact", "bf16"))
        assert 0 < abs(exact - rounded).max() < 0.01
        np.testing.assert_allclose(rounded, reference.pr_mac(x, precision="bf16"), atol=1e-6)
        for count in inputs.THREADS:
            assert inputs.same_bits(ops.pr_mac(x, precision="bf16", num_threads=count), rounded)


@pytest.mark.parametrize("level", inputs.isa_levels())
@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
@pytest.mark.parametrize("two_sets", (False, True))
def test_certified_bf16_topk_is_exact(level, reduction, two_sets):
    x = inputs.regions(90, 5, 32, seed=7)
    target = inputs.regions(70, 6, 32, seed=8) if two_sets else None
    with inputs.isa(level):
        exact = ops.pr_mac_topk(x, target, 8, reduction)
        found = ops.pr_mac_topk(x, target, 8, reduction, precision="bf16", margin=0, certified=True)
        assert inputs.same_bits(found.indices, exact.indices) and inputs.same_bits(found.values, exact.values)
        loose = ops.pr_mac_topk(x, target, 8, reduction, precision="bf16", margin=32)
        assert (loose.indices == exact.indices).mean() > 0.99
        scores = ops.pr_mac(x, target, reduction)
        assert inputs.same_bits(loose.values, np.take_along_axis(scores, loose.indices, 1)), "scores are exact"


# ---- top-k and re-ranking --------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(0, 25))
def test_topk_sorts_the_scores(arguments, k):
    scores = ops.pr_mac(**arguments)
    similarity = arguments["reduction"] in ("cosine", "best")
    order = np.argsort(-scores if similarity else scores, axis=1, kind="stable")[:, :k]
    values, indices = ops.pr_mac_topk(**arguments, k=k, num_threads=2)
    n = order.shape[1]
    assert values.shape == indices.shape == (len(scores), k)
    assert np.array_equal(indices[:, :n], order)
    assert inputs.same_bits(values[:, :n], np.take_along_axis(scores, order, 1))
    assert (indices[:, n:] == -1).all() and (values[:, n:] == (-np.inf if similarity else np.inf)).all()
    tops = reference.pr_mac_topk(**arguments, k=k)
    assert tops.values.shape == values.shape and tops.indices.dtype == indices.dtype
    assert mirror_ext.pr_mac_topk(**tensors(arguments), k=k).indices.numpy().tolist() == indices.tolist()


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(0, 9), st.integers(0, 2**16))
def test_rerank_reads_the_scores(arguments, count, seed):
    arguments["target"] = arguments.get("target", arguments["query"])
    scores = ops.pr_mac(**arguments)
    listed = np.random.default_rng(seed).integers(-1, scores.shape[1], (len(scores), count))
    found = ops.pr_mac_rerank(candidates=listed, **arguments)
    worst = -np.inf if arguments["reduction"] in ("cosine", "best") else np.inf
    padded = np.concatenate([scores, np.full((len(scores), 1), worst, scores.dtype)], 1)
    assert inputs.same_bits(found, np.take_along_axis(padded, listed, 1))
    assert_close(reference.pr_mac_rerank(candidates=listed, **arguments) ** 2, found**2, size_of(arguments) ** 2)


def test_topk_beyond_one_block():
    """Long lists of targets, k of some hundreds, few values: ties everywhere."""
    x = inputs.regions(700, 2, 8, seed=5, kind="few")
    for reduction in ("cosine", "sqeuclid"):
        scores = ops.pr_mac(x[:50], x, reduction)
        order = np.argsort(-scores if reduction == "cosine" else scores, axis=1, kind="stable")[:, :200]
        for count in (1, 4):
            found = ops.pr_mac_topk(x[:50], x, 200, reduction, num_threads=count)
            assert np.array_equal(found.indices, order)
            same = ops.pr_mac_topk(x, None, 200, reduction, num_threads=count)
            assert np.array_equal(same.indices[:50], order)


# ---- errors ----------------------------------------------------------------------------------------------------------

Q, T = inputs.regions(3, 4, 8), inputs.regions(5, 2, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": Q[0]}, "query: expected float32 or float64 or bfloat16 or float16 [Q, R, C], got float32 [4, 8]"),
        (
            {"query": Q.astype(np.int32)},
            "query: expected float32 or float64 or bfloat16 or float16 [Q, R, C], got int32 ",
        ),
        ({"target": T[..., :7]}, "target: expected float32 [T, S, 8], got float32 [5, 2, 7]"),
        ({"target": T.astype(np.float64)}, "target: expected float32 [T, S, 8], got float64 [5, 2, 8]"),
        ({"query_sizes": np.array([1, 2], np.int32)}, "query_sizes: expected int32 [3], got int32 [2]"),
        ({"query_sizes": np.array([1, 2, 5], np.int32)}, "query_sizes: expected sizes 0..4, got 5 at 2"),
        ({"target_sizes": np.full(5, -1, np.int32)}, "target_sizes: expected sizes 0..2, got -1 at 0"),
        (
            {"target": None, "target_sizes": np.ones(3, np.int32)},
            "target_sizes: expected None without `target`, got int32 [3]",
        ),
        (
            {"reduction": "max"},
            "reduction: expected cosine, sqeuclid, euclid_sum, euclid_l2, best or hausdorff, got 'max'",
        ),
        (
            {"query": Q.astype(np.float64), "target": T.astype(np.float64), "precision": "bf16"},
            "precision: expected exact for float64 vectors, got bf16",
        ),
        ({"precision": "fp8"}, "precision: expected exact or bf16, got 'fp8'"),
        ({"symmetric": True}, "target: expected None or the query itself with symmetric=True, got another "),
    ],
)
def test_errors_are_one_sentence(arguments, message):
    arguments = {"query": Q, "target": T} | arguments
    for op, extra in (("pr_mac", {}), ("pr_mac_topk", {"k": 2})):
        for module, given_arguments in ((ops, arguments), (mirror_ext, tensors(arguments))):
            with pytest.raises(ValueError) as caught:
                getattr(module, op)(**given_arguments, **extra)
            text = str(caught.value)
            assert text.startswith(f"{op}: ") and message in text and "\n" not in text


def test_errors_of_topk_and_rerank():
    for module, convert in ((ops, np.asarray), (mirror_ext, torch.from_numpy)):
        q, t = convert(Q), convert(T)
        with pytest.raises(ValueError, match=r"^pr_mac_topk: k: expected a number >= 0, got -1$"):
            module.pr_mac_topk(q, t, -1)
        with pytest.raises(ValueError, match=r"^pr_mac_topk: margin: expected a number >= 0, got -2$"):
            module.pr_mac_topk(q, t, 1, precision="bf16", margin=-2)
        for listed, message in (
            (np.array([[0], [5], [0]]), r"expected -1 or indices 0..4, got 5 for query 1"),
            (np.array([[0], [0], [-2]]), r"expected -1 or indices 0..4, got -2 for query 2"),
            (np.array([[0], [0]]), r"expected int64 \[3, K\], got int64 \[2, 1\]"),
            (np.zeros((3, 1), np.int32), r"expected int64 \[3, K\], got int32 \[3, 1\]"),
        ):
            with pytest.raises(ValueError, match=rf"^pr_mac_rerank: candidates: {message}$"):
                module.pr_mac_rerank(q, t, convert(listed))
