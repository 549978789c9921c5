"""Whitening learned from matching pairs."""

import json
from pathlib import Path

import numpy as np
import pytest

from mirror_sfm.descriptors.learned_whitening import LearnedWhitening
from mirror_sfm.descriptors.whitening import Whitening, unit
from mirror_sfm.errors import MirrorError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())["learned_whitening"]


def test_golden() -> None:
    x, pairs = np.array(GOLDEN["inputs"]["X"]), GOLDEN["inputs"]["pairs"]
    learned = LearnedWhitening.fit(x, pairs, dim=GOLDEN["inputs"]["dim"])
    np.testing.assert_allclose(learned.mean, GOLDEN["expected"]["mean"], rtol=0, atol=1e-9)
    for dtype, atol in ((np.float64, 1e-9), (np.float32, 1e-5)):
        y = learned.apply(x.astype(dtype))
        np.testing.assert_allclose(y @ y.T, GOLDEN["expected"]["gram_sign_free"], rtol=0, atol=atol)


def test_differences_of_pairs_become_white() -> None:
    rng = np.random.default_rng(0)
    x = unit(rng.normal(size=(400, 6)) + 2)
    pairs = rng.permutation(400).reshape(200, 2)
    learned = LearnedWhitening.fit(x, pairs)
    difference = (x[pairs[:, 0]] - x[pairs[:, 1]]) @ learned.projection.T
    np.testing.assert_allclose(difference.T @ difference / 200, np.eye(6), atol=1e-9)


def test_it_finds_what_matching_photos_share() -> None:
    """Nuisance of four channels, ten times the signal of the other four."""
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(300, 4))
    views = [np.hstack([signal + 0.1 * rng.normal(size=(300, 4)), 10 * rng.normal(size=(300, 4))]) for _ in range(2)]
    x = np.concatenate(views)
    learned = LearnedWhitening.fit(x[np.r_[:200, 300:500]], np.stack([np.arange(200), np.arange(200) + 200], 1), dim=4)

    def found(vectors: np.ndarray) -> float:
        return float(((vectors[200:300] @ vectors[500:].T).argmax(axis=1) == np.arange(100)).mean())

    assert found(learned.apply(x)) > found(unit(x)) + 0.3


def test_pairs_that_do_not_differ_everywhere() -> None:
    x = np.random.default_rng(0).normal(size=(12, 8))
    learned = LearnedWhitening.fit(x, [[0, 1], [2, 3]])  # two differences in eight channels
    assert np.isfinite(learned.apply(x)).all()


def test_file(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(12, 3))
    learned = LearnedWhitening.fit(x, [[0, 1], [2, 3], [4, 5]])
    learned.save(tmp_path / "w.npz")
    read = LearnedWhitening.load(tmp_path / "w.npz")
    assert isinstance(read, LearnedWhitening) and read.projection.tobytes() == learned.projection.tobytes()
    with pytest.raises(MirrorError, match=r"w\.npz: holds no Whitening"):
        Whitening.load(tmp_path / "w.npz")


@pytest.mark.parametrize(
    ("vectors", "pairs", "message"),
    [
        (np.zeros(3), [[0, 1]], r"vectors: expected \[N, C\]"),
        (np.eye(3), np.zeros((0, 2), int), "pairs: expected integers, at least one pair"),
        (np.eye(3), [[0, 3]], r"pairs: expected rows 0\.\.2, got 0\.\.3"),
        (np.eye(3), [[0.0, 1.0]], "pairs: expected integers"),
        (np.eye(3), [0, 1], r"pairs: expected \[P, 2\]"),
        (np.full((3, 3), np.inf), [[0, 1]], "vectors: expected finite"),
    ],
)
def test_wrong_arguments(vectors: np.ndarray, pairs: list, message: str) -> None:
    with pytest.raises(ValueError, match=f"^LearnedWhitening: {message}"):
        LearnedWhitening.fit(vectors, pairs)
