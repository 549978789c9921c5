"""PCA-whitening: golden numbers, an independent implementation, what must not change it, and shrinkage."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_sfm.descriptors.covariance import Moments
from mirror_sfm.descriptors.whitening import PcaWhitening, Whitening, unit
from mirror_sfm.errors import MirrorError
from mirror_sfm.evaluation import mean_average_precision

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())


def golden(case: str) -> tuple[dict, dict]:
    return GOLDEN[case]["inputs"], {k: np.array(v) for k, v in GOLDEN[case]["expected"].items() if k != "gram"}


def vectors(count: int, channels: int, seed: int = 0, decay: float = 0.7) -> np.ndarray:
    """Non-negative, a few directions stronger than the others, as pooled activations are."""
    rng = np.random.default_rng(seed)
    return np.abs(rng.normal(size=(count, channels)) * decay ** np.arange(channels) + 0.3)


def test_golden() -> None:
    given_, expected = golden("pca_whitening")
    x = np.array(given_["X"])
    pca = PcaWhitening.fit(x, dim=given_["dim"], shrinkage=0)
    whitened = pca.apply(x)
    for got, name in (
        (pca.mean, "mean"),
        (pca.components, "components_as_rows"),
        (whitened, "whitened_unit"),
        (whitened @ whitened.T, "gram_sign_free"),
        ((unit(x) - pca.mean) @ pca.projection.T, "whitened"),
    ):
        np.testing.assert_allclose(got, expected[name], rtol=0, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(pca.eigenvalues, expected["eigenvalues"][:2], rtol=0, atol=1e-9)
    np.testing.assert_allclose(pca.apply(x.astype(np.float32)), expected["whitened_unit"], rtol=0, atol=1e-5)


def test_torch_gives_the_same_and_a_gradient() -> None:
    torch = pytest.importorskip("torch")
    given_, expected = golden("pca_whitening")
    x = torch.tensor(given_["X"], dtype=torch.float64, requires_grad=True)
    pca = PcaWhitening.fit(x.detach().numpy(), dim=2, shrinkage=0)
    np.testing.assert_allclose(pca.apply(x).detach(), expected["whitened_unit"], rtol=0, atol=1e-9)
    single = pca.apply(x.detach().float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, expected["whitened_unit"], rtol=0, atol=1e-5)
    assert pca.apply(x.detach().bfloat16()).dtype == torch.bfloat16
    assert torch.autograd.gradcheck(pca.apply, (x,))


def test_scikit_learn_gives_the_same() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = unit(vectors(200, 12))
    sklearn = decomposition.PCA(8, whiten=True, svd_solver="full").fit(x)
    ours = PcaWhitening.fit(x, dim=8, shrinkage=0)
    signs = np.sign((ours.components * sklearn.components_).sum(axis=1))
    np.testing.assert_allclose(ours.eigenvalues, sklearn.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(ours.components, sklearn.components_ * signs[:, None], atol=1e-9)
    np.testing.assert_allclose(ours.apply(x), unit(sklearn.transform(x)) * signs, atol=1e-9)


@given(st.integers(2, 60), st.integers(1, 9), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_covariance_is_exact(count: int, channels: int, seed: int) -> None:
    x = unit(np.random.default_rng(seed).normal(size=(count, channels)))
    moments = Moments(channels)
    moments.add(x)
    np.testing.assert_allclose(moments.covariance(), np.cov(x.T).reshape(channels, channels), atol=1e-11)
    np.testing.assert_allclose(moments.mean(), x.mean(axis=0), atol=1e-12)


def same_bits(a: Whitening, b: Whitening) -> bool:
    fields = zip(vars(a).values(), vars(b).values(), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in fields)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_order_and_chunks_change_no_bit(dtype: type) -> None:
    x = vectors(9000, 16).astype(dtype).reshape(1800, 5, 16)
    whole = PcaWhitening.fit(x, dim=8)
    order = np.random.default_rng(1).permutation(1800)
    assert same_bits(whole, PcaWhitening.fit(x[order], dim=8))
    assert same_bits(whole, PcaWhitening.fit([x[:7], x[7:5], x[7:1000], x[1000:]], dim=8))
    assert same_bits(whole, PcaWhitening.fit((photo[None] for photo in x), dim=8))
    assert same_bits(whole, PcaWhitening.fit(np.asfortranarray(x), dim=8))


def test_whitens() -> None:
    x = vectors(4000, 10)
    pca = PcaWhitening.fit(x, shrinkage=0)
    plain = (unit(x) - pca.mean) @ pca.projection.T
    np.testing.assert_allclose(np.cov(plain.T), np.eye(10), atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(pca.apply(x), axis=1), 1, atol=1e-12)
    assert np.array_equal(pca.apply(x * 7.5), pca.apply(x * 7.5))
    np.testing.assert_allclose(pca.apply(x * 7.5), pca.apply(x), atol=1e-12)  # the scale of a vector says nothing


def test_shrinkage_falls_with_the_number_of_photos() -> None:
    x = vectors(4000, 20)
    assert [PcaWhitening.fit(x[:n]).shrinkage for n in (2, 1000, 4000)] == [
        20_000 / (20_000 + n) for n in (2, 1000, 4000)
    ]
    photos = PcaWhitening.fit(x.reshape(-1, 10, 20))
    assert photos.photos == 400  # regions of one photo are no independent samples
    assert photos.shrinkage == 20_000 / 20_400


def test_full_shrinkage_changes_no_similarity() -> None:
    x = vectors(50, 6)
    got = PcaWhitening.fit(x, shrinkage=1).apply(x)
    np.testing.assert_allclose(got @ got.T, unit(x) @ unit(x).T, atol=1e-12)


@given(st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_shrinkage(rho: float, seed: int) -> None:
    """The formulas, with the matrix itself shrunk and inverted: eigenvectors play no part."""
    x = unit(vectors(40, 5, seed))
    mean, covariance = x.mean(axis=0), np.cov(x.T)
    level = rho * np.trace(covariance) / 5
    precision = np.linalg.inv((1 - rho) * covariance + level * np.eye(5))
    centred = x - (1 - np.sqrt(level / (level + (1 - rho) * mean @ mean))) * mean
    gram = centred @ precision @ centred.T
    scale = np.sqrt(np.diag(gram))
    got = PcaWhitening.fit(x, shrinkage=rho).apply(x)
    np.testing.assert_allclose(got @ got.T, gram / scale[:, None] / scale, atol=1e-7)


def test_fewer_samples_than_channels() -> None:
    x = vectors(6, 20)
    plain = PcaWhitening.fit(x, dim=10, shrinkage=0)
    assert plain.apply(x).shape == (6, 5)  # six points span five directions
    assert PcaWhitening.fit(x, dim=10).apply(x).shape == (6, 5)
    whole = PcaWhitening.fit(x)
    assert whole.apply(x).shape == (6, 20) and 0 < whole.shrinkage <= 1
    others = whole.apply(vectors(30, 20, seed=5))
    assert np.isfinite(others).all()
    assert np.abs(others @ others.T).max() <= 1 + 1e-9


def test_zero_vectors() -> None:
    x = vectors(30, 5)
    x[4] = 0
    pca = PcaWhitening.fit(x)
    assert same_bits(pca, PcaWhitening.fit(list(x[:, None]))) and not np.isnan(pca.apply(x)).any()


def test_file(tmp_path: Path) -> None:
    x = vectors(30, 5)
    pca = PcaWhitening.fit(x, dim=3)
    pca.save(tmp_path / "pca.npz")
    assert same_bits(pca, PcaWhitening.load(tmp_path / "pca.npz"))
    assert isinstance(PcaWhitening.load(tmp_path / "pca.npz").photos, int)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"x" * 1000])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(MirrorError, match=r"w\.npz: damaged, or no whitening: fit and save it again"):
        PcaWhitening.load(tmp_path / "w.npz")


@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=9), st.floats(0, 2)
)
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_changed_bytes(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], length: float
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "w.npz"
    PcaWhitening.fit(vectors(9, 3)).save(file)
    content = bytearray(file.read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    file.write_bytes(content[: int(length * len(content))])
    try:
        PcaWhitening.load(file).apply(np.ones((2, 3)))
    except (MirrorError, ValueError) as error:  # ValueError: vectors of another length
        assert len(str(error).splitlines()) == 1


def test_foreign_file(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match=r"none\.npz"):
        PcaWhitening.load(tmp_path / "none.npz")
    for name, parts in {
        "other": {"a": np.zeros(3)},
        "pickle": {"kind": np.array([object()])},
        "shape": vars(PcaWhitening.fit(vectors(9, 3))) | {"kind": "PcaWhitening", "mean": np.zeros(4)},
        "nan": vars(PcaWhitening.fit(vectors(9, 3))) | {"kind": "PcaWhitening", "mean": np.full(3, np.nan)},
    }.items():
        np.savez(tmp_path / f"{name}.npz", **parts)
        with pytest.raises(MirrorError, match=f"{name}.npz: "):
            PcaWhitening.load(tmp_path / f"{name}.npz")


@pytest.mark.parametrize(
    ("vectors", "options", "message"),
    [
        (np.zeros(3), {}, r"vectors: expected \[M, C\] or"),
        (np.ones((1, 3)), {}, "vectors: expected at least 2"),
        (np.ones((9, 3)), {}, "vectors: expected vectors that differ"),
        (np.zeros((9, 3)), {}, "vectors: expected at least 2 that are not zero, got 0"),
        (np.full((9, 3), np.nan), {}, "vectors: expected finite numbers"),
        ([np.ones((2, 3)), np.ones((2, 4))], {}, r"vectors: expected \[M, 3\], got \[2, 4\]"),
        ([], {}, "vectors: expected at least 2"),
        (np.eye(3), {"dim": 0}, "dim: expected an integer >= 1"),
        (np.eye(3), {"shrinkage": 1.5}, "shrinkage: expected"),
        (np.eye(3), {"shrinkage": "some"}, "shrinkage: expected"),
    ],
)
def test_wrong_arguments(vectors: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^PcaWhitening: {message}"):
        PcaWhitening.fit(vectors, **options)


def test_wrong_length() -> None:
    with pytest.raises(ValueError, match=r"^whitening: vectors: expected \[..., 3\], got \[2, 4\]"):
        PcaWhitening.fit(vectors(9, 3)).apply(np.ones((2, 4)))


def walk(photos: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Regions of photos taken along a street [photos, 8, 48], and which photos share half of their places or more."""
    rng = np.random.default_rng(seed)
    street = np.abs(3 + np.cumsum(rng.normal(size=(2 * photos + 8, 48)) / 2, axis=0))
    seen = street[2 * np.arange(photos)[:, None] + np.arange(8)]
    apart = np.abs(np.subtract.outer(np.arange(photos), np.arange(photos)))
    return np.maximum(seen + 0.8 * rng.normal(size=seen.shape), 0), (apart > 0) & (apart <= 2)


def precision(regions: np.ndarray, positive: np.ndarray) -> float:
    scores = np.array([[(a @ b.T).max(axis=1).mean() for b in regions] for a in regions])
    return mean_average_precision(scores + scores.T, positive)


@pytest.mark.parametrize("photos", [5, 8, 12, 30])
def test_fitting_on_a_small_collection_does_not_hurt(photos: int) -> None:
    plain, whitened, published = 0.0, 0.0, 0.0
    for seed in range(3):
        x, positive = walk(photos, seed)
        plain += precision(unit(x), positive) / 3
        whitened += precision(PcaWhitening.fit(x).apply(x), positive) / 3
        published += precision(PcaWhitening.fit(x, shrinkage=0).apply(x), positive) / 3
    assert whitened >= plain - 0.002
    assert published < plain - 0.01  # there was something to lose
