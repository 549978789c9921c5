"""The whole job in one call."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mirror_sfm
from mirror_sfm import evidence, exports, pairs
from mirror_sfm.errors import UsageError
from mirror_sfm.pairs import PairOptions, find_pairs, pair_budget
from mirror_sfm.view_graph import ViewGraph

SMALL = PairOptions(per_image=3, threads=2)


@pytest.fixture(scope="module")
def found(strip: Path) -> ViewGraph:
    return find_pairs(strip, SMALL)


def arrays(graph: ViewGraph) -> list[bytes]:
    held = (graph.candidates, graph.evidence)
    inside = [getattr(part, field.name) for part in held for field in dataclasses.fields(part)]
    return [np.asarray(value).tobytes() for value in (*inside, graph.scores, graph.chosen)]


def test_neighbours_score_highest_and_the_first_pairs_are_their_chain(found: ViewGraph) -> None:
    assert found.names == tuple(f"{k}.jpg" for k in range(8)) and not found.skipped and found.photos == 8
    apart = found.candidates.j - found.candidates.i
    assert found.scores[apart <= 2].min() > 2 * found.scores[apart > 2].max() > 0
    for photo in range(8):
        own = (found.candidates.i == photo) | (found.candidates.j == photo)
        assert apart[own][found.scores[own].argmax()] == 1
    assert sorted(found.pairs[:7]) == [(f"{k}.jpg", f"{k + 1}.jpg") for k in range(7)]
    assert len(found.pairs) == len(set(found.pairs)) == 12
    assert not found.components.any()


def test_seconds_have_every_stage(found: ViewGraph) -> None:
    assert set(found.seconds) == {"decode", "features", "coarse", "verify", "diffusion", "priors", "selection"}
    assert min(found.seconds.values()) >= 0


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(strip: Path, found: ViewGraph, threads: int) -> None:
    assert arrays(find_pairs(strip, dataclasses.replace(SMALL, threads=threads))) == arrays(found)


def test_order_of_the_file_system_changes_nothing(strip: Path, found: ViewGraph, tmp_path: Path) -> None:
    for name in reversed(found.names):
        shutil.copy(strip / name, tmp_path / name)
    assert arrays(find_pairs(tmp_path, SMALL)) == arrays(found)


def test_sparse_road_gives_the_same_scores(strip: Path, found: ViewGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """More photos than a dense matrix may have, every pair kept: the other solver, the same scores."""
    for module in (evidence, sys.modules["mirror_sfm.diffusion"]):
        monkeypatch.setattr(module, "DENSE_PHOTOS", 4)
    sparse = find_pairs(strip, SMALL)
    assert np.abs(sparse.scores - found.scores).max() < 1e-6
    assert sparse.pairs == found.pairs


@pytest.mark.parametrize("photos", [0, 1, 2, 3])
def test_few_photos(strip: Path, tmp_path: Path, photos: int) -> None:
    for k in range(photos):
        shutil.copy(strip / f"{k}.jpg", tmp_path)
    graph = find_pairs(tmp_path)
    assert len(graph.names) == photos
    assert len(graph.pairs) == photos * (photos - 1) // 2


def test_more_pairs_than_there_are_gives_all(strip: Path) -> None:
    assert len(find_pairs(strip, PairOptions(per_image=1000, min_prob=0)).pairs) == 28


def test_duplicates_are_photos_and_pair_with_each_other(strip: Path, tmp_path: Path) -> None:
    for k in range(4):
        shutil.copy(strip / f"{k}.jpg", tmp_path)
    shutil.copy(strip / "2.jpg", tmp_path / "copy.jpg")
    graph = find_pairs(tmp_path, PairOptions(per_image=2))
    assert ("2.jpg", "copy.jpg") in graph.pairs and "copy.jpg" in graph.names


def test_unusable_photos_and_names_are_reported_and_the_rest_goes_on(strip: Path, tmp_path: Path) -> None:
    for k in range(3):
        shutil.copy(strip / f"{k}.jpg", tmp_path)
    for name in ("a b.jpg", "#a.jpg", "a\nb.jpg"):
        shutil.copy(strip / "4.jpg", tmp_path / name)
    os.mkdir(tmp_path / "sub")
    shutil.copy(strip / "3.jpg", tmp_path / "sub" / "ä漢.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    Image.new("L", (64, 48), 128).save(tmp_path / "blank.png")
    graph = find_pairs(tmp_path, SMALL)
    assert graph.names == ("0.jpg", "1.jpg", "2.jpg", "sub/ä漢.jpg") and graph.photos == 9
    assert [photo.name for photo in graph.skipped] == ["#a.jpg", "a\nb.jpg", "a b.jpg", "blank.png", "broken.jpg"]
    reasons = {photo.name: photo.reason for photo in graph.skipped}
    assert all("rename" in reasons[name] for name in ("#a.jpg", "a\nb.jpg", "a b.jpg"))
    assert "no feature" in reasons["blank.png"]
    assert all(exports.unsafe_name(name) is None for name in graph.names)


def test_strangers_stay_apart_unless_everything_is_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(4):
        noise = Image.fromarray(rng.integers(0, 256, (60, 80), dtype=np.uint8)).resize((640, 480))
        noise.save(tmp_path / f"{k}.png")
    graph = find_pairs(tmp_path, PairOptions(per_image=3))
    assert not graph.pairs and graph.probabilities.max() < 0.02 and len(set(graph.components.tolist())) == 4
    assert len(find_pairs(tmp_path, PairOptions(per_image=3, min_prob=0)).pairs) == 6


@pytest.mark.parametrize(
    ("option", "value"), [("per_image", 0), ("verify", 0), ("features", 1), ("coarse_features", 1), ("threads", 0)]
)
def test_options_out_of_range(option: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"{option} must be at least .*, got {value}"):
        PairOptions(**{option: value})


def test_options_above_the_kernels_limit() -> None:
    with pytest.raises(UsageError, match="features must be at most 32768"):
        PairOptions(features=32769)


@pytest.mark.parametrize(("photos", "per_image", "budget"), [(2, 1, 1), (3, 1, 1), (75, 20, 750), (0, 5, 1)])
def test_budget(photos: int, per_image: int, budget: int) -> None:
    assert pair_budget(photos, per_image) == budget


def test_an_error_in_a_stage_is_raised(strip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of paper")

    monkeypatch.setattr(pairs, "diffuse", fail)
    with pytest.raises(RuntimeError, match="out of paper"):
        find_pairs(strip, SMALL)


def test_progress_goes_to_stderr_and_only_when_wanted(strip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    find_pairs(strip, SMALL)
    assert capfd.readouterr() == ("", "")
    find_pairs(strip, dataclasses.replace(SMALL, progress=True))
    out, err = capfd.readouterr()
    assert out == "" and "features" in err and "matching" in err


def test_package_names_are_lazy() -> None:
    assert mirror_sfm.find_pairs is find_pairs and mirror_sfm.PairOptions is PairOptions
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mirror_sfm.nothing  # noqa: B018
    code = "import sys, mirror_sfm; sys.exit(any(m in sys.modules for m in ('numpy', 'cv2', 'torch', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"evidence": "hearsay"}, "evidence must be local, network or both, got hearsay"),
        ({"evidence": "both"}, "evidence both needs a tower"),
        ({"tower": "mobilenet_v2"}, "a tower needs weights"),
        ({"weights": "random"}, "weights need a tower"),
        ({"priors": ("weather",)}, "prior must be one of gps, time, order, got weather"),
    ],
)
def test_options_that_contradict(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PairOptions(**wrong)


def test_a_network_alone_and_as_a_witness(strip: Path, found: ViewGraph) -> None:
    pytest.importorskip("torch")
    heard = find_pairs(strip, dataclasses.replace(SMALL, tower="mobilenet_v2", weights="random"))
    factor = heard.witnesses["network"]
    assert heard.names == found.names and ((factor > 0) & (factor <= 1)).all()
    np.testing.assert_array_equal(heard.scores, found.scores * factor)
    alone = find_pairs(strip, dataclasses.replace(SMALL, evidence="network", tower="mobilenet_v2", weights="random"))
    assert alone.names == found.names and len(alone.pairs) == 12 and not len(alone.evidence.pairs)
    assert np.isnan(alone.probabilities).all() and not alone.components.any()


def test_positions_of_the_photos_are_heard(strip: Path, found: ViewGraph, tmp_path: Path) -> None:
    table = tmp_path / "gps.csv"
    table.write_text("name,x,y\n" + "".join(f"{k}.jpg,{100 * k},0\n" for k in range(8)))
    heard = find_pairs(strip, dataclasses.replace(SMALL, gps=table))
    assert set(heard.witnesses) == {"gps"} and not found.witnesses
    np.testing.assert_array_equal(heard.scores, found.scores * heard.witnesses["gps"])
    assert heard.pairs[:7] == found.pairs[:7]
    with pytest.raises(UsageError, match="is not among those to hear"):
        dataclasses.replace(SMALL, gps=table, priors=())
