"""Fast ops for view graphs: late interaction of regions (PR-MAC) and of local features (match kernel).

    import mirror_ext                    # torch ops: mirror_ext.pr_mac(query, target)
    import mirror_ext.numpy as mirror    # the same on NumPy arrays, without torch

Importing this package imports neither torch nor NumPy and loads no library; each name does when it is first used.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> module that defines it. Modules named with an underscore need torch.
_HOMES = {
    "match_kernel": "_match_kernel",
    "mutual_matches": "_match_kernel",
    "similarity_support": "_similarity_support",
    "pr_mac": "_pr_mac",
    "pr_mac_topk": "_pr_mac",
    "pr_mac_rerank": "_pr_mac",
    "build_info": "_build_info",
    "cmake_prefix_path": "_build_info",
}
_MODULES = ("numpy", "reference")

__all__ = ["__version__", *_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
