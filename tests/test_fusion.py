"""Witnesses: what they say counts as far as it explains what was found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_sfm.diffusion import isotonic, strengths
from mirror_sfm.evidence import Candidates, Evidence
from mirror_sfm.fusion import FLOOR, WEIGHT, witness_factor

PHOTOS = 40
A, B = (index.astype(np.int32) for index in np.triu_indices(PHOTOS, 1))


def found(seed: int = 0, photos: int = PHOTOS) -> tuple[Candidates, Evidence]:
    """Photos along a line: near ones match. Half of the pairs were verified, the near ones foremost."""
    rng = np.random.default_rng(seed)
    i, j = (index.astype(np.int32) for index in np.triu_indices(photos, 1))
    near = np.exp(-(j - i) / 4)
    coarse = (near + 0.1 * rng.random(len(i))).astype(np.float32)
    rows = np.sort(np.argsort(-coarse, kind="stable")[: len(i) // 2])
    weight = (80 * near[rows] * rng.uniform(0.5, 1.5, len(rows))).astype(np.float32)
    offsets = np.zeros(len(rows) + 1, np.int64)
    return Candidates(photos, i, j, coarse), Evidence(rows, weight, np.zeros((0, 2), np.int32), offsets)


def test_the_formula() -> None:
    candidates, evidence = found()
    values = -(B - A).astype(np.float32)
    strength = strengths(candidates, evidence)
    q = isotonic(values, strength, values)
    n, levels = len(q), len(np.unique(q))
    explained = 1 - ((strength - q) ** 2).sum() / (n - levels) / strength.var(ddof=1)
    expected = (FLOOR + (1 - FLOOR) * q / q.max()) ** (WEIGHT * explained)
    factor = witness_factor(candidates, evidence, values)
    assert factor.dtype == np.float32 and explained > 0.5
    np.testing.assert_allclose(factor, expected, rtol=1e-6)


def test_a_good_witness_lowers_far_pairs_and_spares_near_ones() -> None:
    candidates, evidence = found()
    factor = witness_factor(candidates, evidence, -(B - A).astype(np.float32))
    assert factor[(B - A) == 1].min() == 1.0
    assert factor[B - A > 20].max() < 0.6
    assert factor.min() >= FLOOR**WEIGHT
    assert (np.diff([factor[apart == B - A].mean() for apart in range(1, PHOTOS)]) <= 1e-7).all()


def test_a_witness_that_guesses_changes_next_to_nothing() -> None:
    candidates, evidence = found()
    rng = np.random.default_rng(3)
    for values in (rng.random(len(A)), rng.normal(size=len(A)), np.full(len(A), 7.0)):
        assert witness_factor(candidates, evidence, values).min() > 0.97


def test_a_witness_that_is_wrong_is_not_heard() -> None:
    candidates, evidence = found()
    factor = witness_factor(candidates, evidence, (B - A).astype(np.float32))  # far is near
    assert factor.min() > 0.97


def test_few_pairs_prove_nothing() -> None:
    candidates, evidence = found(photos=3)
    weight = np.array([30, 20, 10], np.float32)
    every = Evidence(np.arange(3), weight, evidence.features, np.zeros(4, np.int64))
    assert (witness_factor(candidates, every, weight) == 1).all()  # in perfect order, as one in six is by chance
    candidates, evidence = found(photos=6)
    rng = np.random.default_rng(0)
    assert np.mean([witness_factor(candidates, evidence, rng.random(15)) for _ in range(50)]) > 0.95


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf])
def test_what_is_not_known_changes_nothing(unknown: float) -> None:
    candidates, evidence = found()
    values = -(B - A).astype(np.float64)
    blind = (A == 7) | (B == 7)
    values[blind] = unknown
    factor = witness_factor(candidates, evidence, values)
    assert (factor[blind] == 1).all() and factor[~blind].min() < 0.7
    assert (witness_factor(candidates, evidence, np.full(len(A), unknown)) == 1).all()


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-10, 10))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_the_values_does_not_matter(seed: int, scale: float, shift: float) -> None:
    candidates, evidence = found(seed)
    values = np.random.default_rng(seed).integers(0, 50, len(A)).astype(np.float64) - (B - A)
    before = witness_factor(candidates, evidence, values)
    after = witness_factor(candidates, evidence, values * scale + shift)
    np.testing.assert_allclose(before, after, rtol=1e-5)


def test_weight_and_floor() -> None:
    candidates, evidence = found()
    values = -(B - A).astype(np.float32)
    assert (witness_factor(candidates, evidence, values, weight=0) == 1).all()
    assert (witness_factor(candidates, evidence, values, floor=1) == 1).all()
    assert (
        witness_factor(candidates, evidence, values, weight=1).min()
        < witness_factor(candidates, evidence, values).min()
    )


def test_no_pairs_and_nothing_verified() -> None:
    nothing = Evidence(
        np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 2), np.int32), np.zeros(1, np.int64)
    )
    none = np.zeros(0, np.int32)
    empty = Candidates(0, none, none, np.zeros(0, np.float32))
    assert witness_factor(empty, nothing, np.zeros(0)).shape == (0,)
    candidates, _ = found()
    assert (witness_factor(candidates, nothing, -(B - A).astype(np.float32)) == 1).all()
