"""Oxford5k and Paris6k: 55 queries, good and ok to be found, junk not counted; and both revisited, easy to hard."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from mirror_sfm.benchmarks.ground_truth import read_ground_truth
from mirror_sfm.benchmarks.protocol import Benchmark, Box, ListOptions, Query
from mirror_sfm.errors import UsageError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.files import broken, listed, read_lines

REVISITED = {  # by name of the protocol: labels to be found, labels that do not count
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
REVISITED_LISTS = ListOptions(precision_at=(1, 5, 10))
_PREFIX = "oxc1_"  # of the photos in Oxford's query files


def read_oxford(truth: str | os.PathLike[str], photos: Iterable[str] = (), name: str | None = None) -> Benchmark:
    """Reads the ground truth of Oxford5k or Paris6k.

    The query's own photo is among the good ones and counts as found, as in the set's own program. Boxes are what is
    looked for; to look for whole photos (as some papers do), leave them alone.

    Args:
        truth: folder of `*_query.txt` (a photo, x1 y1 x2 y2), `*_good.txt`, `*_ok.txt`, `*_junk.txt`; or a file
            `gnd_*.pkl` or `.mat`.
        photos: the database, with a folder, names of files with or without folders and suffix. All of them, also those
            that cannot be used: what is to be found counts whether or not it can be.
        name: of the benchmark, by default that of the folder or file.

    Raises:
        UsageError: there are no such files, or two photos have one name.
        MirrorError: a file is broken; the message has the line.
    """
    path = Path(truth)
    if not path.is_dir():
        return read_ground_truth(path).benchmark(name or path.stem, ("ok",), ("junk",))
    database = tuple(photos)
    rows = _by_stem(database)
    bases = [file.removesuffix("_query.txt") for file in listed(path) if file.endswith("_query.txt")]
    if not bases:
        raise UsageError(f"{shown(str(path))}: expected files *_query.txt, *_good.txt, *_ok.txt, *_junk.txt")
    return Benchmark(name or path.resolve().name, database, tuple(_query(path, base, rows) for base in bases))


def read_revisited(truth: str | os.PathLike[str], name: str | None = None) -> dict[str, Benchmark]:
    """Reads `gnd_roxford5k` or `gnd_rparis6k` (.pkl or .mat): protocols "easy", "medium", "hard" of one set of queries.

    Queries are no photos of the database. Queries without anything to be found do not count. `REVISITED_LISTS` are the
    options to measure with.

    Raises:
        UsageError, MirrorError: as `ground_truth.read_ground_truth`.
    """
    found = read_ground_truth(truth)
    name = name or found.path.stem
    return {level: found.benchmark(f"{name} {level}", *labels) for level, labels in REVISITED.items()}


def _by_stem(photos: Iterable[str]) -> Mapping[str, int]:
    rows: dict[str, int] = {}
    for row, photo in enumerate(photos):
        stem = PurePosixPath(photo.replace(os.sep, "/")).name
        stem = stem.removesuffix(PurePosixPath(stem).suffix)
        if rows.setdefault(stem, row) != row:
            raise UsageError(f"photos: two are called {shown(stem)}; the ground truth cannot tell them apart")
    return rows


def _query(folder: Path, base: str, rows: Mapping[str, int]) -> Query:
    photo, box = _query_line(folder / f"{base}_query.txt", rows)
    where: dict[int, str] = {}
    sets: dict[str, frozenset[int]] = {}
    for label in ("good", "ok", "junk"):
        path = folder / f"{base}_{label}.txt"
        members = set()
        for line in read_lines(path):
            stem = line.text.strip()
            if stem not in rows:
                raise line.broken(f"no photo of the database is called {shown(stem[:200])}")
            if where.setdefault(rows[stem], label) != label:
                raise line.broken(f"{shown(stem)} is {where[rows[stem]]} already")
            members.add(rows[stem])
        sets[label] = frozenset(members)
    return Query(photo, sets["good"] | sets["ok"], sets["junk"], box)


def _query_line(path: Path, rows: Mapping[str, int]) -> tuple[str, Box]:
    lines = read_lines(path)
    if len(lines) != 1 or len(lines[0].words) != 5:
        raise broken(path, f"line {lines[1].number if len(lines) > 1 else 1}", "expected one line: photo x1 y1 x2 y2")
    photo = lines[0].words[0]
    if photo not in rows:
        photo = photo.removeprefix(_PREFIX)
    if photo not in rows:
        raise lines[0].broken(f"no photo of the database is called {shown(photo[:200])}")
    x1, y1, x2, y2 = lines[0].numbers(1)
    if not (x1 < x2 and y1 < y2):
        raise lines[0].broken(f"expected a box x1 y1 x2 y2 with an area, found {x1:g} {y1:g} {x2:g} {y2:g}")
    return photo, (x1, y1, x2, y2)
