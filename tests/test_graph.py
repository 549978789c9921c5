"""Choice under a budget: connected first, then covering, then by score."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mirror_sfm.evidence import Candidates, Evidence
from mirror_sfm.graph import WORTH_OF_NEXT, components, cover, select, spanning_tree


def case(photos: int, seed: int, share: float = 1.0, features: int = 30) -> tuple[Candidates, np.ndarray, Evidence]:
    """Random candidates with scores that tie often, two thirds of them verified."""
    rng = np.random.default_rng(seed)
    i, j = (index.astype(np.int32) for index in np.triu_indices(photos, 1))
    kept = rng.uniform(size=len(i)) < share
    candidates = Candidates(photos, i[kept], j[kept], rng.uniform(size=kept.sum()).astype(np.float32))
    scores = (rng.integers(0, 20, len(candidates)) / 20).astype(np.float32)
    rows = np.flatnonzero(rng.uniform(size=len(candidates)) < 0.67)
    counts = rng.integers(0, features // 2, len(rows))
    good = [
        np.stack((np.sort(rng.choice(features, c, replace=False)), rng.choice(features, c, replace=False)), 1)
        for c in counts
    ]
    matches = np.concatenate([np.zeros((0, 2), int), *good]).astype(np.int32)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return candidates, scores, Evidence(rows, rng.uniform(0, 9, len(rows)).astype(np.float32), matches, offsets)


def kruskal(candidates: Candidates, order: list[int]) -> list[int]:
    label = list(range(candidates.photos))
    tree = []
    for row in order:
        a, b = label[candidates.i[row]], label[candidates.j[row]]
        if a != b:
            label = [a if x == b else x for x in label]
            tree.append(row)
    return tree


cases = st.tuples(st.integers(1, 14), st.integers(0, 10**6), st.sampled_from([1.0, 0.3]))


@given(cases, st.integers(1, 120))
@settings(max_examples=80, deadline=None)
def test_budget_is_kept_pairs_are_distinct_and_the_graph_is_connected(
    what: tuple[int, int, float], budget: int
) -> None:
    candidates, scores, evidence = case(*what)
    chosen, _ = select(candidates, scores, evidence, budget)
    assert len(chosen) == len(set(chosen.tolist())) == min(budget, len(candidates))
    every = components(candidates.photos, candidates.i, candidates.j)
    if budget >= candidates.photos - 1:
        ours = components(candidates.photos, candidates.i[chosen], candidates.j[chosen])
        assert len(np.unique(ours)) == len(np.unique(every))
    order = np.lexsort((np.arange(len(scores)), -scores)).tolist()
    tree = kruskal(candidates, order)
    assert chosen[: len(tree)].tolist() == tree[:budget]


@given(cases)
@settings(max_examples=40, deadline=None)
def test_two_trees_share_no_pair_where_the_budget_holds_both(what: tuple[int, int, float]) -> None:
    candidates, scores, evidence = case(*what)
    order = np.lexsort((np.arange(len(scores)), -scores)).tolist()
    first = kruskal(candidates, order)
    second = kruskal(candidates, [row for row in order if row not in set(first)])
    chosen = select(candidates, scores, evidence, 2 * len(first))[0].tolist()
    assume(2 * len(first) <= len(candidates))  # else every pair is chosen
    assert chosen[: len(first) + len(second)] == first + second


@given(cases, st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_lazy_greedy_is_greedy(what: tuple[int, int, float], budget: int) -> None:
    candidates, scores, evidence = case(*what)
    chosen = spanning_tree(candidates, np.lexsort((np.arange(len(scores)), -scores)))
    taken = np.zeros(len(candidates), bool)
    taken[chosen] = True
    partners = np.zeros((candidates.photos, 64), int)
    matches = {
        row: evidence.features[begin:end]
        for row, begin, end in zip(evidence.pairs.tolist(), evidence.offsets, evidence.offsets[1:], strict=False)
    }

    def ends(row: int) -> tuple[np.ndarray, np.ndarray]:
        photos = np.repeat([[candidates.i[row], candidates.j[row]]], len(matches[row]), 0)
        return photos.ravel(), matches[row].ravel()

    for row in chosen.tolist():
        if row in matches:
            partners[ends(row)] += 1
    expected: list[int] = []
    while len(expected) < budget:
        gains = {
            row: (WORTH_OF_NEXT ** partners[ends(row)]).sum() * float(scores[row])
            for row in matches
            if not taken[row] and row not in expected and len(matches[row]) and scores[row] > 0
        }
        if not gains:
            break
        best = max(gains, key=lambda row: (gains[row], -row))
        expected.append(best)
        partners[ends(best)] += 1
    assert cover(candidates, scores, evidence, chosen, taken, budget).tolist() == expected


def test_duplicates_wait_for_what_is_not_covered() -> None:
    """Pair (0, 2) sees what (0, 1) saw already; (0, 3) sees something new, if less, and goes first."""
    i, j = np.array([0, 0, 0, 1, 1, 2], np.int32), np.array([1, 2, 3, 2, 3, 3], np.int32)
    candidates = Candidates(4, i, j, np.ones(6, np.float32))
    same, other = np.repeat(np.arange(10)[:, None], 2, 1), np.repeat(np.arange(20, 29)[:, None], 2, 1)
    features = np.concatenate((same, same, other, same)).astype(np.int32)
    evidence = Evidence(np.arange(4), np.ones(4, np.float32), features, np.array([0, 10, 20, 29, 39]))
    taken = np.zeros(6, bool)
    nothing = np.zeros(0, np.int64)
    assert cover(candidates, np.ones(6, np.float32), evidence, nothing, taken, 4).tolist() == [0, 2, 1, 3]
    unsure = np.array([1, 1, 0.1, 1, 1, 1], np.float32)
    assert cover(candidates, unsure, evidence, nothing, taken, 4).tolist() == [0, 1, 3, 2]


def test_the_same_choice_every_time_and_rest_by_score() -> None:
    candidates, scores, evidence = case(30, 4)
    chosen, _ = select(candidates, scores, evidence, 10**6)
    assert sorted(chosen.tolist()) == list(range(len(candidates)))
    assert np.array_equal(chosen, select(candidates, scores, evidence, 10**6)[0])
    unverified = chosen[~np.isin(chosen, evidence.pairs)]
    tail = unverified[-50:]
    assert (np.diff(scores[tail]) <= 0).all()


@pytest.mark.parametrize("photos", [0, 1])
def test_nothing_to_choose(photos: int) -> None:
    candidates, scores, evidence = case(photos, 0)
    assert select(candidates, scores, evidence, 1)[0].shape == (0,)
    assert len(components(photos, candidates.i, candidates.j)) == photos
