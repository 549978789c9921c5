"""What was built, why something was not, and what this machine and this process make of it."""

import json
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent

#: For CMake: ``cmake -DCMAKE_PREFIX_PATH=$(python -c "import mirror_ext; print(mirror_ext.cmake_prefix_path)")``, then
#: ``find_package(mirror)`` and ``target_link_libraries(... mirror::core)``.
cmake_prefix_path = str(_HERE)


def build_info() -> dict[str, Any]:
    """Describes the build and what of it this process uses. Never fails and never imports torch.

    Returns:
        version, compiler, build_type: of the build; None where the package was not built.
        parts: for "numpy", "torch" and "cuda" one line: what was built, or why it was not.
        loaded: for the same parts True, False, or the reason why loading failed.
        isa: the highest instruction-set level of this machine ("portable", "avx2", "avx512" or "amx").
        isa_levels: all levels this machine can run, lowest first.
        isa_selected: the level in use (environment variable MIRROR_ISA, else the highest), or why there is none.
    """
    info: dict[str, Any] = {"version": None, "compiler": None, "build_type": None}
    built = _HERE / "_build.json"
    if built.is_file():
        info |= json.loads(built.read_text())
    else:
        why = "not built: no _build.json beside mirror_ext (pip install . builds it)"
        info["parts"] = {"numpy": why, "torch": why, "cuda": why}
    library = sys.modules.get("mirror_ext._library")
    info["loaded"] = {"numpy": False, "torch": False, "cuda": False}
    if library is not None:
        info["loaded"] |= library.loaded
    info["isa"], info["isa_levels"], info["isa_selected"] = None, [], None
    try:
        from . import _numpy
    except ImportError as error:
        info["loaded"]["numpy"] = str(error)
        return info
    info["loaded"]["numpy"] = True
    info["isa"] = _numpy.isa_available()
    levels = ["portable", "avx2", "avx512", "amx"]
    info["isa_levels"] = levels[: levels.index(info["isa"]) + 1]
    try:
        info["isa_selected"] = _numpy.isa_selected()
    except ValueError as error:
        info["isa_selected"] = str(error)
    return info
