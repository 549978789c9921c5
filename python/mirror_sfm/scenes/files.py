"""What every reader of a foreign file needs: its bytes, its lines, and one line that says where it is broken."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import one_line, shown


def broken(path: Path, place: str, expected: str) -> MirrorError:
    """The error of a file that is not what it should be, `place` being "byte 24" or "line 3"."""
    return MirrorError(f"{shown(str(path))}, {place}: {expected}")


def read_bytes(path: Path, limit: int = -1) -> bytes:
    """Content of a file, or its first `limit` bytes.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        if not path.is_file():
            raise UsageError(f"no such file: {shown(str(path))}")
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise UsageError(f"cannot read {shown(str(path))}: {error.strerror or error}") from error


class Cursor:
    """Takes arrays off the front of a little-endian, unpadded file and never more than there is.

    Attributes:
        path: for messages.
        at: bytes taken so far.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        self.content = read_bytes(path) if content is None else content
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes that remain."""
        return len(self.content) - self.at

    def take(self, kind: DTypeLike, count: int, what: str) -> NDArray[Any]:
        """[count] values, a view of the file.

        Raises:
            MirrorError: fewer are left.
        """
        kind = np.dtype(kind)
        if count < 0 or count * kind.itemsize > self.left:
            raise self.broken(f"expected {count} {what} of {kind.itemsize} bytes each, {self.left} bytes are left")
        values = np.frombuffer(self.content, kind, count, self.at)
        self.at += count * kind.itemsize
        return values

    def one(self, kind: DTypeLike, what: str) -> int:
        """The next value, a whole number."""
        return int(self.take(kind, 1, what)[0])

    def broken(self, expected: str, at: int | None = None) -> MirrorError:
        """The error of what stands at byte `at`, by default the next."""
        return broken(self.path, f"byte {self.at if at is None else at}", expected)


class Line:
    """One line of a text file, its words parsed on demand. Every method raises `MirrorError` naming file and line."""

    def __init__(self, path: Path, number: int, text: str) -> None:
        self.path, self.number, self.text, self.words = path, number, text, text.split()

    def broken(self, expected: str) -> MirrorError:
        """The error of this line."""
        return broken(self.path, f"line {self.number}", expected)

    def numbers(self, start: int = 0, stop: int | None = None) -> list[float]:
        """Words as finite numbers."""
        return [self._number(word) for word in self.words[start:stop]]

    def whole(self, place: int, what: str) -> int:
        """A word as a whole number from 0 to 2^63 - 1."""
        word = self.words[place] if place < len(self.words) else ""
        if not (word.isascii() and word.isdigit()) or len(word) > 19 or int(word) >= 1 << 63:
            raise self.broken(f"expected {what}, a whole number, found {shown(word[:40])!r}")
        return int(word)

    def _number(self, word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.broken(f"expected a finite number, found {shown(word[:40])!r}")
        return value


def read_lines(path: Path, comments: bool = False, blank: bool = False) -> list[Line]:
    """Lines of a UTF-8 text file, without those that hold no word.

    Args:
        comments: lines that begin with # are left out.
        blank: lines without a word are kept.

    Raises:
        UsageError: it cannot be read.
        MirrorError: it is not UTF-8.
    """
    content = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    lines = []
    for number, raw in enumerate(content.split(b"\n"), 1):
        try:
            line = Line(path, number, raw.decode().rstrip("\r"))
        except UnicodeDecodeError:
            raise broken(path, f"line {number}", "expected UTF-8 text") from None
        if (line.words or blank) and not (comments and line.text.lstrip().startswith("#")):
            lines.append(line)
    return lines


def written(value: float) -> str:
    """A number as C++ streams print it, with more digits only where six do not give it back."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value)).removesuffix(".0")


def write_file(path: Path, content: bytes | str) -> None:
    """Writes a file, its folder made where missing.

    Raises:
        MirrorError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise MirrorError(f"cannot write {shown(str(path))}: {error.strerror or error}") from error


def listed(folder: Path) -> list[str]:
    """Names of the entries of a folder that are not hidden, sorted; none where there is no folder.

    Raises:
        UsageError: the folder cannot be read.
    """
    if not folder.is_dir():
        return []
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise UsageError(f"cannot read the folder {shown(str(folder))}: {error.strerror}") from error


def said(error: BaseException) -> str:
    """What a library says, on one line."""
    return shown(one_line(str(error)))[:300] or type(error).__name__


def first_of(names: Sequence[str], count: int = 3) -> str:
    """A few names for a message."""
    return ", ".join(shown(name) for name in names[:count]) + (", ..." if len(names) > count else "")
