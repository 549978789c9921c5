"""Which photos overlap? Photos in, pairs out.

`find_pairs(folder)` is the whole job in one call. Importing the package is cheap: everything is loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirror_sfm.dataset.format import open_dataset
    from mirror_sfm.errors import MirrorError
    from mirror_sfm.matching import MatchOptions, MatchReport, match
    from mirror_sfm.overlap.measured import Overlap
    from mirror_sfm.overlap.measuring import measure_overlap
    from mirror_sfm.overlap.options import OverlapOptions
    from mirror_sfm.pairs import PairOptions, choose_pairs, find_pairs, score_pairs
    from mirror_sfm.scenes.reading import read_scene
    from mirror_sfm.scenes.scene import Scene
    from mirror_sfm.sources import ColmapDatabase, HlocFeatures, PhotoFolder
    from mirror_sfm.view_graph import ScoredPairs, ViewGraph

__version__ = "0.3.0"
__all__ = [
    "ColmapDatabase",
    "HlocFeatures",
    "MatchOptions",
    "MatchReport",
    "MirrorError",
    "Overlap",
    "OverlapOptions",
    "PairOptions",
    "PhotoFolder",
    "Scene",
    "ScoredPairs",
    "ViewGraph",
    "__version__",
    "choose_pairs",
    "find_pairs",
    "match",
    "measure_overlap",
    "open_dataset",
    "read_scene",
    "score_pairs",
]

_HOME = {
    "find_pairs": "pairs",
    "score_pairs": "pairs",
    "choose_pairs": "pairs",
    "PairOptions": "pairs",
    "ScoredPairs": "view_graph",
    "ViewGraph": "view_graph",
    "PhotoFolder": "sources",
    "ColmapDatabase": "sources",
    "HlocFeatures": "sources",
    "match": "matching",
    "MatchOptions": "matching",
    "MatchReport": "matching",
    "read_scene": "scenes.reading",
    "Scene": "scenes.scene",
    "measure_overlap": "overlap.measuring",
    "Overlap": "overlap.measured",
    "OverlapOptions": "overlap.options",
    "open_dataset": "dataset.format",
    "MirrorError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
