"""After extraction: re-ranking, query expansion, diffusion over the database."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from mirror_sfm.descriptors.database_diffusion import DatabaseDiffusion, gmp_weights, normalised, photo_scores
from mirror_sfm.descriptors.expansion import QueryExpansion, expand, expanded_search
from mirror_sfm.descriptors.reranking import best_first, reorder_head, rerank
from mirror_sfm.descriptors.whitening import unit

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())
PRECISIONS = pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-9), (np.float32, 1e-5)])


def regions(photos: int, count: int = 4, channels: int = 6, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(photos, count, channels)) + 0.3).astype(dtype)


def pr_mac(query: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.array([[(q @ t.T).max(axis=1).mean() for t in target] for q in query])


# ---- re-ranking ------------------------------------------------------------------------------------------------------


def test_golden_rerank() -> None:
    given_, expected = GOLDEN["rerank"]["inputs"], GOLDEN["rerank"]["expected"]
    first = best_first(np.array([given_["global_similarity"]]))
    assert first.tolist() == [expected["initial"]]
    head = np.array(given_["regional_similarity"])[first[:, : given_["shortlist"]]]
    assert reorder_head(first, head).tolist() == [expected["reranked"]]


def test_ties_go_to_the_lowest_index() -> None:
    assert best_first(np.array([[1.0, 2.0, 1.0, 2.0]])).tolist() == [[1, 3, 0, 2]]
    assert reorder_head(np.array([[3, 1, 2, 0]]), np.array([[5.0, 5.0, 7.0]])).tolist() == [[2, 1, 3, 0]]


@given(st.integers(1, 12), st.integers(0, 15), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rerank_orders_the_head_and_keeps_the_tail(photos: int, shortlist: int, seed: int) -> None:
    x = regions(photos, seed=seed)
    order = np.stack([np.random.default_rng(seed + q).permutation(photos) for q in range(photos)])
    got = rerank(order, x, x, shortlist)
    exact = pr_mac(x, x)
    for q in range(photos):
        assert sorted(got[q, :shortlist]) == sorted(order[q, :shortlist])
        assert (np.diff(exact[q, got[q, :shortlist]]) < 1e-9).all()
        assert got[q, shortlist:].tolist() == order[q, shortlist:].tolist()
    if shortlist >= photos:
        assert got[:, 0].tolist() == list(range(photos))  # the query itself comes first


# ---- query expansion -------------------------------------------------------------------------------------------------


@PRECISIONS
def test_golden_expansion(dtype: type, atol: float) -> None:
    given_, expected = GOLDEN["query_expansion"]["inputs"], GOLDEN["query_expansion"]["expected"]
    query, database = np.array([given_["Q"]], dtype), np.array(given_["DB"], dtype)
    asked = query
    for step in range(3):
        found = expanded_search(query, database, 4, QueryExpansion(given_["top"], step))
        assert found.indices.tolist() == [expected[f"order_{step}"]]
        similarity = np.array(expected[f"sim_{step}"])[found.indices] / query.shape[1]
        np.testing.assert_allclose(found.values, similarity, rtol=0, atol=atol)
        if step:
            np.testing.assert_allclose(asked[0], expected[f"Q_{step}"], rtol=0, atol=atol)
        asked = expand(query, database, found.indices, found.values, QueryExpansion(given_["top"]))


def test_aligned_expansion_does_not_depend_on_the_order_of_regions() -> None:
    query, database = regions(2, seed=1), regions(7)
    shuffled = database[:, [2, 0, 3, 1]]
    order, score = np.tile(np.arange(7), (2, 1)), pr_mac(query, database)
    aligned, same = QueryExpansion(5, align=True), QueryExpansion(5)
    np.testing.assert_allclose(
        expand(query, database, order, score, aligned), expand(query, shuffled, order, score, aligned), atol=1e-12
    )
    assert np.abs(expand(query, database, order, score, same) - expand(query, shuffled, order, score, same)).max() > 0.1
    found = expand(query, database[:, :2], order, score, aligned)  # other numbers of regions are welcome
    best = [[t[np.argmax(t @ r)] for r in query[0]] for t in database[:5, :2]]
    np.testing.assert_allclose(found[0], unit(query[0] + np.einsum("n,nrc->rc", score[0, :5], np.array(best))))


def test_weights() -> None:
    query, database = regions(1, seed=1), regions(3)
    order, score = np.array([[2, 0, 1]]), np.array([[0.8, 0.5, -0.2]])

    def expanded(**options: object) -> np.ndarray:
        return expand(query, database, order, score, QueryExpansion(top=3, **options))  # type: ignore[arg-type]

    np.testing.assert_allclose(expanded(weight="average"), unit(query + database[order[0]].sum(axis=0)))
    powers = np.array([0.8, 0.5, 0]) ** 2
    np.testing.assert_allclose(
        expanded(weight="alpha", alpha=2), unit(query + np.einsum("n,nrc->rc", powers, database[order[0]])[None])
    )
    none = np.full((1, 3), -1)
    np.testing.assert_allclose(expand(query, database, none, score), query)


def test_expansion_finds_what_only_neighbours_see() -> None:
    """A chain: the query resembles a, a resembles b; b alone does not resemble the query."""

    def at(*degrees: float) -> np.ndarray:
        angle = np.radians(degrees)
        return np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)[:, None]

    other = unit(np.array([[[np.cos(1.0), 0, np.sin(1.0)]]]))
    database = np.concatenate([at(0, 25, 50, 75), other])
    plain = expanded_search(at(0), database, 5, QueryExpansion(iterations=0)).indices[0]
    wide = expanded_search(at(0), database, 5, QueryExpansion(top=3, iterations=3, weight="average")).indices[0]
    assert list(plain).index(3) == 4 and list(wide).index(3) == 3


# ---- diffusion -------------------------------------------------------------------------------------------------------


def test_golden_diffusion() -> None:
    given_, expected = GOLDEN["diffusion"]["inputs"], GOLDEN["diffusion"]["expected"]
    graph = csr_array(np.array(given_["affinity"]))
    np.testing.assert_allclose(normalised(graph).toarray(), expected["S"], rtol=0, atol=1e-9)
    exact = DatabaseDiffusion(alpha=given_["alpha"], tolerance=1e-14)
    f = exact.solve(graph, np.array([given_["y"]]))
    np.testing.assert_allclose(f[0], expected["f"], rtol=1e-9, atol=1e-9)
    assert best_first(f)[0].tolist() == expected["order"]


@PRECISIONS
def test_golden_gmp_weights(dtype: type, atol: float) -> None:
    given_, expected = GOLDEN["gmp_weights"]["inputs"], GOLDEN["gmp_weights"]["expected"]
    got = gmp_weights(np.array([given_["regions"]], dtype), given_["lam"])
    np.testing.assert_allclose(got[0], expected["weights"], rtol=0, atol=atol)


def test_graph_is_mutual() -> None:
    x = regions(30, 1)[:, 0]
    graph = DatabaseDiffusion(neighbours=5).graph(x).toarray()
    similarity = x @ x.T
    np.fill_diagonal(similarity, -np.inf)
    near = np.zeros((30, 30), bool)
    np.put_along_axis(near, best_first(similarity)[:, :5], True, axis=1)
    expected = np.where(near & near.T, np.maximum(similarity, 0) ** 3, 0)
    np.testing.assert_allclose(graph, expected, atol=1e-12)
    assert np.array_equal(graph, graph.T)


@pytest.mark.parametrize("copies", [1, 4, 9])
def test_copies_and_zero_vectors(copies: int) -> None:
    x = np.concatenate([np.repeat(regions(1, 1)[:, 0], copies, axis=0), regions(6, 1, seed=1)[:, 0], np.zeros((2, 6))])
    setting = DatabaseDiffusion(neighbours=3)
    graph = setting.graph(x).toarray()
    assert not graph.diagonal().any() and (graph > 0).sum(axis=1).max() <= 3
    assert not graph[-2:].any()
    f = setting.rank(x, x)
    assert np.isfinite(f).all() and not f[-2:].any()


def test_steps_agree_with_the_matrix() -> None:
    x, query = regions(40, 1)[:, 0], regions(3, 2, seed=4)
    setting = DatabaseDiffusion(neighbours=8, query_neighbours=4, alpha=0.9, iterations=200, tolerance=1e-12)
    similarity = np.einsum("qrc,mc->qrm", query, x)
    y = np.zeros((3, 40))
    for q in range(3):
        for r in range(2):
            for m in best_first(similarity)[q, r, :4]:
                y[q, m] += max(similarity[q, r, m], 0) ** 3
    np.testing.assert_allclose(setting.start(query, x), y, atol=1e-12)
    s = normalised(setting.graph(x)).toarray()
    expected = np.linalg.solve(np.eye(40) - 0.9 * s, y.T).T
    np.testing.assert_allclose(setting.rank(query, x), expected, atol=1e-9)
    assert np.array_equal(setting.rank(query, x), setting.rank(query, x, setting.graph(x), threads=3))


def test_diffusion_follows_a_manifold() -> None:
    """Points on two arcs: from one end of an arc, its far end is reached before the nearer other arc."""
    angle = np.radians(np.linspace(0, 120, 25))
    first = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    second = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)[8:]
    x = np.concatenate([first, second])
    f = DatabaseDiffusion(neighbours=4, query_neighbours=2, iterations=300).rank(first[:1], x)[0]
    assert first[0] @ first[24] < first[0] @ second[0]
    assert f[24] > f[25]


def test_photo_scores() -> None:
    x, scores = regions(5, 3), np.random.default_rng(0).random((2, 15))
    c = np.stack([np.linalg.inv(v @ v.T + np.eye(3)).sum(axis=1) for v in x])
    np.testing.assert_allclose(photo_scores(scores, x), (scores.reshape(2, 5, 3) * c).sum(axis=2))


# ---- errors ----------------------------------------------------------------------------------------------------------

X = regions(3)
ORDER = np.tile(np.arange(3), (3, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rerank(ORDER, X, X, -1), "rerank: shortlist: expected an integer >= 0"),
        (lambda: rerank(ORDER[:2], X, X), r"rerank: order: expected \[3, N\], got \[2, 3\]"),
        (lambda: rerank(ORDER + 1, X, X), "pr_mac_rerank: candidates"),
        (lambda: reorder_head(ORDER, np.zeros((3, 4))), "reorder_head: head_similarity: expected at most 3 columns"),
        (lambda: QueryExpansion(top=0), "QueryExpansion: top: expected an integer >= 1"),
        (lambda: QueryExpansion(weight="mean"), "QueryExpansion: weight: expected one of similarity"),
        (lambda: QueryExpansion(alpha=0), "QueryExpansion: alpha: expected a number > 0"),
        (lambda: expand(X, X[:, :2], ORDER, ORDER), r"expand: database: expected \[N, 4, 6\], got \[3, 2, 6\]"),
        (lambda: expand(X, X, ORDER, ORDER[:, :2]), r"expand: similarity: expected \[3, 3\]"),
        (lambda: DatabaseDiffusion(alpha=1.0), "DatabaseDiffusion: alpha: expected 0 <= alpha < 1"),
        (lambda: DatabaseDiffusion(gamma=0), "DatabaseDiffusion: gamma and tolerance: expected numbers > 0"),
        (lambda: DatabaseDiffusion(neighbours=0), "DatabaseDiffusion: neighbours: expected an integer >= 1"),
        (lambda: DatabaseDiffusion().graph(X), r"DatabaseDiffusion: vectors: expected \[M, C\]"),
        (lambda: DatabaseDiffusion().graph(X[0] * np.nan), "DatabaseDiffusion: vectors: expected finite"),
        (lambda: DatabaseDiffusion().start(X[..., :2], X[0]), r"DatabaseDiffusion: query: expected \[Q, R, 6\]"),
        (lambda: gmp_weights(X, 0), "gmp_weights: regulariser: expected a number > 0"),
        (lambda: photo_scores(np.zeros((1, 5)), X), r"photo_scores: region_scores: expected \[Q, 12\]"),
    ],
)
def test_wrong_arguments(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call()  # type: ignore[operator]
