"""region_max_pool, masked_max_pool: golden numbers, the specification, every layout and type, gradients, errors."""

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
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
LAYOUTS = ("planes", "channels_last", "transposed", "scattered")
#: 1, 3 x 3 and 5 x 5 boxes of a 28 x 28 map.
BOXES = torch.tensor(GOLDEN["region_grids"]["expected"]["28x28"]["mirror_1-3-5"])


def random_boxes(count, height, width, generator):
    sizes = [torch.randint(1, n + 1, (count,), generator=generator) for n in (height, width)]
    starts = [
        (torch.rand(count, generator=generator) * (n - size + 1)).long()
        for n, size in zip((height, width), sizes, strict=True)
    ]
    return torch.stack([*starts, *sizes], 1)


def in_layout(maps, layout):
    """The same maps, otherwise in memory."""
    if layout == "channels_last":
        return maps.contiguous(memory_format=torch.channels_last)
    if layout == "transposed":
        return maps.transpose(2, 3).contiguous().transpose(2, 3)
    if layout == "scattered":
        larger = maps.new_zeros([2 * n for n in maps.shape])
        larger[::2, 1::2, ::2, 1::2] = maps
        return larger[::2, 1::2, ::2, 1::2]
    return maps


def make_maps(shape, kind, generator):
    """Numbers that every type holds; "few": ties and zeros of both signs; "nan", "infinite": some of these."""
    maps = torch.randint(-127, 128, shape, generator=generator).float() / 64
    odd = torch.rand(shape, generator=generator) < 0.05
    if kind == "few":
        maps = torch.randint(-1, 2, shape, generator=generator) * torch.tensor(0.5)
        maps = torch.where(odd, torch.tensor(-0.0), maps)
    if kind == "nan":
        maps = torch.where(odd, torch.nan, maps)
    if kind == "infinite":
        maps = torch.where(odd, torch.where(maps > 0, torch.inf, -torch.inf), maps)
    return maps


def same(a, b):
    """Equal type, shape and numbers, NaN equal to itself."""
    return a.dtype == b.dtype and a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


# ---- golden numbers --------------------------------------------------------------------------------------------------


def test_golden_masks():
    case = GOLDEN["masked_max_pool"]
    maps = torch.tensor(case["inputs"]["feature_map"], dtype=torch.float64)[None]
    for name, expected in case["expected"].items():
        if name == "soft":
            continue  # masks here are 0 or 1
        mask = torch.tensor(case["inputs"]["masks"][name])[None] != 0
        pooled = mirror_ext.masked_max_pool(maps, mask)
        torch.testing.assert_close(pooled[0], torch.tensor(expected["pooled"], dtype=torch.float64), rtol=0, atol=1e-12)
        if expected["unit"]:
            unit = torch.nn.functional.normalize(pooled)[0]
            torch.testing.assert_close(unit, torch.tensor(expected["unit"], dtype=torch.float64))


def test_the_regions_of_rmac_are_max_pools():
    maps = torch.randn(2, 5, 28, 28, generator=torch.Generator().manual_seed(0))
    pools = [torch.nn.functional.max_pool2d(maps, side, step).flatten(2) for side, step in ((28, 1), (14, 7), (8, 5))]
    expected = torch.cat(pools, 2).transpose(1, 2)
    assert torch.equal(mirror_ext.region_max_pool(maps, BOXES), expected)


# ---- the specification -----------------------------------------------------------------------------------------------


@st.composite
def cases(draw):
    shape = [draw(st.integers(0, 3)), draw(st.integers(0, 70)), draw(st.integers(1, 9)), draw(st.integers(1, 12))]
    seed = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    maps = make_maps(shape, draw(st.sampled_from(("normal", "few", "nan", "infinite"))), seed)
    maps = in_layout(maps.to(draw(st.sampled_from(DTYPES))), draw(st.sampled_from(LAYOUTS)))
    boxes = random_boxes(draw(st.integers(0, 9)), *shape[2:], seed)
    mask = torch.rand([shape[0], *shape[2:]], generator=seed) < draw(st.sampled_from((0.0, 0.1, 0.5, 1.0)))
    return maps, boxes, mask


@settings(max_examples=120, deadline=None)
@given(cases())
def test_every_path_gives_the_reference(case):
    maps, boxes, mask = case
    for op, second in (("region_max_pool", boxes), ("masked_max_pool", mask)):
        expected, where = getattr(reference, op)(maps, second, return_argmax=True)
        paths = inputs.every_isa(lambda: getattr(mirror_ext, op)(maps, second, return_argmax=True))  # noqa: B023
        paths["values only"] = getattr(mirror_ext, op)(maps, second), where
        if maps.dtype != torch.bfloat16:
            found = getattr(ops, op)(maps.numpy(), second.numpy(), return_argmax=True, num_threads=3)
            paths["numpy"] = [torch.from_numpy(x) for x in found]
        first = paths["portable"][0].numpy(force=True) if maps.dtype != torch.bfloat16 else None
        for path, (pooled, argmax) in paths.items():
            assert same(pooled, expected) and same(argmax, where), (op, path)
            assert first is None or inputs.same_bits(pooled.numpy(), first), (op, path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_boxes_of_a_large_map(layout):
    seed = torch.Generator().manual_seed(3)
    maps = in_layout(make_maps((1, 3, 50, 130), "few", seed), layout)
    boxes = random_boxes(300, 50, 130, seed)
    for pooled, argmax in inputs.every_isa(
        lambda: mirror_ext.region_max_pool(maps, boxes, return_argmax=True)
    ).values():
        expected, where = reference.region_max_pool(maps, boxes, return_argmax=True)
        assert same(pooled, expected) and same(argmax, where)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_threads_do_not_matter(dtype, layout):
    seed = torch.Generator().manual_seed(1)
    maps = in_layout(make_maps((3, 70, 14, 14), "few", seed).to(dtype), layout)
    boxes, mask = random_boxes(11, 14, 14, seed), torch.rand(3, 14, 14, generator=seed) < 0.4
    before, found = torch.get_num_threads(), []
    try:
        for count in inputs.THREADS:
            torch.set_num_threads(count)
            leaf = maps.detach().requires_grad_()
            regions, masked = mirror_ext.region_max_pool(leaf, boxes), mirror_ext.masked_max_pool(leaf, mask)
            (regions.float().square().sum() + masked.float().square().sum()).backward()
            found.append((regions, masked, leaf.grad))
    finally:
        torch.set_num_threads(before)
    for again in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(again, found[0], strict=True))


def test_ties_go_to_the_first_cell_and_zero_is_positive():
    maps = torch.full((1, 40, 6, 7), -0.0)
    maps[:, :, 4, 5] = 0.0
    for level in inputs.isa_levels():
        with inputs.isa(level):
            for layout in LAYOUTS:
                given = in_layout(maps, layout)
                pooled, argmax = mirror_ext.region_max_pool(given, torch.tensor([[1, 2, 5, 4]]), return_argmax=True)
                assert not pooled.signbit().any() and (argmax == 1 * 7 + 2).all()
                pooled, argmax = mirror_ext.masked_max_pool(given, torch.ones(1, 6, 7).byte(), return_argmax=True)
                assert not pooled.signbit().any() and (argmax == 0).all()


def test_a_nan_that_is_dropped_is_not_seen():
    maps = torch.randn(1, 40, 9, 9)
    maps[0, :, 0, 0] = torch.nan
    mask = torch.ones(1, 9, 9, dtype=torch.bool)
    assert mirror_ext.masked_max_pool(maps, mask).isnan().all()
    mask[0, 0, 0] = False
    assert torch.equal(mirror_ext.masked_max_pool(maps, mask), maps.flatten(2)[..., 1:].amax(-1))
    inside, outside = torch.tensor([[0, 0, 9, 9]]), torch.tensor([[1, 0, 8, 9]])
    assert mirror_ext.region_max_pool(maps, inside).isnan().all()
    assert torch.equal(mirror_ext.region_max_pool(maps, outside)[:, 0], maps[:, :, 1:].amax((2, 3)))


def test_boxes_may_be_int32_and_masks_uint8():
    maps = torch.randn(2, 3, 28, 28)
    assert torch.equal(mirror_ext.region_max_pool(maps, BOXES.int()), mirror_ext.region_max_pool(maps, BOXES))
    mask = torch.randint(0, 3, (2, 28, 28), dtype=torch.uint8)
    assert torch.equal(mirror_ext.masked_max_pool(maps, mask), mirror_ext.masked_max_pool(maps, mask != 0))


def test_memory_layouts_of_arrays():
    maps = np.random.default_rng(0).normal(size=(2, 5, 9, 8)).astype(np.float32)
    boxes = np.array([[0, 0, 9, 8], [2, 1, 3, 7], [8, 7, 1, 1]])
    mask = np.random.default_rng(1).random((2, 9, 8)) < 0.5
    regions, masked = ops.region_max_pool(maps, boxes), ops.masked_max_pool(maps, mask)
    for change in (inputs.scattered, inputs.misaligned, lambda x: inputs.misaligned(x, 4), np.asfortranarray):
        assert inputs.same_bits(ops.region_max_pool(change(maps), change(boxes)), regions)
        assert inputs.same_bits(ops.masked_max_pool(change(maps), change(mask)), masked)
    assert inputs.same_bits(ops.region_max_pool(maps[:, :, ::-1], boxes[:1]), regions[:, :1])


# ---- gradients -------------------------------------------------------------------------------------------------------


def gradients(op, maps, second, weight):
    leaf = maps.detach().requires_grad_()
    (op(leaf, second) * weight).sum().backward()
    return leaf.grad


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ("normal", "few"))
def test_gradients_of_the_reference(dtype, layout, kind):
    """The weights add up exactly, so that the order does not matter in any type."""
    seed = torch.Generator().manual_seed(5)
    maps = in_layout(make_maps((2, 35, 9, 8), kind, seed).to(dtype), layout)
    boxes, mask = random_boxes(13, 9, 8, seed), torch.rand(2, 9, 8, generator=seed) < 0.3
    mask[1] = False
    for name, second, shape in (("region_max_pool", boxes, (2, 13, 35)), ("masked_max_pool", mask, (2, 35))):
        weight = torch.randint(-4, 5, shape, generator=seed).to(dtype)
        ours = gradients(getattr(mirror_ext, name), maps, second, weight)
        theirs = gradients(getattr(reference, name), maps, second, weight)
        assert ours.dtype == dtype and torch.equal(ours, theirs), name
        if layout in ("planes", "channels_last"):
            assert ours.stride() == maps.stride(), name


def test_gradcheck():
    seed = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 5, 6, dtype=torch.float64, generator=seed, requires_grad=True)
    boxes, mask = random_boxes(4, 5, 6, seed), torch.rand(2, 5, 6, generator=seed) < 0.5
    assert torch.autograd.gradcheck(lambda x: mirror_ext.region_max_pool(x, boxes), (maps,))
    assert torch.autograd.gradcheck(lambda x: mirror_ext.masked_max_pool(x, mask), (maps,))


def test_second_derivatives_are_refused():
    maps = torch.randn(1, 2, 3, 3, requires_grad=True)
    pooled = mirror_ext.region_max_pool(maps, torch.tensor([[0, 0, 3, 3]]))
    (gradient,) = torch.autograd.grad(pooled.square().sum(), maps, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"^max pooling: it can be differentiated once, not twice$"):
        gradient.sum().backward()


# ---- torch -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_torch_ops_are_well_behaved(layout):
    library, check = torch.ops.mirror, torch.library.opcheck
    seed = torch.Generator().manual_seed(0)
    maps = in_layout(torch.randn(2, 5, 6, 7, generator=seed), layout)
    boxes, mask = random_boxes(4, 6, 7, seed), torch.rand(2, 6, 7, generator=seed) < 0.5
    check(library.region_max_pool.default, (maps, boxes, False))
    check(library.masked_max_pool.default, (maps, mask, False))
    leaf = maps.detach().requires_grad_()
    check(library.region_max_pool.default, (leaf, boxes, True))
    check(library.masked_max_pool.default, (leaf, mask, True))
    pooled, argmax = library.region_max_pool(maps, boxes, True)
    check(library.max_pool_backward.default, (pooled, maps, argmax))


def test_compiles_with_dynamic_shapes_and_gradient():
    @torch.compile(fullgraph=True, dynamic=True, backend="aot_eager")
    def loss(maps, boxes, mask):
        regions, masked = mirror_ext.region_max_pool(maps, boxes), mirror_ext.masked_max_pool(maps, mask)
        return regions.square().mean() + masked.square().mean()

    seed = torch.Generator().manual_seed(0)
    for shape, count in (((2, 6, 7, 8), 3), ((3, 4, 9, 5), 5)):
        for layout in ("planes", "channels_last"):
            maps = in_layout(torch.randn(shape, generator=seed), layout).requires_grad_()
            boxes, mask = random_boxes(count, *shape[2:], seed), torch.rand(shape[0], *shape[2:], generator=seed) < 0.5
            compiled = loss(maps, boxes, mask)
            compiled.backward()
            found, maps.grad = maps.grad, None
            eager = reference.region_max_pool(maps, boxes).square().mean()
            eager = eager + reference.masked_max_pool(maps, mask).square().mean()
            eager.backward()
            torch.testing.assert_close(compiled, eager)
            torch.testing.assert_close(found, maps.grad)


# ---- empty inputs and errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_empty_inputs(layout):
    for shape in ((0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 4, 5), (2, 3, 0, 0)):
        maps = in_layout(torch.randn(shape), layout).requires_grad_()
        none = mirror_ext.region_max_pool(maps, torch.zeros(0, 4, dtype=torch.int64))
        assert none.shape == (shape[0], 0, shape[1])
        none.sum().backward()
        assert maps.grad.shape == shape and not maps.grad.any()
        if shape[0] * shape[1] == 0:
            assert mirror_ext.region_max_pool(maps, torch.tensor([[0, 0, 1, 1]])).numel() == 0
            assert mirror_ext.masked_max_pool(maps, torch.zeros(shape[0], 4, 5).bool()).shape == shape[:2]


MAPS, MASK = np.zeros((2, 3, 4, 5), np.float32), np.zeros((2, 4, 5), bool)
INSIDE = r"boxes: expected \(row, column, height, width\) with height, width >= 1 inside the 4 x 5 map, got "
WRONG = [
    (
        "region_max_pool",
        MAPS[0],
        [[0, 0, 1, 1]],
        r"features: expected float32 or .* \[B, C, H, W\], got float32 \[3, 4",
    ),
    ("region_max_pool", MAPS.astype(np.int32), [[0, 0, 1, 1]], r"features: expected float32 or .*, got int32 \[2, 3"),
    ("region_max_pool", MAPS, [[0, 0, 1]], r"boxes: expected int64 or int32 \[R, 4\], got int64 \[1, 3\]"),
    ("region_max_pool", MAPS, [[0.0, 0, 1, 1]], r"boxes: expected int64 or int32 \[R, 4\], got float64 \[1, 4\]"),
    ("region_max_pool", MAPS, [[0, 0, 4, 5], [1, 0, 4, 5]], INSIDE + r"\(1, 0, 4, 5\) in row 1"),
    ("region_max_pool", MAPS, [[0, 0, 0, 5]], INSIDE + r"\(0, 0, 0, 5\) in row 0"),
    ("region_max_pool", MAPS, [[0, -1, 2, 2]], INSIDE + r"\(0, -1, 2, 2\) in row 0"),
    ("region_max_pool", MAPS, [[2**62, 0, 2**62, 1]], INSIDE),
    ("masked_max_pool", MAPS, MASK[:1], r"mask: expected bool or uint8 \[2, 4, 5\], got bool \[1, 4, 5\]"),
    ("masked_max_pool", MAPS, MASK.astype(np.float32), r"mask: expected bool or uint8 \[2, 4, 5\], got float32 \[2, 4"),
    ("masked_max_pool", MAPS[:, :, :0], MASK[:, :0], r"features: expected at least one cell, got a map of 0 x 5"),
]


@pytest.mark.parametrize(("op", "maps", "second", "message"), WRONG)
def test_errors_are_one_sentence(op, maps, second, message):
    second = np.array(second)
    for module, convert in ((mirror_ext, torch.from_numpy), (ops, lambda x: x)):
        with pytest.raises(ValueError, match=f"^{op}: {message}") as caught:
            getattr(module, op)(convert(maps), convert(second))
        assert "\n" not in str(caught.value)


def test_gradients_check_their_indices():
    maps, grad = torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 2)
    for cell in (-1, 9):
        with pytest.raises(ValueError, match=rf"^max_pool_backward: argmax: expected cells 0\.\.8, got {cell}$"):
            torch.ops.mirror.max_pool_backward(grad, maps, torch.full((1, 1, 2), cell, dtype=torch.int32))
    with pytest.raises(ValueError, match=r"^max_pool_backward: grad: expected .*\[1, R, 2\], got float32 \[1, 1, 3\]"):
        torch.ops.mirror.max_pool_backward(torch.zeros(1, 1, 3), maps, torch.zeros(1, 1, 3, dtype=torch.int32))
