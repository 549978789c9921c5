"""Which pairs are examined, and what the examination finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import descriptors, sizes_for

import mirror_ext.numpy as ops
from mirror_sfm import evidence
from mirror_sfm.evidence import Candidates, choose, partner_ranks, score_coarsely, verify
from mirror_sfm.features import Features, PhotoFeatures, stack


def collection(photos: int, sizes: list[int] | None = None, seed: int = 0) -> Features:
    """Photos that see windows of one long row of features, so that neighbours match."""
    rng = np.random.default_rng(seed)
    world = rng.integers(0, 128, (40 * photos + 200, 128), dtype=np.uint8)
    place = np.stack((rng.uniform(0, 40 * photos + 200, len(world)), rng.uniform(0, 100, len(world))), 1)
    place = place[np.argsort(place[:, 0])]
    made = []
    for photo in range(photos):
        seen = slice(40 * photo, 40 * photo + 100)
        noise = rng.integers(-3, 4, (100, 128))
        descriptors = np.clip(world[seen].astype(int) + noise, 0, 127).astype(np.uint8)
        keypoints = np.concatenate((place[seen] - (40 * photo, 0), np.full((100, 1), 4), np.full((100, 1), 30)), 1)
        count = 100 if sizes is None else sizes[photo]
        made.append(PhotoFeatures(keypoints[:count].astype(np.float32), descriptors[:count], (100, 98), (100, 98)))
    return stack([f"{k}.jpg" for k in range(photos)], made)


def candidates_of(matrix: np.ndarray) -> Candidates:
    i, j = (index.astype(np.int32) for index in np.triu_indices(len(matrix), 1))
    return Candidates(len(matrix), i, j, matrix[i, j].astype(np.float32))


symmetric = st.integers(2, 12).flatmap(
    lambda n: st.lists(st.integers(0, 5), min_size=n * n, max_size=n * n).map(
        lambda values: np.maximum(np.reshape(values, (n, n)), np.reshape(values, (n, n)).T).astype(float)
    )
)


@given(symmetric, st.integers(1, 14))
@settings(max_examples=60, deadline=None)
def test_choice_is_that_of_the_specification(matrix: np.ndarray, per_photo: int) -> None:
    count = len(matrix)
    own = matrix.copy()
    np.fill_diagonal(own, -np.inf)
    rank = np.argsort(np.argsort(-own, 1, kind="stable"), 1)
    i, j = np.triu_indices(count, 1)
    candidates = candidates_of(matrix)
    ranks = partner_ranks(candidates)
    assert np.array_equal(ranks[0], rank[i, j]) and np.array_equal(ranks[1], rank[j, i])
    expected = np.lexsort((-matrix[i, j], np.minimum(rank, rank.T)[i, j]))[: max(1, count * per_photo // 2)]
    assert choose(candidates, per_photo).tolist() == sorted(expected.tolist())


def test_every_photo_gets_its_best_partner() -> None:
    matrix = np.random.default_rng(3).uniform(size=(30, 30))
    matrix = matrix + matrix.T
    matrix[0] = matrix[:, 0] = 10  # a hub that everyone likes best
    candidates = candidates_of(matrix)
    rows = choose(candidates, 4)
    assert len(rows) == 60
    touched = np.bincount(np.concatenate((candidates.i[rows], candidates.j[rows])), minlength=30)
    assert touched.min() >= 2


@pytest.mark.parametrize("keep", [1, 3, 7, 11, 50])
def test_best_of_rows_are_the_best_of_the_whole_matrix(keep: int) -> None:
    features = collection(12, [100, 90, 3, 2, 1, 0, 100, 100, 50, 100, 100, 100])
    every, best = score_coarsely(features, 64, 2), score_coarsely(features, 64, 2, keep)
    assert len(every) == 66 and every.i.dtype == np.int32 and every.coarse.dtype == np.float32
    ranks = np.minimum(*partner_ranks(every))
    kept = ranks < keep
    for field in ("i", "j", "coarse"):
        assert np.array_equal(getattr(every, field)[kept], getattr(best, field))


@pytest.mark.parametrize("kind", ["scene", "few", "zeros"])
def test_blocks_and_threads_do_not_change_what_is_kept(kind: str) -> None:
    """Also where scores tie: then the lowest index stays."""
    given, sizes = descriptors(60, 20, 3, kind), sizes_for(60, 20, 4)
    every = np.asarray(ops.match_kernel(given, sizes))
    np.fill_diagonal(every, -1)
    best = np.argsort(-every, axis=1, kind="stable")[:, :5]
    owner = np.repeat(np.arange(60), 5)
    expected = np.unique(np.minimum(owner, best.ravel()) * 60 + np.maximum(owner, best.ravel()))
    for block, threads in ((60, 1), (7, 3), (1, 2), (512, 2)):
        i, j, scores = evidence._best_partners(given, sizes, 5, threads, block)
        assert np.array_equal(i.astype(np.int64) * 60 + j, expected) and i.dtype == j.dtype == np.int32
        assert scores.tobytes() == every[i, j].tobytes()


def test_large_collections_keep_the_best_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "DENSE_PHOTOS", 8)
    monkeypatch.setattr(evidence, "KEPT_PER_PHOTO", 2)
    assert len(score_coarsely(collection(8), 64, 1)) == 28
    assert len(score_coarsely(collection(9), 64, 1)) < 2 * 9 + 1


def test_neighbours_have_evidence_and_strangers_none() -> None:
    features = collection(8)
    candidates = score_coarsely(features, 100, 1)
    found = verify(features, candidates, np.arange(len(candidates)), 1)
    apart = candidates.j - candidates.i
    assert found.weight[apart == 1].min() > 20 > 2 > found.weight[apart > 2].max()
    first = found.features[: found.offsets[1]]  # photos 0 and 1 share 60 features, 40 places apart
    assert np.array_equal(first[:, 0], first[:, 1] + 40) and len(first) > 40


@pytest.mark.parametrize(("chunk", "threads"), [(1, 1), (7, 3), (8192, 2)])
def test_chunks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int, threads: int) -> None:
    features = collection(9, [100, 80, 2, 1, 0, 100, 100, 60, 100])
    candidates = score_coarsely(features, 32, 1)
    chosen = choose(candidates, 6)
    expected = verify(features, candidates, chosen, 1)
    monkeypatch.setattr(evidence, "_CHUNK", chunk)
    assert score_coarsely(features, 32, threads).coarse.tobytes() == candidates.coarse.tobytes()
    result = verify(features, candidates, chosen, threads)
    for field in ("pairs", "weight", "features", "offsets"):
        assert getattr(result, field).tobytes() == getattr(expected, field).tobytes()
        assert getattr(result, field).dtype == getattr(expected, field).dtype
    assert len(result.offsets) == len(chosen) + 1 and result.offsets[-1] == len(result.features)


@pytest.mark.parametrize("photos", [0, 1, 2])
def test_few_photos(photos: int) -> None:
    features = collection(photos)
    candidates = score_coarsely(features, 128, 1)
    chosen = choose(candidates, 50)
    assert len(candidates) == len(chosen) == (photos == 2)
    found = verify(features, candidates, chosen, 1)
    assert len(found.weight) == len(chosen) and found.offsets.tolist()[0] == 0
