"""A data set on disk: a folder per scene, one array per file, opened without being read.

    DATASET/dataset.json      format, settings, names of the scenes
    DATASET/NAME/scene.json   photos in the order of their rows, what was left out and why, counts
    DATASET/NAME/*.npy        `ARRAYS`

Only this file knows the layout; docs/dataset.md describes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.overlap.measured import MASK_SIDE, MEASURES
from mirror_sfm.photos import shown

FORMAT = 1
INDEX, SCENE = "dataset.json", "scene.json"
# Name -> type, shape; N photos, P pairs, L pairs with a label, S side of the photos.
ARRAYS: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "photos": ("|u1", ("N", "S", "S", 3)),
    "pairs": ("<i4", ("P", 2)),
    "overlap": ("<f8", ("P",)),
    "labels": ("|u1", ("P",)),
    "masks": ("|u1", ("L", 2, MASK_SIDE, MASK_SIDE)),
    "covered": ("|u1", ("N", MASK_SIDE, MASK_SIDE)),
    **{f"halves_{measure}": ("<f8", ("P", 2)) for measure in MEASURES},
    **{f"seen_{measure}": ("<f8", ("N",)) for measure in MEASURES},
}


@dataclass(frozen=True)
class SceneEntry:
    """One scene of a data set. Its arrays are mapped anew each time they are asked for, and unmapped with the last
    reference: thousands of scenes do not use up the file handles.

    Attributes:
        name: of the scene.
        folder: where its files are.
        photos: names, one per row of `array("photos")`: those with a place in the reconstruction.
        orientations: [N] uint8 EXIF orientation, 1 to 8; photos and masks are as the sensor stored them.
        held_out: [N] bool, photos put aside for measuring.
        measures: of `MEASURES`, those the scene allowed.
        surface: "mesh", "sparse points", "depth" or "".
        labelled: pairs with a label; row k of `array("masks")` belongs to the k-th of them.
        has_masks: whether there are masks.
        has_covered: whether it says which part of a photo shows any surface.
        anchors: photos with a strong and a weak partner, none of them held out.
        about: all of scene.json.
    """

    name: str
    folder: Path
    photos: tuple[str, ...]
    orientations: NDArray[np.uint8]
    held_out: NDArray[np.bool_]
    measures: tuple[str, ...]
    surface: str
    labelled: int
    has_masks: bool
    has_covered: bool
    anchors: int
    about: Mapping[str, Any]

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays it has."""
        columns = (f"{kind}_{measure}" for measure in self.measures for kind in ("halves", "seen"))
        cells = [name for name in ("masks", "covered") if getattr(self, f"has_{name}")]
        return ("photos", "pairs", "overlap", "labels", *cells, *columns)

    def array(self, name: str) -> NDArray[Any]:
        """One of `arrays`, mapped read-only."""
        if name not in self.arrays:
            raise KeyError(f"scene {self.name!r} has no array {name!r}; it has {', '.join(self.arrays)}")
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")


@dataclass(frozen=True)
class Dataset:
    """A data set that was opened.

    Attributes:
        folder: where it is.
        settings: it was built with.
        scenes: by name.
    """

    folder: Path
    settings: Mapping[str, Any]
    scenes: tuple[SceneEntry, ...]

    @property
    def size(self) -> int:
        """Side of its photos, in pixels."""
        return int(self.settings["size"])

    def __len__(self) -> int:
        return len(self.scenes)

    def __iter__(self) -> Iterator[SceneEntry]:
        return iter(self.scenes)


def open_dataset(folder: str | os.PathLike[str]) -> Dataset:
    """Opens a data set and checks every scene: files, types, shapes, sizes, versions; no array is read.

    Raises:
        UsageError: there is no data set.
        MirrorError: it is damaged, unfinished or of another version; the message names the file.
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise UsageError(f"no data set in {shown(str(folder))}: there is no {INDEX}; build one, or let it finish")
    settings, names = read_index(folder)
    return Dataset(folder, settings, tuple(open_scene(folder / name, int(settings["size"])) for name in names))


def read_index(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Settings of a data set and names of its scenes.

    Raises:
        MirrorError: dataset.json is damaged or of another version.
    """
    index = read_json(folder / INDEX)
    with _naming(folder / INDEX):
        settings, names = dict(index["settings"]), [str(name) for name in index["scenes"]]
        if int(settings["size"]) < 1 or any(not _is_folder(name) for name in names):
            raise ValueError("a size below 1, or a scene that is not a folder of the data set")
        if names != sorted({*names}) or names != index["scenes"]:
            raise ValueError("scenes: expected a list of names, sorted, each once")
    return settings, names


def _is_folder(name: str) -> bool:
    return name not in ("", "..") and Path(name).name == name


def open_scene(folder: Path, size: int) -> SceneEntry:
    """One scene, checked.

    Raises:
        MirrorError: it is damaged or of another version.
    """
    about = read_json(folder / SCENE)
    with _naming(folder / SCENE):
        photos = about["photos"]
        measures = tuple(about["measures"])
        if not set(measures) <= set(MEASURES):
            raise ValueError(f"measures must be among {', '.join(MEASURES)}")
        counts = {name: int(about["pairs"][name]) for name in ("strong", "weak", "neither")}
        labelled = counts["strong"] + counts["weak"]
        sizes = {"N": len(photos), "P": labelled + counts["neither"], "L": labelled, "S": size}
        entry = SceneEntry(
            name=str(about["name"]),
            folder=folder,
            photos=tuple(str(photo["name"]) for photo in photos),
            orientations=np.array([photo["orientation"] for photo in photos], np.uint8),
            held_out=np.array([photo["held_out"] for photo in photos], bool),
            measures=measures,
            surface=str(about["surface"]),
            labelled=labelled,
            has_masks=bool(about["has_masks"]),
            has_covered=bool(about["has_covered"]),
            anchors=int(about["anchors"]),
            about=about,
        )
    for name in entry.arrays:
        _check_array(folder / f"{name}.npy", name, sizes)
    return entry


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of this format.

    Raises:
        MirrorError: it cannot be read, is no such thing, or of another version.
    """
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise MirrorError(f"cannot read {shown(str(path))}: {error.strerror}; build the data set again") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(found, dict) or not isinstance(found.get("format"), int):
        raise _damaged(path, "no format in it")
    if found["format"] != FORMAT:
        newer = "upgrade mirror-sfm, or build it again" if found["format"] > FORMAT else "build it again"
        raise MirrorError(f"{shown(str(path))} has format {found['format']}, this mirror-sfm reads {FORMAT}: {newer}")
    return found


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """The same bytes for the same value."""
    return (json.dumps({"format": FORMAT, **value}, indent=1, ensure_ascii=True) + "\n").encode()


def counts_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """A scene in numbers, from its scene.json."""
    return {
        "photos": len(about["photos"]) + len(about["unregistered"]) + len(about["skipped"]),
        "registered": len(about["photos"]) + len(about["skipped"]),
        "used": len(about["photos"]),
        "held_out": sum(photo["held_out"] for photo in about["photos"]),
        "surface": about["surface"] or "none",
        **about["pairs"],
        "anchors": about["anchors"],
    }


def new_array(folder: Path, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of `ARRAYS` in a new file, to be filled in place.

    Raises:
        MirrorError: it cannot be written; the disk is too full for it, for example.
    """
    path = folder / f"{name}.npy"
    with writing(path):
        array = np.lib.format.open_memmap(path, "w+", np.dtype(ARRAYS[name][0]), shape)
        if hasattr(os, "posix_fallocate"):  # else a full disk is found out by a signal, while the array is filled
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def write_array(folder: Path, name: str, values: NDArray[Any]) -> None:
    """Writes an array of `ARRAYS`.

    Raises:
        MirrorError: it cannot be written.
    """
    save_array(folder / f"{name}.npy", np.ascontiguousarray(values, np.dtype(ARRAYS[name][0])))


def save_array(path: Path, values: NDArray[Any]) -> None:
    """Writes any array, as `write_array`."""
    with writing(path):
        np.save(path, values)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes the error of a file that cannot be written one line that names it: NumPy's has a number of bytes only."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or f"{error}; the disk is full"
        raise MirrorError(f"cannot write {shown(str(path))}: {reason}") from error


def _check_array(path: Path, name: str, sizes: Mapping[str, int]) -> None:
    """Type, shape and length of a file, from its head."""
    kind, letters = ARRAYS[name]
    expected = tuple(side if isinstance(side, int) else sizes[side] for side in letters)
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_column, dtype = read(file)
            length = path.stat().st_size - file.tell()
    except OSError as error:
        raise MirrorError(f"cannot read {shown(str(path))}: {error.strerror}; build the data set again") from error
    except Exception as error:  # the parser of heads raises nearly anything
        raise _damaged(path, f"not a NumPy file ({type(error).__name__})") from None
    if dtype != np.dtype(kind) or shape != expected or by_column:
        came = f"{dtype.str} {list(shape)}{' by columns' if by_column else ''}"
        raise _damaged(path, f"expected {kind} {list(expected)}, found {came}")
    if length != int(np.prod(shape, dtype=object)) * dtype.itemsize:
        raise _damaged(path, f"{length} bytes of data, {list(shape)} {dtype.str} takes another number")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Makes what a malformed JSON file raises one line that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise _damaged(path, what) from None


def _damaged(path: Path, what: str) -> MirrorError:
    return MirrorError(f"{shown(str(path))} is damaged: {shown(what)}; build the data set again")
