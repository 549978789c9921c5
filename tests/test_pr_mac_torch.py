"""pr_mac in torch: its gradient against the specification, and what torch asks of an op."""

import inputs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mirror_ext
from mirror_ext import reference


def make(dtype):
    query, target, *sizes = (torch.from_numpy(x) for x in inputs.two_ragged_sets())
    return query.to(dtype), target.to(dtype), *sizes


# ---- gradients -------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(1, 20),
    st.sampled_from(inputs.REDUCTIONS),
    st.sampled_from((torch.float32, torch.float64)),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_gradient_of_the_reference(images, targets, r, s, c, reduction, dtype, two_sets, ragged, seed):
    q = torch.from_numpy(inputs.regions(images, r, c, seed, "free")).to(dtype)
    t = torch.from_numpy(inputs.regions(targets, s, c, seed + 1, "free")).to(dtype) if two_sets else None
    sizes = {}
    if ragged:
        sizes["query_sizes"] = torch.from_numpy(inputs.sizes_for(images, r, seed))
        if two_sets:
            sizes["target_sizes"] = torch.from_numpy(np.maximum(1, inputs.sizes_for(targets, s, seed)))
        else:
            sizes["query_sizes"] = sizes["query_sizes"].clamp(min=1)
    columns = targets if two_sets else images
    weight = torch.from_numpy(np.random.default_rng(seed).normal(size=(images, columns))).to(dtype)
    if not two_sets and reduction not in ("cosine", "best"):
        weight.fill_diagonal_(0)  # a distance of zero: rounding decides the reference's gradient there
    gradients = []
    for module in (mirror_ext, reference):
        leaves = [x.clone().requires_grad_() for x in (q, t) if x is not None]
        scores = module.pr_mac(*leaves, reduction=reduction, **sizes)
        scores.mul(weight).sum().backward()
        gradients.append([x.grad for x in leaves])
    for ours, theirs in zip(*gradients, strict=True):
        assert ours.dtype == dtype
        bound = 1e-10 if dtype == torch.float64 else 1e-4
        size = max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(ours, theirs, rtol=bound, atol=bound * size)


@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
def test_gradcheck(reduction):
    generator = torch.Generator().manual_seed(0)
    q, t = (
        torch.randn(n, r, 5, dtype=torch.float64, generator=generator, requires_grad=True) for n, r in ((2, 3), (3, 4))
    )
    sizes = {
        "query_sizes": torch.tensor([3, 2], dtype=torch.int32),
        "target_sizes": torch.tensor([4, 1, 2], dtype=torch.int32),
    }
    assert torch.autograd.gradcheck(lambda q, t: mirror_ext.pr_mac(q, t, reduction, **sizes), (q, t))
    if reduction in ("cosine", "best"):  # a self-join has distances of zero, where there is no derivative
        assert torch.autograd.gradcheck(lambda q: mirror_ext.pr_mac(q, reduction=reduction), (q,))


@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
def test_a_distance_of_zero_has_gradient_zero(reduction):
    x = torch.from_numpy(inputs.regions(3, 4, 16, seed=2)).requires_grad_()
    mirror_ext.pr_mac(x, reduction=reduction).diagonal().sum().backward()
    assert x.grad.isfinite().all()
    if reduction not in ("cosine", "best"):
        assert not x.grad.any()


def test_gradient_is_the_same_for_any_number_of_threads():
    query, target, query_sizes, target_sizes = make(torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for count in inputs.THREADS:
            torch.set_num_threads(count)
            leaves = [query.clone().requires_grad_(), target.clone().requires_grad_()]
            scores = mirror_ext.pr_mac(
                *leaves, "euclid_sum", query_sizes=query_sizes, target_sizes=target_sizes.clamp(min=1)
            )
            scores.square().sum().backward()
            results.append([x.grad for x in leaves])
    finally:
        torch.set_num_threads(before)
    for found in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found, results[0], strict=True))


def test_gradient_of_half_types():
    query, target, *_ = make(torch.bfloat16)
    leaves = [query.requires_grad_(), target.requires_grad_()]
    mirror_ext.pr_mac(*leaves).square().sum().backward()
    wide = [x.detach().float().requires_grad_() for x in leaves]
    mirror_ext.pr_mac(*wide).square().sum().backward()
    for narrow, exact in zip(leaves, wide, strict=True):
        assert narrow.grad.dtype == torch.bfloat16
        assert torch.equal(narrow.grad, exact.grad.bfloat16())


def test_second_derivatives_are_refused():
    x = torch.from_numpy(inputs.regions(2, 3, 4)).requires_grad_()
    (gradient,) = torch.autograd.grad(mirror_ext.pr_mac(x).square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"^pr_mac: it can be differentiated once, not twice$"):
        gradient.sum().backward()


# ---- torch -----------------------------------------------------------------------------------------------------------


def test_torch_ops_are_well_behaved():
    q, t = (torch.from_numpy(inputs.regions(n, 3, 8, seed=n)) for n in (4, 5))
    sizes = torch.tensor([3, 1, 2, 3], dtype=torch.int32)
    library = torch.ops.mirror
    check = torch.library.opcheck
    check(library.pr_mac.default, (q, t, sizes, None, "cosine", "exact", False))
    for reduction in ("cosine", "euclid_l2"):
        leaves = q.clone().requires_grad_(), t.clone().requires_grad_()
        check(library.pr_mac.default, (*leaves, sizes, None, reduction, "exact", True))
    check(library.pr_mac.default, (q.clone().requires_grad_(), None, None, None, "best", "exact", True))
    check(library.pr_mac_topk.default, (q, t, sizes, None, 3, "cosine", "exact", 32, False))
    check(library.pr_mac_rerank.default, (q, t, torch.zeros(4, 2, dtype=torch.int64), None, None, "sqeuclid"))
    scores, argmax = library.pr_mac(q, t, None, None, "cosine", "exact", True)
    check(library.pr_mac_backward.default, (scores, q, t, None, None, scores, argmax, "cosine"))


def test_compiles_with_dynamic_shapes_and_gradient():
    @torch.compile(fullgraph=True, dynamic=True, backend="aot_eager")
    def loss(q, t):
        values, indices = mirror_ext.pr_mac_topk(q.detach(), t.detach(), 2)
        hard = mirror_ext.pr_mac_rerank(q.detach(), t.detach(), indices)
        return mirror_ext.pr_mac(q, t, "sqeuclid").square().mean() + (values - hard).abs().sum()

    for images, targets, r in ((4, 5, 3), (6, 3, 7), (3, 8, 5)):
        q, t = (torch.from_numpy(inputs.regions(n, r, 16, seed=n)).requires_grad_() for n in (images, targets))
        compiled = loss(q, t)
        compiled.backward()
        found = q.grad.clone(), t.grad.clone()
        q.grad = t.grad = None
        eager = reference.pr_mac(q, t, "sqeuclid").square().mean()
        eager.backward()
        torch.testing.assert_close(compiled, eager)
        torch.testing.assert_close(found, (q.grad, t.grad))


def test_compiles_with_inductor():
    """Nothing but our op: inductor then has no kernel of its own to compile, which would take half a minute."""
    q = torch.from_numpy(inputs.regions(5, 4, 16, seed=1))
    assert torch.equal(torch.compile(mirror_ext.pr_mac, fullgraph=True)(q), mirror_ext.pr_mac(q))
