"""Turns bench_* functions into contests and keeps what they measured: one file per op, processor and level."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from contest import Contender, Contest
from peak import cpu_flags, cpu_info
from run import AVX2_ONLY, AVX512_ONLY

REPORTS = pytest.StashKey[dict[str, list]]()
PACKAGES = ("mirror-sfm", "numpy", "torch", "faiss-cpu", "opencv-python-headless", "pycolmap", "scipy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="the workloads at full size (minutes per case)")
    parser.addoption("--results", default=str(Path(__file__).parent / "results"), help="folder for the JSON files")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORTS] = {}


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    return request.config.getoption("--full")


@pytest.fixture(params=[1, 2], ids=["1thread", "2threads"])
def threads(request: pytest.FixtureRequest) -> int:
    if request.param > (os.cpu_count() or 1):
        pytest.skip(f"needs {request.param} processors")
    return request.param


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[str, dict[str, Any]], None]:
    """keep(op, report) adds a report to the op's file."""
    return lambda op, report: request.config.stash[REPORTS].setdefault(op, []).append(report)


@pytest.fixture
def contest(benchmark: Any, keep: Callable, full: bool) -> Callable[..., dict[str, Any]]:
    """contest(op, case, contenders, operations=, peak=, threads=, check=) measures and keeps the report."""

    def run(
        op: str,
        case: str,
        contenders: list[Contender],
        *,
        operations: float,
        peak: str,
        threads: int,
        check: Callable[[dict[str, Any]], None],
    ) -> dict[str, Any]:
        if full:
            case += ", full"
        match = Contest(contenders, peak, threads, budget=20.0 if full else 2.5)
        match.warm_up(check)
        benchmark.pedantic(match.round, rounds=7, iterations=1)
        report = {"case": case, "operations": operations, **match.report(operations)}
        benchmark.extra_info.update(report)
        keep(op, report)
        return report

    return run


def pytest_sessionfinish(session: pytest.Session) -> None:
    folder = Path(session.config.getoption("--results"))
    level = os.environ["MIRROR_ISA"]
    cpu = cpu_name()
    for op, reports in session.config.stash[REPORTS].items():
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{op}-{re.sub('[^a-z0-9]+', '-', cpu.lower()).strip('-')}-{level}.json"
        path.write_text(json.dumps({"op": op, "level": level, **machine(cpu), "contests": reports}, indent=1) + "\n")


def cpu_name() -> str:
    return cpu_info("model name") or platform.processor() or platform.machine()


def machine(cpu: str) -> dict[str, Any]:
    wanted = re.compile(r"avx|fma|f16c|amx|sse4")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "cpu": cpu,
        "processors": os.cpu_count(),
        "flags": sorted(flag for flag in cpu_flags() if wanted.match(flag)),
        "peers_limited_by": {name: os.environ[name] for name in (*AVX2_ONLY, *AVX512_ONLY) if name in os.environ},
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := installed(name))},
    }


# The environment variables by which run.py keeps peers to the level that is measured.
LIMITS = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "OPENBLAS_CORETYPE",
    "FAISS_OPT_LEVEL",
)


def installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
