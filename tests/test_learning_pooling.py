"""Pooled and masked vectors: by hand, by the golden numbers, and with gradients."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from mirror_sfm.dataset.triplets import MASKS  # noqa: E402
from mirror_sfm.descriptors.aggregation import gem, mac, spoc  # noqa: E402
from mirror_sfm.errors import UsageError  # noqa: E402
from mirror_sfm.learning import pooling  # noqa: E402
from mirror_sfm.learning.losses import TERMS, LossOptions, batch_loss  # noqa: E402
from mirror_sfm.learning.pooling import KINDS, PoolingOptions, batch_vectors, binarised, loss_of, pooled  # noqa: E402

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_cells_half_covered_count_else_the_most_covered() -> None:
    coverage = torch.tensor([[[0.5, 0.49], [1.0, 0.0]], [[0.3, 0.1], [0.3, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    expected = torch.tensor([[[1, 0], [1, 0]], [[1, 0], [1, 0]], [[0, 0], [0, 0]]]).bool()
    assert torch.equal(binarised(coverage), expected)
    assert torch.equal(binarised(coverage[None].repeat(4, 1, 1, 1))[2], expected)


def test_masked_maximum_is_that_of_the_method() -> None:
    """max_p (F - min F) m + min F, also for maps with negative values."""
    maps, mask = drawn(0, 5, 6, 7, 7) - 0.5, drawn(1, 5, 7, 7) < 0.3
    least = maps.amin(dim=(2, 3), keepdim=True)
    expected = ((maps - least) * mask[:, None] + least).amax(dim=(2, 3))
    torch.testing.assert_close(pooled(maps, mask), expected)


def test_whole_vectors_are_those_of_the_descriptors() -> None:
    maps = drawn(0, 4, 6, 7, 7)
    for kind, whole in (("max", mac), ("avg", spoc), ("gem", gem)):
        vectors = torch.nn.functional.normalize(pooled(maps, None, PoolingOptions(kind)), dim=1)
        torch.testing.assert_close(vectors, whole(maps))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_is_a_crop(kind: str) -> None:
    maps, mask = drawn(0, 2, 3, 7, 7) - 0.2, torch.zeros(2, 7, 7, dtype=torch.bool)
    mask[:, 2:5, 1:7] = True
    options = PoolingOptions(kind, p=2.5)
    torch.testing.assert_close(pooled(maps, mask, options), pooled(maps[:, :, 2:5, 1:7], None, options))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_batch_and_their_gradient(kind: str) -> None:
    maps, coverage = drawn(0, 3, 2, 4, 3, 3).requires_grad_(), drawn(1, 4, 2, 3, 3)
    options = PoolingOptions(kind)
    vectors = batch_vectors(maps, coverage, options)
    assert vectors.shape == (7, 2, 4) and vectors.dtype == torch.float64
    for row, (of, _) in enumerate(MASKS):
        torch.testing.assert_close(vectors[3 + row], pooled(maps[of], coverage[row] >= 0.5, options))
    assert torch.autograd.gradcheck(lambda x: batch_vectors(x, coverage, options), maps)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_mask_gives_finite_vectors_and_gradients(kind: str) -> None:
    maps = torch.zeros(3, 2, 4, 3, 3, requires_grad=True)
    vectors = batch_vectors(maps, torch.zeros(4, 2, 3, 3), PoolingOptions(kind))
    negatives = torch.tensor([[False, True], [True, False]]).repeat(1, 3)
    loss = loss_of(vectors, torch.zeros(2, 2, dtype=torch.bool), negatives, LossOptions()).total
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(vectors).all() and torch.isfinite(maps.grad).all()


def test_half_precision_maps_become_float32() -> None:
    maps, coverage = drawn(0, 3, 2, 4, 3, 3), drawn(1, 4, 2, 3, 3)
    vectors = batch_vectors(maps.bfloat16(), coverage)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors, batch_vectors(maps.bfloat16().float(), coverage))


def test_maps_and_masks_must_be_of_one_grid() -> None:
    with pytest.raises(ValueError, match="one grid"):
        batch_vectors(drawn(0, 3, 2, 4, 3, 3), drawn(1, 4, 2, 7, 7))


def test_golden_loss_from_rows() -> None:
    case = GOLDEN["batched_loss_nb3"]["expected"]
    names = ("masked_anchor_for_strong", "masked_strong", "masked_anchor_for_weak", "masked_weak")
    whole, masked = (
        torch.tensor(case["T"], dtype=torch.float64),
        [torch.tensor(case[name], dtype=torch.float64) for name in names],
    )
    vectors = torch.cat([whole, torch.stack(masked)])
    present = torch.ones(2, 3, dtype=torch.bool)
    negatives = (~torch.eye(3, dtype=torch.bool)).repeat(1, 3)
    total = loss_of(vectors, present, negatives, LossOptions()).total
    assert total.item() == pytest.approx(sum(case["mtl_euclidean"][term] for term in TERMS), abs=1e-9)
    without = loss_of(vectors, ~present, negatives, LossOptions()).total
    triplets = batch_loss(whole, options=LossOptions(kind="tl")).total
    assert without.item() == pytest.approx(0.5 * triplets.item(), abs=1e-9)


@pytest.mark.parametrize("options", [LossOptions(), LossOptions("tl", squared=True)])
def test_one_region_is_the_pooled_loss(options: LossOptions) -> None:
    maps, coverage = drawn(0, 3, 4, 6, 5, 5).requires_grad_(), drawn(1, 4, 4, 5, 5)
    present, negatives = torch.ones(2, 4, dtype=torch.bool), (~torch.eye(4, dtype=torch.bool)).repeat(1, 3)
    found = []
    for regions in ((), (1,)):
        vectors = batch_vectors(maps, coverage, PoolingOptions(regions=regions))
        total = loss_of(vectors, present, negatives, options).total
        found.append((total, *torch.autograd.grad(total, maps)))
    torch.testing.assert_close(found[1], found[0])


def test_regional_distances_are_those_of_the_definition() -> None:
    regions = drawn(0, 5, 4, 6).requires_grad_()
    rows = torch.nn.functional.normalize(regions, dim=2)
    best = torch.einsum("arc,bsc->abrs", rows, rows).amax(dim=3).mean(dim=2)
    torch.testing.assert_close(pooling.regional_distances(regions, squared=True), (2 - best - best.T).clamp_min(0))
    weight = drawn(1, 5, 5).fill_diagonal_(0)
    gradients = [
        torch.autograd.grad((weight * matrix).sum(), regions, retain_graph=True)[0]
        for matrix in (pooling.regional_distances(regions, squared=True), 2 - best - best.T)
    ]
    torch.testing.assert_close(*gradients)


def test_regions_of_a_batch() -> None:
    maps, coverage = drawn(0, 3, 2, 4, 7, 7), drawn(1, 4, 2, 7, 7)
    vectors = batch_vectors(maps, coverage, PoolingOptions(regions=(1, 2)))
    assert vectors.shape == (7 + 3 * 5, 2, 4)
    torch.testing.assert_close(vectors[7::5], vectors[:3])  # the region that is the whole map
    torch.testing.assert_close(vectors[7 + 5 + 1, 1], maps[1, 1, :, :4, :4].amax(dim=(1, 2)))


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="pooling: kind: expected one of max, avg, gem, got 'crow'"):
        PoolingOptions("crow")
    with pytest.raises(UsageError, match="pooling: regions need kind: max, got 'avg'"):
        PoolingOptions("avg", regions=(1, 3))
    with pytest.raises(UsageError, match="pooling: regions must be numbers from 1 on"):
        PoolingOptions(regions=(0,))
    with pytest.raises(UsageError, match="pooling: p must be"):
        PoolingOptions("gem", p=float("nan"))
