"""GL3D's protocol from its own lists."""

from pathlib import Path

import numpy as np
import pytest

from mirror_sfm.benchmarks import gl3d
from mirror_sfm.benchmarks.protocol import ListOptions, measure
from mirror_sfm.errors import MirrorError, UsageError


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_pairs_both_ways_unless_directed(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.txt", "# i j\n0 2 0.7\r\n\n1 0\n3 3 1\n")
    assert gl3d.read_pairs(path, 4) == {(0, 2), (2, 0), (1, 0), (0, 1), (3, 3)}
    assert gl3d.read_pairs(path, 4, directed=True) == {(0, 2), (1, 0), (3, 3)}
    made = gl3d.benchmark(gl3d.read_pairs(path, 4), "abcd")
    assert [sorted(query.positives) for query in made.queries] == [[1, 2], [0], [0], []]
    assert [query.junk for query in made.queries] == [{0}, {1}, {2}, {3}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n0\n", "line 2: expected the index of a photo"),
        ("0 -1\n", "line 1: expected the index of a photo"),
        ("0 4\n", "line 1: expected indices below 4"),
        ("0 99999999999999999999999\n", "line 1: expected the index of a photo"),
    ],
)
def test_broken_pairs_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "pairs.txt", text)
    with pytest.raises(MirrorError, match=message) as caught:
        gl3d.read_pairs(path, 4)
    assert "\n" not in str(caught.value) and "pairs.txt" in str(caught.value)


# ---- from overlap ----------------------------------------------------------------------------------------------------


def scene(folder: Path, tracks: str | None, mesh: str | None) -> Path:
    for name, text in (("common_track.txt", tracks), ("mesh_overlap.txt", mesh)):
        if text is not None:
            written(folder / "geolabel" / name, text)
    return folder


def test_combined_overlap_of_a_half_or_more_is_true(tmp_path: Path) -> None:
    """0 1: tracks sqrt(.1 * .4) = .2, wholly. 0 2: mesh sqrt(.5 * .5). 1 2: below. 0 3: one direction only, 0."""
    tracks = "0 1 0.1\n1 0 0.4\n"
    mesh = "0 2 0.5\n2 0 0.5\n1 2 0.4\n2 1 0.6\n0 3 1\n2 2 1\n"
    assert gl3d.scene_pairs(scene(tmp_path, tracks, mesh), 4) == {(0, 1), (1, 0), (0, 2), (2, 0)}


def test_one_list_is_enough_and_none_is_not(tmp_path: Path) -> None:
    assert gl3d.scene_pairs(scene(tmp_path / "a", None, "0 1 0.6\n1 0 0.6\n"), 2) == {(0, 1), (1, 0)}
    assert gl3d.scene_pairs(scene(tmp_path / "b", "0 1 0.2\n1 0 0.2\n", None), 2) == {(0, 1), (1, 0)}
    with pytest.raises(UsageError, match="no overlap in"):
        gl3d.scene_pairs(tmp_path, 2)


def test_scenes_by_their_offsets(tmp_path: Path) -> None:
    both = "0 1 0.6\n1 0 0.6\n"
    scene(tmp_path / "aa", None, both)
    scene(tmp_path / "bb", None, both)
    offsets = written(tmp_path / "image_index_offset.txt", "bb 3 5\naa 0 3\n")
    pairs, scenes = gl3d.read_scenes(tmp_path, offsets)
    assert pairs == {(0, 1), (1, 0), (3, 4), (4, 3)} and scenes == {"bb": range(3, 5), "aa": range(3)}
    written(offsets, "aa 0 3\nbb 4 6\n")
    with pytest.raises(UsageError, match="expected scene bb to begin at 3, found 4"):
        gl3d.read_scenes(tmp_path, offsets)
    written(offsets, "../aa 0 3\n")
    with pytest.raises(MirrorError, match="expected the id of a scene"):
        gl3d.read_scenes(tmp_path, offsets)


# ---- pooled and per scene --------------------------------------------------------------------------------------------


def test_per_scene_looks_only_at_its_own_photos() -> None:
    """Photo 3 of the other scene comes first in every list: pooled it costs, within the scene it is not there."""
    scores = np.array([[9, 1, 0, 5], [1, 9, 0, 5], [0, 0, 9, 5], [0, 0, 1, 9]], float)
    pairs = {(0, 1), (1, 0), (2, 3), (3, 2)}
    made = gl3d.benchmark(pairs, ["a0", "a1", "b0", "b1"])
    pooled = measure(made, [np.argsort(-row, kind="stable") for row in scores], gl3d.AT_100)
    assert pooled.average_precision.tolist() == [0.25, 0.25, 1, 1]
    within = gl3d.measure_scenes(made, {"a": range(2), "b": range(2, 4)}, lambda query: scores[query], gl3d.AT_100)
    assert within.metric == "mAP@100 within scenes"
    assert within.mean_over_scenes == within.mean_over_queries == 1
    assert [result.benchmark for result in within.scenes.values()] == ["GL3D a", "GL3D b"]


def test_means_over_scenes_and_over_queries_differ() -> None:
    made = gl3d.benchmark({(0, 1), (1, 0), (2, 3)}, "abcde")
    scores = np.eye(5) + np.array([0, 0, 0, 1, 2]) / 10
    scenes = {"first": range(2), "second": range(2, 5), "none": range(5, 5)}
    found = gl3d.measure_scenes(made, scenes, lambda query: scores[query], ListOptions())
    assert found.scenes["second"].mean_average_precision == 0.25
    assert found.mean_over_scenes == pytest.approx((1 + 0.25) / 2)
    assert found.mean_over_queries == pytest.approx((1 + 1 + 0.25) / 3)
    with pytest.raises(UsageError, match="expected scenes of 5 photos, found 4"):
        gl3d.measure_scenes(made, {"a": range(4)}, lambda query: scores[query])


# ---- result files ----------------------------------------------------------------------------------------------------


def test_results_read_as_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((6, 6)).astype(np.float32)
    lists = [np.argsort(-row, kind="stable")[:4] for row in scores]
    for index, given in enumerate((None, lambda row: scores[row])):
        path = tmp_path / f"{index}.txt"
        gl3d.write_results(path, lists, given)
        found = gl3d.read_results(path, 6)
        assert [row.tolist() for row in found] == [row.tolist() for row in lists]
        again = tmp_path / "again.txt"
        gl3d.write_results(again, found, given)
        assert again.read_bytes() == path.read_bytes()


def test_results_in_any_order_go_by_score_then_by_row(tmp_path: Path) -> None:
    path = written(tmp_path / "r.txt", "1 0 0.5\n0 2 0.1\n0 1 0.1\n0 0 1e0\n")
    assert [row.tolist() for row in gl3d.read_results(path, 3)] == [[0, 1, 2], [0], []]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 0.5\n0 1 0.4\n", "line 2: the pair 0 1 is there twice"),
        ("0 1\n", "line 1: expected two indices of photos and a score"),
        ("0 1 nan\n", "line 1: expected a finite number"),
        ("0 3 1\n", "line 1: expected indices below 3"),
    ],
)
def test_broken_results_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MirrorError, match=message):
        gl3d.read_results(written(tmp_path / "r.txt", text), 3)


def test_scores_that_would_order_a_list_anew_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="list of photo 0"):
        gl3d.write_results(tmp_path / "r.txt", [[0, 1]], lambda row: [0.1, 0.2])
    with pytest.raises(UsageError, match="list of photo 0"):
        gl3d.write_results(tmp_path / "r.txt", [[1, 0]], lambda row: [0.2, 0.2])
    assert not (tmp_path / "r.txt").exists()
