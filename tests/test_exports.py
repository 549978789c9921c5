"""Files as other programs read them, whole or not at all."""

import dataclasses
import json
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from inputs import blank_features

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evidence import Candidates, Evidence
from mirror_sfm.exports import (
    carries_any_name,
    complete_file,
    formats,
    pairs_text,
    score_arrays,
    summary_text,
    unsafe_name,
    write_results,
)
from mirror_sfm.pairs import PairOptions
from mirror_sfm.photos import Skipped
from mirror_sfm.view_graph import ViewGraph


def graph(names: tuple[str, ...] = ("a.jpg", "b/ü漢.jpg", "c#.png", "'d'.tif")) -> ViewGraph:
    i, j = (index.astype(np.int32) for index in np.triu_indices(len(names), 1))
    scores = np.linspace(1, 0, len(i), dtype=np.float32)
    evidence = Evidence(
        np.array([1, 4]), np.array([30, 2.5], np.float32), np.zeros((3, 2), np.int32), np.array([0, 2, 3])
    )
    skipped = (Skipped("x\ny.jpg", "its name holds white space"), Skipped("\udcff.jpg", "unreadable"))
    return ViewGraph(
        features=blank_features(names),
        skipped=skipped,
        paths={},
        photos=6,
        candidates=Candidates(len(names), i, j, scores),
        evidence=evidence,
        witnesses={},
        scores=scores,
        probabilities=scores,
        seconds={"decode": 0.25},
        chosen=np.array([4, 0]),
        reasons=np.zeros(2, np.uint8),
    )


@pytest.mark.parametrize(
    "name", ["a.jpg", "dir/sub/a-b_c(1).jpg", "ü漢🙂.jpg", "a#b.jpg", "d/#a.jpg", "'q'.jpg", "a,b;c.jpg"]
)
def test_safe_names(name: str) -> None:
    assert unsafe_name(name) is None


SPACES = [" ", "\t", "\n", "\r", "\x85", "\u00a0", "\u2028", "\u3000"]
OTHERS = ["\0", "\x1f", "\ufeff", "\udcff"]


@pytest.mark.parametrize("name", ["#a.jpg", " a.jpg", "\ufeffa.jpg", *(f"a{sign}b.jpg" for sign in SPACES + OTHERS)])
def test_unsafe_names_have_a_reason_and_a_remedy(name: str) -> None:
    assert "rename" in (unsafe_name(name) or "")


def test_pairs_text_is_the_subset_that_every_program_reads() -> None:
    text = pairs_text(graph())
    assert text == "b/ü漢.jpg 'd'.tif\na.jpg b/ü漢.jpg\n"
    for line in text.splitlines():
        assert len(line.split()) == 2 == len(line.split(" ")) and not line.startswith("#")


def test_an_unsafe_name_is_refused_not_written(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match=r"a b\.jpg.*rename"):
        write_results(tmp_path, graph(("a b.jpg", "b", "c", "d")), PairOptions())
    assert list(tmp_path.iterdir()) == []


def test_scores_hold_every_pair() -> None:
    held = score_arrays(graph())
    assert list(held) == ["names", "i", "j", "evidence", "score", "probability"]
    assert held["names"].tolist() == ["a.jpg", "b/ü漢.jpg", "c#.png", "'d'.tif"]
    assert (held["i"] < held["j"]).all() and len(held["i"]) == 6
    assert np.isnan(held["evidence"]).tolist() == [True, False, True, True, False, True]
    assert held["evidence"][[1, 4]].tolist() == [30, 2.5]
    assert [held[k].dtype for k in ("i", "j", "evidence", "score")] == [np.int32, np.int32, np.float32, np.float32]


def test_summary_tells_all() -> None:
    summary = json.loads(summary_text(graph(), PairOptions(per_image=7)))
    assert summary["photos"] == 6 and summary["usable"] == 4 and summary["pairs"] == 2
    assert summary["pairs_scored"] == 6 and summary["pairs_verified"] == 2
    assert summary["components"] == 2 and summary["fewest_pairs_of_a_photo"] == 0
    assert summary["skipped"] == [
        {"name": "x\\ny.jpg", "reason": "its name holds white space"},
        {"name": "\\udcff.jpg", "reason": "unreadable"},
    ]
    assert [photo["name"] for photo in summary["isolated"]] == ["c#.png"]
    assert summary["options"]["per_image"] == 7 and summary["seconds"] == {"decode": 0.25}


def test_results_are_the_same_bytes_every_time_and_files_are_readable(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_results(tmp_path / name, graph(), PairOptions())
    for name in ("pairs.txt", "scores.npz", "summary.json"):
        first, second = (tmp_path / folder / name for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
        assert stat.S_IMODE(first.stat().st_mode) & 0o444 == 0o444
    with np.load(tmp_path / "first" / "scores.npz") as held:
        assert held["names"].tolist() == list(graph().names) and len(held["score"]) == 6


def test_without_scores_an_old_file_goes(tmp_path: Path) -> None:
    write_results(tmp_path, graph(), PairOptions())
    write_results(tmp_path, graph(), PairOptions(), scores=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.txt", "summary.json"]


def test_what_an_earlier_run_wrote_in_other_formats_goes_but_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("somebody's")
    write_results(tmp_path, graph(), PairOptions())
    assert (tmp_path / "pairs.jsonl").read_text() == "somebody's"
    write_results(tmp_path, graph(), PairOptions(), ("jsonl", "kapture"))
    written = ["kapture-pairs.csv", "pairs.jsonl", "scores.npz", "summary.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == written
    assert sorted(json.loads((tmp_path / "summary.json").read_text())["files"]) == written
    write_results(tmp_path, graph(), PairOptions(), ("pairs",), scores=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.txt", "summary.json"]


def test_witnesses_are_among_the_scores() -> None:
    factor = np.linspace(0.5, 1, 6, dtype=np.float32)
    held = score_arrays(dataclasses.replace(graph(), witnesses={"time": factor, "gps": factor / 2}))
    assert list(held)[-2:] == ["witness_gps", "witness_time"] and held["witness_time"] is factor


def test_names_by_format() -> None:
    assert [name for name in formats() if carries_any_name(name)] == ["jsonl", "colmap", "alicevision", "openmvg"]
    assert formats()[0] == "pairs" and len(formats()) == 7
    assert unsafe_name("a b.jpg", ("colmap", "jsonl")) is None
    assert unsafe_name("a b.jpg", ("colmap", "pairs")) == unsafe_name("a b.jpg")
    for name in ("a\udcff.jpg", "a\0b.jpg"):
        assert all(unsafe_name(name, (one,)) for one in formats())
    assert unsafe_name("a,b.jpg", ("pairs",)) is None and "comma" in (unsafe_name("a,b.jpg", ("kapture",)) or "")
    assert unsafe_name("a//b.jpg", ("pairs",)) is None and "HDF5" in (unsafe_name("a//b.jpg", ("hloc-h5",)) or "")


def test_a_refused_name_says_what_else_there_is(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match=r"a b\.jpg.*--export colmap or --export jsonl"):
        write_results(tmp_path, graph(("a b.jpg", "b", "c", "d")), PairOptions(), ("jsonl", "kapture"))
    write_results(tmp_path, graph(("a b.jpg", "b", "c", "d")), PairOptions(), ("jsonl",))
    assert "a b.jpg" in (tmp_path / "pairs.jsonl").read_text()


def test_an_unknown_format_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown export format xml; known are pairs, jsonl"):
        write_results(tmp_path, graph(), PairOptions(), ("pairs", "xml"))


@pytest.mark.parametrize("name", ["colmap", "hloc-h5"])
def test_without_local_features_there_are_no_matches_to_export(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} holds matches of local features"):
        write_results(tmp_path, graph(), PairOptions(), ("pairs", name))
    assert list(tmp_path.iterdir()) == []


def earlier(folder: Path) -> dict[str, bytes]:
    """Results of an earlier run."""
    write_results(folder, graph(), PairOptions(per_image=3), ("pairs", "jsonl"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    before = earlier(tmp_path)
    (tmp_path / "openmvg-pairs.txt").mkdir()
    with pytest.raises(MirrorError, match=r"openmvg-pairs\.txt.*folder of that name"):
        write_results(tmp_path, graph(), PairOptions(), ("pairs", "openmvg"))
    (tmp_path / "openmvg-pairs.txt").rmdir()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_error_or_an_interrupt_in_the_last_format_leaves_the_earlier_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = earlier(tmp_path)
    for error in (KeyboardInterrupt, RuntimeError, MirrorError):

        def fail(*_: object, error: type[BaseException] = error) -> str:
            raise error("no")

        monkeypatch.setattr("mirror_sfm.exports.openmvg_text", fail)
        with pytest.raises(error):
            write_results(tmp_path, graph(), PairOptions(), ("pairs", "openmvg"))
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


FULL = """
import resource, sys
sys.path[:0] = {path!r}
from pathlib import Path
import test_exports
from mirror_sfm.errors import MirrorError, UsageError
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))  # the end of the disk, for a process
try:
    test_exports.write_results(Path({folder!r}), test_exports.graph(), test_exports.PairOptions(), {formats!r})
except MirrorError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 60, 400, 1200])
def test_a_full_disk_leaves_the_earlier_results(tmp_path: Path, limit: int) -> None:
    before = earlier(tmp_path)
    path = [str(Path(__file__).parent), *sys.path]
    code = FULL.format(path=path, limit=limit, folder=str(tmp_path), formats=("pairs", "jsonl"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("\n") == 1, done.stderr
    assert "cannot write into" in done.stdout and "unchanged" in done.stdout
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match=r"cannot write into .*nowhere"):
        write_results(tmp_path / "nowhere", graph(), PairOptions())


@pytest.mark.parametrize(("error", "told"), [(KeyboardInterrupt, KeyboardInterrupt), (OSError, MirrorError)])
def test_no_half_file(tmp_path: Path, error: type[BaseException], told: type[BaseException]) -> None:
    (tmp_path / "pairs.txt").write_text("old")
    with pytest.raises(told), complete_file(tmp_path / "pairs.txt") as file:
        file.write(b"half")
        raise error
    assert (tmp_path / "pairs.txt").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_colmap_reads_the_same_pairs(tmp_path: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    held = graph()
    write_results(tmp_path, held, PairOptions())
    with pycolmap.Database.open(tmp_path / "database.db") as database:
        camera = database.write_camera(pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 500, 640, 480))
        ids = {name: database.write_image(pycolmap.Image(name=name, camera_id=camera)) for name in held.names}
        options = pycolmap.ImportedPairingOptions(match_list_path=str(tmp_path / "pairs.txt"))
        found = pycolmap.ImportedPairGenerator(options, database).all_pairs()
    assert {frozenset(pair) for pair in found} == {frozenset(ids[name] for name in pair) for pair in held.pairs}
    assert len(found) == len(held.pairs)
