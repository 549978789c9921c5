"""What a user meets when things are not as they should be, from the command to the files."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mirror_sfm.pairs
from mirror_sfm import PairOptions, find_pairs
from mirror_sfm.cli import main
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.exports import complete_file, write_results
from mirror_sfm.exports.files import all_or_none

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `mirror-sfm` in this process; gives the exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mirror-sfm", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


@pytest.fixture(scope="module")
def project(strip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COLMAP database with the features of four photos."""
    pytest.importorskip("pycolmap")
    folder = tmp_path_factory.mktemp("project")
    graph = find_pairs(_few(strip, folder / "photos", 4), PairOptions(features=128, per_image=3))
    write_results(folder, graph, PairOptions(), ("colmap", "pairs"))
    with sqlite3.connect(folder / "colmap.db") as database:
        database.execute("DELETE FROM matches")
        database.execute("DELETE FROM two_view_geometries")
        for row, name in enumerate(graph.names):
            blob = (graph.features.descriptors[row] * 2).tobytes()
            query = "INSERT INTO descriptors SELECT image_id, 0, 128, 128, ? FROM images WHERE name = ?"
            database.execute(query, (blob, name))
    database.close()
    return folder


def _few(strip: Path, folder: Path, count: int) -> Path:
    folder.mkdir()
    for k in range(count):
        shutil.copy(strip / f"{k}.jpg", folder)
    return folder


# databases


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("UPDATE descriptors SET data = substr(data, 1, 100) WHERE image_id = 2", "100 bytes for 128 x 128 desc"),
        ("UPDATE descriptors SET rows = 2147483647000 WHERE image_id = 2", "the database is damaged"),
        ("UPDATE descriptors SET data = 'text' WHERE image_id = 2", "the database is damaged"),
        ("UPDATE keypoints SET rows = -1 WHERE image_id = 2", "for -1 x"),
        ("UPDATE images SET name = x'ff' WHERE image_id = 2", "photo 2 has no name"),
        ("UPDATE images SET name = cast(x'ff2e6a' AS text) WHERE image_id = 2", "its name is not UTF-8"),
        ("DELETE FROM cameras", "has no camera"),
    ],
)
def test_match_refuses_damaged_databases_in_one_line(
    damage: str, complaint: str, project: Path, tmp_path: Path, command: Command
) -> None:
    broken = shutil.copy(project / "colmap.db", tmp_path / "broken.db")
    with sqlite3.connect(broken) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(damage)
    database.close()
    code, out, err = command("match", "--database", broken, "--pairs", project / "pairs.txt")
    assert code == 1 and out == "" and err.count("\n") == 1 and complaint in err and "broken.db" in err


def test_an_empty_database_is_not_searched_for_jpegs(project: Path, tmp_path: Path, command: Command) -> None:
    empty = shutil.copy(project / "colmap.db", tmp_path / "empty.db")
    with sqlite3.connect(empty) as database:
        for table in ("descriptors", "keypoints", "images"):
            database.execute(f"DELETE FROM {table}")
    database.close()
    code, _, err = command("pairs", "--database", empty, "-o", tmp_path / "out")
    assert code == 1 and err.endswith("empty.db: it lists none; extract features first\n")


# files that are none


def test_reconstruct_waits_for_no_pipe(strip: Path, tmp_path: Path, command: Command) -> None:
    pytest.importorskip("pycolmap")
    photos = tmp_path / "photos"
    photos.mkdir()
    os.mkfifo(photos / "pipe.jpg")
    (photos / "empty.jpg").touch()
    code, _, err = command("reconstruct", photos, "-o", tmp_path / "out")
    assert code == 1 and "skipped empty.jpg: the file is empty" in err
    assert "skipped pipe.jpg: a broken link, or not a regular file" in err and "0 of 2 photos can be used" in err


# options


def test_positions_that_nobody_hears_are_refused(strip: Path, tmp_path: Path, command: Command) -> None:
    table = tmp_path / "places.csv"
    table.write_text("name,x,y\n0.jpg,1,2\n")
    code, _, err = command("pairs", strip, "-o", tmp_path / "out", "--gps", table, "--prior", "none")
    assert code == 2 and err.count("\n") == 1 and "gps" in err
    with pytest.raises(UsageError, match="a network alone hears no priors"):
        PairOptions(evidence="network", tower="vgg16", weights="random", priors=("time",))


def test_a_useless_table_of_positions_costs_no_work(
    strip: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_sfm.pairs, "score_coarsely", lambda *_: pytest.fail("the table was read too late"))
    (tmp_path / "places.csv").write_text("name,x,y\nnobody.jpg,1,2\n")
    for table, code, complaint in (
        (tmp_path / "places.csv", 1, "none of its names is a photo"),
        (tmp_path, 2, "Is a directory"),
        (tmp_path / "nothing.csv", 2, "No such file"),
    ):
        found, _, err = command("pairs", strip, "-o", tmp_path / "out", "--gps", table)
        assert found == code and err.count("\n") == 1 and complaint in err and str(table) in err


def test_bridges_beyond_the_budget_are_counted_and_named(strip: Path, tmp_path: Path, command: Command) -> None:
    code, out, _ = command("pairs", strip, "-o", tmp_path, "--budget", 3)
    assert code == 0 and "8 of 8 photos, 7 pairs (4 beyond the budget" in out
    summary = json.loads((tmp_path / "summary.json").read_text())
    listed = [line.split() for line in (tmp_path / "pairs.txt").read_text().splitlines()]
    assert summary["pairs_by_reason"]["bridge"] == 7 and summary["bridges_beyond_budget"] == listed[3:]
    code, out, _ = command("pairs", strip, "-o", tmp_path, "--budget", 12)
    assert (
        "beyond the" not in out and json.loads((tmp_path / "summary.json").read_text())["bridges_beyond_budget"] == []
    )


def test_a_dry_run_says_what_each_limit_allows(strip: Path, tmp_path: Path, command: Command) -> None:
    limits = ("--budget", 12, "--per-image", 2, "--recall", "0.9", "--dry-run")
    code, out, _ = command("pairs", strip, "-o", tmp_path, *limits, "--json")
    told = json.loads(out)
    assert code == 0 and told["pairs_by_limit"] | {"per_image": 8, "budget": 12} == told["pairs_by_limit"]
    assert told["pairs"] == min(told["pairs_by_limit"].values()) == 8
    assert "each limit alone would allow: per-image 8, budget 12" in command("pairs", strip, "-o", tmp_path, *limits)[1]


# files that are written


def test_no_report_of_other_pairs_stays(strip: Path, tmp_path: Path, command: Command) -> None:
    assert command("pairs", strip, "-o", tmp_path, "--report")[0] == 0
    assert "report.html" in json.loads((tmp_path / "summary.json").read_text())["files"]
    assert command("pairs", strip, "-o", tmp_path, "--per-image", 2)[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [".cache", "pairs.txt", "scores.npz", "summary.json"]


def test_the_report_names_no_list_that_was_not_written(strip: Path, tmp_path: Path, command: Command) -> None:
    for formats, named in ((("--export", "jsonl"), False), ((), True)):
        assert command("pairs", strip, "-o", tmp_path, "--report", *formats)[0] == 0
        assert ("pairs.txt" in (tmp_path / "report.html").read_text()) == named == (tmp_path / "pairs.txt").exists()


def test_a_report_that_fails_leaves_everything_as_it_was(
    strip: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    assert command("pairs", strip, "-o", tmp_path, "--report")[0] == 0
    held = before()
    monkeypatch.setattr("mirror_sfm.report.page.page", full)
    code, _, err = command("pairs", strip, "-o", tmp_path, "--report", "--per-image", 2)
    assert code == 1 and err.count("\n") == 1 and "No space left" in err and str(tmp_path / "report.html") in err
    assert before() == held


def test_messages_name_files_by_their_final_names(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match=r"^cannot write .*/summary\.json: Is a directory$"):  # noqa: SIM117
        with complete_file(_folder(tmp_path / "summary.json")) as file:
            file.write(b"{}")
    with pytest.raises(MirrorError, match=r"^colmap\.db is locked$"), all_or_none(tmp_path) as place:
        raise MirrorError(f"{place('colmap.db').name} is locked")


def test_a_demo_on_a_full_disk_names_its_folder(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mirror_sfm.synthetic.make_scene", full)
    code, _, err = command("demo", tmp_path / "scene")
    assert (
        code == 1 and err == f"mirror-sfm: cannot write the scene into {tmp_path / 'scene'}: No space left on device\n"
    )


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


# a process without a terminal


def test_closed_stderr_is_no_reason_to_fail(strip: Path, tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m mirror_sfm pairs '{strip}' -o '{tmp_path}' 2>&-"
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0 and "8 of 8 photos" in done.stdout


def test_full_stdout_is_one_line(strip: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    command = [sys.executable, "-m", "mirror_sfm", "pairs", str(strip), "-o", str(tmp_path), "--json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and done.stderr == "mirror-sfm: No space left on device\n"


def test_features_that_are_no_numbers_are_left_out(project: Path, tmp_path: Path, command: Command) -> None:
    odd = shutil.copy(project / "colmap.db", tmp_path / "odd.db")
    with sqlite3.connect(odd) as database:
        for image, table, kind in ((1, "keypoints", np.float32), (2, "descriptors", np.uint8)):
            ((data,),) = database.execute(f"SELECT data FROM {table} WHERE image_id = {image}")
            rows = np.frombuffer(data, kind).reshape(128, -1).copy()
            rows[::2] = np.nan if kind is np.float32 else 0
            database.execute(f"UPDATE {table} SET data = ? WHERE image_id = {image}", (rows.tobytes(),))
    database.close()
    code, _, err = command("pairs", "--database", odd, "-o", tmp_path / "out")
    assert code == 0 and err.count("64 of 128 features left out") == 2
    code, _, err = command("match", "--database", odd, "--pairs", project / "pairs.txt")
    assert code == 0 and err.count(": 64 features left out") == 2
