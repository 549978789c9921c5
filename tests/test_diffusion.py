"""Saturation, fill and diffusion against the formulas written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_sfm.diffusion import (
    COARSE_SHARE,
    DEGREE_POWER,
    FILL,
    FOLLOW,
    LEAST_FLOW,
    _sparse_flow,
    diffuse,
    isotonic,
    strengths,
)
from mirror_sfm.evidence import Candidates, Evidence


def graph(photos: int, seed: int, share: float = 1.0, verified: float = 0.5) -> tuple[Candidates, Evidence]:
    rng = np.random.default_rng(seed)
    i, j = (index.astype(np.int32) for index in np.triu_indices(photos, 1))
    kept = rng.uniform(size=len(i)) < share
    i, j = i[kept], j[kept]
    candidates = Candidates(photos, i, j, rng.gamma(1, 2, len(i)).astype(np.float32))
    rows = np.flatnonzero(rng.uniform(size=len(i)) < verified)
    rows = rows if len(rows) else np.arange(min(1, len(i)))
    weight = (candidates.coarse[rows] ** 2 * rng.uniform(0, 3, len(rows))).astype(np.float32)
    return candidates, Evidence(rows, weight, np.zeros((0, 2), np.int32), np.zeros(len(rows) + 1, np.int64))


def pool_adjacent_violators(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    order = np.argsort(x, kind="stable")
    level: list[float] = []
    width: list[int] = []
    for value in y[order]:
        level.append(float(value))
        width.append(1)
        while len(level) > 1 and level[-2] >= level[-1]:
            value, w = level.pop(), width.pop()
            level[-1] = (level[-1] * width[-1] + value * w) / (width[-1] + w)
            width[-1] += w
    return np.interp(at, x[order], np.repeat(level, width))


@given(
    st.lists(st.tuples(st.floats(0, 100, width=32), st.floats(0, 1)), min_size=1, max_size=40, unique_by=lambda p: p[0])
)
@settings(max_examples=60, deadline=None)
def test_isotonic_is_pool_adjacent_violators(points: list[tuple[float, float]]) -> None:
    x, y = np.array(points).T
    at = np.linspace(-1, 101, 50)
    assert np.allclose(isotonic(x, y, at), pool_adjacent_violators(x, y, at), atol=1e-9)


def test_isotonic_does_not_depend_on_order() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 100).astype(np.float32), rng.uniform(size=100)
    turn = rng.permutation(100)
    at = np.arange(10, dtype=np.float32)
    assert np.allclose(isotonic(x, y, at), isotonic(x[turn], y[turn], at), atol=1e-12)
    assert (np.diff(isotonic(x, y, at)) >= 0).all()


def test_strengths_of_verified_and_other_pairs() -> None:
    candidates, evidence = graph(20, 1)
    strength = strengths(candidates, evidence)
    assert np.allclose(strength[evidence.pairs], evidence.weight**2 / (evidence.weight**2 + 400.0))
    others = np.setdiff1d(np.arange(len(candidates)), evidence.pairs)
    assert strength[others].max() <= FILL * strength[evidence.pairs].max()
    order = np.argsort(candidates.coarse[others])
    assert (np.diff(strength[others][order]) >= 0).all()


def written_out(candidates: Candidates, evidence: Evidence) -> np.ndarray:
    """The formula as it stands in the specification, n x n."""
    count, i, j = candidates.photos, candidates.i, candidates.j
    s = np.zeros((count, count))
    s[i, j] = s[j, i] = strengths(candidates, evidence)
    degree = s.sum(1) + 1e-9
    walk = s / np.sqrt(degree[:, None] * degree)
    flow = (1 - FOLLOW) * np.linalg.inv(np.eye(count) - FOLLOW * walk) * (degree[:, None] * degree) ** DEGREE_POWER
    flow = flow[i, j]
    return flow + COARSE_SHARE * max(flow.max(), LEAST_FLOW) * candidates.coarse / candidates.coarse.max()


@pytest.mark.parametrize(("photos", "share"), [(2, 1.0), (3, 1.0), (40, 1.0), (150, 1.0), (150, 0.05), (300, 0.1)])
def test_both_solvers_give_the_formula(photos: int, share: float) -> None:
    candidates, evidence = graph(photos, photos, share)
    expected = written_out(candidates, evidence)
    most = expected.max()
    assert np.abs(diffuse(candidates, evidence, 2, dense=True) - expected).max() < 1e-7 * most
    assert np.abs(diffuse(candidates, evidence, 2, dense=False) - expected).max() < 1e-6 * most


def test_solvers_agree_on_a_chain_which_mixes_slowest() -> None:
    """The ends of the spectrum of a long chain are at +-1, where the series converges slowest."""
    count = 400
    i = np.arange(count - 1, dtype=np.int32)
    candidates = Candidates(count, i, i + 1, np.ones(count - 1, np.float32))
    evidence = Evidence(
        np.arange(count - 1), np.full(count - 1, 50, np.float32), np.zeros((0, 2), np.int32), np.zeros(count, np.int64)
    )
    dense, sparse = (diffuse(candidates, evidence, 1, dense=kind) for kind in (True, False))
    assert np.abs(dense - sparse).max() < 1e-6 * dense.max()


def test_threads_and_blocks_change_nothing() -> None:
    candidates, evidence = graph(200, 5, 0.2)
    one, four = (diffuse(candidates, evidence, threads, dense=False) for threads in (1, 4))
    assert one.tobytes() == four.tobytes()
    strength = strengths(candidates, evidence)
    flows = [_sparse_flow(candidates, strength, 1, block).tobytes() for block in (1, 7, 32, 200)]
    assert len(set(flows)) == 1


@pytest.mark.parametrize("dense", [True, False])
def test_empty_and_worthless_graphs(dense: bool) -> None:
    nothing = Evidence(
        np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 2), np.int32), np.zeros(1, np.int64)
    )
    for photos in (0, 1):
        none = Candidates(photos, *(np.zeros(0, np.int32),) * 2, np.zeros(0, np.float32))
        assert diffuse(none, nothing, 1, dense).shape == (0,)
    i, j = (index.astype(np.int32) for index in np.triu_indices(4, 1))
    strangers = Candidates(4, i, j, np.zeros(6, np.float32))
    blank = Evidence(np.arange(6), np.zeros(6, np.float32), np.zeros((0, 2), np.int32), np.zeros(7, np.int64))
    scores = diffuse(strangers, blank, 1, dense)
    assert scores.dtype == np.float32 and (scores == 0).all()
