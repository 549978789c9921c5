"""AML in its three senses, and several scales."""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mirror_sfm.descriptors.aggregation import mac, pr_mac_vectors  # noqa: E402
from mirror_sfm.descriptors.aml import Localisation, _SoftMaxima, aml, aml_hausdorff, aml_localise, aml_rerank  # noqa: E402
from mirror_sfm.descriptors.grids import region_grid  # noqa: E402
from mirror_sfm.descriptors.multi_scale import halvings, multi_scale_regions, multi_scale_vectors, pyramid  # noqa: E402
from mirror_sfm.descriptors.whitening import unit  # noqa: E402

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_golden(dtype: torch.dtype, atol: float) -> None:
    given, expected = GOLDEN["prmac_unit"]["inputs"], GOLDEN["prmac_unit"]["expected"]
    q, t = (torch.tensor([given[name]], dtype=dtype) for name in "QT")
    for a, b, side in ((q, t, "q_to_t"), (t, q, "t_to_q")):
        assert aml(a, b).item() == pytest.approx(expected[side]["aml_cosine"], abs=atol)
        assert aml_hausdorff(a, b).item() == pytest.approx(expected[side]["aml_hausdorff"], abs=atol)


def scene(seed: int = 0, height: int = 16, width: int = 20, box: tuple[int, int, int, int] = (4, 9, 6, 7)):
    """A query's map and a map that shows it inside `box` among other things."""
    rng = np.random.default_rng(seed)
    query, around = (torch.from_numpy(0.2 * rng.random((12, h, w))) for h, w in (box[2:], (height, width)))
    for channel, (row, column) in enumerate([(0, 0), (0, -1), (-1, 0), (-1, -1), (2, 0), (1, 1)]):
        query[channel, row % box[2], column % box[3]] = 1.0  # the corners tell where the box ends
    for channel in range(6, 12):
        around[channel, rng.integers(height), rng.integers(width)] = 1.0
    r, c, h, w = box
    around[:, r : r + h, c : c + w] = query
    return query, around


def test_soft_maxima_come_close_to_maxima() -> None:
    f = torch.from_numpy(np.random.default_rng(0).gamma(0.7, 3, (5, 9, 11)))
    soft = _SoftMaxima(f, 10.0)
    boxes = torch.tensor([[0, 0, 9, 11], [2, 3, 5, 7], [8, 10, 9, 11]])
    for (top, left, bottom, right), direction in zip(boxes.tolist(), torch.eye(5, dtype=torch.float64), strict=False):
        crop = f[:, top:bottom, left:right].flatten(1)
        p_norm = unit(crop.pow(10).sum(dim=1).pow(0.1))
        got = soft.similarity(torch.tensor([[top, left, bottom, right]]), direction)
        assert got.item() == pytest.approx((p_norm @ direction).item(), abs=1e-3)
        assert got.item() == pytest.approx((unit(crop.amax(dim=1)) @ direction).item(), abs=0.15)


@pytest.mark.parametrize("seed", range(4))
def test_localise_finds_the_box(seed: int) -> None:
    query, around = scene(seed)
    found = aml_localise(query.amax(dim=(1, 2)), around, aspect=7 / 6)
    r, c, h, w = found.box
    rows, columns = min(r + h, 10) - max(r, 4), min(c + w, 16) - max(c, 9)
    overlap = max(rows, 0) * max(columns, 0)
    assert overlap / (h * w + 42 - overlap) > 0.7
    whole = float(unit(query.amax(dim=(1, 2))) @ mac(around[None])[0])
    assert found.similarity > whole + 0.1
    exact = unit(around[:, r : r + h, c : c + w].amax(dim=(1, 2)))
    assert torch.allclose(found.vector, exact) and found.similarity == pytest.approx(
        float(unit(query.amax(dim=(1, 2))) @ exact)
    )


def test_localise_on_its_own_map() -> None:
    _, around = scene()
    found = aml_localise(around.amax(dim=(1, 2)), around, aspect=20 / 16)
    assert found.similarity == pytest.approx(1, abs=1e-3)
    assert aml_localise(torch.zeros(12), torch.zeros(12, 1, 1)).box == (0, 0, 1, 1)
    scaled = aml_localise(7e20 * around.amax(dim=(1, 2)).double(), 1e20 * around, aspect=20 / 16)
    assert scaled.box == found.box


def test_rerank_prefers_the_photo_that_shows_the_query() -> None:
    query, shows = scene(0)
    maps = torch.stack([scene(seed, box=(0, 0, 2, 2))[1] for seed in range(1, 5)] + [shows])
    order = np.array([[0, 1, 2, 4, 3]])
    vector = query.amax(dim=(1, 2))[None]
    got = aml_rerank(order, vector, maps, np.array([7 / 6]), shortlist=4, expansion=2)
    assert got[0, 0] == 4 and got[0, 4] == 3 and sorted(got[0]) == list(range(5))
    assert aml_rerank(order, vector, maps, np.array([7 / 6]), shortlist=0).tolist() == order.tolist()


def test_halvings() -> None:
    assert halvings(896, 896) == (1, 0.5, 0.25)
    assert halvings(1024, 700) == (1, 0.5, 0.25)
    assert halvings(448, 300) == (1, 0.5)
    assert halvings(100, 80) == (1,)


def test_pyramid() -> None:
    photos = torch.rand(2, 3, 24, 36)
    whole, half, tiny = pyramid(photos, (1, 0.5, 0.01))
    assert whole is photos and half.shape == (2, 3, 12, 18) and tiny.shape == (2, 3, 1, 1)
    flat = pyramid(torch.full((1, 3, 24, 36), 0.25), (0.4,))[0]
    assert torch.allclose(flat, torch.full_like(flat, 0.25))


def test_multi_scale() -> None:
    photos = torch.rand(2, 3, 24, 36, dtype=torch.float64)

    def extract(scaled: torch.Tensor) -> torch.Tensor:
        return pr_mac_vectors(scaled, region_grid(*scaled.shape[2:], (1, 2)))

    both = multi_scale_regions(photos, extract, (1, 0.5))
    assert both.shape == (2, 10, 3) and torch.equal(both[:, :5], extract(photos))
    half = pyramid(photos, (0.5,))[0]
    assert torch.equal(both[:, 5:], extract(half))
    mean = multi_scale_vectors(photos, mac, (1, 0.5))
    assert torch.allclose(mean, unit(mac(photos) + mac(half)))
    assert torch.allclose(multi_scale_vectors(photos, lambda x: 9 * mac(x), (1, 0.5)), mean)


MAP = torch.ones(4, 3, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aml_localise(torch.ones(3), MAP), r"aml_localise: query: expected \[4\], got \[3\]"),
        (lambda: aml_localise(torch.ones(4), -MAP), "aml_localise: features: expected values >= 0"),
        (lambda: aml_localise(torch.ones(4), MAP, 0.0), "aml_localise: aspect: expected a number > 0"),
        (lambda: aml_localise(torch.ones(4), MAP[0]), r"aml_localise: features: expected \[B, C, H, W\]"),
        (lambda: Localisation(step=0), "Localisation: step: expected an integer >= 1"),
        (lambda: Localisation(aspect=0.5), "Localisation: aspect and exponent: expected numbers >= 1"),
        (lambda: pyramid(torch.ones(1, 3, 4, 4), ()), "pyramid: scales: expected positive numbers"),
        (
            lambda: aml_rerank(np.zeros((2, 3)), torch.ones(1, 4), MAP[None], np.ones(1)),
            r"aml_rerank: order: expected \[1",
        ),
    ],
)
def test_wrong_arguments(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call()  # type: ignore[operator]
