"""Builds and runs the C++ tests: as they ship, and under AddressSanitizer with UBSan, and ThreadSanitizer."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["", "address,undefined", "thread"])
def test_cpp(sanitizer: str) -> None:
    """One build folder per sanitizer stays in build/, so that a second run compiles only what changed."""
    build = ROOT / "build" / f"tests-{sanitizer.replace(',', '-') or 'plain'}"
    jobs = str(os.cpu_count() or 1)
    options = ["-DMIRROR_TESTS=ON", "-DMIRROR_TORCH=OFF", "-DMIRROR_CUDA=OFF", f"-DMIRROR_SANITIZE={sanitizer}"]
    run("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", *options)
    run("cmake", "--build", build, "--parallel", jobs)
    tests = run("ctest", "--test-dir", build, "--output-on-failure", "--no-tests=error", "--parallel", jobs)
    assert "100% tests passed" in tests


def run(*command: object) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout
