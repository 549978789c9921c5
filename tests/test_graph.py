"""Choice under a budget: connected first, then covering, then by score."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from view_graphs import flight

from mirror_sfm.budget import EVIDENT, Limits
from mirror_sfm.evidence import Candidates, Evidence
from mirror_sfm.graph import REASONS, WORTH_OF_NEXT, best_partners, components, cover, select, spanning_tree


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
limits = st.builds(
    Limits,
    pairs=st.integers(1, 120),
    min_prob=st.sampled_from([0.0, EVIDENT, 0.3, 0.9, 1.0]),
    recall=st.sampled_from([None, 0.1, 0.5, 0.9, 1.0]),
    min_pairs=st.integers(0, 4),
)


def chances(candidates: Candidates, seed: int) -> np.ndarray:
    """Probabilities, a third of them without evidence."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(size=len(candidates)) * rng.choice([0.01, 1, 1], len(candidates))).astype(np.float32)


def degrees(candidates: Candidates, rows: np.ndarray) -> np.ndarray:
    return np.bincount(np.concatenate((candidates.i[rows], candidates.j[rows])), minlength=candidates.photos)


@given(cases, limits)
@settings(max_examples=150, deadline=None)
def test_all_limits_hold_and_evidence_connects(what: tuple[int, int, float], limits: Limits) -> None:
    candidates, scores, evidence = case(*what)
    chance = chances(candidates, what[1])
    chosen, reasons = select(candidates, scores, chance, evidence, limits)
    assert len(chosen) == len(set(chosen.tolist())) == len(reasons)
    bridges = chosen[reasons == REASONS.index("bridge")]
    others = chosen[reasons != REASONS.index("bridge")]

    # Bridges: exactly the maximum spanning forest of what has evidence, whatever the limits.
    order = [row for row in np.lexsort((np.arange(len(scores)), -scores)).tolist() if chance[row] >= EVIDENT]
    assert bridges.tolist() == chosen[: len(bridges)].tolist() == kruskal(candidates, order)
    possible = components(candidates.photos, candidates.i[order], candidates.j[order])
    found = components(candidates.photos, candidates.i[chosen], candidates.j[chosen])
    assert (found[candidates.i[order]] == found[candidates.j[order]]).all()
    if limits.min_prob >= EVIDENT:  # nothing else may join islands
        assert len(np.unique(found)) == len(np.unique(possible))

    # Limits.
    assert len(chosen) <= max(limits.pairs, len(bridges))
    assert (chance[others] >= limits.min_prob).all()
    allowed = chance >= limits.min_prob
    if len(chosen) < limits.pairs:
        wanted = np.minimum(limits.min_pairs, degrees(candidates, np.flatnonzero(allowed)))
        assert (degrees(candidates, chosen) >= wanted).all()
        expected = 1.0 if limits.recall is None else limits.recall
        missed = np.setdiff1d(np.flatnonzero(allowed), chosen)
        reached = chance[chosen].sum(dtype=float) >= expected * chance.sum(dtype=float) * (1 - 1e-6)
        assert reached or not len(missed)


@given(cases, st.sampled_from([0.2, 0.5, 0.8, 0.95]))
@settings(max_examples=60, deadline=None)
def test_recall_is_reached_by_the_fewest_pairs(what: tuple[int, int, float], recall: float) -> None:
    candidates, scores, evidence = case(*what)
    chance = chances(candidates, what[1])
    chosen, reasons = select(candidates, scores, chance, evidence, Limits(10**6, 0.0, recall, min_pairs=0))
    beyond = chosen[(reasons != REASONS.index("bridge"))]
    assert len(chosen) == 0 or chance[chosen].sum(dtype=float) >= recall * chance.sum(dtype=float) * (1 - 1e-6)
    if len(beyond):  # the list is the most likely pairs, and without its last one it would fall short
        listed = np.sort(chance)[::-1]
        length = (chance >= chance[beyond].min()).sum()
        assert listed[: length - 1].sum(dtype=float) < recall * chance.sum(dtype=float)


@given(st.tuples(st.integers(2, 12), st.integers(0, 10**6), st.sampled_from([1.0, 0.4])), limits, st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_photos_does_not_matter(what: tuple[int, int, float], limits: Limits, random: object) -> None:
    candidates, _, evidence = case(*what)
    chance = chances(candidates, what[1])
    rng = np.random.default_rng(what[1] + 1)
    scores = ((1 + rng.permutation(len(candidates))) / 2048).astype(np.float32)  # distinct
    numbers = list(range(candidates.photos))
    random.shuffle(numbers)  # type: ignore[attr-defined]
    renamed = np.array(numbers, np.int32)
    i, j = renamed[candidates.i], renamed[candidates.j]
    order = np.lexsort((np.maximum(i, j), np.minimum(i, j)))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    turned = Candidates(candidates.photos, np.minimum(i, j)[order], np.maximum(i, j)[order], candidates.coarse[order])
    rows = place[evidence.pairs]
    listed = np.argsort(rows)
    matches = []
    for pair in listed.tolist():
        own = evidence.features[evidence.offsets[pair] : evidence.offsets[pair + 1]]
        swapped = i[evidence.pairs[pair]] > j[evidence.pairs[pair]]
        matches.append(own[:, ::-1] if swapped else own)
    counts = np.diff(evidence.offsets)[listed]
    moved = Evidence(
        rows[listed],
        evidence.weight[listed],
        np.concatenate([np.zeros((0, 2), np.int32), *matches]),
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
    )
    expected, why = select(candidates, scores, chance, evidence, limits)
    chosen, reasons = select(turned, scores[order], chance[order], moved, limits)
    gains_tie = bool((why == REASONS.index("coverage")).any())  # two pairs can add equally much
    if not gains_tie:
        assert order[chosen].tolist() == expected.tolist() and reasons.tolist() == why.tolist()
    again, _ = select(candidates, scores, chance, evidence, limits)
    assert again.tolist() == expected.tolist()


@given(cases)
@settings(max_examples=40, deadline=None)
def test_two_trees_share_no_pair_where_the_budget_holds_both(what: tuple[int, int, float]) -> None:
    candidates, scores, evidence = case(*what)
    sure = np.ones(len(candidates), np.float32)
    order = np.lexsort((np.arange(len(scores)), -scores)).tolist()
    first = kruskal(candidates, order)
    second = kruskal(candidates, [row for row in order if row not in set(first)])
    chosen, reasons = select(candidates, scores, sure, evidence, Limits(2 * len(first), min_pairs=0))
    assume(2 * len(first) <= len(candidates))  # else every pair is chosen
    assert chosen[: len(first) + len(second)].tolist() == first + second
    assert reasons[: len(first) + len(second)].tolist() == [0] * len(first) + [1] * len(second)


def test_a_bridge_may_exceed_the_budget_and_nothing_else() -> None:
    """A chain of five photos beside an island of two: five bridges, one pair allowed."""
    i, j = np.array([0, 1, 2, 3, 4, 5], np.int32), np.array([1, 2, 3, 4, 5, 6], np.int32)
    candidates = Candidates(7, i, j, np.ones(6, np.float32))
    chance = np.array([0.9, 0.3, 0.9, 0.9, 0.001, 0.5], np.float32)
    nothing = Evidence(
        np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 2), np.int32), np.zeros(1, np.int64)
    )
    chosen, reasons = select(candidates, chance, chance, nothing, Limits(1, min_prob=0.8))
    assert sorted(chosen.tolist()) == [0, 1, 2, 3, 5] and not reasons.any()
    label = components(7, i[chosen], j[chosen])
    assert label[0] == label[4] != label[5] == label[6]
    everything, _ = select(candidates, chance, chance, nothing, Limits(9, min_prob=0.0))
    assert len(everything) == 6  # asked for, even what has no evidence


def test_every_photo_gets_its_minimum() -> None:
    """A star: the leaves' second pairs are the weakest, and come before the rest of the hub's."""
    candidates, scores, evidence = case(10, 5)
    hub = candidates.i == 0
    scores = np.where(hub, 0.9, 0.1 + 0.001 * np.arange(len(candidates))).astype(np.float32)
    sure = np.ones(len(candidates), np.float32)
    chosen, reasons = select(candidates, scores, sure, evidence, Limits(17, min_pairs=2))
    assert degrees(candidates, chosen).min() >= 2 and (reasons == REASONS.index("minimum")).any()
    alone, _ = select(candidates, scores, sure, evidence, Limits(9, min_pairs=2))
    assert degrees(candidates, alone).min() == 1 and len(alone) == 9  # the budget holds


def test_unknown_probabilities_forbid_nothing() -> None:
    candidates, scores, evidence = case(8, 1)
    unknown = np.full(len(candidates), np.nan, np.float32)
    chosen, reasons = select(candidates, scores, unknown, evidence, Limits(20))
    assert len(chosen) == 20 and (reasons == 0).sum() == 7


def test_best_partners() -> None:
    i, j = np.array([0, 0, 1, 2], np.int32), np.array([1, 2, 2, 3], np.int32)
    candidates = Candidates(5, i, j, np.ones(4, np.float32))
    assert best_partners(candidates, np.array([0.2, 0.5, 0.5, 0.1], np.float32)).tolist() == [1, 2, 1, 3, -1]


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
    everything = Limits(10**6, min_prob=0.0)
    chosen, _ = select(candidates, scores, scores, evidence, everything)
    assert sorted(chosen.tolist()) == list(range(len(candidates)))
    assert np.array_equal(chosen, select(candidates, scores, scores, evidence, everything)[0])
    unverified = chosen[~np.isin(chosen, evidence.pairs)]
    tail = unverified[-50:]
    assert (np.diff(scores[tail]) <= 0).all()


@pytest.mark.parametrize("photos", [0, 1])
def test_nothing_to_choose(photos: int) -> None:
    candidates, scores, evidence = case(photos, 0)
    chosen, reasons = select(candidates, scores, scores, evidence, Limits(1))
    assert chosen.shape == reasons.shape == (0,)
    assert len(components(photos, candidates.i, candidates.j)) == photos


def test_isolated_photos_are_named_with_their_best_neighbour() -> None:
    names = tuple(f"{k}.jpg" for k in range(12))
    graph = flight(12, names=names, alone=1)
    i = np.concatenate((graph.candidates.i, [0, 5])).astype(np.int32)
    j = np.concatenate((graph.candidates.j, [11, 11])).astype(np.int32)
    chance = np.concatenate((graph.probabilities, [0.004, 0.009])).astype(np.float32)
    candidates = Candidates(12, i, j, chance)
    lonely = dataclasses.replace(graph, candidates=candidates, probabilities=chance, scores=chance)
    assert [(photo.name, photo.neighbour) for photo in lonely.isolated] == [("11.jpg", "5.jpg")]
    assert lonely.isolated[0].probability == pytest.approx(0.009) and "0.009" in lonely.isolated[0].why
    assert graph.isolated[0].neighbour is None
