"""Measured overlap against listed overlap."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.overlap.measured import Overlap
from mirror_sfm.overlap.statistics import spearman
from mirror_sfm.photos import shown

_NAMES = (("image_a", "image_b"), ("a", "b"))
_HALVES = (("overlap_a_to_b", "overlap_b_to_a"), ("overlap_a_in_b", "overlap_b_in_a"))


@dataclass(frozen=True)
class Truth:
    """Listed overlap of T pairs.

    Attributes:
        pairs: [T, 2] rows of names.
        halves: [T, 2] share of what the first sees that the second sees too, and the reverse.
    """

    pairs: NDArray[np.int64]
    halves: NDArray[np.float64]


@dataclass(frozen=True)
class PairError:
    """One pair: names, listed and measured overlap, both ways."""

    a: str
    b: str
    listed: tuple[float, float]
    measured: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Errors over both directions of all listed pairs.

    Attributes:
        pairs: listed.
        spearman: rank correlation; None where all values of one side are the same.
        median_error, mean_error, p95_error: absolute.
        bias: mean of measured - listed.
        worst: pairs by falling error of their worse direction.
    """

    pairs: int
    spearman: float | None
    median_error: float
    mean_error: float
    p95_error: float
    bias: float
    worst: tuple[PairError, ...]


def read_truth(path: str | os.PathLike[str], names: Sequence[str]) -> Truth:
    """Reads a table with a header: image_a, image_b (or a, b), overlap_a_to_b, overlap_b_to_a (or overlap_a_in_b, ...);
    further columns are of no concern.

    Args:
        names: of the photos; the table may leave out the suffix.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: a column, a number or a photo is wrong; the message has the line.
    """
    path = Path(path)
    place = {os.path.splitext(name)[0]: row for row, name in enumerate(names)}
    place |= {name: row for row, name in enumerate(names)}
    pairs: dict[tuple[int, int], tuple[float, float]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            columns = [*_columns(path, header, _NAMES), *_columns(path, header, _HALVES)]
            for row in reader:
                if not row:
                    continue
                where = f"{shown(str(path))}, line {reader.line_num}"
                if len(row) != len(header):
                    raise MirrorError(f"{where}: expected {len(header)} values, found {len(row)}")
                a, b, ab, ba = (row[column] for column in columns)
                pair = (_row(where, a, place), _row(where, b, place))
                if pair[0] == pair[1] or pair in pairs or pair[::-1] in pairs:
                    raise MirrorError(f"{where}: expected every pair of two photos once, found {shown(a)}, {shown(b)}")
                pairs[pair] = (_share(where, ab), _share(where, ba))
    except OSError as error:
        raise UsageError(f"cannot read {shown(str(path))}: {error.strerror or error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise MirrorError(f"{shown(str(path))} is not a table of comma-separated values in UTF-8: {error}") from error
    if not pairs:
        raise MirrorError(f"{shown(str(path))} lists no pair")
    return Truth(np.array(list(pairs), np.int64), np.array(list(pairs.values())))


def compare(overlap: Overlap, truth: Truth, measure: str = "pixels", worst: int = 10) -> Comparison:
    """Compares a measure with what is listed.

    Raises:
        UsageError: the scene has no such measure.
    """
    if measure not in overlap.halves:
        raise UsageError(f"this scene has no overlap in {measure}, only in {', '.join(overlap.halves)}")
    listed = truth.halves
    i, j = truth.pairs.T
    full = overlap.matrix(measure)
    measured = np.stack([full[i, j], full[j, i]], 1)
    errors = np.abs(measured - listed)
    order = np.argsort(-errors.max(1), kind="stable")[:worst]
    return Comparison(
        pairs=len(listed),
        spearman=spearman(measured.reshape(-1), listed.reshape(-1)),
        median_error=float(np.median(errors)),
        mean_error=float(errors.mean()),
        p95_error=float(np.quantile(errors, 0.95)),
        bias=float((measured - listed).mean()),
        worst=tuple(
            PairError(overlap.names[i[k]], overlap.names[j[k]], _two(listed[k]), _two(measured[k])) for k in order
        ),
    )


def _two(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _columns(path: Path, header: list[str], wanted: tuple[tuple[str, str], ...]) -> tuple[int, int]:
    for first, second in wanted:
        if header.count(first) == header.count(second) == 1:
            return header.index(first), header.index(second)
    either = " or ".join(", ".join(columns) for columns in wanted)
    raise MirrorError(f"{shown(str(path))}, line 1: expected columns {either}, found {shown(', '.join(header)[:200])}")


def _row(where: str, name: str, place: dict[str, int]) -> int:
    if name not in place:
        raise MirrorError(f"{where}: no photo of the scene is called {shown(name)}")
    return place[name]


def _share(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise MirrorError(f"{where}: expected an overlap from 0 to 1, found {shown(text[:40])!r}")
    return value
