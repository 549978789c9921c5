"""Average precision against golden numbers, labels of every kind, and the quality bar on real scenes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inputs import blank_features

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evaluation import average_precision, evaluate, label_table, mean_average_precision, measure, read_labels
from mirror_sfm.evidence import Candidates, Evidence
from mirror_sfm.pairs import PairOptions
from mirror_sfm.photos import Skipped
from mirror_sfm.view_graph import ScoredPairs

GOLDEN = Path(__file__).parent / "golden" / "golden.json"


def golden() -> dict:
    return json.loads(GOLDEN.read_text())["average_precision"]


@pytest.mark.parametrize("name", ["perfect", "miss_first", "truncated", "none", "empty"])
def test_average_precision_is_golden(name: str) -> None:
    given = golden()["inputs"][name]
    assert average_precision(given["ranked"], given["gt"]) == pytest.approx(
        golden()["expected"][name]["trapezoid"], abs=1e-12
    )


def test_junk_takes_no_place() -> None:
    expected = golden()["expected"]["junk"]
    value = average_precision(expected["ranked"], expected["gt"], expected["junk"])
    assert value == pytest.approx(expected["trapezoid"], abs=1e-12)


@given(st.permutations(range(9)), st.sets(st.integers(0, 8), min_size=1))
def test_average_precision_is_the_closed_form(ranked: list[int], positives: set[int]) -> None:
    places = [place for place, item in enumerate(ranked) if item in positives]
    terms = [((k / r if r else 1) + (k + 1) / (r + 1)) / 2 for k, r in enumerate(places)]
    assert average_precision(ranked, positives) == pytest.approx(sum(terms) / len(positives))


def test_average_precision_needs_positives() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        average_precision([1, 2], [])


def test_mean_leaves_out_the_query_and_photos_without_a_positive() -> None:
    scores = np.array([[9, 1, 2, 0], [1, 9, 3, 0], [2, 3, 9, 0], [0, 0, 0, 9]], np.float32)
    positive = np.zeros((4, 4), bool)
    positive[0, 1] = positive[1, 0] = True  # second of 0's list (2, 1, 3), second of 1's (2, 0, 3)
    np.fill_diagonal(positive, True)
    assert mean_average_precision(scores, positive) == pytest.approx(0.25)
    assert np.isnan(mean_average_precision(scores, np.zeros((4, 4), bool)))


def test_pairs_that_were_not_scored_are_not_found() -> None:
    scores = np.full((3, 3), -np.inf, np.float32)
    positive = np.ones((3, 3), bool)
    scores[0, 1] = scores[1, 0] = 1
    assert mean_average_precision(scores, positive) == pytest.approx((0.5 + 0.5 + 0) / 3)


# ---- labels ----------------------------------------------------------------------------------------------------------

COVISIBILITY = "image_a,image_b,model,shared_points,overlap_min,overlap_iou,verified_inliers\n"
OVERLAP = "a,b,overlap_a_in_b,overlap_b_in_a\n"


def labels_of(folder: Path, name: str, text: str | bytes, photos: tuple[str, ...] = ("a.jpg", "b.jpg", "c.jpg")):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(folder / name, photos)


def test_shared_points_from_twenty_on(tmp_path: Path) -> None:
    rows = "a.jpg,b.jpg,0,20,0,0,0\nc.jpg,a.jpg,0,19,1,1,900\n"
    labels = labels_of(tmp_path, "pairs_covis.csv", COVISIBILITY + rows)
    assert labels.names == ("a.jpg", "b.jpg", "c.jpg") and labels.source == "pairs_covis.csv"
    assert np.argwhere(labels.positive).tolist() == [[0, 1], [1, 0]]


def test_overlap_of_the_smaller_side_and_names_without_suffix(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, "overlap.csv", OVERLAP + "a,b,0.25,0.9\nb.jpg,c,0.24,1.0\n")
    assert np.argwhere(labels.positive).tolist() == [[0, 1], [1, 0]]


def test_geometry_comes_before_covisibility(tmp_path: Path) -> None:
    for name in ("pairs_covis.csv", "overlap.csv", "pairs_overlap.csv"):
        (tmp_path / name).touch()
        assert label_table(tmp_path).name == name


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("pairs_covis.csv", "", "expected columns image_a, image_b, shared_points"),
        ("pairs_covis.csv", "a,b,c\n", "expected columns image_a, image_b, shared_points"),
        ("pairs_covis.csv", COVISIBILITY + "a.jpg,b.jpg,0,many,0,0,0\n", "line 2: could not convert .*many"),
        ("pairs_covis.csv", COVISIBILITY + "a.jpg,b.jpg,0\n", "line 2: expected 7 values, got 3"),
        ("pairs_covis.csv", COVISIBILITY + "a.jpg,z.jpg,0,30,0,0,0\n", "line 2: no photo is called z.jpg"),
        ("pairs_covis.csv", COVISIBILITY + "a.jpg,a.jpg,0,30,0,0,0\n", "line 2: a.jpg is paired with itself"),
        ("overlap.csv", "a,b\n", "expected columns for two names and two overlaps"),
        ("overlap.csv", OVERLAP + "a,b,0.3,\n", "line 2: could not convert"),
        ("overlap.csv", OVERLAP + "a,b,0.3,nan\n", "line 2: .*nan"),
        ("overlap.csv", OVERLAP.encode() + b"\xff\xfe,b,0.3,1\n", "not a table"),
        ("overlap.csv", OVERLAP + 'a,"b,0.3,1\n', "not a table"),
    ],
)
def test_malformed_labels_name_the_line(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    with pytest.raises(MirrorError, match=message) as caught:
        labels_of(tmp_path, name, text)
    assert "\n" not in str(caught.value)


def test_a_scene_without_photos_or_labels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder images"):
        evaluate(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(MirrorError, match=r"has no labels: expected one of pairs_overlap\.csv"):
        evaluate(tmp_path)


# ---- reports ---------------------------------------------------------------------------------------------------------


def test_measures_of_a_small_scene(tmp_path: Path) -> None:
    """Four photos, d unusable. Positives: ab, cd. Scores: ab > ac > bc."""
    i, j = np.array([0, 0, 1], np.int32), np.array([1, 2, 2], np.int32)
    scores = np.array([0.9, 0.5, 0.1], np.float32)
    nothing = Evidence(
        np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 2), np.int32), np.zeros(1, np.int64)
    )
    scored = ScoredPairs(
        features=blank_features(("a.jpg", "b.jpg", "c.jpg")),
        skipped=(Skipped("d.jpg", "bad"),),
        paths={},
        photos=4,
        candidates=Candidates(3, i, j, scores),
        evidence=nothing,
        witnesses={},
        scores=scores,
        probabilities=scores,
        seconds={},
    )
    text = OVERLAP + "a,b,1,1\nc,d,1,1\n"
    report = measure("small", scored, labels_of(tmp_path, "overlap.csv", text, ("a.jpg", "b.jpg", "c.jpg", "d.jpg")))
    assert (report.photos, report.positives) == (4, 2)
    assert report.mean_average_precision == pytest.approx((1 + 1 + 0 + 0) / 4)
    assert report.at[0].per_photo == 5
    assert report.at[0].precision == report.at[0].recall == report.at[0].chosen_recall == 0.5
    assert report.at[0].components == 3  # ab, c, d


def test_evaluate_runs_the_job(strip: Path, tmp_path: Path) -> None:
    shutil.copytree(strip, tmp_path / "images")
    rows = "".join(f"{a},{b},1,1\n" for a in range(8) for b in range(a + 1, min(a + 3, 8)))
    (tmp_path / "overlap.csv").write_text(OVERLAP + rows)
    report, scored = evaluate(tmp_path, PairOptions(threads=2))
    assert report.mean_average_precision == 1 and report.scene == tmp_path.name
    assert report.at[0].recall == 1 and report.at[0].components == 1
    assert len(scored.names) == 8


@pytest.mark.slow
def test_quality_bar(data: Path) -> None:
    names = ["drone_caliterra", "drone_garfield", "building_herzjesu25", "object_maryrose", "indoor_redkitchen"]
    reports = {name: evaluate(data / "scenes" / name)[0] for name in names}
    values = [report.mean_average_precision for report in reports.values()]
    ten = [next(at for at in report.at if at.per_photo == 10) for report in reports.values()]
    assert np.mean(values) >= 0.97 and min(values) >= 0.90
    assert np.mean([at.precision for at in ten]) >= 0.99
    assert all(at.components == 1 for report in reports.values() for at in report.at)
