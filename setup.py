"""Asks CMake to build the compiled parts and to put them into the mirror_ext package. Metadata is in pyproject.toml."""

import json
import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


class CMakeBuild(build_ext):
    """Configures, builds and installs CMakeLists.txt; what it installs becomes part of the package."""

    def run(self) -> None:
        package = ROOT / "mirror_ext" if self.inplace else Path(self.build_lib).resolve() / "mirror_ext"
        build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
        configure = ["cmake", "-S", str(ROOT), "-B", str(build), f"-DPython_EXECUTABLE={sys.executable}"]
        configure += ["-DMIRROR_NUMPY=ON"] + [
            f"-D{o}={os.environ.get(o, 'AUTO')}" for o in ("MIRROR_TORCH", "MIRROR_CUDA")
        ]
        if not (build / "CMakeCache.txt").exists():
            configure += ["-G", "Ninja"]
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
        call(configure)
        call(["cmake", "--build", str(build), "--parallel", jobs])
        call(["cmake", "--install", str(build), "--prefix", str(package)])
        built = json.loads((package / "_build.json").read_text())
        print("mirror_ext: " + "; ".join(f"{part}: {state}" for part, state in built["parts"].items()))


def call(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} was not found: install it (pip install cmake ninja) and run again") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"build failed: {' '.join(command)} ended with code {error.returncode}") from None


setup(
    ext_modules=[Extension("mirror_ext._numpy", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)
