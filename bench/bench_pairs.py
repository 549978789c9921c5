"""The whole job as a user starts it: wall time from the command to the files, the split by stage, and peak memory."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contest import busy_seconds

DATA = Path(os.environ.get("MIRROR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
COMMAND = [sys.executable, "-m", "mirror_sfm"]


def run(*arguments: str) -> dict[str, float]:
    """Seconds and memory of a command in a process of its own. Its output goes to stderr, should pytest show it."""
    started, others = time.perf_counter(), busy_seconds()
    child = os.posix_spawn(
        sys.executable, [*COMMAND, *arguments], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)]
    )
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    assert os.waitstatus_to_exitcode(status) == 0, arguments
    cpu = usage.ru_utime + usage.ru_stime
    foreign = max(0.0, busy_seconds() - others - cpu) / wall
    return {"wall_s": wall, "cpu_s": cpu, "peak_mb": usage.ru_maxrss / 1024, "foreign_load": foreign}


def measure(benchmark: Any, command: Callable[[], dict[str, float]], rounds: int) -> dict[str, float]:
    """Medians of `rounds` runs after one that fills the file cache."""
    runs: list[dict[str, float]] = []
    benchmark.pedantic(lambda: runs.append(command()), rounds=rounds, iterations=1, warmup_rounds=1)
    return {key: statistics.median(run[key] for run in runs[1:]) for key in runs[0]}


@pytest.mark.parametrize("scene", ["demo", "drone_caliterra"])
def bench_pairs(benchmark: Any, keep: Callable, tmp_path: Path, scene: str) -> None:
    images = DATA / "scenes" / scene / "images"
    if scene == "demo":
        run("demo", str(tmp_path / "demo"))
        images = tmp_path / "demo" / "images"
    elif not images.is_dir():
        pytest.skip(f"no {images}: set MIRROR_DATA")
    out = tmp_path / "out"

    def job() -> dict[str, float]:
        seconds = run("pairs", str(images), "-o", str(out))
        return {
            **seconds,
            **{f"stage {k}": v for k, v in json.loads((out / "summary.json").read_text())["seconds"].items()},
        }

    summary = measure(benchmark, job, rounds=3)
    keep("pairs", {"case": f"{scene}, {len(list(images.iterdir()))} photos", "threads": os.cpu_count(), "job": summary})


def bench_start(benchmark: Any, keep: Callable) -> None:
    """How long until the command answers at all."""
    keep(
        "pairs",
        {"case": "start, --version", "threads": 1, "job": measure(benchmark, lambda: run("--version"), rounds=5)},
    )
