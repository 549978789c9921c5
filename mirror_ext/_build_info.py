"""What was built, why something was not, and what this machine and this process make of it."""

import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent

#: For CMake: ``cmake -DCMAKE_PREFIX_PATH=$(python -c "import mirror_ext; print(mirror_ext.cmake_prefix_path)")``, then
#: ``find_package(mirror)`` and ``target_link_libraries(... mirror::core)``.
cmake_prefix_path = str(_HERE)


#: Part -> True, or why it is not loaded. _library writes it.
loaded: dict[str, bool | str] = {
    "numpy": "not loaded",
    "torch": "not loaded (import of any torch op loads it)",
    "cuda": "not loaded",
}


def built_parts() -> dict[str, str]:
    """What the build said about each part: one line for "numpy", "torch" and "cuda"."""
    return _read()["parts"]


def _read() -> dict[str, Any]:
    written = _HERE / "_build.json"
    if written.is_file():
        return json.loads(written.read_text())
    why = f"not built: no _build.json in {_HERE.name} (pip install . builds it)"
    parts = {"numpy": why, "torch": why, "cuda": why}
    return {"version": None, "compiler": None, "build_type": None, "parts": parts}


def build_info() -> dict[str, Any]:
    """Describes the build and what of it this process uses. Never fails and never imports torch.

    Returns:
        version, compiler, build_type: of the build; None where the package was not built.
        parts: for "numpy", "torch" and "cuda" one line: what was built, or why it was not.
        loaded: for the same parts True, or why this process has not loaded it.
        isa: the highest instruction-set level of this machine ("portable", "avx2", "avx512" or "amx").
        isa_levels: all levels this machine can run, lowest first.
        isa_selected: the level in use (environment variable MIRROR_ISA, else the highest), or why there is none.
    """
    info = _read()
    info["isa"], info["isa_levels"], info["isa_selected"] = None, [], None
    try:
        from . import _numpy
    except ImportError as error:
        loaded["numpy"] = str(error)
        return info | {"loaded": dict(loaded)}
    loaded["numpy"] = True
    info["isa"] = _numpy.isa_available()
    levels = ["portable", "avx2", "avx512", "amx"]
    info["isa_levels"] = levels[: levels.index(info["isa"]) + 1]
    try:
        info["isa_selected"] = _numpy.isa_selected()
    except ValueError as error:
        info["isa_selected"] = str(error)
    return info | {"loaded": dict(loaded)}
