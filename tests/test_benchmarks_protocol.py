"""Measures of rankings: golden numbers, the formulas written a second time, lists that are no lists."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_sfm.benchmarks import gl3d
from mirror_sfm.benchmarks.protocol import Benchmark, ListOptions, Query, measure, ranking, rankings
from mirror_sfm.benchmarks.sfm_pairs import pairs_at, pairs_to_match
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evaluation import mean_average_precision

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())


def one(positives, junk=(), photos=10) -> Benchmark:
    return Benchmark("made", tuple(map(str, range(photos))), (Query("q", frozenset(positives), frozenset(junk)),))


def from_ranks(ranks, positives):
    """AP by where the hits stand, counted from 0."""
    terms = [((k / r if r else 1.0) + (k + 1) / (r + 1)) / 2 for k, r in enumerate(ranks)]
    return sum(terms) / positives


def revisited_by_hand(ranked, positives, junk, n):
    """AP and P@n of one query from its full list, as its paper defines them."""
    places = []
    before = 0
    for place, photo in enumerate(ranked):
        if photo in junk:
            before += 1
        elif photo in positives:
            places.append(place - before)
    last = min(max(places) + 1, n)
    return from_ranks(places, len(positives)), sum(place < last for place in places) / last


# ---- mAP@k -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize(
    ("first", "golden"), [(False, "truncate_then_drop_self"), (True, "drop_self_then_truncate")], ids=["cut", "drop"]
)
def test_map_at_k_is_golden(k: int, first: bool, golden: str) -> None:
    case = GOLDEN["map_at_k"]
    lists = [case["inputs"]["ranked_lists"][str(q)] for q in range(5)]
    pairs = [(int(q), j) for q, found in case["inputs"]["ground_truth"].items() for j in found]
    result = measure(gl3d.benchmark(pairs, "abcde"), lists, ListOptions(k=k, drop_self_first=first))
    expected = case["expected"][f"k{k}"][golden]
    assert result.mean_average_precision == pytest.approx(expected["map"], abs=1e-12)
    for query in range(5):
        value = result.average_precision[query]
        assert value == pytest.approx(expected["ap"].get(str(query), np.nan), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", ["perfect", "miss_first", "truncated", "none"])
def test_denominators_are_golden(name: str) -> None:
    case = GOLDEN["average_precision"]
    ranked, truth = case["inputs"][name]["ranked"], case["inputs"][name]["gt"]
    for denominator, golden in (("all", "trapezoid"), ("min_k", "trapezoid_normalised_by_min_k")):
        result = measure(one(truth), [ranked], ListOptions(k=len(ranked), denominator=denominator))
        assert result.mean_average_precision == pytest.approx(case["expected"][name][golden], abs=1e-12)


def test_departures_from_the_published_measure_are_in_its_name() -> None:
    assert ListOptions().label == "mAP"
    assert gl3d.AT_200.label == "mAP@200"
    assert ListOptions(k=7, drop_self_first=True).label == "mAP@7 (query dropped before the cut)"
    both = ListOptions(k=7, drop_self_first=True, denominator="min_k")
    assert both.label == "mAP@7 (query dropped before the cut, over min(7, positives))"


@pytest.mark.parametrize(
    "wrong",
    [{"k": 0}, {"denominator": "k"}, {"drop_self_first": True}, {"denominator": "min_k"}, {"precision_at": (0,)}],
)
def test_options_that_make_no_sense(wrong: dict) -> None:
    with pytest.raises(UsageError):
        ListOptions(**wrong)


# ---- against the formulas --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(10)), st.lists(st.integers(0, 2), min_size=10, max_size=10), st.integers(1, 12))
def test_full_lists_are_the_formula(ranked: list[int], labels: list[int], n: int) -> None:
    positives = {k for k in range(10) if labels[k] == 1}
    junk = {k for k in range(10) if labels[k] == 2}
    result = measure(one(positives, junk), [ranked], ListOptions(precision_at=(n,)))
    if positives:
        average, precision = revisited_by_hand(ranked, positives, junk, n)
        assert result.mean_average_precision == pytest.approx(average, abs=1e-12)
        assert result.precision_at[n] == pytest.approx(precision, abs=1e-12)
    else:
        assert np.isnan(result.mean_average_precision) and np.isnan(result.precision_at[n])


def test_scores_of_a_scene_are_what_evaluate_measures() -> None:
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 5, (12, 12)).astype(np.float32)
    scores[rng.random((12, 12)) < 0.3] = -np.inf
    positive = rng.random((12, 12)) < 0.2
    made = gl3d.benchmark([(int(i), int(j)) for i, j in np.argwhere(positive)], [str(k) for k in range(12)])
    result = measure(made, rankings(made, lambda query: scores[query]))
    assert result.mean_average_precision == pytest.approx(mean_average_precision(scores, positive), abs=1e-12)


def test_queries_without_positives_do_not_count() -> None:
    made = Benchmark("made", ("a", "b"), (Query("x", frozenset({0})), Query("y", frozenset())))
    result = measure(made, [[1, 0], [0, 1]], ListOptions(precision_at=(1,)))
    assert result.mean_average_precision == 0.25 and np.isnan(result.average_precision[1])
    assert result.precision_at == {1: 0.0}


def test_nothing_found_is_nothing() -> None:
    result = measure(one({4}), [[]], ListOptions(precision_at=(1, 5)))
    assert result.mean_average_precision == 0 and result.precision_at == {1: 0.0, 5: 0.0}


# ---- lists -----------------------------------------------------------------------------------------------------------


def test_ranking_breaks_ties_by_row_and_leaves_out_what_has_no_score() -> None:
    assert ranking(np.array([1, 3, -np.inf, 3, np.inf])).tolist() == [4, 1, 3, 0]
    assert ranking(np.array([1, 3, 200], np.uint8)).tolist() == [2, 1, 0]
    with pytest.raises(UsageError, match="without NaN"):
        ranking([1.0, np.nan])


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([[1, 1]], r"list of query 0 \(q\): photo 1 \(1\) is there twice"),
        ([[10]], "expected rows of 10 photos, found 10"),
        ([[-1]], "expected rows of 10 photos, found -1"),
        ([[0.5]], "expected whole numbers"),
        ([[[1]]], "expected whole numbers"),
        ([], "expected 1 lists, one per query, got 0"),
        ([[1], [1]], "expected 1 lists, one per query, got 2"),
    ],
)
def test_lists_that_are_no_lists(lists: list, message: str) -> None:
    with pytest.raises(MirrorError, match=message):
        measure(one({1}), lists)


def test_a_scorer_gives_a_score_for_every_photo() -> None:
    with pytest.raises(UsageError, match="query 0: expected 10 scores"):
        list(rankings(one({1}), lambda query: [1.0]))


# ---- pairs -----------------------------------------------------------------------------------------------------------


def test_pairs_to_match_are_golden() -> None:
    case = GOLDEN["pairs_to_match"]
    found = pairs_to_match([case["inputs"]["lists"][str(k)] for k in range(4)])
    expected = case["expected"]
    assert found.pairs.tolist() == expected["union_pairs"] and found.listed == expected["num_directed"]
    mutual = len(expected["mutual_pairs"])
    assert found.reciprocated == pytest.approx(2 * mutual / expected["num_directed"])


def test_pairs_to_match_of_short_lists_and_none() -> None:
    assert pairs_to_match([[1, 0], [2], [2, 0]], k=1).pairs.tolist() == [[0, 1], [1, 2]]
    assert pairs_to_match([]).reciprocated == 0 and len(pairs_to_match([[], []]).pairs) == 0
    with pytest.raises(UsageError, match="list of photo 1"):
        pairs_to_match([[1], [2]])


def test_pairs_at_a_budget() -> None:
    """Photos 0 to 3 are a chain of true pairs, 4 and 5 another; 6 has none."""
    positive = np.zeros((7, 7), bool)
    for i, j in ((0, 1), (1, 2), (2, 3), (4, 5)):
        positive[i, j] = positive[j, i] = True
    np.fill_diagonal(positive, True)
    listed = [(0, 1), (6, 0), (2, 1), (3, 2), (5, 4)]
    one_each, two_each = pairs_at(listed, positive, per_photo=(1, 2))
    assert (one_each.pairs, one_each.precision, one_each.recall) == (3, 2 / 3, 2 / 4)
    assert (one_each.components, one_each.largest) == (4, 3 / 6)  # 012, 3, 4, 5
    assert (two_each.pairs, two_each.precision, two_each.recall) == (5, 1, 1)
    assert (two_each.components, two_each.largest) == (2, 4 / 6)
    (nothing,) = pairs_at(np.zeros((0, 2)), np.zeros((3, 3), bool), per_photo=(1,))
    assert (nothing.pairs, nothing.recall, nothing.components, nothing.largest) == (0, 0, 0, 0)


@pytest.mark.parametrize("wrong", [[(0, 0)], [(0, 3)], [(0, 1), (1, 0)], [(-1, 0)]])
def test_pairs_that_are_none(wrong: list) -> None:
    with pytest.raises(UsageError, match="pairs: expected"):
        pairs_at(wrong, np.zeros((3, 3), bool))
    with pytest.raises(UsageError, match="symmetric"):
        pairs_at([], np.triu(np.ones((3, 3), bool)))
