"""A store of arrays keyed by content, so that work done once is not done again.

A key is a digest of everything its arrays depend on: bytes of files and settings. An entry can therefore not be out of
date, only unused, and the folder may be deleted at any time.

    cache = Cache(out / ".cache")
    key = digest(file_bytes, "sift 1", 640)
    arrays = cache.load(key, "sift")
    if arrays is None:
        arrays = {...}
        cache.store(key, "sift", arrays)

One entry is one file, `KIND/KEY`:

    8 bytes   b"MIRRORSC"
    4 bytes   version of this layout, little endian
    32 bytes  SHA-256 of version, kind, key and all that follows
    4 bytes   length of the table, little endian
    table     JSON: name, type and shape of each array
    bytes     of the arrays, one after the other, rows first
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
import os
import re
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown

VERSION = 1
_MAGIC = b"MIRRORSC"
_HEAD = struct.Struct("<8sI32s")
_LENGTH = struct.Struct("<I")
_UNFINISHED = "unfinished"  # folder of files being written
_TYPES = frozenset(["|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"])
_DAY = 86400.0
_log = logging.getLogger("mirror_sfm")
_numbers = itertools.count()


def digest(*parts: bytes | str | int | float | None) -> str:
    """SHA-256 of the parts, in hexadecimal. Where one part ends and the next begins matters, and so does the type."""
    whole = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode("utf-8", "backslashreplace")
        whole.update(f"{type(part).__name__} {len(data)} ".encode())
        whole.update(data)
    return whole.hexdigest()


class Cache:
    """Named arrays by key, in a folder.

    Threads and processes may share the folder: an entry appears whole or not at all (it is written apart and renamed),
    and two writers of one key write the same. After a kill the entries that were finished are there; after a power cut
    one may be damaged, which its checksum shows. A damaged entry counts as absent, and the log says so.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Makes the folder where it is not there, and removes what killed processes left half written.

        Raises:
            MirrorError: the folder cannot be made or written.
        """
        self.folder = Path(folder)
        try:
            (self.folder / _UNFINISHED).mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            if not (tag := self.folder / "CACHEDIR.TAG").exists():  # backup programs leave out folders that have one
                self._write(tag, [b"Signature: 8a477f597d28d172789f06886806bc55\n# see https://bford.info/cachedir\n"])
        except OSError as error:
            raise self._unwritable(error) from error

    def load(self, key: str, kind: str) -> dict[str, NDArray[Any]] | None:
        """The arrays stored under a key, or None.

        Raises:
            MirrorError: a newer version wrote the entry, or the disk cannot read it.
        """
        path = self._path(key, kind)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MirrorError(
                f"cannot read the cache entry {shown(str(path))}: {error.strerror}; delete it, or work without a cache"
                " (--no-cache)"
            ) from error
        try:
            return _unpacked(content, key, kind)
        except _NewerVersion as newer:
            raise MirrorError(
                f"the cache {shown(str(self.folder))} was written by a newer mirror-sfm (layout {newer}, this one knows"
                f" {VERSION}): upgrade mirror-sfm, delete the folder, or work without (--no-cache)"
            ) from None
        except ValueError as error:
            _log.warning("cache entry %s is damaged (%s) and is made anew", shown(str(path)), error)
            return None

    def store(self, key: str, kind: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Stores arrays under a key, in place of what was there.

        Raises:
            MirrorError: the entry cannot be written: disk full, or read-only.
        """
        path, parts = self._path(key, kind), _packed(arrays, key, kind)
        try:
            try:
                self._write(path, parts)
            except FileNotFoundError:  # the first of its kind, or somebody deleted the folder
                path.parent.mkdir(parents=True, exist_ok=True)
                (self.folder / _UNFINISHED).mkdir(exist_ok=True)
                self._write(path, parts)
        except OSError as error:
            raise self._unwritable(error) from error

    def _path(self, key: str, kind: str) -> Path:
        for word in (key, kind):
            if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", word) or word == _UNFINISHED:
                raise ValueError(f"not a key or kind of a cache: {word!r}")
        return self.folder / kind / key

    def _write(self, path: Path, parts: list[bytes]) -> None:
        """Writes apart, then renames: readers see the old file or the new one, whole. No flush to the disk: that would
        cost more than most entries, and what a power cut tears the checksum finds."""
        unfinished = self.folder / _UNFINISHED / f"{os.getpid()}.{next(_numbers)}.{socket.gethostname()}"
        try:
            with open(unfinished, "wb") as file:
                file.writelines(parts)
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def _remove_abandoned(self) -> None:
        """Removes files whose writer is gone. A writer on another machine counts as gone after a day."""
        host = socket.gethostname()
        for entry in os.scandir(self.folder / _UNFINISHED):
            process, _, name = entry.name.split(".", 2) if entry.name.count(".") >= 2 else ("", "", "")
            try:
                if name == host and process.isdecimal():
                    abandoned = int(process) != os.getpid() and not _alive(int(process))
                else:
                    abandoned = time.time() - entry.stat().st_mtime > _DAY
                if abandoned:
                    os.unlink(entry.path)
            except FileNotFoundError:  # finished meanwhile, or another process was faster
                continue

    def _unwritable(self, error: OSError) -> MirrorError:
        return MirrorError(
            f"cannot write the cache {shown(str(self.folder))}: {error.strerror or error}; make room or choose another"
            " folder for it, or work without (--no-cache)"
        )


class _NewerVersion(Exception):
    """The layout of an entry is of a later version than this one."""


def _packed(arrays: Mapping[str, NDArray[Any]], key: str, kind: str) -> list[bytes]:
    table, bodies = [], []
    for name, array in arrays.items():
        plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        if plain.dtype.str not in _TYPES:
            raise ValueError(f"array {name!r} has a type that the cache does not hold: {array.dtype}")
        table.append([name, plain.dtype.str, array.shape])
        bodies.append(plain.tobytes())
    text = json.dumps(table).encode()
    parts = [_LENGTH.pack(len(text)), text, *bodies]
    return [_HEAD.pack(_MAGIC, VERSION, _checksum(VERSION, key, kind, parts)), *parts]


def _unpacked(content: bytes, key: str, kind: str) -> dict[str, NDArray[Any]] | None:
    """Arrays of an entry; None where an older version wrote it.

    Raises:
        _NewerVersion: a newer version wrote it.
        ValueError: it is damaged; the message says where.
    """
    if len(content) < _HEAD.size + _LENGTH.size:
        raise ValueError("too short")
    magic, version, checksum = _HEAD.unpack_from(content)
    if magic != _MAGIC:
        raise ValueError("does not begin as an entry does")
    body = memoryview(content)[_HEAD.size :]
    if checksum != _checksum(version, key, kind, [body]):  # every version has these three fields, so computed
        raise ValueError("wrong checksum")
    if version > VERSION:
        raise _NewerVersion(version)
    return _arrays(body) if version == VERSION else None


def _arrays(body: memoryview) -> dict[str, NDArray[Any]]:
    """Arrays after the head. The checksum fits, but nothing says that this program made it."""
    (length,) = _LENGTH.unpack_from(body)
    place = _LENGTH.size + length
    try:
        table = json.loads(bytes(body[_LENGTH.size : place]))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"table: {error}") from error
    arrays = {}
    for row in table if isinstance(table, list) else [None]:
        match row:
            case [str(name), str(kind), list(shape)] if kind in _TYPES and all(
                type(side) is int and side >= 0 for side in shape
            ):
                size = math.prod(shape) * np.dtype(kind).itemsize
                if size > len(body) - place or len(shape) > 8:
                    raise ValueError(f"array {name!r} is larger than the file")
                flat = np.frombuffer(body[place : place + size], kind)
                if name in arrays:
                    raise ValueError(f"array {name!r} is there twice")
                arrays[name] = flat.reshape(shape).astype(flat.dtype.newbyteorder("="))  # a copy that may be written to
                place += size
            case _:
                raise ValueError("table: not a list of names, types and shapes")
    if place != len(body):
        raise ValueError("wrong length")
    return arrays


def _checksum(version: int, key: str, kind: str, parts: list[bytes] | list[memoryview]) -> bytes:
    whole = hashlib.sha256(f"{version} {kind} {key} ".encode())
    for part in parts:
        whole.update(part)
    return whole.digest()


def _alive(process: int) -> bool:
    if os.name != "posix":  # os.kill would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; no number of a process
        return True
    return True
