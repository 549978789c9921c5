"""Files for other programs. The only place that knows formats of pairs.

Every file is written beside its place and moved there when complete: an interrupted run leaves no half file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown

if TYPE_CHECKING:
    from mirror_sfm.pairs import PairOptions
    from mirror_sfm.view_graph import ViewGraph


def unsafe_name(name: str) -> str | None:
    """Why a photo of this name cannot be in a pair list that every program reads, or None.

    COLMAP skips a line of three words silently, takes a leading '#' for a comment and a byte order mark for a part of
    the name; hloc splits at any white space.
    """
    if any(c.isspace() or not c.isprintable() for c in name.replace("\ufeff", "\0")):
        undecodable = any("\ud800" <= c <= "\udfff" for c in name)
        what = "bytes that are not UTF-8" if undecodable else "white space or control characters"
        return f"its name holds {what}, which pair lists cannot carry; rename it"
    if name.startswith("#"):
        return "its name starts with '#', which pair lists take for a comment; rename it"
    return None


def write_results(folder: Path, graph: ViewGraph, options: PairOptions, scores: bool = True) -> None:
    """Writes pairs.txt, scores.npz and summary.json, all or none. Without `scores` an older scores.npz is removed: it
    would not belong to the pairs beside it."""
    with ExitStack() as files:
        files.enter_context(complete_file(folder / "pairs.txt")).write(pairs_text(graph).encode())
        files.enter_context(complete_file(folder / "summary.json")).write(summary_text(graph, options).encode())
        if scores:
            np.savez(files.enter_context(complete_file(folder / "scores.npz")), **score_arrays(graph))
    if not scores:
        (folder / "scores.npz").unlink(missing_ok=True)


def pairs_text(graph: ViewGraph) -> str:
    """Pairs as COLMAP's matches importer and hloc read them: `name name` per line, most needed pair first.

    Raises:
        MirrorError: a name cannot be written (see `unsafe_name`).
    """
    for name in graph.names:
        if reason := unsafe_name(name):
            raise MirrorError(f"cannot write a pair list: {shown(name)}: {reason}")
    return "".join(f"{first} {second}\n" for first, second in graph.pairs)


def score_arrays(graph: ViewGraph) -> dict[str, Any]:
    """Every scored pair, not only the chosen ones.

    names [N] str; i, j [P] int32, indices into names, i < j; evidence [P] float32, NaN where geometry was not examined;
    score, probability [P] float32.
    """
    candidates = graph.candidates
    evidence = np.full(len(candidates), np.nan, np.float32)
    evidence[graph.evidence.pairs] = graph.evidence.weight
    names = np.array(graph.names, np.str_)
    return {
        "names": names,
        "i": candidates.i,
        "j": candidates.j,
        "evidence": evidence,
        "score": graph.scores,
        "probability": graph.probabilities,
    }


def summary_text(graph: ViewGraph, options: PairOptions) -> str:
    """What was done, which photos were left out and why, and how long each stage took, as JSON."""
    from mirror_sfm import __version__

    degrees = graph.degrees
    summary = {
        "version": __version__,
        "photos": graph.photos,
        "usable": len(graph.names),
        "skipped": [{"name": shown(photo.name), "reason": photo.reason} for photo in graph.skipped],
        "pairs": len(graph.chosen),
        "pairs_scored": len(graph.candidates),
        "pairs_verified": len(graph.evidence.pairs),
        "components": len(np.unique(graph.components)),
        "fewest_pairs_of_a_photo": int(degrees.min()) if len(degrees) else 0,
        "options": {
            "per_image": options.per_image,
            "verify": options.verify,
            "features": options.features,
            "coarse_features": options.coarse_features,
        },
        "seconds": {stage: round(seconds, 4) for stage, seconds in graph.seconds.items()},
    }
    return json.dumps(summary, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when the block ends well, and not at all otherwise."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
