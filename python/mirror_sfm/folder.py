"""Which files of a folder are its photos: by suffix, by patterns, by a list of names.

The result is sorted by name, whatever the order of the file system, of the patterns or of the list.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path, PurePosixPath

from mirror_sfm.errors import UsageError
from mirror_sfm.photos import PHOTO_SUFFIXES, Photo, shown


def find_photos(
    folder: str | os.PathLike[str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    list_file: str | os.PathLike[str] | None = None,
    leave_out: str | os.PathLike[str] | None = None,
) -> list[Photo]:
    """Lists the photos in a folder and below it.

    A photo is a file with a known suffix (`PHOTO_SUFFIXES`, any case). Hidden files and folders are left out: thumbnail
    caches and the "._" twins that macOS leaves on foreign disks live there. Links are followed.

    Args:
        folder: the folder.
        include: shell patterns (see `matches`); only photos whose name fits one of them. None given: all photos.
        exclude: shell patterns; photos whose name fits one of them are left out, included or not.
        list_file: a text file with the names of the photos, one a line. A name given there needs no known suffix.
        leave_out: a folder that holds no photos, wherever it is: that of the masks.

    Raises:
        UsageError: the folder cannot be read, a pattern fits no photo, or the list names what is not there.
    """
    root = Path(folder)
    if not root.exists():
        raise UsageError(f"no such folder: {shown(str(root))}")
    if not root.is_dir():
        raise UsageError(f"{shown(str(root))} is a file; expected a folder of photos")
    if list_file is None:
        barred = frozenset() if leave_out is None else frozenset((os.path.realpath(leave_out),))
        names = [path.relative_to(root).as_posix() for path in _walk(root, barred)]
    else:
        names = _listed(root, Path(list_file))
    return [Photo(name, root / name) for name in sorted(_selected(names, include, exclude))]


def matches(name: str, pattern: str) -> bool:
    """Whether a name fits a shell pattern: `*`, `?` and `[...]` as in `fnmatch`, case counting on every system.

    The pattern describes the whole name, folders included, and `*` matches `/` too: `left/*` is everything below
    `left`, `*.jpg` every name that ends so. `**/` stands for any folders or none: `**/a.jpg` is every `a.jpg`.
    """
    first, *others = pattern.split("**/")
    ways = product(("", "*/"), repeat=len(others))
    return any(fnmatchcase(name, first + "".join(map("".join, zip(way, others, strict=False)))) for way in ways)


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that holds it, or one to leave out
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UsageError(f"cannot read the folder {shown(str(folder))}: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, above | {real})
        elif os.path.splitext(entry.name)[1].lower() in PHOTO_SUFFIXES:
            yield folder / entry.name


def _selected(names: Sequence[str], include: Sequence[str], exclude: Sequence[str]) -> set[str]:
    chosen = set(names) if not include else set()
    for option, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            fitting = {name for name in names if matches(name, pattern)}
            if not fitting:
                raise UsageError(
                    f"no photo fits the {option} pattern {shown(pattern)!r}: it describes the whole name inside the"
                    " folder, such as left/a.jpg, and case counts"
                )
            chosen = chosen | fitting if option == "include" else chosen - fitting
    return chosen


def _listed(root: Path, list_file: Path) -> list[str]:
    """The names of a list: UTF-8, one a line, blank around them and empty lines ignored."""
    where = shown(str(list_file))
    try:
        lines = list_file.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the list {where}: {error.strerror}") from error
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError:
            raise UsageError(f"{where}, line {number}: not UTF-8; save the list as UTF-8") from None
        if not text:
            continue
        name = PurePosixPath(text).as_posix()  # without ./ and //
        fault = _fault(root, name) or (f"is there twice, first in line {seen[name]}" if name in seen else "")
        if fault:
            raise UsageError(f"{where}, line {number}: {shown(text)} {fault}")
        seen[name] = number
    return list(seen)


def _fault(root: Path, name: str) -> str:
    """What is wrong with a name of a list; empty if nothing."""
    if PurePosixPath(name).is_absolute() or os.path.isabs(name):
        return "is an absolute path; expected a name inside the folder of photos"
    if ".." in PurePosixPath(name).parts:
        return "leaves the folder of photos"
    try:
        there = (root / name).is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        there = False
    return "" if there else f"is not a file in {shown(str(root))}"
