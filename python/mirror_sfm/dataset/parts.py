"""Folders of results, each made once: complete under its name or not there, whatever was stopped when."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown

ABOUT = "about.json"
_PATIENCE = 10.0  # seconds for which a killed run may still be ending


@dataclass(frozen=True)
class Part:
    """Results of one stage.

    Attributes:
        folder: of its files.
        about: what the stage said of them.
        seconds: wall time of making them.
    """

    folder: Path
    about: Any
    seconds: float


class Parts:
    """The stages of one piece of work, in a folder. A part is called STAGE-KEY, and a key says all that it depends on;
    a part is therefore never out of date."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, stage: str, key: str, fill: Callable[[Path], Any]) -> Part:
        """The part with this key; where there is none, `fill` makes it in the empty folder it gets, and parts of this
        stage with other keys are removed. What `fill` gives must be what JSON can hold."""
        folder = self.folder / f"{stage}-{key[:20]}"
        made = _stored(folder)
        if made is None:
            partial = self.folder / f"{stage}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            started = time.perf_counter()
            made = Part(folder, fill(partial), round(time.perf_counter() - started, 3))
            text = {"about": made.about, "seconds": made.seconds}
            (partial / ABOUT).write_text(json.dumps(text, indent=1), "ascii")
            _flush(partial)
            for old in self.folder.glob(f"{stage}-*"):
                shutil.rmtree(old)
            partial.rename(folder)
        return made


def _stored(folder: Path) -> Part | None:
    """The part in a folder; None where there is none, or a power cut tore it."""
    try:
        stored = json.loads((folder / ABOUT).read_bytes())
        return Part(folder, stored["about"], float(stored["seconds"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _flush(folder: Path) -> None:
    """Puts the files of a folder on the disk, before its name says that they are there."""
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes a folder, and keeps other processes that ask for it out until the block ends, or this process does.

    Raises:
        MirrorError: another process is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with open(folder / "lock", "wb") as file:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise MirrorError(
                        f"another process is at work in {shown(str(folder))}: wait for it, or end it"
                    ) from None
                time.sleep(0.05)
        yield


def linked(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def replaced(new: Path, place: Path, aside: Path) -> None:
    """Moves a folder into place; what was there goes aside first and is then removed."""
    shutil.rmtree(aside, ignore_errors=True)
    if place.exists():
        place.rename(aside)
    new.rename(place)
    shutil.rmtree(aside, ignore_errors=True)
