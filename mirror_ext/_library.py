"""Loads the torch ops: _C, then _C_cuda where this torch has CUDA. Importing this module is loading them."""

import warnings
from pathlib import Path
from typing import Any

from ._build_info import built_parts, loaded

try:
    import torch
except ImportError as error:
    loaded["torch"] = str(error)
    raise ImportError(
        f"{error}: the torch ops of mirror_ext need torch >= 2.10 (mirror_ext.numpy needs none)"
    ) from error

_HERE = Path(__file__).resolve().parent


def _load(part: str, name: str) -> None:
    path = _HERE / f"{name}.so"
    if not path.is_file():
        loaded[part] = f"no {name}.so in {_HERE.name}"
        raise ImportError(f"{loaded[part]}: the {part} ops of mirror_ext are {built_parts()[part]}")
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        why = str(error.__cause__ or error)  # torch puts a sentence of its own before that of the dynamic linker
        loaded[part] = why
        raise ImportError(
            f"{why}\nmirror_ext cannot load its {part} ops, {built_parts()[part]}, into torch {torch.__version__}"
        ) from error
    loaded[part] = True


_load("torch", "_C")
if torch.version.cuda is None:
    loaded["cuda"] = f"torch {torch.__version__} has no CUDA"
elif not (_HERE / "_C_cuda.so").is_file():
    loaded["cuda"] = "no _C_cuda.so in mirror_ext"
else:
    try:
        _load("cuda", "_C_cuda")
    except ImportError as error:  # the CPU ops work without it: say so once, go on
        warnings.warn(str(error), RuntimeWarning, stacklevel=2)


def expect_tensors(op: str, **arguments: Any) -> None:
    """Fails unless every argument is a tensor or None."""
    for name, value in arguments.items():
        if value is not None and not isinstance(value, torch.Tensor):
            got = type(value).__name__
            raise TypeError(f"{op}: {name}: expected a tensor, got {got} (mirror_ext.numpy takes NumPy arrays)")
