"""MATLAB files of version 5 to 7.2, the part that ground truth uses: cells, structures, text and real numbers.

Layout: MathWorks, MAT-File Format. SciPy's reader knows more kinds, but a damaged file can end the process.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.files import broken, read_bytes, said

LARGEST = 16 << 20  # bytes, unpacked; INSTRE takes five million
DEEPEST = 8  # variables in variables; ground truth needs three
_MATRIX, _PACKED = 14, 15  # kinds of elements
_CELL, _STRUCT, _CHAR, _NUMBERS, _OPAQUE = 1, 2, 4, range(6, 16), 17  # classes of variables
_KINDS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_COMPLEX = 0x0800


def read_matlab(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Variables by name, those that are there: a cell array is a list, an array of structures a list of dictionaries,
    text is str, numbers are a flat array, by columns.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is damaged, too large, of version 7.3, or one of these variables is of another class.
    """
    content = read_bytes(path, LARGEST + 1)
    if content.startswith((b"MATLAB 7.3", b"\x89HDF\r\n\x1a\n")):
        raise MirrorError(f"{shown(str(path))} is a MATLAB file of version 7.3; save it with -v7")
    order: Literal["little", "big"] | None = {b"IM": "little", b"MI": "big"}.get(content[126:128])  # type: ignore[assignment]
    if order is None:
        raise broken(path, "byte 126", "expected IM or MI, the end of the head of a MATLAB file")
    found, left = {}, LARGEST
    for at, kind, body in _elements(path, content, order):
        try:
            if kind == _PACKED:
                body = zlib.decompressobj().decompress(body, left)
            left -= len(body)
            if left <= 0:
                raise MirrorError(f"{shown(str(path))} holds more than {LARGEST >> 20} MB; expected ground truth")
            if kind == _PACKED:
                kind, body = _Reader(body, order).element()
            if kind == _MATRIX:
                name, value = _variable(body, order, names)
                if name in names:
                    found[name] = value
        except (ValueError, zlib.error) as error:
            raise broken(path, f"variable at byte {at}", f"expected whole MATLAB data: {said(error)}") from error
    return found


def _elements(path: Path, content: bytes, order: Literal["little", "big"]) -> Iterator[tuple[int, int, bytes]]:
    """Place, kind and body of every element of a file."""
    reader = _Reader(content, order, 128)
    while reader.left:
        at = reader.at
        try:
            kind, body = reader.element(padded=False)
        except ValueError as error:
            raise broken(path, f"byte {at}", f"expected a variable: {error}") from error
        yield at, kind, body


class _Reader:
    """Takes elements off the front of a variable. Raises ValueError where one is not whole."""

    def __init__(self, content: bytes, order: Literal["little", "big"], at: int = 0) -> None:
        self.content, self.order, self.at = content, order, at

    @property
    def left(self) -> int:
        return len(self.content) - self.at

    def element(self, padded: bool = True) -> tuple[int, bytes]:
        """Kind and body of the next element."""
        if self.left < 8:
            raise ValueError(f"the data end in the middle, {self.left} bytes are left")
        first = int.from_bytes(self.content[self.at : self.at + 4], self.order)
        if first >> 16:  # a small one: its body is in the tag
            kind, size, start, length = first & 0xFFFF, first >> 16, self.at + 4, 4
        else:
            kind, size = first, int.from_bytes(self.content[self.at + 4 : self.at + 8], self.order)
            start, length = self.at + 8, size + (-size % 8 if padded else 0)
        if size > length or size > len(self.content) - start:
            raise ValueError(f"{size} bytes are announced, {len(self.content) - start} are left")
        self.at = min(start + length, len(self.content))
        return kind, self.content[start : start + size]

    def numbers(self) -> np.ndarray:
        """The next element as a flat array."""
        kind, body = self.element()
        if kind not in _KINDS:
            raise ValueError(f"numbers of kind {kind}")
        return np.frombuffer(body, np.dtype(("<" if self.order == "little" else ">") + _KINDS[kind]))

    def whole_numbers(self) -> list[int]:
        """The next element as whole numbers."""
        values = self.numbers()
        if values.dtype.kind not in "iu":
            raise ValueError("fractions in place of whole numbers")
        return [int(value) for value in values]

    def text(self) -> str:
        """The next element as characters."""
        kind, body = self.element()
        if kind not in _TEXT:
            raise ValueError(f"text of kind {kind}")
        name = _TEXT[kind]
        return body.decode(name + ("-le" if self.order == "little" else "-be") if name == "utf-16" else name)


def _variable(
    body: bytes, order: Literal["little", "big"], names: Sequence[str] | None = None, depth: int = 0
) -> tuple[str, Any]:
    """Name and value of a variable; the value is None where `names` lacks it."""
    if depth > DEEPEST:
        raise ValueError(f"variables in variables, {DEEPEST} deep at most")
    if not body:
        return "", np.zeros(0)  # an element that was never set
    reader = _Reader(body, order)
    flags = reader.whole_numbers()
    if not flags:
        raise ValueError("a variable without a class")
    kind = flags[0] & 0xFF
    if names is not None and kind == _OPAQUE:
        return "", None  # an object of MATLAB's own: the only class without sides
    sides = reader.whole_numbers()
    if len(sides) > 32 or not all(0 <= side < 1 << 31 for side in sides):
        raise ValueError("sides of an array that are none")
    name = reader.text()
    if names is not None and name not in names:
        return name, None
    count = math.prod(sides)
    if kind == _CELL:
        return name, [_inner(reader, depth) for _ in range(count)]  # ends where the data do
    if kind == _STRUCT:
        return name, _structures(reader, count, depth)
    if kind == _CHAR:
        return name, reader.text() if count else ""
    if kind not in _NUMBERS or flags[0] & _COMPLEX:
        raise ValueError("a variable that is neither cells, structures, text nor real numbers")
    values = reader.numbers()
    if len(values) != count:
        raise ValueError(f"{count} numbers are announced, {len(values)} are there")
    return name, values


def _structures(reader: _Reader, count: int, depth: int) -> list[dict[str, Any]]:
    lengths, fields = reader.whole_numbers(), reader.text()
    if len(lengths) != 1 or not 0 < lengths[0] <= 64 or not fields or len(fields) % lengths[0]:
        raise ValueError("structures without names of their fields")
    names = [fields[k : k + lengths[0]].split("\0")[0] for k in range(0, len(fields), lengths[0])]
    return [{name: _inner(reader, depth) for name in names} for _ in range(count)]


def _inner(reader: _Reader, depth: int) -> Any:
    kind, body = reader.element()
    if kind != _MATRIX:
        raise ValueError(f"an element of kind {kind} in place of a variable")
    return _variable(body, reader.order, depth=depth + 1)[1]
