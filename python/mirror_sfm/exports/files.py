"""Files that appear whole or not at all, one or several at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown

_COMPANIONS = ("", "-wal", "-shm", "-journal")  # SQLite keeps files beside a database


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when the block ends well, and not at all otherwise.

    Raises:
        MirrorError: it cannot be written: disk full, folder read-only.
    """
    partial = _partial(path)
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, path)
    except OSError as error:
        raise MirrorError(f"cannot write {shown(str(path))}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def all_or_none(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Gives places to write files at, by the names they are to have. They get these names together when the block ends
    well; after an error none does, and earlier files of these names are as they were.

    Raises:
        MirrorError: the files cannot be written: disk full, folder read-only, a folder in a file's place.
    """
    places: dict[str, Path] = {}

    def place(name: str) -> Path:
        if (folder / name).is_dir():
            raise MirrorError(f"cannot write {shown(str(folder / name))}: a folder of that name is there; rename it")
        places[name] = _partial(folder / name)
        return places[name]

    try:
        yield place
        for partial in places.values():
            _on_disk(partial)
        for name, partial in places.items():
            os.replace(partial, folder / name)
    except MirrorError as error:
        raise type(error)(_by_their_names(str(error), places)) from error
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise MirrorError(f"cannot write into {shown(str(folder))}: {reason}; what was there is unchanged") from error
    finally:
        for partial in places.values():
            for companion in _COMPANIONS:
                Path(f"{partial}{companion}").unlink(missing_ok=True)


def _by_their_names(message: str, places: dict[str, Path]) -> str:
    """A message without the names that files have while they are written."""
    for name, partial in places.items():
        message = message.replace(partial.name, name)
    return message


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _on_disk(path: Path) -> None:
    """Some file systems tell only now that they are full."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
