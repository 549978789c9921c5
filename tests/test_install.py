"""A stranger without torch: the wheel in a fresh environment computes, and the main job runs from photos to pairs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

USES_THE_OPS = """
import sys
import numpy as np
import mirror_ext.numpy as ops
descriptors = np.random.default_rng(0).integers(0, 128, (3, 40, 128), dtype=np.uint8)
scores = ops.match_kernel(descriptors)
assert scores.shape == (3, 3) and np.array_equal(scores, scores.T)
regions = np.random.default_rng(1).normal(size=(4, 5, 16)).astype(np.float32)
assert ops.pr_mac(regions).shape == (4, 4)
assert "torch" not in sys.modules
try:
    import torch
except ModuleNotFoundError:
    print("no torch")
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with our wheel and what it depends on: no torch. Returns its bin folder."""
    folder = tmp_path_factory.mktemp("install")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (wheel,) = folder.glob("mirror_sfm-*.whl")
    run(sys.executable, "-m", "venv", folder / "venv")
    run(folder / "venv/bin/pip", "install", "--quiet", wheel)
    return folder / "venv/bin"


@pytest.mark.slow
def test_ops_without_torch(environment: Path) -> None:
    assert run(environment / "python", "-c", USES_THE_OPS).strip() == "no torch"
    report = run(environment / "python", "-m", "mirror_ext")
    assert "numpy" in report and "torch" in report


@pytest.mark.slow
def test_main_job_without_torch(environment: Path, tmp_path: Path) -> None:
    run(environment / "mirror-sfm", "demo", tmp_path / "demo")
    run(environment / "mirror-sfm", "pairs", tmp_path / "demo/images", "-o", tmp_path / "out")
    pairs = (tmp_path / "out/pairs.txt").read_text().splitlines()
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert len(pairs) > 10 and all(len(line.split(" ")) == 2 for line in pairs)
    assert summary


@pytest.mark.slow
def test_wheel_is_a_cmake_package(environment: Path) -> None:
    prefix = Path(run(environment / "python", "-c", "import mirror_ext; print(mirror_ext.cmake_prefix_path)").strip())
    assert (prefix / "include/mirror/match_kernel.h").is_file()
    assert (prefix / "lib/cmake/mirror/mirrorConfig.cmake").is_file()


def run(*command: object) -> str:
    """Standard output of a command that must succeed, far from the repository (its folders would be imported)."""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd="/", env=clean)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
