"""What the files of a scene hold, as digests: what results depend on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mirror_sfm.cache import digest
from mirror_sfm.threads import parallel

_BLOCK = 1 << 22


def contents(places: Mapping[str, Path], without: Path, threads: int) -> dict[str, str]:
    """SHA-256 by name, sorted, of every file at and below some places; hidden ones are left out, links are followed.

    Args:
        places: files and folders by the name they go by, so that names do not depend on where a scene is.
        without: a folder that is no part of them: where results go.
        threads: files read at once.

    Raises:
        OSError: a file cannot be read.
    """
    files = {
        f"{name}/{path.relative_to(place).as_posix()}": path
        for name, place in places.items()
        for path in ([place] if place.is_file() else _below(place, frozenset((os.path.realpath(without),))))
    }
    names = sorted(files)
    return dict(zip(names, parallel(_sha256, [files[name] for name in names], threads), strict=True))


def key_of(found: Mapping[str, str]) -> str:
    """One digest of all."""
    return digest(*(part for item in found.items() for part in item))


def _sha256(path: Path) -> str:
    whole = hashlib.sha256()
    if path.is_file():  # a pipe would be waited for for ever
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                whole.update(block)
    return whole.hexdigest()


def _below(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:  # results, or a link to a folder that holds it
        return
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _below(Path(entry.path), above | {real})
        else:
            yield Path(entry.path)
