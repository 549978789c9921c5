"""Which photos overlap? Photos in, pairs out.

`find_pairs(folder)` is the whole job in one call. Importing the package is cheap: everything is loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirror_sfm.errors import MirrorError
    from mirror_sfm.pairs import PairGraph, PairOptions, find_pairs

__version__ = "0.1.0"
__all__ = ["MirrorError", "PairGraph", "PairOptions", "__version__", "find_pairs"]

_HOME = {"find_pairs": "pairs", "PairOptions": "pairs", "PairGraph": "pairs", "MirrorError": "errors"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
