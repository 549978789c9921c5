"""INSTRE in the split of Iscen et al. (CVPR 2017): 1250 boxes look for their object in 27293 other photos."""

from __future__ import annotations

import os
from dataclasses import replace

from mirror_sfm.benchmarks.ground_truth import read_ground_truth
from mirror_sfm.benchmarks.protocol import Benchmark
from mirror_sfm.errors import UsageError

BOXES = ("corners", "sizes")


def read_instre(truth: str | os.PathLike[str], boxes: str = "corners", name: str = "INSTRE") -> Benchmark:
    """Reads `gnd_instre.mat` (or the same as .pkl). Queries are no photos of the database.

    Args:
        boxes: what the numbers of a box are: "corners" x1 y1 x2 y2 (so programs that checked read them), or "sizes"
            x y width height, as in the set's own text files.

    Raises:
        UsageError, MirrorError: as `ground_truth.read_ground_truth`.
    """
    if boxes not in BOXES:
        raise UsageError(f"boxes: expected one of {', '.join(BOXES)}, got {boxes!r}")
    found = read_ground_truth(truth)
    if boxes == "sizes":
        corners = [None if box is None else (box[0], box[1], box[0] + box[2], box[1] + box[3]) for box in found.boxes]
        found = replace(found, boxes=tuple(corners))
    return found.benchmark(name, ("ok",), ("junk",))
