"""INRIA Holidays: groups of photos by their numbers; the first of each group looks for the others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mirror_sfm.benchmarks.protocol import Benchmark, ListOptions, Query
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.files import read_lines, write_file

TOP_TEN = ListOptions(k=10)  # as the paper's Table 1 has it
_GROUP = 100  # numbers of one group share all but the last two digits


def holidays(photos: Iterable[str], name: str = "Holidays") -> Benchmark:
    """The protocol of photos called NUMBER.jpg: those whose number is a multiple of 100 are queries, the others of the
    same hundred are to be found; a query takes no place in its own list.

    Photos upright or as taken make different benchmarks: say which in `name`.

    Raises:
        UsageError: a name is no number, two are the same, or a group has no query.
    """
    database = tuple(photos)
    rows = _by_number(database)
    groups: dict[int, list[int]] = {}
    for number in sorted(rows):
        groups.setdefault(number // _GROUP, []).append(number)
    queries = []
    for group, numbers in groups.items():
        if numbers[0] != group * _GROUP:
            raise UsageError(f"photos: {shown(database[rows[numbers[0]]])} is of a group whose query is not there")
        query, *others = (rows[number] for number in numbers)
        queries.append(Query(database[query], frozenset(others), frozenset({query})))
    return Benchmark(name, database, tuple(queries))


def read_holidays(path: str | os.PathLike[str], name: str = "Holidays") -> Benchmark:
    """Reads `holidays_images.dat`, a name a line.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: a line is no name of the set; the message has the line.
    """
    lines = read_lines(Path(path))
    for line in lines:
        if _number(line.text.strip()) is None:
            raise line.broken(f"expected a name such as 100000.jpg, found {shown(line.text.strip()[:40])!r}")
    try:
        return holidays((line.text.strip() for line in lines), name)
    except UsageError as error:
        raise MirrorError(f"{shown(str(path))}: {error}") from error


def read_results(path: str | os.PathLike[str], benchmark: Benchmark) -> list[NDArray[np.int64]]:
    """Reads results in the form of the set's own program: `query rank photo rank photo ...` a line, ranks from 0 on.

    Returns:
        For every query of the benchmark its list; one without a line is empty.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: a line is broken; the message has the line.
    """
    rows = {photo: row for row, photo in enumerate(benchmark.photos)}
    places = {query.name: k for k, query in enumerate(benchmark.queries)}
    lists = [np.zeros(0, np.int64) for _ in places]
    seen: dict[str, int] = {}
    for line in read_lines(Path(path)):
        query, *rest = line.words
        if query not in places:
            raise line.broken(f"no query is called {shown(query[:200])}")
        if seen.setdefault(query, line.number) != line.number:
            raise line.broken(f"{query} is there twice, first in line {seen[query]}")
        if len(rest) % 2:
            raise line.broken("expected a query, then a rank and a photo for each result")
        ranked: dict[int, int] = {}
        listed: set[str] = set()
        for k in range(0, len(rest), 2):
            rank, photo = line.whole(1 + k, "a rank"), rest[k + 1]
            if photo not in rows:
                raise line.broken(f"no photo is called {shown(photo[:200])}")
            if rank in ranked or photo in listed:
                raise line.broken(f"rank {rank} or photo {shown(photo)} is there twice")
            ranked[rank] = rows[photo]
            listed.add(photo)
        lists[places[query]] = np.array([ranked[rank] for rank in sorted(ranked)], np.int64)
    return lists


def write_results(path: str | os.PathLike[str], benchmark: Benchmark, lists: Sequence[ArrayLike]) -> None:
    """Writes results as `read_results` reads them.

    Raises:
        MirrorError: the file cannot be written.
    """
    lines = []
    for query, ranked in zip(benchmark.queries, lists, strict=True):
        results = [f"{rank} {benchmark.photos[row]}" for rank, row in enumerate(np.asarray(ranked).tolist())]
        lines.append(" ".join([query.name, *results]) + "\n")
    write_file(Path(path), "".join(lines))


def _by_number(photos: Sequence[str]) -> Mapping[int, int]:
    rows: dict[int, int] = {}
    for row, photo in enumerate(photos):
        number = _number(photo)
        if number is None:
            raise UsageError(f"photos: expected names such as 100000.jpg, found {shown(photo[:200])!r}")
        if rows.setdefault(number, row) != row:
            raise UsageError(f"photos: number {number} is there twice")
    return rows


def _number(photo: str) -> int | None:
    stem = PurePosixPath(photo).stem
    return int(stem) if stem.isascii() and stem.isdigit() and len(stem) < 10 else None
