"""Features of a COLMAP database. No photo is decoded, and the file is only read: no byte of it changes.

pycolmap opens every database for writing and brings older ones up to its own layout on the way, so reading goes through
SQLite itself. The tables read here are the same since COLMAP 1; only `descriptors.type` came with 4.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from mirror_sfm import learned
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.features import Reading
from mirror_sfm.learned import Found
from mirror_sfm.photos import Skipped, shown

_log = logging.getLogger(__name__)

_COLUMNS = {
    "cameras": ("camera_id", "width", "height"),
    "images": ("image_id", "name", "camera_id"),
    "keypoints": ("image_id", "rows", "cols", "data"),
    "descriptors": ("image_id", "rows", "cols", "data"),
}
_SIFT, _UNKNOWN_TYPE = 0, -1
_FLOAT_TYPES = {1: "ALIKED-n16rot", 2: "ALIKED-n32", 3: "LoMa-B", 4: "LoMa-B128"}  # float32, stored as bytes
_SECONDS_TO_WAIT = 2.0  # for another program to finish writing
_MAX_SIDE = 1 << 20  # of a photo, in pixels


@dataclass(frozen=True)
class _Row:
    """One photo as the tables have it: (rows, cols, data) of key points and descriptors, None where there are none."""

    name: str
    size: tuple[int, int]
    keypoints: tuple[Any, Any, Any] | None
    descriptors: tuple[Any, Any, Any] | None
    type: int


def read_features(path: str | os.PathLike[str], count: int) -> Reading:
    """The `count` features of largest scale of every photo of a database.

    Equal scales are ordered as in the database; so is everything where key points have no scale (two columns). SIFT is
    taken as it is, at half of its values; learned descriptors are brought into 7 bits (see `learned`). Features whose
    numbers are not finite, or whose descriptor or scale is zero, are left out with a warning.

    Raises:
        UsageError: no such file.
        MirrorError: not a database, locked, of an unknown layout, without descriptors, or with damaged rows.
    """
    file = Path(path)
    found: list[Found] = []
    skipped: list[Skipped] = []
    with opened(file) as database:
        kind = _kind_of_descriptors(database, file)
        for row in _photos(database, file):
            photo = _features(row, file, count, kind)
            found.append(photo) if isinstance(photo, Found) else skipped.append(photo)
    return learned.reading(found, skipped)


def feature_rows(path: str | os.PathLike[str], count: int) -> dict[str, NDArray[np.int64]]:
    """Which rows of the database the features that `read_features` gives are, by name of the photo."""
    file = Path(path)
    rows = {}
    with opened(file) as database:
        kind = _kind_of_descriptors(database, file)
        for row in _photos(database, file):
            arrays = _arrays(row, file, kind)
            if arrays is not None:
                rows[row.name] = _largest(arrays[0], _usable(*arrays), count)
    return rows


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """The database, for reading only; errors of SQLite become one line that says what to do."""
    if not file.exists():
        raise UsageError(f"no such database: {shown(str(file))}")
    if not file.is_file():
        raise UsageError(
            f"{shown(str(file))} is {'a folder' if file.is_dir() else 'no regular file'}; expected a COLMAP database"
        )
    try:
        with open(file, "rb") as head:
            header = head.read(100)
        if header[:16] != b"SQLite format 3\0":
            raise MirrorError(f"{shown(str(file))} is not a COLMAP database: it is no SQLite file")
        # In write-ahead mode even a reader makes files beside the database, which a folder may not allow. Where no such
        # file is there nobody has the database open, and it can be read as it lies.
        alone = header[18:20] == b"\2\2" and not os.path.exists(f"{file}-wal")
        mode = "mode=ro&immutable=1" if alone else "mode=ro"
        place = quote(os.fsencode(file.absolute()))
        with closing(sqlite3.connect(f"file:{place}?{mode}", uri=True, timeout=_SECONDS_TO_WAIT)) as database:
            database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            database.execute("BEGIN")  # one state of the file from the first table to the last
            _check_layout(database, file)
            yield database
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for damaged names of tables
        raise MirrorError(_what_went_wrong(file, error)) from error
    except OSError as error:
        raise MirrorError(f"cannot read {shown(str(file))}: {error.strerror or error}") from error


def _what_went_wrong(file: Path, error: Exception) -> str:
    name, message = shown(str(file)), shown(str(error))
    if "locked" in message or "busy" in message:
        return f"{name} is locked by another program that writes to it; wait for it to end, or copy the file"
    if "readonly" in message or "unable to open" in message:
        return f"{name} cannot be opened ({message}); copy it, with the files {name}-wal and -journal if there are any"
    return f"{name} is damaged or not a COLMAP database: {message}"


def _check_layout(database: sqlite3.Connection, file: Path) -> None:
    kinds = dict(database.execute("SELECT name, type || ' ' || coalesce(sql, '') FROM sqlite_master"))
    for table, wanted in _COLUMNS.items():
        kind = str(kinds.get(table, ""))
        columns = {name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")}
        if not kind.upper().startswith("TABLE CREATE TABLE") or not columns.issuperset(wanted):
            (version,) = database.execute("PRAGMA user_version").fetchone()
            dotted = f"{version // 1_000_000}.{version // 10_000 % 100}" if version >= 1_000_000 else str(version)
            raise MirrorError(
                f"{shown(str(file))} has no table {table}({', '.join(wanted)}): not a COLMAP database, or of a layout "
                f"that is not known here (version {dotted})"
            )


def _kind_of_descriptors(database: sqlite3.Connection, file: Path) -> int:
    """The one type of all descriptors, `_SIFT` or one of `_FLOAT_TYPES`.

    Raises:
        MirrorError: none are there, several types are mixed, or the type is not known.
    """
    columns = {name for _, name, *_ in database.execute("PRAGMA table_info(descriptors)")}
    chosen = "type" if "type" in columns else str(_SIFT)
    kinds = {kind for (kind,) in database.execute(f"SELECT DISTINCT {chosen} FROM descriptors WHERE rows != 0")}
    kinds = {_SIFT if kind == _UNKNOWN_TYPE else kind for kind in kinds}
    name = shown(str(file))
    if not kinds:
        (photos,) = database.execute("SELECT count(*) FROM images").fetchone()
        if photos:
            raise MirrorError(
                f"{name} holds {photos} photos but no descriptors: run `colmap feature_extractor` on it first, or give "
                "the folder of photos (or hloc's features.h5) instead"
            )
        return _SIFT
    unknown = sorted(str(kind) for kind in kinds if kind != _SIFT and kind not in _FLOAT_TYPES)
    if unknown:
        raise MirrorError(
            f"{name} holds descriptors of the unknown type {shown(unknown[0])}; known are SIFT and ALIKED"
        )
    if len(kinds) > 1:
        mixed = " and ".join(_FLOAT_TYPES.get(kind, "SIFT") for kind in sorted(kinds))
        raise MirrorError(f"{name} mixes descriptors of different kinds ({mixed}); extract all photos the same way")
    return int(kinds.pop())


def _photos(database: sqlite3.Connection, file: Path) -> Iterator[_Row]:
    columns = {name for _, name, *_ in database.execute("PRAGMA table_info(descriptors)")}
    query = f"""
        SELECT i.name, c.width, c.height, k.rows, k.cols, k.data, d.rows, d.cols, d.data, i.image_id,
               {"d.type" if "type" in columns else "0"}
        FROM images i LEFT JOIN cameras c ON c.camera_id = i.camera_id
        LEFT JOIN keypoints k ON k.image_id = i.image_id LEFT JOIN descriptors d ON d.image_id = i.image_id
        ORDER BY i.image_id"""
    for name, width, height, *rest, number, kind in database.execute(query):
        if not isinstance(name, str) or not name:
            raise MirrorError(f"{shown(str(file))}: photo {number} has no name")
        for side in (width, height):
            if not isinstance(side, int) or not 0 < side <= _MAX_SIDE:
                raise MirrorError(f"{shown(str(file))}: photo {shown(name)} has no camera with a width and a height")
        keypoints, descriptors = (None if part[0] is None else tuple(part) for part in (rest[:3], rest[3:]))
        yield _Row(name, (width, height), keypoints, descriptors, kind)


def _features(row: _Row, file: Path, count: int, kind: int) -> Found | Skipped:
    """The largest features of a photo, or why there are none."""
    arrays = _arrays(row, file, kind)
    if arrays is None:
        return Skipped(row.name, "it has no features in the database: blank, or not extracted yet")
    keypoints, descriptors = arrays
    usable = _usable(keypoints, descriptors)
    order, lost = _largest(keypoints, usable, count), len(keypoints) - len(usable)
    if lost:
        _log.warning("%s: %d of %d features left out: not finite, or zero", shown(row.name), lost, len(keypoints))
    if len(order) < 2:
        return Skipped(row.name, f"{len(order) or 'no'} usable feature in the database, matching needs two")
    chosen = descriptors[order]
    return Found(row.name, keypoints[order], chosen >> 1 if kind == _SIFT else learned.unit_integers(chosen), row.size)


def _arrays(row: _Row, file: Path, kind: int) -> tuple[NDArray[np.float32], NDArray[Any]] | None:
    """Key points [n, 4] and descriptors [n, D] of a photo, None where it has none.

    Raises:
        MirrorError: sizes of blobs and tables do not fit together.
    """
    if row.keypoints is None or row.descriptors is None or not row.descriptors[0]:
        return None
    what = f"{shown(str(file))}: photo {shown(row.name)}"
    keypoints = _matrix(row.keypoints, np.dtype("<f4"), f"{what}: key points")
    raw = _matrix(row.descriptors, np.dtype("u1"), f"{what}: descriptors")
    if len(keypoints) != len(raw):
        raise MirrorError(f"{what}: {len(keypoints)} key points but {len(raw)} descriptors; extract its features again")
    if keypoints.shape[1] not in (2, 4, 6):
        raise MirrorError(f"{what}: key points of {keypoints.shape[1]} columns; expected 2, 4 or 6")
    if kind == _SIFT and raw.shape[1] != learned.LENGTH:
        raise MirrorError(f"{what}: SIFT descriptors of {raw.shape[1]} bytes; expected {learned.LENGTH}")
    if kind != _SIFT and (raw.shape[1] % 4 or not raw.shape[1]):
        raise MirrorError(f"{what}: {_FLOAT_TYPES[kind]} descriptors of {raw.shape[1]} bytes; expected whole floats")
    return _place_scale_angle(keypoints), raw if kind == _SIFT else raw.view("<f4")


def _matrix(stored: tuple[Any, Any, Any], kind: np.dtype[Any], what: str) -> NDArray[Any]:
    rows, columns, data = stored
    data = b"" if data is None else data
    whole = isinstance(rows, int) and isinstance(columns, int) and isinstance(data, bytes) and rows >= 0 < columns
    if not whole or rows * columns * kind.itemsize != len(data):
        size = len(data) if isinstance(data, bytes) else "no"
        raise MirrorError(f"{what}: {size} bytes for {rows} x {columns} numbers: the database is damaged")
    return np.frombuffer(data, kind).reshape(rows, columns)


def _place_scale_angle(stored: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, 4] x, y, scale, angle in degrees; the first pixel's centre, (0.5, 0.5) in COLMAP, is (0, 0) here.

    Six columns are x, y and the affine shape a11, a12, a21, a22; four are x, y, scale, angle in radians.
    """
    wide = stored.astype(np.float64)
    points = np.empty((len(wide), 4))
    points[:, :2] = wide[:, :2] - 0.5
    if wide.shape[1] == 2:
        points[:, 2:] = 1, 0
    elif wide.shape[1] == 4:
        points[:, 2], points[:, 3] = wide[:, 2], np.rad2deg(wide[:, 3])
    else:
        a11, a12, a21, a22 = wide[:, 2:].T
        points[:, 2] = (np.hypot(a11, a21) + np.hypot(a12, a22)) / 2
        points[:, 3] = np.rad2deg(np.arctan2(a21, a11))
    with np.errstate(over="ignore"):
        return points.astype(np.float32)


def _usable(keypoints: NDArray[np.float32], descriptors: NDArray[Any]) -> NDArray[np.int64]:
    good = np.isfinite(keypoints).all(axis=1) & (keypoints[:, 2] > 0) & (descriptors != 0).any(axis=1)
    if descriptors.dtype != np.uint8:
        good &= np.isfinite(descriptors).all(axis=1)
    return np.flatnonzero(good)


def _largest(keypoints: NDArray[np.float32], rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The `count` of these rows with the largest scale; ties: lowest row."""
    return rows[np.argsort(-keypoints[rows, 2], kind="stable")[:count]]
