"""The CUDA ops against the CPU ops: the same bits for integers, 1e-5 for float32, 2e-3 for bfloat16 and float16.

Without a GPU the kernels are tested by tests/cpp/cuda_*_test.cpp, thread by thread, on the CPU.
"""

import inputs
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the CUDA ops are torch ops")

import mirror_ext  # noqa: E402

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA GPU here"),
]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-3, torch.float16: 2e-3}


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """With a GPU, a missing or broken CUDA library is a failure, not a reason to skip."""
    assert callable(mirror_ext.pr_mac)  # loads the libraries
    loaded = mirror_ext.build_info()["loaded"]["cuda"]
    assert loaded is True, f"the CUDA ops are not loaded: {loaded}"


def cuda(value):
    """Tensors and arrays among arguments, on the GPU."""
    if isinstance(value, dict):
        return {name: cuda(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    return value.cuda() if isinstance(value, torch.Tensor) else value


def cpu(value):
    if isinstance(value, dict):
        return {name: cpu(item) for name, item in value.items()}
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def both(op, *arguments, **options):
    """What an op gives on the CPU and on the GPU, both on the CPU."""
    expected = op(*map(cpu, arguments), **cpu(options))
    found = op(*map(cuda, arguments), **cuda(options))
    if isinstance(expected, torch.Tensor):
        return expected, found.cpu()
    return expected, type(expected)(*(x.cpu() for x in found)) if hasattr(expected, "_fields") else tuple(
        x.cpu() for x in found
    )


def assert_bits(expected, found):
    if torch.is_tensor(expected):
        expected, found = (expected,), (found,)
    for x, y in zip(expected, found, strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        assert inputs.same_bits(x.numpy(), y.numpy())


def assert_close(expected, found, tolerance):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


# ---- match kernel ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ("scene", "few", "zeros", "saturated", "uniform"))
@pytest.mark.parametrize("features", (1, 2, 63, 64, 65, 128, 300, 512))
def test_match_kernel_has_the_same_bits(kind, features):
    photos = inputs.descriptors(7, features, 1, kind)
    sizes = inputs.sizes_for(7, features, 2)
    other = inputs.descriptors(5, features + 9, 3, kind)
    assert_bits(*both(mirror_ext.match_kernel, photos))
    assert_bits(*both(mirror_ext.match_kernel, photos, sizes))
    assert_bits(*both(mirror_ext.match_kernel, photos, sizes, other, inputs.sizes_for(5, features + 9, 4)))
    pairs = np.array([[0, 4], [6, 0], [3, 3], [0, 4]])
    assert_bits(*both(mirror_ext.match_kernel, photos, sizes, other, pairs=pairs, depth=max(1, features // 2)))


@pytest.mark.parametrize("features", (1025, 2500))
def test_match_kernel_on_large_photos(features):
    photos = inputs.descriptors(3, features, 5)
    assert_bits(*both(mirror_ext.match_kernel, photos, inputs.sizes_for(3, features, 6)))
    assert_bits(*both(mirror_ext.match_kernel, inputs.descriptors(2, features, 7, "few")))


def test_match_kernel_on_the_largest_photos():
    photos = inputs.descriptors(2, 32768, 8, "few")
    assert_bits(*both(mirror_ext.match_kernel, photos, pairs=np.array([[0, 1]])))


@pytest.mark.parametrize("max_ratio", (0.0, 0.9, 2.0))
@pytest.mark.parametrize("features", (2, 90, 512, 1100))
def test_mutual_matches_are_the_same(features, max_ratio):
    photos = inputs.descriptors(6, features, 9)
    pairs = np.array([[0, 1], [5, 2], [3, 3], [2, 5]])
    sizes = inputs.sizes_for(6, features, 10)
    assert_bits(*both(mirror_ext.mutual_matches, photos, sizes, pairs=pairs, max_ratio=max_ratio))
    none = np.zeros((0, 2), np.int64)
    assert_bits(*both(mirror_ext.mutual_matches, photos, pairs=none, max_ratio=max_ratio))


def test_two_passes_are_refused():
    photos, pairs = torch.from_numpy(inputs.descriptors(2, 8, 9)).cuda(), torch.tensor([[0, 1]]).cuda()
    with pytest.raises(ValueError, match=r"^mutual_matches: exact: expected True for CUDA tensors, got False$"):
        mirror_ext.mutual_matches(photos, pairs=pairs, exact=False)


def test_match_kernel_takes_any_layout():
    photos = inputs.descriptors(4, 70, 11)
    expected = mirror_ext.match_kernel(torch.from_numpy(photos))
    wide = torch.zeros(4, 70, 256, dtype=torch.uint8, device="cuda")[..., ::2]
    wide.copy_(torch.from_numpy(photos))
    shifted = torch.zeros(photos.size + 1, dtype=torch.uint8, device="cuda")[1:].view(photos.shape)
    shifted.copy_(torch.from_numpy(photos))
    for view in (wide, shifted):
        assert_bits(expected, mirror_ext.match_kernel(view).cpu())


# ---- similarity support ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matches", (0, 1, 2, 30, 257, 512))
def test_similarity_support_has_the_same_bits(matches):
    arguments = inputs.matched_keypoints(6, matches, 12)
    expected, found = both(mirror_ext.similarity_support, **arguments)
    assert_bits(expected, found)
    assert matches < 30 or expected.good.any()


# ---- pr_mac ----------------------------------------------------------------------------------------------------------


def images(count, regions, channels, seed, dtype=torch.float32, kind="scene"):
    return torch.from_numpy(inputs.regions(count, regions, channels, seed, kind)).to(dtype)


def sizes_for(x, seed):
    return torch.from_numpy(inputs.sizes_for(x.shape[0], x.shape[1], seed))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
@pytest.mark.parametrize("shape", ((5, 35, 256), (70, 5, 512), (33, 9, 100), (3, 1, 32), (2, 70, 1)))
def test_pr_mac(dtype, reduction, shape):
    query, target = images(*shape, 13, dtype), images(41, shape[1] + 1, shape[2], 14, dtype)
    tolerance = TOLERANCE[dtype] * (shape[1] if reduction in ("sqeuclid", "euclid_sum") else 1)
    assert_close(*both(mirror_ext.pr_mac, query, target, reduction), tolerance)
    options = {"query_sizes": sizes_for(query, 15), "target_sizes": sizes_for(target, 16)}
    assert_close(*both(mirror_ext.pr_mac, query, target, reduction, **options), tolerance)
    symmetric, pairs = (
        mirror_ext.pr_mac(target.cuda(), None, reduction, symmetric=True),
        mirror_ext.pr_mac(target.cuda(), target.cuda(), reduction),
    )
    assert_close(pairs, symmetric, TOLERANCE[torch.float32] * shape[1])


@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
def test_pr_mac_float32_sums_as_the_cpu_does(reduction):
    """The same chain of multiplications and additions: the bits of AVX2 and AVX-512, for products and sums."""
    if mirror_ext.build_info()["isa"] == "portable":
        pytest.skip("the portable CPU path rounds after every multiplication")
    query, target = images(40, 9, 256, 17), images(50, 7, 256, 18)
    assert_bits(*both(mirror_ext.pr_mac, query, target, reduction))


@pytest.mark.parametrize("kind", ("few", "zeros"))
@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
def test_pr_mac_argmax_takes_the_lowest_index(kind, reduction):
    query, target = images(6, 12, 64, 19, kind=kind), images(7, 13, 64, 20, kind=kind)
    options = {"query_sizes": sizes_for(query, 21), "target_sizes": sizes_for(target, 22)}
    expected, found = both(mirror_ext.pr_mac, query, target, reduction, return_argmax=True, **options)
    assert_close(expected[0], found[0], 1e-5 * 12)
    if kind == "zeros" or reduction in ("cosine", "best"):
        assert_bits(expected[1], found[1])


@pytest.mark.parametrize("symmetric", (False, True))
@pytest.mark.parametrize("k", (1, 10, 100, 3000))
@pytest.mark.parametrize("precision", ("exact", "bf16"))
def test_pr_mac_topk(symmetric, k, precision):
    query = images(2500, 3, 32, 23)
    target = None if symmetric else images(2200, 3, 32, 24)
    options = {"symmetric": symmetric, "precision": precision}
    scores = mirror_ext.pr_mac(query.cuda(), None if symmetric else target.cuda(), symmetric=symmetric)
    found = mirror_ext.pr_mac_topk(query.cuda(), None if symmetric else target.cuda(), k, **options)
    expected = torch.sort(scores, dim=1, descending=True, stable=True)
    filled = min(k, scores.shape[1])
    assert_close(expected.values[:, :filled], found.values[:, :filled], 1e-6)
    assert (found.indices[:, filled:] == -1).all() and torch.isneginf(found.values[:, filled:]).all()
    if precision == "exact":
        assert_bits(expected.indices[:, :filled].cpu(), found.indices[:, :filled].cpu())
    else:
        assert (found.indices[:, :filled] == expected.indices[:, :filled]).float().mean() > 0.999


@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
def test_pr_mac_topk_ties_go_to_the_lowest_index(reduction):
    query, target = images(9, 4, 32, 25, kind="few"), images(300, 1, 32, 26, kind="few").repeat(1, 4, 1)
    scores = mirror_ext.pr_mac(query.cuda(), target.cuda(), reduction)
    found = mirror_ext.pr_mac_topk(query.cuda(), target.cuda(), 40, reduction)
    expected = torch.sort(scores, dim=1, descending=reduction in ("cosine", "best"), stable=True)
    assert_bits(expected.indices[:, :40].cpu(), found.indices.cpu())


@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
@pytest.mark.parametrize("regions", (4, 35, 50))
def test_pr_mac_rerank_has_the_bits_of_all_pairs(reduction, regions):
    query, target = images(6, regions, 256, 27), images(30, regions, 256, 28)
    candidates = torch.randint(-1, 30, (6, 19), generator=torch.Generator().manual_seed(1))
    scores = mirror_ext.pr_mac(query.cuda(), target.cuda(), reduction)
    worst = float("-inf") if reduction in ("cosine", "best") else float("inf")
    expected = torch.where(
        candidates.cuda() < 0, torch.tensor(worst, device="cuda"), scores.gather(1, candidates.cuda().clamp(min=0))
    )
    found = mirror_ext.pr_mac_rerank(query.cuda(), target.cuda(), candidates.cuda(), reduction)
    assert_bits(expected.cpu(), found.cpu())


@pytest.mark.parametrize("reduction", inputs.REDUCTIONS)
@pytest.mark.parametrize("symmetric", (False, True))
def test_pr_mac_gradient(reduction, symmetric):
    query, target = images(5, 6, 70, 29, kind="free"), images(7, 5, 70, 30, kind="free")
    gradients = []
    for move in (cpu, cuda):
        q, t = move(query).clone().requires_grad_(), move(target).clone().requires_grad_()
        scores = mirror_ext.pr_mac(q, None if symmetric else t, reduction, symmetric=symmetric)
        (scores * torch.arange(scores.numel(), device=scores.device).view_as(scores).cos()).sum().backward()
        gradients.append([x.grad.cpu() for x in ([q] if symmetric else [q, t])])
    for expected, found in zip(*gradients, strict=True):
        assert_close(expected, found, 1e-5 * float(expected.abs().max().clamp(min=1)))


# ---- pooling ---------------------------------------------------------------------------------------------------------


def feature_maps(dtype, channels_last, seed=40):
    """Ties, and here and there a NaN; 28 x 28 cells, 70 channels."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(-9, 10, (3, 70, 28, 28), generator=generator).to(dtype) / 8
    maps[torch.rand(maps.shape, generator=generator) < 1e-3] = torch.nan
    return maps.contiguous(memory_format=torch.channels_last) if channels_last else maps


def boxes_and_mask():
    generator = torch.Generator().manual_seed(41)
    sizes = torch.randint(1, 29, (35, 2), generator=generator)
    starts = (torch.rand(35, 2, generator=generator) * (29 - sizes)).long()
    mask = torch.rand(3, 28, 28, generator=generator) < 0.4
    mask[1] = False
    return torch.cat([starts, sizes], 1), mask


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16, torch.float16))
@pytest.mark.parametrize("channels_last", (False, True))
def test_max_pooling_has_the_same_bits(dtype, channels_last):
    maps, (boxes, mask) = feature_maps(dtype, channels_last), boxes_and_mask()
    for op, second in (
        (mirror_ext.region_max_pool, boxes),
        (mirror_ext.region_max_pool, boxes.int()),
        (mirror_ext.masked_max_pool, mask),
        (mirror_ext.masked_max_pool, mask.byte()),
    ):
        expected, found = both(op, maps, second, return_argmax=True)
        bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
        assert torch.equal(expected[0].view(bits), found[0].view(bits)) and torch.equal(expected[1], found[1])
        assert torch.equal(op(maps.cuda(), second.cuda()).view(bits).cpu(), found[0].view(bits))


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16, torch.float16))
@pytest.mark.parametrize("channels_last", (False, True))
def test_max_pooling_gradient_has_the_same_bits(dtype, channels_last):
    maps, (boxes, mask) = feature_maps(dtype, channels_last).nan_to_num(), boxes_and_mask()
    for op, second in ((mirror_ext.region_max_pool, boxes), (mirror_ext.masked_max_pool, mask)):
        gradients = []
        for move in (cpu, cuda):
            leaf = move(maps).detach().requires_grad_()
            pooled = op(leaf, move(second))
            weight = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(42)).to(dtype)
            pooled.backward(move(weight))
            gradients.append(leaf.grad)
        assert gradients[0].stride() == gradients[1].stride()
        assert torch.equal(gradients[0], gradients[1].cpu())


# ---- rasterize, overlap ----------------------------------------------------------------------------------------------


def soup(faces, scale, dtype, seed=50):
    """Faces of every size, some twice, some across the near planes, some without area or not finite; 5 cameras."""
    generator = torch.Generator().manual_seed(seed)
    middle = torch.randn(faces, 1, 3, generator=generator, dtype=torch.float64) * 4 + torch.tensor([0.0, 0.0, 6.0])
    reach = scale * torch.exp2(torch.randint(-9, 3, (faces, 1, 1), generator=generator))
    vertices = (middle + reach * torch.randn(faces, 3, 3, generator=generator, dtype=torch.float64)).reshape(-1, 3)
    vertices[::97] = torch.nan
    triples = torch.arange(3 * faces, dtype=torch.int32).view(-1, 3)
    triples = torch.cat([triples, triples[::3].flip(1), triples[::5, [0, 0, 1]], triples[1:] - 2])
    turn = torch.linspace(-0.4, 0.5, 5, dtype=torch.float64)
    zero, one = torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    rows = [turn.cos(), zero, turn.sin(), turn, zero, one, zero, zero, -turn.sin(), zero, turn.cos(), one]
    lenses = torch.tensor([[300.0, 280.0, 160.5, 99.0]]).repeat(5, 1)
    return vertices.to(dtype), triples, torch.stack(rows, -1).view(5, 3, 4), lenses


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
@pytest.mark.parametrize(("faces", "scale"), ((20_000, 1), (300, 20), (1, 1)))
@pytest.mark.parametrize("cull", (False, True))
def test_rasterize_has_the_same_bits(dtype, faces, scale, cull):
    scene = soup(faces, scale, dtype)
    near = torch.tensor([1e-3, 0.5, 1e-3, 4.0, 1e-20], dtype=torch.float64)
    expected, found = both(mirror_ext.rasterize, *scene, 200, 321, near=near, cull=cull, barycentrics=True)
    assert_bits(expected, found)
    assert faces == 1 or (expected.triangle_ids >= 0).float().mean() > 0.2
    for min_pixels in (1, 4):
        assert_bits(*both(mirror_ext.rasterize_visible, *scene, 200, 321, near=near, cull=cull, min_pixels=min_pixels))


def test_rasterize_a_large_picture_and_none():
    scene = soup(500, 8, torch.float32)
    assert_bits(*both(mirror_ext.rasterize, *scene, 2000, 3000, barycentrics=True))
    assert_bits(*both(mirror_ext.rasterize, *scene, 0, 5, barycentrics=True))
    assert_bits(*both(mirror_ext.rasterize_visible, scene[0], scene[1][:0], *scene[2:], 4, 5))


@pytest.mark.parametrize("views", (1, 16, 129, 300))
@pytest.mark.parametrize("faces", (1, 700, 100_001))
def test_overlap_has_the_same_bits(views, faces):
    generator = torch.Generator().manual_seed(views)
    ids = torch.randint(-faces // 3, faces, (views, 45, 61), generator=generator, dtype=torch.int32).clamp(min=-1)
    ids[:, 10:30] = ids[:, 10:11]
    pairs = torch.randint(views, (40, 2), generator=generator)
    for min_pixels in (1, 2):
        sets, found = both(mirror_ext.visible_triangles, ids, faces, min_pixels)
        assert_bits(sets, found)
        assert_bits(*both(mirror_ext.shared_triangles, sets.bitsets))
        for dtype in (torch.float32, torch.float64):
            weights = torch.randn(faces, generator=generator, dtype=dtype)
            assert_bits(*both(mirror_ext.shared_triangles, sets.bitsets, weights))
        for size in (1, 7, 56, (5, 90)):
            assert_bits(*both(mirror_ext.overlap_masks, ids, sets.bitsets, pairs, size))
            assert_bits(*both(mirror_ext.overlap_masks, ids[:1], sets.bitsets, pairs * 0, size, directed=True))


# ---- streams, shapes, errors -----------------------------------------------------------------------------------------


def test_work_goes_to_the_current_stream():
    photos = torch.from_numpy(inputs.descriptors(40, 128, 31))
    query = images(200, 9, 64, 32)
    expected = mirror_ext.match_kernel(photos), mirror_ext.pr_mac(query)
    streams = [torch.cuda.Stream() for _ in range(4)]
    results = []
    for stream in streams:
        with torch.cuda.stream(stream):
            torch.cuda._sleep(20_000_000)  # the input arrives late: work on another stream would overtake it
            moved = photos.cuda(non_blocking=True), query.cuda(non_blocking=True)
            results.append((mirror_ext.match_kernel(moved[0]), mirror_ext.pr_mac(moved[1])))
    torch.cuda.synchronize()
    for scores, similarities in results:
        assert_bits(expected[0], scores.cpu())
        assert_close(expected[1], similarities.cpu(), 1e-5)


def test_results_are_the_same_every_time():
    query = images(300, 35, 128, 33, torch.bfloat16).cuda()
    first = mirror_ext.pr_mac_topk(query, k=50, symmetric=True)
    for _ in range(3):
        again = mirror_ext.pr_mac_topk(query, k=50, symmetric=True)
        assert torch.equal(first.values, again.values) and torch.equal(first.indices, again.indices)


@pytest.mark.parametrize("shape", ((0, 3, 8), (2, 0, 8), (2, 3, 0)))
def test_empty_inputs(shape):
    query, target = torch.zeros(shape), torch.zeros(2, 3, shape[2])
    assert_close(*both(mirror_ext.pr_mac, query, target), 0)
    assert_bits(*both(mirror_ext.pr_mac_topk, query, target, 3))
    photos = np.zeros((shape[0], shape[1], 128), np.uint8)
    assert_bits(*both(mirror_ext.match_kernel, photos))
    maps = torch.zeros(*shape, 4)
    assert_bits(*both(mirror_ext.region_max_pool, maps, torch.zeros(0, 4, dtype=torch.int64)))


def test_errors_say_what_is_wrong():
    query = torch.zeros(2, 3, 32, device="cuda")
    with pytest.raises(Exception, match=r"pr_mac: target: expected a tensor on CUDA device 0, got one on the CPU"):
        mirror_ext.pr_mac(query, query.cpu())
    with pytest.raises(Exception, match=r"float64"):
        mirror_ext.pr_mac(query.double())
    vertices, faces, poses, lenses = soup(1, 1, torch.float32)
    with pytest.raises(Exception, match=r"rasterize: faces: expected a tensor on CUDA device 0, got one on the CPU"):
        mirror_ext.rasterize(vertices.cuda(), faces, poses.cuda(), lenses.cuda(), 4, 4)
    with pytest.raises(Exception, match=r"pr_mac_topk: k: expected at most 4096"):
        mirror_ext.pr_mac_topk(query, k=5000)
