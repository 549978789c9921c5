"""Pooling of feature maps, NetVLAD and the orders of R-MAC: golden numbers, gradients, what must not matter."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from mirror_sfm.descriptors import aggregation as agg  # noqa: E402
from mirror_sfm.descriptors.grids import region_grid  # noqa: E402
from mirror_sfm.descriptors.netvlad import NetVlad  # noqa: E402
from mirror_sfm.descriptors.whitening import PcaWhitening, unit  # noqa: E402

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())
EXPECTED = GOLDEN["aggregation"]["expected"]
PRECISIONS = pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])


def toy_map(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(GOLDEN["aggregation"]["inputs"]["feature_map"], dtype=dtype)[None]


def random_maps(batch: int = 2, channels: int = 3, height: int = 5, width: int = 6, seed: int = 0) -> torch.Tensor:
    """Distinct positive values and some zeros, as after ReLU."""
    rng = np.random.default_rng(seed)
    values = rng.permutation(batch * channels * height * width).reshape(batch, channels, height, width) / 7.0
    return torch.from_numpy(np.maximum(values - values.max() / 4, 0))


def small_maps() -> torch.Tensor:
    """For finite differences: every value positive, no two alike."""
    return (random_maps(1, 2, 3, 4) + torch.arange(24).reshape(1, 2, 3, 4) / 50 + 0.05).requires_grad_()


def close(got: torch.Tensor, expected: object, atol: float) -> None:
    expected = expected.detach() if isinstance(expected, torch.Tensor) else expected
    np.testing.assert_allclose(got.detach().numpy(), np.asarray(expected), rtol=0, atol=atol)


@PRECISIONS
def test_golden_vectors(dtype: torch.dtype, atol: float) -> None:
    f = toy_map(dtype)
    close(agg.mac(f)[0], EXPECTED["mac"]["unit"], atol)
    close(agg.spoc(f)[0], EXPECTED["spoc"]["unit"], atol)
    close(agg.spoc(f, centre_prior=True)[0], EXPECTED["spoc_centre_prior"]["unit"], atol)
    close(agg.crow(f)[0], EXPECTED["crow"]["unit"], atol)
    close(agg.gem(f)[0], EXPECTED["gem_p3"]["unit"], atol)
    assert agg.mac(f).dtype == dtype


@PRECISIONS
def test_golden_regions(dtype: torch.dtype, atol: float) -> None:
    f, even, tolias = toy_map(dtype), EXPECTED["mirror_1_2"], EXPECTED["tolias_L2"]
    assert region_grid(6, 9, (1, 2)).tolist() == even["boxes"]
    assert region_grid(6, 9, (1, 2), "tolias").tolist() == tolias["boxes"]
    close(agg.region_vectors(f, even["boxes"])[0], even["region_max"], atol)
    close(agg.region_vectors(f, tolias["boxes"])[0], tolias["region_max"], atol)
    close(agg.rmac(f, even["boxes"], order="rmac_sum")[0], even["rmac_sum_then_unit"], atol)
    close(agg.rmac(f, even["boxes"])[0], even["rmac_unit_sum_unit"], atol)
    close(agg.rmac(f, tolias["boxes"])[0], tolias["rmac_unit_sum_unit"], atol)
    close(
        agg.rmac(f, tolias["boxes"], None, "rmac_cirtorch", add_global=True)[0], tolias["with_extra_global_mac"], atol
    )
    close(agg.pr_mac_vectors(f, even["boxes"])[0], unit(np.array(even["region_max"])), atol)


@PRECISIONS
def test_golden_orders_of_whitening(dtype: torch.dtype, atol: float) -> None:
    """The golden case whitens regions, whatever the order, with what was fitted on them."""
    x = np.array(GOLDEN["pca_whitening"]["inputs"]["X"])
    pca = PcaWhitening.fit(x, dim=2, shrinkage=0)
    expected = GOLDEN["rmac_whitening_orders"]["expected"]
    raw = torch.tensor(x.reshape(2, 3, 3), dtype=dtype)
    for order, name in {
        "rmac_tolias": "region_first",
        "rmac_sum": "image_last",
        "rmac_cirtorch": "unit_sum_then_whiten",
    }.items():
        got = agg.rmac_from_regions(raw, pca, order)
        close(got, [expected[name]["A"], expected[name]["B"]], atol)


@PRECISIONS
def test_golden_netvlad(dtype: torch.dtype, atol: float) -> None:
    given_, expected = GOLDEN["netvlad"]["inputs"], GOLDEN["netvlad"]["expected"]
    parts = (torch.tensor(given_[n], dtype=dtype) for n in ("centres", "assign_weight", "assign_bias"))
    cells = torch.tensor(given_["descriptors_unit"], dtype=dtype)
    features = 3 * cells.T[None, :, None, :]  # cells are normalised: their length does not matter
    close(NetVlad(*parts)(features)[0], expected["output_k_major"], atol)


def test_netvlad_by_distance() -> None:
    """alpha -> infinity is VLAD: each cell belongs to its nearest centre."""
    rng = np.random.default_rng(2)
    centres = torch.from_numpy(unit(rng.normal(size=(4, 8))))
    features = torch.from_numpy(rng.normal(size=(2, 8, 3, 5)))
    cells = unit(features.flatten(2).transpose(1, 2))
    nearest = torch.cdist(cells, centres).argmin(dim=2)
    vlad = torch.stack([((cells - centres[k]) * (nearest == k)[..., None]).sum(dim=1) for k in range(4)], dim=1)
    close(NetVlad.from_centres(centres, 1e4)(features), unit(unit(vlad).flatten(1)), 1e-6)


def test_gem_lies_between_mean_and_maximum() -> None:
    f = random_maps() + 0.1
    close(agg.gem(f, 1.0), unit(f.mean(dim=(2, 3))), 1e-12)
    close(agg.gem(f, 400.0), agg.mac(f), 2e-2)
    single = (1e15 * f).float()  # cubes would not fit float32
    close(agg.gem(single), agg.gem(single.double()), 1e-6)


def test_pools_of_regions() -> None:
    f, boxes = random_maps(), region_grid(5, 6, (1, 2))
    for b, (r, c, h, w) in enumerate(boxes):
        crop = f[:, :, r : r + h, c : c + w]
        close(agg.region_vectors(f, boxes)[:, b], crop.amax(dim=(2, 3)), 0)
        close(agg.region_vectors(f, boxes, "avg")[:, b], crop.mean(dim=(2, 3)), 1e-12)
        close(agg.region_vectors(f, boxes, "l2")[:, b], crop.square().mean(dim=(2, 3)).sqrt(), 1e-12)


ALL = {
    "mac": agg.mac,
    "spoc": agg.spoc,
    "spoc_prior": lambda f: agg.spoc(f, centre_prior=True),
    "crow": agg.crow,
    "gem": agg.gem,
    "rmac": lambda f: agg.rmac(f, region_grid(*f.shape[2:], (1, 2))),
    "rmac_sum": lambda f: agg.rmac(f, region_grid(*f.shape[2:], (1, 2)), order="rmac_sum"),
    "pr_mac": lambda f: agg.pr_mac_vectors(f, region_grid(*f.shape[2:], (1, 2))),
    "pr_mac_l2": lambda f: agg.pr_mac_vectors(f, region_grid(*f.shape[2:], (1, 2)), pool="l2"),
    "pr_mac_avg": lambda f: agg.pr_mac_vectors(f, region_grid(*f.shape[2:], (1, 2)), pool="avg"),
}


@pytest.mark.parametrize("name", ALL)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(2, 7), st.integers(2, 7), st.integers(0, 99))
@settings(max_examples=5, deadline=None)
def test_every_vector(name: str, batch: int, channels: int, height: int, width: int, seed: int) -> None:
    f = random_maps(batch, channels, height, width, seed)
    got = ALL[name](f)
    norms = got.norm(dim=-1)
    assert ((norms - 1).abs() < 1e-9).logical_or(norms == 0).all()
    close(ALL[name](2.5 * f), got, 1e-4)  # brightness does not matter (GeM: but for its floor)
    close(torch.cat([ALL[name](f[b : b + 1]) for b in range(batch)]), got, 1e-12)  # nor what else is in the batch
    close(ALL[name](f.contiguous(memory_format=torch.channels_last)), got, 1e-12)


@pytest.mark.parametrize("name", ALL)
def test_a_map_of_zeros(name: str) -> None:
    f = torch.zeros(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    got = ALL[name](f)
    got.sum().backward()
    assert torch.isfinite(f.grad).all()
    assert name == "gem" or not got.any()


@pytest.mark.parametrize("name", [n for n in ALL if n != "crow"])
def test_gradients(name: str) -> None:
    assert torch.autograd.gradcheck(ALL[name], (small_maps(),))


def test_gradients_with_parameters() -> None:
    f = small_maps()
    p = torch.tensor([2.0, 4.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(agg.gem, (f, p))
    net = NetVlad.from_centres(torch.from_numpy(unit(np.random.default_rng(0).normal(size=(2, 2)))), 3.0)
    assert torch.autograd.gradcheck(lambda x, *_: net(x), (f, *net.parameters()))
    pca = PcaWhitening.fit(np.random.default_rng(1).random((50, 2)))
    boxes = region_grid(3, 4, (1, 2))
    for order in agg.RMAC_ORDERS:
        assert torch.autograd.gradcheck(lambda x, order=order: agg.rmac(x, boxes, pca, order), (f,))
    assert torch.autograd.gradcheck(lambda x: agg.pr_mac_vectors(x, boxes, pca), (f,))


def test_gradient_of_crow_takes_weights_as_constants() -> None:
    f = random_maps().requires_grad_()
    agg.crow(f).sum().backward()
    assert torch.isfinite(f.grad).all() and f.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: agg.mac(np.zeros((1, 1, 2, 2))), "mac: features: expected a tensor of floating point"),
        (lambda: agg.gem(torch.zeros(3, 2, 2)), r"gem: features: expected \[B, C, H, W\]"),
        (lambda: agg.spoc(torch.zeros(1, 3, 0, 2)), r"spoc: features: expected \[B, C, H, W\]"),
        (lambda: agg.gem(torch.zeros(1, 3, 2, 2), 0.0), "gem: p: expected positive"),
        (lambda: agg.rmac(toy_map(), [[0, 0, 7, 9]]), "region_vectors: boxes: expected at least one box"),
        (lambda: agg.rmac(toy_map(), [[0, -1, 2, 2]]), "region_vectors: boxes: expected at least one box"),
        (lambda: agg.rmac(toy_map(), [[0.0, 0, 2, 2]]), "region_vectors: boxes: expected integers"),
        (lambda: agg.rmac(toy_map(), [[0, 0, 2]]), r"region_vectors: boxes: expected \[R, 4\]"),
        (lambda: agg.rmac(toy_map(), [[0, 0, 2, 2]], order="sum"), "rmac: order: expected one of rmac_tolias"),
        (lambda: agg.region_vectors(toy_map(), [[0, 0, 2, 2]], "median"), "region_vectors: pool: expected one of max"),
        (lambda: NetVlad(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2)), r"NetVlad: weight: expected \[2, 3\]"),
        (lambda: NetVlad.from_centres(torch.eye(3), 0), "NetVlad: alpha: expected a number > 0"),
        (lambda: NetVlad.from_centres(torch.eye(3), 1)(torch.zeros(1, 2, 4, 4)), r"NetVlad: features: expected \[B, 3"),
    ],
)
def test_wrong_arguments(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call()  # type: ignore[operator]
