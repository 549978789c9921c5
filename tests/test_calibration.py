"""P(matchable): monotone, and sensible where a collection is odd."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import descriptors, matched_keypoints

from mirror_sfm.budget import EVIDENT
from mirror_sfm.calibration import heard, inputs, logistic, probabilities, support
from mirror_sfm.diffusion import FOLLOW, diffuse, strengths
from mirror_sfm.evidence import Candidates, Evidence, choose, score_coarsely, verify
from mirror_sfm.features import Features


def collection(given: np.ndarray, seed: int = 0) -> Features:
    """Photos with these descriptors [N, n, 128], all at the same places."""
    photos, count = given.shape[:2]
    keypoints = matched_keypoints(1, count, seed)["keypoints"][:1]
    return Features(
        names=tuple(f"{k}.jpg" for k in range(photos)),
        keypoints=np.repeat(keypoints, photos, 0),
        descriptors=given,
        sizes=np.full(photos, count, np.int32),
        diagonals=np.full(photos, 800, np.float32),
        image_sizes=np.tile(np.array([[640, 480]], np.int32), (photos, 1)),
        scales=np.ones((photos, 2), np.float32),
    )


def chances(features: Features, verify_per_photo: int = 50) -> tuple[Candidates, np.ndarray]:
    candidates = score_coarsely(features, 128, 1)
    evidence = verify(features, candidates, choose(candidates, verify_per_photo), 1)
    return candidates, probabilities(candidates, evidence, diffuse(candidates, evidence, 1))


def made(weights: list[float], photos: int) -> tuple[Candidates, Evidence]:
    i, j = (index.astype(np.int32) for index in np.triu_indices(photos, 1))
    weight = np.resize(np.array(weights, np.float32), len(i))
    evidence = Evidence(np.arange(len(i)), weight, np.zeros((0, 2), np.int32), np.zeros(len(i) + 1, np.int64))
    return Candidates(photos, i, j, weight / 10), evidence


@given(st.lists(st.floats(0, 500, width=32), min_size=1, max_size=10), st.floats(0, 100, width=32), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_more_evidence_never_makes_a_pair_less_likely(weights: list[float], more: float, which: int) -> None:
    """Of either kind, the other kept as it is."""
    candidates, evidence = made(weights, 5)
    scores = diffuse(candidates, evidence, 1)
    x = inputs(candidates, evidence, scores)
    before = probabilities(candidates, evidence, scores)
    for column in (1, 2):
        raised = x.copy()
        raised[which, column] += more
        after = logistic(raised @ _factors())
        assert (after >= before).all() and (more < 0.1 or after[which] > before[which] or before[which] > 0.999)
    assert ((before >= 0) & (before <= 1)).all() and before.dtype == np.float32


def _factors() -> tuple[float, float, float]:
    from mirror_sfm import calibration

    return calibration.BIAS, calibration.SUPPORT, calibration.WEIGHT


def test_support_is_the_series_written_out() -> None:
    rng = np.random.default_rng(0)
    candidates, evidence = made(rng.gamma(1, 30, 28).tolist(), 8)
    s = np.zeros((8, 8))
    s[candidates.i, candidates.j] = s[candidates.j, candidates.i] = strengths(candidates, evidence)
    walk = s / s.sum(1)
    total, term = np.zeros_like(s), s
    for _ in range(60):
        total += term
        term = FOLLOW * term @ walk.T
    scores = diffuse(dataclasses.replace(candidates, coarse=np.zeros(28, np.float32)), evidence, 1)
    assert np.allclose(support(candidates, evidence, scores), total[candidates.i, candidates.j], rtol=1e-5)


def test_how_well_connected_the_photos_are_does_not_decide() -> None:
    """The same pair of strong evidence, alone and in a large collection: its score falls, not its probability."""
    lone, small = made([100.0], 2)
    many, large = made([100.0], 60)
    scores = [diffuse(*case, 1)[0] for case in ((lone, small), (many, large))]
    chance = [probabilities(*case, diffuse(*case, 1))[0] for case in ((lone, small), (many, large))]
    assert scores[1] < 0.2 * scores[0] and min(chance) > 0.98


@pytest.mark.parametrize("photos", [2, 3, 12, 40])
def test_strangers_are_unlikely_though_one_pair_is_the_best(photos: int) -> None:
    _, chance = chances(collection(descriptors(1, 300 * photos, 1).reshape(photos, 300, 128)))
    assert len(chance) == photos * (photos - 1) // 2 and chance.max() < EVIDENT


@pytest.mark.parametrize("photos", [2, 3, 12])
def test_photos_that_are_all_alike_match(photos: int) -> None:
    alike = np.repeat(descriptors(1, 300, 2), photos, 0)
    _, chance = chances(collection(alike))
    assert chance.min() > 0.95


def test_two_places_in_one_collection() -> None:
    two = np.concatenate((np.repeat(descriptors(1, 300, 3), 4, 0), np.repeat(descriptors(1, 300, 4), 4, 0)))
    candidates, chance = chances(collection(two))
    same = (candidates.i < 4) == (candidates.j < 4)
    assert chance[same].min() > 0.95 and chance[~same].max() < 0.1


def test_pairs_that_were_not_verified_are_less_sure() -> None:
    alike = np.repeat(descriptors(1, 300, 2), 9, 0)
    candidates, chance = chances(collection(alike), verify_per_photo=3)
    evidence = choose(candidates, 3)
    rest = np.setdiff1d(np.arange(len(candidates)), evidence)
    assert chance[rest].max() < chance[evidence].min()


@pytest.mark.parametrize("photos", [0, 1])
def test_nothing_to_calibrate(photos: int) -> None:
    _, chance = chances(
        collection(descriptors(photos, 50, 0)) if photos else collection(np.zeros((0, 5, 128), np.uint8))
    )
    assert chance.shape == (0,) and chance.dtype == np.float32


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0.125, 1, width=32)), min_size=2, max_size=9))
@settings(max_examples=80, deadline=None)
def test_a_witness_is_heard_in_order(pairs: list[tuple[float, float]]) -> None:
    chance, factor = np.array(pairs, np.float32).T
    after = heard(chance, factor)
    assert after.dtype == np.float32 and ((after >= 0) & (after <= 1)).all()
    equal = np.full(len(chance), 0.5, np.float32)
    order = np.argsort(factor)
    assert (np.diff(heard(equal, factor)[order]) >= 0).all()
    assert np.allclose(heard(chance, np.full_like(factor, 0.7)), chance, atol=1e-6)  # says nothing
    assert len(heard(chance[:0], factor[:0])) == 0


def test_bins_and_errors_of_the_calibration_script(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(__file__).parents[1] / "bench" / "calibrate.py"
    spec = importlib.util.spec_from_file_location("calibrate", file)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "calibrate", script)  # dataclasses look their module up
    spec.loader.exec_module(script)
    rng = np.random.default_rng(0)
    promised = rng.uniform(size=20_000)
    true = rng.uniform(size=20_000) < promised
    assert script.calibration_error(script.reliability(promised, true, np.ones(20_000))) < 0.02
    assert script.calibration_error(script.reliability(promised**3, true, np.ones(20_000))) > 0.2
    found, share = script.reached(promised, true, 0.8)
    assert found == pytest.approx(0.8, abs=0.02) and share == pytest.approx(1 - 0.2**0.5, abs=0.02)
    x = np.stack((np.ones(20_000), rng.normal(size=20_000), rng.normal(size=20_000)), 1)
    owner = np.full((20_000, 2), "a")
    likely = rng.uniform(size=20_000) < logistic(x @ (0.5, 1.5, -0.5))
    factors = script.fit([script.Pairs(owner, True, 1.0, x, likely)])
    assert factors == pytest.approx((0.5, 1.4, 0), abs=0.15)  # what lowers the odds counts nothing instead
