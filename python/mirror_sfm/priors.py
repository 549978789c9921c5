"""Where, when and in which order photos were taken: priors on which of them overlap.

Each gives a number per pair (metres, seconds or places in the file order between its photos) and says nothing where it
does not know. What the number is worth is read off the collection itself: positions that do not agree with the photos,
because they are coarse, wrong or of another flight, explain nothing there and change nothing.
"""

from __future__ import annotations

import csv
import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.diffusion import isotonic, strengths
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evidence import Candidates, Evidence
from mirror_sfm.photos import shown

PRIORS = ("gps", "time", "order")
WEIGHT = 0.5
_LATITUDE, _LONGITUDE = ("latitude", "lat", "gpslatitude"), ("longitude", "lon", "lng", "long", "gpslongitude")
_NAME = ("name", "image", "image_name", "filename", "file", "label", "photo")
_GPS, _EXIF = 0x8825, 0x8769  # EXIF directories
_TAKEN, _FRACTION, _ZONE = 0x9003, 0x9291, 0x9011  # DateTimeOriginal, SubSecTimeOriginal, OffsetTimeOriginal
_EARTH = 6378137.0, 6.69437999014e-3  # WGS 84: half axis in metres, first eccentricity squared

log = logging.getLogger("mirror_sfm")


@dataclass(frozen=True)
class Circumstances:
    """Where and when N photos were taken. NaN: not known.

    Attributes:
        positions: [N, 3] float64, metres in one Cartesian frame; heights are left out, satellites know them badly.
        degrees: [N, 2] float64, latitude and longitude; all NaN where positions are not geographic.
        times: [N] float64, seconds.
        folders: [N] int64, number of the folder a photo lies in.
        order: [N] int64, place of a photo in its folder; digits count as numbers (img2 before img10).
    """

    positions: NDArray[np.float64]
    degrees: NDArray[np.float64]
    times: NDArray[np.float64]
    folders: NDArray[np.int64]
    order: NDArray[np.int64]


def read_circumstances(
    names: Sequence[str], paths: Mapping[str, Path], table: str | os.PathLike[str] | None = None
) -> Circumstances:
    """Reads EXIF of the photos whose files are known, and positions from a table where one is given.

    Args:
        names: of the N photos.
        paths: their files, where known. Damaged or missing EXIF is no error: the photo just has no position or time.
        table: CSV with a column for the name and either latitude and longitude (degrees) or x and y (metres); it
            replaces the positions in the photos.

    Raises:
        UsageError: the table is not there.
        MirrorError: the table is malformed, or none of its names is a photo.
    """
    exif = [_read_exif(paths[name]) if name in paths else (math.nan, math.nan, math.nan) for name in names]
    held = np.array(exif, np.float64).reshape(-1, 3)
    degrees, times = held[:, :2], held[:, 2]
    positions = earth_centred(degrees)
    if table is not None:
        degrees, positions = _read_table(Path(table), names)
    folders, order = _file_order(names)
    return Circumstances(positions, degrees, times, folders, order)


def distances(circumstances: Circumstances, prior: str, candidates: Candidates) -> NDArray[np.float64]:
    """How far apart [P] the photos of every candidate pair were taken; NaN where that is not known.

    Args:
        circumstances: of the photos.
        prior: "gps" (metres), "time" (seconds) or "order" (places in the file order, within one folder).
        candidates: the pairs.
    """
    i, j = candidates.i, candidates.j
    if prior == "gps":
        return np.linalg.norm(circumstances.positions[i] - circumstances.positions[j], axis=1)
    if prior == "time":
        return np.abs(circumstances.times[i] - circumstances.times[j])
    if prior == "order":
        apart = np.abs(circumstances.order[i] - circumstances.order[j]).astype(np.float64)
        apart[circumstances.folders[i] != circumstances.folders[j]] = np.nan
        return apart
    raise UsageError(f"prior must be one of {', '.join(PRIORS)}, got {prior}")


def prior_factor(candidates: Candidates, evidence: Evidence, apart: NDArray[np.float64]) -> NDArray[np.float32]:
    """What every candidate's score is multiplied by, [P] in (0, 1]; 1 where nothing is known.

    The probability q that photos so far apart match is the falling least-squares fit of the strength s that geometry
    found in this collection. A pair loses

        WEIGHT x R^2 x (1 - q / max q) x (1 - s)^2

    of its score, where R^2 is the share of the strengths' variance that q explains: nothing when positions are wrong.
    The last factor leaves a pair alone that its photos prove, however far apart they claim to be.

    Args:
        candidates: the pairs.
        evidence: of the verified ones.
        apart: [P], from `distances`.
    """
    factor = np.ones(len(candidates), np.float32)
    known = np.isfinite(apart)
    rows = evidence.pairs[known[evidence.pairs]]
    if len(rows) < 2:
        return factor
    strength = strengths(candidates, evidence)
    near, seen = -apart.astype(np.float32), strength[rows]
    error = ((seen - isotonic(near[rows], seen, near[rows])) ** 2).sum()
    variance = ((seen - seen.mean()) ** 2).sum()
    chance = isotonic(near[rows], seen, near[known])
    if variance <= 0 or chance.max() <= 0:
        return factor
    loss = WEIGHT * (1 - error / variance) * (1 - chance / chance.max()) * (1 - strength[known]) ** 2
    factor[known] = 1 - loss
    return factor


def earth_centred(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, 2] latitude and longitude on the WGS 84 ellipsoid to [N, 3] metres from the centre of the earth."""
    latitude, longitude = np.radians(degrees).T
    axis, eccentricity = _EARTH
    radius = axis / np.sqrt(1 - eccentricity * np.sin(latitude) ** 2)
    ring = radius * np.cos(latitude)
    return np.stack(
        (ring * np.cos(longitude), ring * np.sin(longitude), radius * (1 - eccentricity) * np.sin(latitude)), axis=1
    )


def _read_exif(path: Path) -> tuple[float, float, float]:
    """Latitude, longitude (degrees) and time (seconds) of a photo, NaN where the file does not tell."""
    from mirror_sfm.photos import open_file

    try:
        with open_file(path) as image:
            exif = image.getexif()
            place, taken = exif.get_ifd(_GPS), exif.get_ifd(_EXIF)
            return *_place(place), _time(taken)
    except Exception as error:  # damaged EXIF makes Pillow raise nearly anything; pixels are judged elsewhere
        log.debug("%s: EXIF cannot be read: %s", path, error)
        return math.nan, math.nan, math.nan


def _place(tags: Mapping[int, Any]) -> tuple[float, float]:
    """Latitude and longitude. (0, 0) is what receivers write that have not found themselves yet."""
    latitude, longitude = _angle(tags, 2, "S"), _angle(tags, 4, "W")
    wrong = not (abs(latitude) <= 90 and abs(longitude) <= 180) or latitude == longitude == 0
    return (math.nan, math.nan) if wrong else (latitude, longitude)


def _angle(tags: Mapping[int, Any], tag: int, negative: str) -> float:
    """Degrees from degrees, minutes and seconds; the tag before says which half of the globe."""
    parts = tags.get(tag)
    if not isinstance(parts, tuple) or len(parts) != 3:
        return math.nan
    try:
        degrees = sum(float(part) / unit for part, unit in zip(parts, (1, 60, 3600), strict=True))
    except (ValueError, ZeroDivisionError, TypeError):
        return math.nan
    half = tags.get(tag - 1, "")
    half = half.decode("ascii", "replace") if isinstance(half, bytes) else str(half)
    return -degrees if half.strip("\0 ").upper() == negative else degrees


def _time(tags: Mapping[int, Any]) -> float:
    """Seconds since 1970 of DateTimeOriginal, in its time zone where that is told."""
    text = str(tags.get(_TAKEN, "")).strip("\0 ")
    fraction = re.match(r"\d+", str(tags.get(_FRACTION, "")).strip("\0 "))
    zone = str(tags.get(_ZONE, "")).strip("\0 ")
    try:
        moment = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return math.nan
    try:
        moment = datetime.strptime(text + zone, "%Y:%m:%d %H:%M:%S%z")
    except ValueError:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp() + (float(f"0.{fraction[0]}") if fraction else 0.0)


def _file_order(names: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of the folder of each name, and its place in it."""
    folders = [name.rpartition("/")[0] for name in names]
    number = {folder: k for k, folder in enumerate(sorted(set(folders)))}
    order = np.zeros(len(names), np.int64)
    seen: dict[str, int] = {}
    for row in sorted(range(len(names)), key=lambda row: (_natural(names[row]), names[row])):
        order[row] = seen.setdefault(folders[row], 0)
        seen[folders[row]] += 1
    return np.array([number[folder] for folder in folders], np.int64), order


def _natural(name: str) -> list[tuple[int, str]]:
    """Runs of ASCII digits count as numbers; other characters as they are."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]{1,18})", name) if part]


def _read_table(path: Path, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Degrees [N, 2] and positions [N, 3] from a CSV."""
    place = {name: row for row, name in enumerate(names)}
    values = np.full((len(names), 2), np.nan)
    strangers = 0
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [title.strip().lower() for title in next(reader, [])]
            name_at, first, second, geographic = _columns(path, header)
            for row in reader:
                if not row:
                    continue
                where = f"{shown(str(path))}, line {reader.line_num}"
                if len(row) != len(header):
                    raise MirrorError(f"{where}: expected {len(header)} values, got {len(row)}")
                if row[name_at] not in place:
                    strangers += 1
                    continue
                values[place[row[name_at]]] = _pair_of_numbers(where, row[first], row[second], geographic)
    except OSError as error:
        raise UsageError(f"cannot read the table of positions {shown(str(path))}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise MirrorError(f"{shown(str(path))} is not a table of comma-separated values in UTF-8: {error}") from error
    known = int(np.isfinite(values[:, 0]).sum())
    if not known and names:
        raise MirrorError(f"{shown(str(path))}: none of its names is a photo of this collection, such as {names[0]}")
    if strangers:
        log.warning("%s: %d of its names are no photos of this collection", path, strangers)
    if geographic:
        return values, earth_centred(values)
    return np.full_like(values, np.nan), np.column_stack((values, np.where(np.isnan(values[:, 0]), np.nan, 0.0)))


def _columns(path: Path, header: list[str]) -> tuple[int, int, int, bool]:
    """Places of the name, of the two coordinates, and whether they are degrees."""

    def at(titles: Sequence[str]) -> int | None:
        return next((header.index(title) for title in titles if title in header), None)

    name, latitude, longitude, x, y = (at(titles) for titles in (_NAME, _LATITUDE, _LONGITUDE, ("x",), ("y",)))
    if name is not None and latitude is not None and longitude is not None:
        return name, latitude, longitude, True
    if name is not None and x is not None and y is not None:
        return name, x, y, False
    raise MirrorError(
        f"{shown(str(path))}: expected the columns name, latitude, longitude or name, x, y in line 1, got {header}"
    )


def _pair_of_numbers(where: str, first: str, second: str, geographic: bool) -> tuple[float, float]:
    """Two coordinates; two empty cells mean not known."""
    if not first.strip() and not second.strip():
        return math.nan, math.nan
    try:
        values = float(first), float(second)
    except ValueError:
        values = (math.nan, math.nan)
    if not all(map(math.isfinite, values)):
        raise MirrorError(f"{where}: expected two numbers, got {shown(first)!r} and {shown(second)!r}")
    if geographic and not (abs(values[0]) <= 90 and abs(values[1]) <= 180):
        raise MirrorError(f"{where}: expected degrees, latitude within 90 and longitude within 180, got {values}")
    return values
