"""Bags of words: golden numbers, the definitions as loops, what must not matter, real overlap, damaged files."""

import itertools
import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mirror_sfm.bag_of_words.vocabulary as vocabulary_module
import mirror_sfm.bag_of_words.voting as voting_module
from mirror_sfm.bag_of_words import archive
from mirror_sfm.bag_of_words.geometry import GeometryOptions, agreement, histograms
from mirror_sfm.bag_of_words.hamming import BITS, HammingEmbedding, HammingOptions, distances, random_projection
from mirror_sfm.bag_of_words.index import InvertedFile
from mirror_sfm.bag_of_words.retrieval import BagOptions, descriptors_of, rank_photos, score_photos
from mirror_sfm.bag_of_words.training import VocabularyOptions, make_vocabulary
from mirror_sfm.bag_of_words.vocabulary import Vocabulary
from mirror_sfm.bag_of_words.voting import FeatureFile, Quantised
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.features import Features, PhotoFeatures, stack
from mirror_sfm.folder import find_photos
from mirror_sfm.reading import read_features

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())
METHODS = {
    "nodes": BagOptions(),
    "leaves": BagOptions(inner_nodes=False, norm="l2"),
    "HE": BagOptions(hamming=HammingOptions()),
    "WGC": BagOptions(geometry=GeometryOptions()),
    "HE shared": BagOptions(hamming=HammingOptions(), share_votes=True),
    "HE+WGC": BagOptions(hamming=HammingOptions(30, None), geometry=GeometryOptions(8, 1.0, 0)),
}


def golden(case: str) -> tuple[dict, dict]:
    return GOLDEN[case]["inputs"], GOLDEN[case]["expected"]


def tree(seed: int = 0, length: int = 128, highest: int = 127) -> Vocabulary:
    """Three levels, nodes of one to four children, words on every level; with few values there are many ties."""
    rng = np.random.default_rng(seed)
    parents, level = [-1], [0]
    for _ in range(3):
        chosen = [node for node in level if node == 0 or rng.random() < 0.7]
        before = len(parents)
        parents += [node for node in chosen for _ in range(rng.integers(1, 5))]
        level = list(range(before, len(parents)))
    centroids = rng.integers(0, highest + 1, (len(parents), length)).astype(np.uint8)
    return Vocabulary(centroids, np.array(parents, np.int32))


def made_features(photos: int, seed: int = 0, most: int = 30) -> Features:
    """Random ones; some photos have none, some descriptors are in several photos."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, 128, (40, 128)).astype(np.uint8)
    held = []
    for photo in range(photos):
        size = 0 if photo == 3 else int(rng.integers(1, most + 1))
        keypoints = np.stack([*rng.random((2, size)), rng.uniform(1, 40, size), rng.uniform(0, 360, size)], axis=1)
        descriptors = np.minimum(127, pool[rng.integers(0, 40, size)] + rng.integers(0, 3, (size, 128)))
        held.append(PhotoFeatures(keypoints.astype(np.float32), descriptors.astype(np.uint8), (9, 9), (9, 9)))
    return stack([f"{photo}.jpg" for photo in range(photos)], held)


def quantised(features: Features, words: Vocabulary, embedding: HammingEmbedding) -> list[Quantised]:
    found = []
    for row, size in enumerate(features.sizes):
        descriptors, points = features.descriptors[row, :size], features.keypoints[row, :size]
        own = words.words_of(descriptors)
        octaves = np.array([math.log2(scale) for scale in points[:, 2].tolist()], np.float32)
        found.append(Quantised(own, embedding.signatures(descriptors, own), points[:, 3], octaves))
    return found


@pytest.mark.parametrize(("norm", "expected"), [("l1", "l1_score_2_minus_dist"), ("l2", "cosine")])
def test_golden_tf_idf(norm: str, expected: str) -> None:
    inputs, outputs = golden("bow_tfidf")
    index = InvertedFile.build([np.array(words) for words in inputs["db"].values()], inputs["num_words"], norm)
    np.testing.assert_allclose(index.idf, outputs["idf"], rtol=0, atol=1e-9)
    scores = index.scores(np.array(inputs["query"]))
    np.testing.assert_allclose(scores, list(outputs[expected].values()), rtol=0, atol=1e-9)


def test_golden_hamming_and_geometry() -> None:
    inputs, outputs = golden("he_wgc")
    weights = HammingOptions(inputs["threshold"], None).weights()[inputs["hamming"]]
    kept = np.flatnonzero(weights)
    assert kept.tolist() == outputs["kept"]
    assert weights.sum() == outputs["he_score"]
    options = GeometryOptions(inputs["orientation_bins"], inputs["scale_bin_width"], smooth=0)
    degrees, octaves = np.array(inputs["orientation_deg"])[kept], np.array(inputs["log2_scale"])[kept]
    turned, grown = histograms(np.zeros(len(kept), np.int64), degrees, octaves, weights[kept], 1, options)
    assert {str(bin_): turned[0, bin_] for bin_ in np.flatnonzero(turned[0])} == outputs["orientation_hist"]
    found = {str(bin_ - options.scale_side): grown[0, bin_] for bin_ in np.flatnonzero(grown[0])}
    assert found == outputs["scale_hist"]
    assert agreement(turned, grown, options)[0] == outputs["wgc_score"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=8), st.sampled_from(["l1", "l2"]))
def test_inverted_file_is_its_definition(photos: list[list[int]], norm: str) -> None:
    index = InvertedFile.build([np.array(words, np.int64) for words in photos], 10, norm)
    having = [sum(word in words for words in photos) for word in range(10)]

    def vector(words: list[int]) -> np.ndarray:
        tf_idf = np.array([words.count(w) * math.log(len(photos) / having[w]) if having[w] else 0 for w in range(10)])
        return tf_idf / max(np.abs(tf_idf).sum() if norm == "l1" else np.linalg.norm(tf_idf), 1e-12)

    for query in photos:
        scores = index.scores(np.array(query, np.int64))
        for words, score in zip(photos, scores, strict=True):
            q, v = vector(query), vector(words)
            if norm == "l2":
                assert score == pytest.approx(q @ v, abs=1e-12)
            elif q.any() and v.any():
                assert score == pytest.approx(2 - np.abs(q - v).sum(), abs=1e-12)
            else:
                assert score == 0


@pytest.mark.parametrize("highest", [127, 1])
def test_paths_are_their_definition(highest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        words = tree(seed, highest=highest)
        rows = np.random.default_rng(seed).integers(0, highest + 1, (50, 128)).astype(np.uint8)
        expected = np.full((50, words.depth), -1)
        for row, descriptor in enumerate(rows.astype(int)):
            node, level = 0, 0
            while len(children := np.flatnonzero(words.parents == node)):
                squared = ((words.centroids[children].astype(int) - descriptor) ** 2).sum(axis=1)
                node = expected[row, level] = children[np.argmin(squared)]
                level += 1
        np.testing.assert_array_equal(words.paths(rows), expected)
        assert set(words.words_of(rows)) <= set(words.words)
        with monkeypatch.context() as patched:
            patched.setattr(vocabulary_module, "_FLOATS", 1400)  # a few rows at a time
            np.testing.assert_array_equal(words.paths(rows), expected)
        assert words.paths(rows[:0]).shape == (0, words.depth)


@pytest.mark.parametrize(("branching", "depth"), [(4, 3), (20, 1)])
def test_threads_do_not_change_the_words(branching: int, depth: int, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    rows = np.random.default_rng(1).integers(0, 60, (1500, 64)).astype(np.uint8)
    files = []
    for threads in (1, 2, 5):
        options = VocabularyOptions(branching, depth, per_word=20, iterations=5, threads=threads)
        words = make_vocabulary(rows, options)
        words.save(tmp_path / f"{threads}.npz")
        HammingEmbedding.fit(words, rows).save(tmp_path / f"{threads}_hamming.npz")
        names = (f"{threads}.npz", f"{threads}_hamming.npz")
        files.append([(tmp_path / name).read_bytes() for name in names])
    assert files[0] == files[1] == files[2]
    assert words.depth == depth
    assert len(words.words) > 0.8 * branching**depth
    assert np.bincount(words.words_of(rows), minlength=len(words.parents))[words.words].min() >= 1
    other = make_vocabulary(rows, VocabularyOptions(branching, depth, per_word=20, iterations=5, seed=1))
    assert not np.array_equal(other.centroids, words.centroids)


def test_k_means_finds_clusters() -> None:
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    centres = rng.integers(20, 100, (8, 64))
    rows = (centres[rng.integers(0, 8, 800)] + rng.integers(-3, 4, (800, 64))).astype(np.uint8)
    words = make_vocabulary(rows, VocabularyOptions(2, 5, threads=1))
    gap = np.abs(words.centroids[:, None].astype(int) - centres).max(axis=2)
    assert (gap.min(axis=0) <= 3).all()  # every cluster has a node


def test_no_words_from_too_little() -> None:
    pytest.importorskip("faiss")
    rows = np.zeros((40, 64), np.uint8)
    with pytest.raises(MirrorError, match="16 words need 32 descriptors, there are 31"):
        make_vocabulary(rows[:31])
    with pytest.raises(MirrorError, match="all alike"):
        make_vocabulary(rows)
    with pytest.raises(MirrorError, match="uint8"):
        make_vocabulary(rows.astype(np.float32))
    with pytest.raises(MirrorError, match="up to 128"):
        make_vocabulary(rows + np.uint8(128))
    for wrong in ({"branching": 1}, {"depth": 0}, {"seed": -1}, {"threads": 0}, {"branching": 1000}):
        with pytest.raises(UsageError):
            VocabularyOptions(**wrong)


def test_embedding_is_its_definition() -> None:
    words, rng = tree(2, length=64), np.random.default_rng(2)
    rows = rng.integers(0, 128, (301, 64)).astype(np.uint8)
    embedding = HammingEmbedding.fit(words, rows)
    turned = embedding.projection.astype(int)
    np.testing.assert_allclose(turned @ turned.T / 4096**2, np.eye(BITS), atol=2e-3)
    np.testing.assert_array_equal(turned, random_projection(64, 0))
    own = words.words_of(rows)
    values = rows.astype(int) @ turned.T
    for word in words.words:
        members = values[own == word] if (own == word).any() else values
        middle = np.sort(members, axis=0)[(len(members) - 1) // 2]
        np.testing.assert_array_equal(embedding.thresholds[word], middle)
    signatures = embedding.signatures(rows, own)
    for row in range(0, 301, 37):
        bits = [int(values[row, bit] > embedding.thresholds[own[row], bit]) << bit for bit in range(BITS)]
        assert int(signatures[row]) == sum(bits)
    expected = [(int(a) ^ int(b)).bit_count() for a, b in itertools.pairwise(signatures)]
    assert distances(signatures[:-1], signatures[1:]).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 20), st.sampled_from([0.25, 0.5, 1.0, 3.0]), st.integers(0, 3))
def test_agreement_is_its_definition(seed: int, bins: int, width: float, smooth: int) -> None:
    if 2 * smooth + 1 > bins:
        with pytest.raises(UsageError, match="smooth"):
            GeometryOptions(bins, width, smooth)
        return
    options, rng = GeometryOptions(bins, width, smooth), np.random.default_rng(seed)
    photo, weight = rng.integers(0, 4, 60), rng.random(60)
    degrees, octaves = rng.uniform(-360, 360, 60), rng.normal(0, 3, 60)
    found = agreement(*histograms(photo, degrees, octaves, weight, 5, options), options)
    reach = range(-smooth, smooth + 1)
    for row in range(5):
        turned, grown = dict.fromkeys(range(bins), 0.0), {}
        for k in np.flatnonzero(photo == row):
            turned[int(degrees[k] % 360 // (360 / bins))] += weight[k]
            bin_ = max(-options.scale_side, min(options.scale_side, math.floor(octaves[k] / width + 0.5)))
            grown[bin_] = grown.get(bin_, 0.0) + weight[k]
        around = max(sum(turned[(bin_ + shift) % bins] for shift in reach) for bin_ in turned)
        every = range(-options.scale_side, options.scale_side + 1)
        beside = max(sum(grown.get(bin_ + shift, 0.0) for shift in reach) for bin_ in every)
        assert found[row] == pytest.approx(min(around, beside), abs=1e-9)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("geometry", [None, GeometryOptions()])
def test_voting_is_its_definition(
    geometry: GeometryOptions | None, share: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, words = made_features(7), tree(1)
    embedding = HammingEmbedding.fit(words, descriptors_of(features))
    photos, hamming = quantised(features, words, embedding), HammingOptions(25, 12.0)
    file = FeatureFile.build(photos, len(words.parents))
    count, table = len(photos), hamming.weights()
    for query in photos:
        scores = file.scores(query, hamming, geometry, share)
        for row, other in enumerate(photos):
            matches, rivals = [], dict.fromkeys(range(len(query.words)), 0)
            for f, g in itertools.product(rivals, range(len(other.words))):
                if query.words[f] == other.words[g]:
                    h = (int(query.signatures[f]) ^ int(other.signatures[g])).bit_count()
                    weight = table[h] * file.idf[query.words[f]] ** 2
                    turn, growth = other.angles[g] - query.angles[f], other.octaves[g] - query.octaves[f]
                    matches.append((weight, turn, growth, f))
                    rivals[f] += table[h] > 0
            weight, turn, growth, feature = np.array(matches).reshape(-1, 4).T
            if share:
                weight = weight / [math.sqrt(max(1, rivals[f])) for f in feature]
            total = weight.sum()
            if geometry is not None:
                own = np.zeros(len(weight), np.int64)
                turn, growth = turn.astype(np.float32), growth.astype(np.float32)
                total = agreement(*histograms(own, turn, growth, weight, 1, geometry), geometry)[0]
            norms = [
                math.sqrt(sum((np.sum(p.words == w) * file.idf[w]) ** 2 for w in set(p.words))) or 1
                for p in (query, other)
            ]
            assert scores[row] == pytest.approx(total / norms[0] / norms[1], abs=1e-12)
        with monkeypatch.context() as patched:
            patched.setattr(voting_module, "_MATCHES", 5)
            np.testing.assert_allclose(file.scores(query, hamming, geometry, share), scores, rtol=1e-12, atol=1e-15)
    assert count == 7


def test_without_hamming_and_geometry_votes_are_the_cosine() -> None:
    features, words = made_features(12, most=60), tree(4)
    embedding = HammingEmbedding.fit(words, descriptors_of(features))
    votes = score_photos(features, words, BagOptions(hamming=HammingOptions(64, None)), embedding)
    cosine = score_photos(features, words, BagOptions(norm="l2", inner_nodes=False))
    np.testing.assert_allclose(votes, cosine, rtol=0, atol=1e-6)
    assert cosine[3].tolist() == cosine[:, 3].tolist() == [0.0] * 12  # no features


@pytest.mark.parametrize("method", METHODS)
def test_ranking_is_the_order_of_scores_whatever_the_threads(method: str) -> None:
    features, words = made_features(15), tree(5)
    embedding = HammingEmbedding.fit(words, descriptors_of(features))
    scores = score_photos(features, words, METHODS[method], embedding)
    for threads in (1, 3):
        options = BagOptions(**vars(METHODS[method]) | {"threads": threads})
        assert score_photos(features, words, options, embedding).tobytes() == scores.tobytes()
    found = rank_photos(features, words, 6, METHODS[method], embedding)
    for row, own in enumerate(scores):
        expected = [place for place in np.argsort(-own, kind="stable") if place != row][:6]
        assert found.indices[row].tolist() == expected
        np.testing.assert_array_equal(found.values[row], own[expected])
    assert rank_photos(features.take(np.arange(4)), words, 6, METHODS[method], embedding).indices.shape == (4, 3)
    assert score_photos(features.take(np.arange(0)), words, METHODS[method], embedding).shape == (0, 0)


def test_order_of_photos_does_not_matter() -> None:
    features, words = made_features(9), tree(6)
    order = np.random.default_rng(0).permutation(9)
    embedding = HammingEmbedding.fit(words, descriptors_of(features))
    for options in METHODS.values():
        scores = score_photos(features, words, options, embedding)
        moved = score_photos(features.take(order), words, options, embedding)
        np.testing.assert_array_equal(moved, scores[np.ix_(order, order)])


@pytest.mark.parametrize("method", METHODS)
def test_neighbours_are_found(method: str, strip: Path) -> None:
    """Eight photos along a surface: the best partner is a neighbour, photos that share nothing come last."""
    pytest.importorskip("faiss")
    features = read_features(find_photos(strip), 300, threads=1).features
    rows = descriptors_of(features)
    words = make_vocabulary(rows, VocabularyOptions(8, 3, iterations=5, threads=1))
    embedding = HammingEmbedding.fit(words, rows)
    found = rank_photos(features, words, 7, METHODS[method], embedding).indices
    apart = np.abs(found - np.arange(8)[:, None])
    assert (apart[:, 0] == 1).all()
    assert apart[:, :2].mean() < 1.5 < 3.5 < apart[:, 4:].mean()


def test_memory_does_not_grow_with_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranking holds no matrix of scores, voting no more matches than it is allowed to."""
    monkeypatch.setattr(voting_module, "_MATCHES", 1 << 12)
    photos = 800
    features, words = made_features(photos, most=3), tree(7)
    tracemalloc.start()
    try:
        for options in (METHODS["nodes"], METHODS["WGC"]):
            rank_photos(features, words, 5, options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < photos * photos * 4


def test_what_does_not_fit_is_said() -> None:
    features, words = made_features(4), tree(0)
    with pytest.raises(UsageError, match="needs an embedding"):
        score_photos(features, words, METHODS["HE"])
    with pytest.raises(UsageError, match="another vocabulary"):
        score_photos(features, words, METHODS["HE"], HammingEmbedding.fit(tree(1), descriptors_of(features)))
    with pytest.raises(MirrorError, match=r"expected \[n, 32\]"):
        score_photos(features, tree(0, length=32))
    with pytest.raises(MirrorError, match="64 values or more"):
        HammingEmbedding.fit(tree(0, length=32), np.zeros((5, 32), np.uint8))
    features.keypoints[1, 0, 2] = 0
    with pytest.raises(MirrorError, match=r"1\.jpg: key points without scale"):
        score_photos(features, words, METHODS["WGC"])
    with pytest.raises(MirrorError, match=r"photo 1: words: expected 0\.\.4, got 2\.\.5"):
        InvertedFile.build([np.array([1]), np.array([2, 5])], 5)
    with pytest.raises(UsageError, match="norm"):
        BagOptions(norm="l3")
    for wrong in (HammingOptions, GeometryOptions):
        with pytest.raises(UsageError):
            wrong(65, -1.0) if wrong is HammingOptions else wrong(0)


def test_files_come_back_and_damage_is_told(tmp_path: Path) -> None:
    words, rows = tree(3), np.random.default_rng(3).integers(0, 128, (9, 128)).astype(np.uint8)
    embedding = HammingEmbedding.fit(words, rows)
    file, other = tmp_path / "words.npz", tmp_path / "hamming.npz"
    words.save(file)
    embedding.save(other)
    for held, back in ((words, Vocabulary.load(file)), (embedding, HammingEmbedding.load(other, words))):
        for name in held.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(back, name), getattr(held, name))
    with pytest.raises(UsageError, match="cannot read"):
        Vocabulary.load(tmp_path / "none.npz")
    with pytest.raises(MirrorError, match="holds no vocabulary"):
        Vocabulary.load(other)
    with pytest.raises(MirrorError, match="another vocabulary"):
        HammingEmbedding.load(other, tree(4))
    arrays = {"centroids": words.centroids, "parents": words.parents}
    np.save(tmp_path / "array.npy", words.parents)
    with pytest.raises(MirrorError, match="damaged, or no vocabulary"):
        Vocabulary.load(tmp_path / "array.npy")
    archive.write(file, "vocabulary", 2, arrays)
    with pytest.raises(MirrorError, match="version 2, expected 1"):
        Vocabulary.load(file)
    loop = words.parents.copy()
    loop[-1] = len(loop) - 1
    for wrong in ({"parents": loop}, {"parents": words.parents[:-1]}, {"centroids": words.centroids + np.uint8(128)}):
        archive.write(file, "vocabulary", 1, arrays | wrong)
        with pytest.raises(MirrorError, match="no tree of words"):
            Vocabulary.load(file)
    archive.write(file, "vocabulary", 1, {"centroids": words.centroids.astype(np.float64), "parents": words.parents})
    with pytest.raises(MirrorError, match="centroids: expected 2 dimensions"):
        Vocabulary.load(file)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_damaged_bytes_raise_one_line(tmp_path_factory: pytest.TempPathFactory, at: int, value: int, cut: bool) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged_words.npz"
    tree(3).save(file)
    content = bytearray(file.read_bytes())
    at %= len(content)
    content[at] = value
    file.write_bytes(content[:at] if cut else content)
    try:
        Vocabulary.load(file)
    except MirrorError as error:
        assert "\n" not in str(error)
