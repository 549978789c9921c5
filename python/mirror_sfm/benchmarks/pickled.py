"""Plain data from a pickle without running what it says: nothing is imported, nothing is called.

A pickle is a program for a stack machine. Here its instructions are decoded by the standard library's disassembler and
obeyed by a machine that knows numbers, text, lists, tuples, dictionaries and NumPy arrays of numbers, and refuses the
rest. `pickle.Unpickler` with a list of allowed names would still build what it is told, however deep or large.
"""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.files import broken, read_bytes, said

LARGEST = 8 << 20  # bytes; ground truth of benchmarks takes one or two million
_NUMERIC = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f4", "f8", "b1"}
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_CALLED = {
    **{(module, "_reconstruct"): "array" for module in _MODULES[:2]},
    **{(module, "scalar"): "scalar" for module in _MODULES[:2]},
    **{(module, "_frombuffer"): "buffer" for module in _MODULES[2:]},
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "bytes",
    ("numpy", "ndarray"): "class",
    ("__builtin__", "bytes"): "nothing",  # how protocols before 3 write no bytes at all
}
_MARK = object()
_PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class _Named:
    """Something of NumPy that the file names: never the thing itself."""

    def __init__(self, what: str) -> None:
        self.what = what


class _Kind:
    """A type of numbers; `order` comes with its state."""

    def __init__(self, name: object) -> None:
        if not isinstance(name, str) or name not in _NUMERIC:
            raise ValueError("an array of something else than numbers")
        self.name, self.order = name, "<"

    def array(self, content: bytes) -> np.ndarray:
        return np.frombuffer(content, np.dtype(self.order + self.name))


class _Array:
    """An array before its state is known."""

    def __init__(self) -> None:
        self.values: np.ndarray | None = None


def read_pickled(path: Path) -> Any:
    """The one value of a pickle of any protocol. Arrays are `np.ndarray`, only in lists, tuples and dictionaries.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is damaged, too large, or holds anything but plain data; the message has the byte.
    """
    content = read_bytes(path, LARGEST + 1)
    if len(content) > LARGEST:
        raise MirrorError(f"{shown(str(path))} has more than {LARGEST >> 20} MB; expected a benchmark's ground truth")
    machine, at = _Machine(2 * len(content)), 0
    try:
        for opcode, argument, position in pickletools.genops(content):
            at = position or 0
            machine.step(opcode.name, argument)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, UnicodeError) as error:
        what = f"{type(error).__name__} {error}" if isinstance(error, (IndexError, KeyError)) else said(error)
        raise broken(path, f"byte {at}", f"expected a pickle of lists, numbers and names, found {what}") from error
    return machine.result()


class _Machine:
    """Stack, memory, and what each instruction does to them.

    `bytes_left` may still become numbers: no file can make more of itself by saying the same bytes again and again.
    """

    def __init__(self, bytes_left: int) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.bytes_left = bytes_left

    def result(self) -> Any:
        """What the last instruction, STOP, left."""
        return self.stack[-1]

    def step(self, name: str, argument: Any) -> None:
        """Obeys one instruction."""
        if name in _PUSHED:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memory[len(self.memory) if name == "MEMOIZE" else int(argument)] = self.top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memory[int(argument)])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self.named(argument.split(" ") if name == "GLOBAL" else [self.pop(), self.pop()][::-1])
        elif name == "REDUCE":
            arguments, called = self.pop(), self.pop()
            self.stack.append(self.called(called, arguments))
        elif name == "BUILD":
            state = self.pop()
            self.build(self.top(), state)
        elif name not in ("PROTO", "FRAME"):
            self.collection(name)

    def collection(self, name: str) -> None:
        """Lists, tuples, dictionaries."""
        if name in ("EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT"):
            self.stack.append({"EMPTY_LIST": [], "EMPTY_TUPLE": (), "EMPTY_DICT": {}}[name])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple([_whole(self.pop()) for _ in range(int(name[-1]))][::-1]))
        elif name in ("LIST", "TUPLE"):
            values = self.marked()
            self.stack.append(values if name == "LIST" else tuple(values))
        elif name == "DICT":
            self.stack.append(_update({}, self.marked()))
        elif name in ("APPEND", "APPENDS"):
            values = self.marked() if name == "APPENDS" else [_whole(self.pop())]
            if not isinstance(self.top(), list):
                raise ValueError(f"{name} to something that is no list")
            self.top().extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = self.marked() if name == "SETITEMS" else [_whole(self.pop()), self.pop()][::-1]
            _update(self.top(), values)
        elif name == "STOP":
            if len(self.stack) != 1 or self.stack[0] is _MARK:
                raise ValueError(f"{len(self.stack)} values at the end")
            self.stack[-1] = _whole(self.stack[-1])
        else:
            raise ValueError(f"the instruction {name}")

    def named(self, names: list[Any]) -> None:
        if len(names) != 2 or not all(isinstance(name, str) for name in names):
            raise ValueError("a name that is not text")
        if tuple(names) not in _CALLED:
            raise ValueError(f"the name {shown('.'.join(names)[:80])}")
        self.stack.append(_Named(_CALLED[names[0], names[1]]))

    def top(self) -> Any:
        if self.stack[-1] is _MARK:
            raise ValueError("a missing value")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.top()
        self.stack.pop()
        return value

    def marked(self) -> list[Any]:
        """What lies above the last mark, which goes too."""
        values = []
        while self.stack[-1] is not _MARK:
            values.append(_whole(self.stack.pop()))
        self.stack.pop()
        return values[::-1]

    def called(self, called: Any, arguments: Any) -> Any:
        """What NumPy would make of its own calls."""
        if not isinstance(called, _Named) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is no function")
        if called.what == "array":
            return _Array()
        if called.what == "nothing" and not arguments:
            return b""
        if called.what == "dtype" and arguments:
            return _Kind(arguments[0])
        if called.what == "bytes" and len(arguments) == 2 and isinstance(arguments[0], str):
            return self.content(arguments[0])
        if called.what == "scalar" and len(arguments) == 2 and isinstance(arguments[0], _Kind):
            return arguments[0].array(self.content(arguments[1]))[0].item()
        if called.what == "buffer" and len(arguments) == 4 and isinstance(arguments[1], _Kind):
            return _shaped(arguments[1].array(self.content(arguments[0])), arguments[2], arguments[3] == "F")
        raise ValueError("a call with wrong arguments")

    def build(self, target: Any, state: Any) -> None:
        """Gives an array or its type what it holds."""
        known = isinstance(state, tuple) and len(state) >= 2
        if isinstance(target, _Kind) and known and state[1] in ("<", ">", "|", "="):
            target.order = state[1]
        elif isinstance(target, _Array) and known and len(state) == 5 and isinstance(state[2], _Kind):
            target.values = _shaped(state[2].array(self.content(state[4])), state[1], bool(state[3]))
        else:
            raise ValueError("an object that is no array")

    def content(self, raw: Any) -> bytes:
        """Bytes; Python 2 had text in their place, a byte a character."""
        if not isinstance(raw, (str, bytes, bytearray)):
            raise ValueError("an array whose numbers are not bytes")
        self.bytes_left -= len(raw)
        if self.bytes_left < 0:
            raise ValueError("the same bytes again and again")
        return raw.encode("latin-1") if isinstance(raw, str) else bytes(raw)


def _whole(value: Any) -> Any:
    """An array in place of its making."""
    if not isinstance(value, _Array):
        return value
    if value.values is None:
        raise ValueError("an array without numbers")
    return value.values


def _update(target: Any, values: list[Any]) -> dict[str, Any]:
    if not isinstance(target, dict) or len(values) % 2 or not all(isinstance(key, str) for key in values[::2]):
        raise ValueError("a dictionary whose keys are not text")
    target.update(zip(values[::2], values[1::2], strict=True))
    return target


def _shaped(values: np.ndarray, shape: Any, by_columns: bool) -> np.ndarray:
    if not isinstance(shape, tuple) or not all(isinstance(side, int) and side >= 0 for side in shape) or len(shape) > 2:
        raise ValueError("an array of a shape that is none")
    return values.reshape(shape, order="F" if by_columns else "C")
