"""The command as a user meets it: exit codes, one line for every mistake, files whole or absent."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mirror_sfm


def run(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mirror_sfm", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)


def one_line(text: str) -> bool:
    return text.endswith("\n") and text.count("\n") == 1 and "Traceback" not in text


def files(folder: Path) -> list[str]:
    """What a user sees; the cache of features is hidden."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".cache")


def test_pairs_end_to_end(strip: Path, tmp_path: Path) -> None:
    done = run("pairs", strip, "-o", tmp_path / "new" / "out", "--per-image", 3, "--threads", 2)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and "8 of 8 photos, 12 pairs" in done.stdout and one_line(done.stdout)
    out = tmp_path / "new" / "out"
    assert files(out) == ["pairs.txt", "scores.npz", "summary.json"]
    lines = (out / "pairs.txt").read_text().splitlines()
    assert len(lines) == 12 and {f"{k}.jpg {k + 1}.jpg" for k in range(7)} == set(lines[:7])
    with np.load(out / "scores.npz") as held:
        assert len(held["names"]) == 8 and len(held["i"]) == len(held["score"]) == 28
    summary = json.loads((out / "summary.json").read_text())
    assert summary["components"] == 1 and summary["options"]["per_image"] == 3


def test_the_same_bytes_whatever_the_threads(strip: Path, tmp_path: Path) -> None:
    for threads in (1, 3):
        assert run("pairs", strip, "-o", tmp_path / str(threads), "--threads", threads).returncode == 0
    for name in ("pairs.txt", "scores.npz"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_without_scores(strip: Path, tmp_path: Path) -> None:
    assert run("pairs", strip, "-o", tmp_path, "--no-scores").returncode == 0
    assert files(tmp_path) == ["pairs.txt", "summary.json"]


def test_unusable_photos_are_told_on_stderr_and_in_the_summary(strip: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    shutil.copytree(strip, photos)
    (photos / "broken.jpg").write_bytes(b"x")
    (photos / "empty.png").touch()
    Image.new("L", (64, 48)).save(photos / "black.jpg")
    shutil.copy(strip / "0.jpg", photos / "two\nlines.jpg")
    done = run("pairs", photos, "-o", out)
    assert done.returncode == 0 and "8 of 12 photos" in done.stdout
    told = done.stderr.splitlines()
    assert [line.split(":")[0] for line in told] == [
        f"skipped {name}" for name in ("black.jpg", "broken.jpg", "empty.png", "two\\nlines.jpg")
    ]
    skipped = json.loads((out / "summary.json").read_text())["skipped"]
    assert [f"skipped {photo['name']}: {photo['reason']}" for photo in skipped] == told


@pytest.mark.parametrize("photos", [0, 1, 2])
def test_few_photos(strip: Path, tmp_path: Path, photos: int) -> None:
    (tmp_path / "photos").mkdir()
    for k in range(photos):
        shutil.copy(strip / f"{k}.jpg", tmp_path / "photos")
    done = run("pairs", tmp_path / "photos", "-o", tmp_path / "out")
    assert done.returncode == (0 if photos else 1)
    assert files(tmp_path / "out") == ["pairs.txt", "scores.npz", "summary.json"]
    assert (tmp_path / "out" / "pairs.txt").read_text() == ("0.jpg 1.jpg\n" if photos == 2 else "")
    if not photos:
        assert one_line(done.stderr) and "no file there or below ends in .avif" in done.stderr


def test_nothing_usable_is_1_and_still_explained(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"x")
    done = run("pairs", tmp_path, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"mirror-sfm: no usable photo in {tmp_path}: 1 found, all skipped"
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["skipped"][0]["name"] == "bad.jpg"


def test_wrong_folders_are_2_in_one_line(strip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments, message in (
        (("pairs", tmp_path / "nowhere", "-o", tmp_path / "out"), "no such folder of photos"),
        (("pairs", tmp_path / "file", "-o", tmp_path / "out"), "no such folder of photos"),
        (("pairs", strip, "-o", tmp_path / "file"), "cannot make the folder"),
        (("pairs", strip, "-o", tmp_path / "file" / "out"), "cannot make the folder"),
        (("evaluate", tmp_path / "nowhere"), "is not a scene"),
    ):
        done = run(*arguments)
        assert done.returncode == 2 and message in done.stderr and one_line(done.stderr), (arguments, done.stderr)
    assert files(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("pairs",),
        ("pairs", "."),
        ("pairs", "-o", "y"),
        ("pairs", ".", "-o", "y", "--prior", "weather"),
        ("pairs", ".", "-o", "y", "--prior", "none", "--prior", "gps"),
        ("pairs", "--database", "a.db", "--hloc-features", "a.h5", "-o", "y"),
        ("pairs", "--database", "a.db", "--include", "*.jpg", "-o", "y"),
        ("pairs", ".", "-o", "y", "--per-image", "0"),
        ("pairs", ".", "-o", "y", "--threads", "a"),
        ("pairs", ".", "-o", "y", "--features", "99999"),
        ("evaluate",),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "Error" in done.stderr or one_line(done.stderr)
    assert files(tmp_path) == []


def test_a_place_that_is_taken_is_one_line(strip: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").mkdir()
    done = run("pairs", strip, "-o", tmp_path)
    assert done.returncode == 1 and one_line(done.stderr) and "a folder of that name" in done.stderr
    assert not [name for name in files(tmp_path) if "partial" in name]


def test_interrupt_is_one_line_and_leaves_no_file(strip: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for k in range(3000):  # minutes of work, were it not stopped
        os.link(strip / "0.jpg", photos / f"{k}.jpg")
    command = [sys.executable, "-m", "mirror_sfm", "pairs", str(photos), "-o", str(out)]
    # A shell that runs us in the background has the signal ignored, and children inherit that.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **heard) as process:
        try:
            deadline = time.monotonic() + 60
            while not out.exists() and time.monotonic() < deadline:  # made when the work starts
                time.sleep(0.05)
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130 and stdout == "" and one_line(stderr) and "interrupted" in stderr
    assert files(out) == []


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['mirror-sfm', '--help']\n"
        "from mirror_sfm.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('heavy:', [m for m in ('torch', 'cv2', 'scipy', 'numpy', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout and "pairs" in done.stdout and "evaluate" in done.stdout


def test_the_job_needs_no_torch(strip: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = None  # importing it is an error now\n"
        "from mirror_sfm import find_pairs\n"
        f"print(len(find_pairs({str(strip)!r}).pairs))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "28\n"


def test_version() -> None:
    assert run("--version").stdout == f"mirror-sfm {mirror_sfm.__version__}\n"


def scene(strip: Path, folder: Path) -> Path:
    shutil.copytree(strip, folder / "images")
    rows = "".join(f"{a},{b},1,1\n" for a in range(8) for b in range(a + 1, min(a + 3, 8)))
    (folder / "overlap.csv").write_text("a,b,overlap_a_in_b,overlap_b_in_a\n" + rows)
    return folder


def test_evaluate_prints_a_table_or_json(strip: Path, tmp_path: Path) -> None:
    first, second = scene(strip, tmp_path / "first"), scene(strip, tmp_path / "second")
    table = run("evaluate", first, second)
    assert table.returncode == 0, table.stderr
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["scene", "first", "second", "mean"]
    assert table.stdout.splitlines()[3].split()[1] == "1.000"
    reports = json.loads(run("evaluate", first, "--json").stdout)
    assert reports[0]["scene"] == "first" and reports[0]["mean_average_precision"] == 1
    assert [at["per_photo"] for at in reports[0]["at"]] == [5, 10, 20, 50]


def test_evaluate_with_bad_labels_is_1_in_one_line(strip: Path, tmp_path: Path) -> None:
    folder = scene(strip, tmp_path / "scene")
    (folder / "overlap.csv").write_text("a,b,overlap_a_in_b,overlap_b_in_a\n0,9,1,1\n")
    done = run("evaluate", folder)
    assert done.returncode == 1 and one_line(done.stderr) and "line 2: no photo is called 9" in done.stderr


@pytest.mark.slow
def test_a_real_scene(data: Path, tmp_path: Path) -> None:
    """75 photos from command to files; how long that takes is measured by bench/bench_pairs.py."""
    done = run("pairs", data / "scenes" / "drone_caliterra" / "images", "-o", tmp_path)
    assert done.returncode == 0 and "75 of 75 photos, 750 pairs" in done.stdout
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["components"] == 1 and set(summary["seconds"]) >= {"features", "coarse", "verify", "selection"}


def test_a_dry_run_says_how_much_and_writes_nothing(strip: Path, tmp_path: Path) -> None:
    done = run("pairs", strip, "-o", tmp_path / "out", "--dry-run", "--recall", "0.5", "--no-cache")
    assert done.returncode == 0 and "8 of 8 photos" in done.stdout and "matching them takes about" in done.stdout
    assert not (tmp_path / "out").exists()
    told = json.loads(run("pairs", strip, "-o", tmp_path / "out", "--dry-run", "--json").stdout)
    assert told["all_pairs"] == 28 and 7 <= told["pairs"] <= 28 and told["matching_seconds"] > 0
    assert 0.9 < told["expected_recall"] <= 1


def test_formats_report_and_summary(strip: Path, tmp_path: Path) -> None:
    done = run("pairs", strip, "-o", tmp_path, "--export", "pairs", "--export", "jsonl", "--report", "--json")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == ["pairs.jsonl", "pairs.txt", "report.html", "scores.npz", "summary.json"]
    assert json.loads(done.stdout)["pairs"] == len((tmp_path / "pairs.txt").read_text().splitlines())
    wrong = run("pairs", strip, "-o", tmp_path, "--export", "pdf")
    assert wrong.returncode == 2 and one_line(wrong.stderr) and "--export must be one of pairs, jsonl" in wrong.stderr


def test_a_name_no_list_can_carry(strip: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(strip, photos)
    (photos / "0.jpg").rename(photos / "a b.jpg")
    listed = run("pairs", photos, "-o", tmp_path / "listed")
    assert listed.returncode == 0 and "7 of 8 photos" in listed.stdout and "skipped a b.jpg" in listed.stderr
    carried = run("pairs", photos, "-o", tmp_path / "carried", "--export", "jsonl")
    assert carried.returncode == 0 and "8 of 8 photos" in carried.stdout and carried.stderr == ""
    first = json.loads((tmp_path / "carried" / "pairs.jsonl").read_text().splitlines()[0])
    assert {"image1", "image2", "probability", "reason"} <= set(first)
