"""Loads the torch ops: _C, then _C_cuda where this torch has CUDA. Importing this module is loading them."""

import json
import warnings
from pathlib import Path

try:
    import torch
except ImportError as error:
    raise ImportError(
        f"{error}: the torch ops of mirror_ext need torch >= 2.10 (mirror_ext.numpy needs none)"
    ) from error

_HERE = Path(__file__).resolve().parent

#: Part -> True, or why it is not loaded.
loaded: dict[str, bool | str] = {}


def _state(part: str) -> str:
    """What the build said about a part."""
    built = _HERE / "_build.json"
    if not built.is_file():
        return "not built: no _build.json in mirror_ext (pip install . builds it)"
    return json.loads(built.read_text())["parts"][part]


def _load(part: str, name: str) -> None:
    path = _HERE / f"{name}.so"
    if not path.is_file():
        loaded[part] = f"no {name}.so in {_HERE.name}"
        raise ImportError(f"{loaded[part]}: the {part} ops of mirror_ext are {_state(part)}")
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        loaded[part] = str(error)
        raise ImportError(
            f"{error}\nmirror_ext cannot load its {part} ops, {_state(part)}, into torch {torch.__version__}"
        ) from error
    loaded[part] = True


_load("torch", "_C")
if torch.version.cuda is None:
    loaded["cuda"] = f"torch {torch.__version__} has no CUDA"
elif not (_HERE / "_C_cuda.so").is_file():
    loaded["cuda"] = f"no _C_cuda.so: {_state('cuda')}"
else:
    try:
        _load("cuda", "_C_cuda")
    except ImportError as error:  # the CPU ops work without it: say so once, go on
        warnings.warn(str(error), RuntimeWarning, stacklevel=2)
