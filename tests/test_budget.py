"""Limits, the shortest list, and what matching would take."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_sfm.budget import (
    Limits,
    by_criterion,
    expected_recall,
    likely,
    pair_budget,
    seconds_per_pair,
    shortest_list,
    wanted,
)

chances = st.lists(st.floats(0, 1, width=32), max_size=40).map(lambda values: np.array(values, np.float32))


@pytest.mark.parametrize(
    ("photos", "per_image", "budget", "expected"),
    [
        (75, 20, None, 750),
        (75, 20, 100, 100),
        (75, 20, 10**9, 750),
        (75, None, None, 2775),
        (75, None, 3000, 2775),
        (4, 1000, None, 6),
        (3, 1, None, 1),
        (1, 20, None, 1),
        (0, 20, 5, 1),
    ],
)
def test_pair_budget(photos: int, per_image: int | None, budget: int | None, expected: int) -> None:
    assert pair_budget(photos, per_image, budget) == expected


@given(chances, st.floats(0.01, 1))
@settings(max_examples=100, deadline=None)
def test_shortest_list(chance: np.ndarray, recall: float) -> None:
    listed = shortest_list(chance, recall)
    assert len(set(listed.tolist())) == len(listed) and (np.diff(chance[listed]) <= 0).all()
    exact = chance.astype(np.float64)
    if len(listed):
        others = np.setdiff1d(np.arange(len(chance)), listed)
        assert chance[others].max(initial=0) <= chance[listed].min()
        assert exact[listed].sum() >= recall * exact.sum() * (1 - 1e-12)
        assert exact[listed[:-1]].sum() < recall * exact.sum() * (1 + 1e-12) or not exact.any()
    if exact.sum() > 0:
        assert expected_recall(chance, listed) == pytest.approx(exact[listed].sum() / exact.sum(), rel=1e-6)


def test_limits_combine() -> None:
    chance = np.array([0.9, 0.5, 0.4, 0.1, 0.01, np.nan], np.float32)
    assert likely(chance, Limits(9)).tolist() == [True, True, True, True, False, True]
    assert likely(chance, Limits(9, 0.45)).tolist() == [True, True, False, False, False, True]
    known = chance[:5]
    assert wanted(known, Limits(9, 0.0, 0.7)).tolist() == [True, True, False, False, False]
    assert wanted(known, Limits(9, 0.6, 0.99)).tolist() == [True, False, False, False, False]
    assert wanted(known, Limits(9, 0.0, 1.0)).all()


def test_nothing_to_expect() -> None:
    assert expected_recall(np.zeros(3, np.float32), np.zeros(0, np.int64)) == 1
    assert len(shortest_list(np.zeros(0, np.float32), 0.5)) == 0


def test_more_features_take_longer_to_match() -> None:
    few, many = seconds_per_pair(64, 1, enough=0.02), seconds_per_pair(2048, 1, enough=0.02)
    assert 0 < few < many


def test_criteria_one_by_one() -> None:
    chance = np.array([0.9, 0.5, 0.4, 0.1, 0.01], np.float32)
    assert by_criterion(4, chance, 2, None, Limits(4, 0.45)) == {"per_image": 4, "min_prob": 2}
    assert by_criterion(4, chance, None, 3, Limits(3, 0.0, 0.7)) == {"budget": 3, "min_prob": 5, "recall": 2}
