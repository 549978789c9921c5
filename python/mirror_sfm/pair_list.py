"""Lists of pairs in text files: two names a line."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import shown

MOST_SPACES = 100  # in a line; its readings are tried one by one


@dataclass(frozen=True)
class PairLine:
    """Two photos by name."""

    first: str
    second: str


def read_pair_list(path: Path, known: Container[str]) -> list[PairLine]:
    """Reads `name name`, one pair a line; more columns after them (a score) are left alone.

    The names that exist say where one ends and the other begins, so names may hold spaces. Blank lines and lines that
    begin with '#' are comments, unless they name two photos.

    Args:
        path: UTF-8, with or without byte order mark, any line ends.
        known: names of photos.

    Raises:
        UsageError: no such file.
        MirrorError: the first line that does not name two known photos, or can be read in two ways.
    """
    pairs = []
    for number, line in enumerate(_lines(path), 1):
        readings = list(_readings(line, known))
        if len(readings) == 1:
            pairs.append(readings[0])
        elif readings:
            two = " or ".join(f"({shown(pair.first)}) ({shown(pair.second)})" for pair in readings[:2])
            raise MirrorError(f"{shown(str(path))}, line {number} can be read in two ways: {two}; rename a photo")
        elif line and not line.startswith("#"):
            raise MirrorError(f"{shown(str(path))}, line {number}: {_complaint(line, known)}")
    return pairs


def _lines(path: Path) -> list[str]:
    if not path.exists():
        raise UsageError(f"no such file of pairs: {shown(str(path))}")
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise MirrorError(f"cannot read {shown(str(path))}: {error.strerror}") from error
    return [line.strip() for line in text.replace("\r\n", "\n").split("\n")]


def _readings(line: str, known: Container[str]) -> Iterator[PairLine]:
    """All ways to cut the longest possible beginning of a line into two known names."""
    cuts = [place for place, character in enumerate(line) if character.isspace()]
    if len(cuts) > MOST_SPACES:
        return
    for end in (len(line), *reversed(cuts)):
        found = list(_cut(line[:end].rstrip(), [place for place in cuts if place < end], known))
        if found:
            yield from found
            return


def _cut(line: str, cuts: list[int], known: Container[str]) -> Iterator[PairLine]:
    found = set()
    for place in cuts:
        first, second = line[:place].rstrip(), line[place:].lstrip()
        if (first, second) not in found and first in known and second in known:
            found.add((first, second))
            yield PairLine(first, second)


def _complaint(line: str, known: Container[str]) -> str:
    words = line.split()
    if len(words) < 2:
        return f"expected two names, got {shown(line[:200])}"
    if len(words) == 2:
        missing = next(word for word in words if word not in known)
        return f"the database has no photo {shown(missing[:200])}"
    return f"the database has no two photos of which this line is made: {shown(line[:200])}"
