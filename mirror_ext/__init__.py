"""Fast ops for view graphs: late interaction of regions (PR-MAC) and of local features (match kernel), pooling.

    import mirror_ext                    # torch ops: mirror_ext.pr_mac(query, target)
    import mirror_ext.numpy as mirror    # the same on NumPy arrays, without torch

Importing this package imports neither torch nor NumPy and loads no library; each name does when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import numpy as numpy
    from . import reference as reference
    from ._build_info import build_info as build_info
    from ._build_info import cmake_prefix_path as cmake_prefix_path
    from ._match_kernel import match_kernel as match_kernel
    from ._match_kernel import mutual_matches as mutual_matches
    from ._overlap import morton_order as morton_order
    from ._overlap import overlap_masks as overlap_masks
    from ._overlap import shared_triangles as shared_triangles
    from ._overlap import visible_triangles as visible_triangles
    from ._pooling import masked_max_pool as masked_max_pool
    from ._pooling import region_max_pool as region_max_pool
    from ._pr_mac import pr_mac as pr_mac
    from ._pr_mac import pr_mac_rerank as pr_mac_rerank
    from ._pr_mac import pr_mac_topk as pr_mac_topk
    from ._rasterize import rasterize as rasterize
    from ._rasterize import rasterize_visible as rasterize_visible
    from ._similarity_support import similarity_support as similarity_support

__version__ = "0.3.0"

# Public name -> module that defines it.
_TORCH_OPS = {
    "match_kernel": "_match_kernel",
    "mutual_matches": "_match_kernel",
    "similarity_support": "_similarity_support",
    "rasterize": "_rasterize",
    "rasterize_visible": "_rasterize",
    "visible_triangles": "_overlap",
    "shared_triangles": "_overlap",
    "overlap_masks": "_overlap",
    "morton_order": "_overlap",
    "region_max_pool": "_pooling",
    "masked_max_pool": "_pooling",
    "pr_mac": "_pr_mac",
    "pr_mac_topk": "_pr_mac",
    "pr_mac_rerank": "_pr_mac",
}
_FACTS = {"build_info": "_build_info", "cmake_prefix_path": "_build_info"}
_MODULES = ("numpy", "reference")

__all__ = ["__version__", *_TORCH_OPS, *_FACTS, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _TORCH_OPS:
        importlib.import_module(f"{__name__}._library")  # first: it says what is missing where torch or _C is
    if home := _TORCH_OPS.get(name, _FACTS.get(name)):
        value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
