"""A foreign CMake project finds the installed package, links mirror::core with its own threads, and gets our bits."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import mirror_ext
import mirror_ext.numpy as ops

PROJECT = Path(__file__).parent / "cpp" / "guest"

if shutil.which("cmake") is None:
    pytest.skip("needs cmake", allow_module_level=True)
pybind11 = pytest.importorskip("pybind11")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    source = shutil.copytree(PROJECT, tmp_path_factory.mktemp("guest") / "source")  # far from our own CMake files
    build = source.parent / "build"
    prefixes = f"{mirror_ext.cmake_prefix_path};{pybind11.get_cmake_dir()}"
    run("cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefixes}", f"-DPython_EXECUTABLE={sys.executable}")
    run("cmake", "--build", build, "--parallel", "2")
    (library,) = build.glob("guest.*.so")
    spec = importlib.util.spec_from_file_location("guest", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_match_kernel(guest: ModuleType, threads: int) -> None:
    rng = np.random.default_rng(threads)
    descriptors = rng.integers(0, 128, (23, 57, 128), dtype=np.uint8)
    sizes = rng.integers(0, 58, 23, dtype=np.int32)
    scores = guest.Pool(threads).match_kernel(descriptors, sizes)
    assert scores.max() > 0
    np.testing.assert_array_equal(scores, ops.match_kernel(descriptors, sizes))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_pr_mac(guest: ModuleType, threads: int) -> None:
    rng = np.random.default_rng(threads)
    query, target = (rng.normal(size=(images, 5, 48)).astype(np.float32) for images in (31, 40))
    scores = guest.Pool(threads).pr_mac(query, target)
    np.testing.assert_array_equal(scores, ops.pr_mac(query, target))


def test_the_pool_is_used_again_and_again(guest: ModuleType) -> None:
    pool = guest.Pool(2)
    query = np.random.default_rng(0).normal(size=(64, 35, 256)).astype(np.float32)
    first = pool.pr_mac(query, query)
    for _ in range(20):
        np.testing.assert_array_equal(pool.pr_mac(query, query), first)
    assert pool.used() == 2


def test_wrong_shapes_raise(guest: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"expected descriptors \[N, n, 128\]"):
        guest.Pool(1).match_kernel(np.zeros((2, 3, 64), np.uint8), np.zeros(2, np.int32))
