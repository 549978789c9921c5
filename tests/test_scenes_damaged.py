"""A thousand damaged files for every reader: each is read, or refused in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COUNT = 1000
MODEL = ["cameras.bin", "images.bin", "points3D.bin", "rigs.bin", "frames.bin"]
GL3D = ["pfm", "mask.bin", "corr.bin", "kpts", "train_list"]
TEXT = ["cameras.txt", "cameras.json", ".obj", ".off"]
READERS = [*MODEL, *GL3D, *TEXT, "depth_png", "depth_npy", "depth_colmap", ".ply", ".stl", ".glb"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> dict[str, dict]:
    """In a process of its own: a crash would end this one."""
    pytest.importorskip("pycolmap")
    pytest.importorskip("trimesh")
    command = [sys.executable, str(HERE / "mutated.py"), str(tmp_path_factory.mktemp("damaged")), str(COUNT)]
    paths = os.pathsep.join([str(HERE.parent / "python"), str(HERE.parent)])
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=900, env={**os.environ, "PYTHONPATH": paths}, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return {found["reader"]: found for found in map(json.loads, run.stdout.splitlines())}


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files(outcome, reader):
    found = outcome.pop(reader)
    assert found["faults"] == []
    assert found["read"] + found["refused"] == COUNT
    assert found["refused"] > COUNT // 10  # the damage is real


def test_every_reader_is_tested(outcome):
    assert not set(outcome) - set(READERS)
