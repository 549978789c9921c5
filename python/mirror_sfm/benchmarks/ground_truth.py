"""The files in which ground truth is handed around: `gnd_<set>.pkl` and `gnd_<set>.mat`.

Both hold `imlist` (names of the database), `qimlist` (names of the queries; or `qidx`, their places in `imlist`) and
`gnd`: for every query places in `imlist` under `ok`, `easy`, `hard`, `junk`, whichever the set has, and a box `bbx`.
Places count from 0 in .pkl and from 1 in .mat.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirror_sfm.benchmarks.matlab import read_matlab
from mirror_sfm.benchmarks.pickled import read_pickled
from mirror_sfm.benchmarks.protocol import Benchmark, Box, Query
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import shown

LABELS = ("ok", "easy", "hard", "junk")


@dataclass(frozen=True)
class GroundTruth:
    """What such a file holds.

    Attributes:
        path: of the file.
        photos: [N] names of the database, as the file has them: most leave out the suffix.
        queries: [Q] names.
        rows: [Q] rows of photos by label, those labels that the file has.
        boxes: [Q] `bbx` as it stands, None where there is none.
    """

    path: Path
    photos: tuple[str, ...]
    queries: tuple[str, ...]
    rows: tuple[Mapping[str, frozenset[int]], ...]
    boxes: tuple[Box | None, ...]

    def benchmark(self, name: str, positive: Sequence[str], junk: Sequence[str]) -> Benchmark:
        """The protocol that finds what has one of the labels `positive` and does not count `junk`; corners as boxes.

        Raises:
            MirrorError: a label of positives is missing, a photo is both, or a box has no area.
        """
        queries = []
        for k, (query, rows, box) in enumerate(zip(self.queries, self.rows, self.boxes, strict=True)):
            missing = [label for label in positive if label not in rows]
            if missing:
                raise self.broken(k, f"expected rows {', '.join(positive)}, found {', '.join(rows) or 'none'}")
            found = frozenset().union(*(rows[label] for label in positive))
            ignored = frozenset().union(*(rows.get(label, frozenset()) for label in junk))
            if found & ignored:
                raise self.broken(k, f"photo {min(found & ignored)} is both to be found and junk")
            if box is not None and not (box[0] < box[2] and box[1] < box[3]):
                raise self.broken(k, f"expected a box x1 y1 x2 y2 with an area, found {list(box)}")
            queries.append(Query(query, found, ignored, box))
        return Benchmark(name, self.photos, tuple(queries))

    def broken(self, query: int, expected: str) -> MirrorError:
        """The error of what the file says about a query."""
        return MirrorError(f"{shown(str(self.path))}, query {query} ({shown(self.queries[query])}): {expected}")


def read_ground_truth(path: str | os.PathLike[str]) -> GroundTruth:
    """Reads a .pkl, without running what it says, or a .mat (MATLAB 5 to 7.2).

    Raises:
        UsageError: the file cannot be read, or has another suffix.
        MirrorError: it is damaged, or holds something else.
    """
    path = Path(path)
    if path.suffix not in (".pkl", ".mat"):
        raise UsageError(f"{shown(str(path))}: expected ground truth in a file .pkl or .mat")
    matlab = path.suffix == ".mat"
    content = read_matlab(path, ("imlist", "qimlist", "qidx", "gnd")) if matlab else read_pickled(path)
    if not isinstance(content, dict) or not {"imlist", "gnd"} <= set(content):
        raise MirrorError(f"{shown(str(path))}: expected imlist, qimlist and gnd, found something else")
    photos = _names(path, "imlist", content["imlist"])
    queries = _query_names(path, content, photos, first=int(matlab))
    entries = content["gnd"]
    if not isinstance(entries, (list, tuple)) or len(entries) != len(queries):
        raise MirrorError(f"{shown(str(path))}: expected gnd of {len(queries)} queries, found another number")
    size, rows, boxes = path.stat().st_size if not matlab else None, [], []
    for k, entry in enumerate(entries):
        where = f"{shown(str(path))}, query {k} ({shown(queries[k])})"
        if not isinstance(entry, dict):
            raise MirrorError(f"{where}: expected labels and a box, found something else")
        rows.append({m: _rows(where, m, entry[m], len(photos), int(matlab)) for m in LABELS if m in entry})
        boxes.append(_box(where, entry["bbx"]) if "bbx" in entry else None)
        if size is not None:
            size -= sum(map(len, rows[-1].values()))
            if size < 0:  # the same list again and again
                raise MirrorError(f"{where}: more rows than the file has bytes")
    return GroundTruth(path, photos, queries, tuple(rows), tuple(boxes))


def _names(path: Path, what: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple)) or not all(isinstance(name, str) and name for name in values):
        raise MirrorError(f"{shown(str(path))}: expected {what} to be a list of names")
    if what == "imlist" and len(set(values)) < len(values):
        raise MirrorError(f"{shown(str(path))}: imlist has a name twice")
    return tuple(values)


def _query_names(path: Path, content: Mapping[str, Any], photos: tuple[str, ...], first: int) -> tuple[str, ...]:
    if "qimlist" in content:
        return _names(path, "qimlist", content["qimlist"])
    places = _numbers(f"{shown(str(path))}, qidx", content.get("qidx", ["missing"]))
    return tuple(photos[row] for row in _within(f"{shown(str(path))}, qidx", places, len(photos), first))


def _rows(where: str, label: str, values: Any, photos: int, first: int) -> frozenset[int]:
    return frozenset(_within(f"{where}, {label}", _numbers(f"{where}, {label}", values), photos, first))


def _within(where: str, values: Iterable[float], photos: int, first: int) -> list[int]:
    rows = []
    for value in values:
        row = int(value) - first if value == int(value) else -1
        if not 0 <= row < photos:
            raise MirrorError(f"{where}: expected places of {photos} photos from {first} on, found {value:g}")
        rows.append(row)
    return rows


def _numbers(where: str, values: Any) -> list[float]:
    """Finite numbers of a list or an array."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        values = values.ravel().tolist()
    if not isinstance(values, (list, tuple)) or not all(
        isinstance(value, (int, float)) and abs(value) < 1 << 53 for value in values
    ):
        raise MirrorError(f"{where}: expected a list of finite numbers")
    return list(values)


def _box(where: str, values: Any) -> Box:
    numbers = _numbers(f"{where}, bbx", values)
    if len(numbers) != 4:
        raise MirrorError(f"{where}, bbx: expected 4 numbers, found {len(numbers)}")
    return (float(numbers[0]), float(numbers[1]), float(numbers[2]), float(numbers[3]))
