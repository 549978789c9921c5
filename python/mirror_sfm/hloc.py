"""Local features in hloc's layout: an HDF5 file with one group per photo, named after it.

    /<name>/keypoints (n, 2)     x, y in pixels of the photo, the first pixel's centre at (0, 0)
            descriptors (D, n)   a column per key point
            scores (n,), scales (n,), oris (n,)   strength, size, angle in degrees: each optional
            image_size (2,)      width, height; optional

Where a file has no scales every key point gets scale 1, and "largest first" becomes "highest score first"; without
scores too, the order of the file. Without angles all are 0: such photos are expected to stand the same way up.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm import learned
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.features import Reading
from mirror_sfm.learned import Found
from mirror_sfm.photos import Skipped, shown

if TYPE_CHECKING:
    import h5py

_log = logging.getLogger(__name__)

_OPTIONAL = {"scores": "scores", "scales": "scales", "oris": "angles"}  # name in the file: name here
_MAX_VALUES = 1 << 28  # of one array: a damaged header must not ask for all the memory there is
_MAX_SIDE = 1 << 20  # of a photo, in pixels


def read_features(path: str | os.PathLike[str], count: int) -> Reading:
    """The `count` features of largest scale (else of highest score) of every photo; ties: as in the file.

    Descriptors of any length become 7-bit integers that keep their distances, see `learned`. Features whose numbers are
    not finite, or whose descriptor or scale is zero, are left out with a warning.

    Raises:
        UsageError: no such file.
        MirrorError: no HDF5 file, no local features in it, or arrays that do not fit together.
    """
    file = Path(path)
    if not file.exists():
        raise UsageError(f"no such file of features: {shown(str(file))}")
    if not file.is_file():
        raise UsageError(f"{shown(str(file))} is a folder; expected hloc's features.h5")
    found: list[Found] = []
    skipped: list[Skipped] = []
    for photo in _photos(file):
        features = _features(photo, file, count)
        found.append(features) if isinstance(features, Found) else skipped.append(features)
        lengths = {entry.descriptors.shape[1] for entry in (*found[:1], *found[-1:])}
        if len(lengths) > 1:
            mixed = " and ".join(str(length) for length in sorted(lengths))
            raise MirrorError(f"{shown(str(file))} mixes descriptors of {mixed} numbers; extract all the same way")
    if not found and not skipped:
        raise MirrorError(
            f"{shown(str(file))} holds no local features: expected groups, named after photos, with keypoints and "
            "descriptors, as hloc's extract_features writes them"
        )
    return learned.reading(found, skipped)


@contextmanager
def _errors_in_one_line(file: Path) -> Iterator[None]:
    """Of a damaged file h5py raises nearly anything."""
    try:
        yield
    except (MirrorError, MemoryError):
        raise
    except Exception as error:
        message = shown(" ".join(str(error).split()))
        if "unable to lock file" in message:
            what = "is locked by another program that writes to it; wait for it to end, or copy the file"
        elif "file signature not found" in message:
            what = "is not an HDF5 file; expected hloc's features.h5"
        else:
            what = f"is damaged or not hloc's features.h5: {message or type(error).__name__}"
        raise MirrorError(f"{shown(str(file))} {what}") from error


@dataclass(frozen=True)
class _Photo:
    """The arrays of one photo; None where the file has none."""

    name: str
    points: NDArray[Any]
    descriptors: NDArray[Any]
    scores: NDArray[Any] | None
    scales: NDArray[Any] | None
    angles: NDArray[Any] | None
    size: tuple[int, int]


def _photos(file: Path) -> Iterator[_Photo]:
    """Every group that holds key points. Only what lies in this very file: no link is followed."""
    import h5py

    with _errors_in_one_line(file), h5py.File(file, "r") as opened:
        waiting: list[tuple[str, h5py.Group]] = [("", opened)]
        seen = {h5py.h5o.get_info(opened.id).addr}
        while waiting:
            path, group = waiting.pop()
            if "keypoints" in group:
                yield _read(path, group, file)
            for key in group:
                child = f"{path}/{key}" if path else key
                if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                    raise MirrorError(f"{shown(str(file))}: {shown(child)} is a link to elsewhere; expected a group")
                entry = group[key]
                if isinstance(entry, h5py.Group):
                    address = h5py.h5o.get_info(entry.id).addr
                    if address in seen:
                        raise MirrorError(f"{shown(str(file))}: {shown(child)} is a group that has a second name")
                    seen.add(address)
                    waiting.append((child, entry))


def _read(name: str, photo: h5py.Group, file: Path) -> _Photo:
    points = _array(photo, "keypoints", (None, 2), file)
    optional = ((key, _array(photo, key, (len(points),), file) if key in photo else None) for key in _OPTIONAL)
    return _Photo(
        name=name,
        points=points,
        descriptors=_array(photo, "descriptors", (None, len(points)), file),
        size=_image_size(photo, file),
        **{_OPTIONAL[key]: values for key, values in optional},
    )


def _features(photo: _Photo, file: Path, count: int) -> Found | Skipped:
    """The largest features of a photo, or why there are none."""
    number, name = len(photo.points), shown(photo.name)
    if not number:
        return Skipped(photo.name, "it has no features in the file: blank, or too dark or blurred")
    if not len(photo.descriptors):
        raise MirrorError(f"{shown(str(file))}: {name}/descriptors has no rows; expected (any, {number}) numbers")
    rows = np.zeros((number, 4))
    rows[:, :2] = photo.points
    rows[:, 2] = 1 if photo.scales is None else photo.scales
    rows[:, 3] = 0 if photo.angles is None else photo.angles
    weight = np.zeros(number) if photo.scores is None else photo.scores.astype(np.float64)
    if photo.scales is not None:
        weight = rows[:, 2]
    with np.errstate(over="ignore"):
        keypoints = rows.astype(np.float32)
    good = np.isfinite(keypoints).all(axis=1) & (keypoints[:, 2] > 0) & np.isfinite(weight)
    good &= np.isfinite(photo.descriptors).all(axis=0) & (photo.descriptors != 0).any(axis=0)
    usable = np.flatnonzero(good)
    if len(usable) < number:
        _log.warning("%s: %d of %d features left out: not finite, or zero", name, number - len(usable), number)
    if len(usable) < 2:
        return Skipped(photo.name, f"{len(usable) or 'no'} usable feature in the file, matching needs two")
    order = usable[np.argsort(-weight[usable], kind="stable")[:count]]
    return Found(photo.name, keypoints[order], learned.unit_integers(photo.descriptors.T[order]), photo.size)


def _array(photo: h5py.Group, name: str, shape: tuple[int | None, ...], file: Path) -> NDArray[Any]:
    """An array of finite size and real numbers.

    Raises:
        MirrorError: it is not there, or of another shape or type.
    """
    import h5py

    where = f"{shown(str(file))}: {shown(photo.name.strip('/'))}/{name}"
    wanted = f"expected ({', '.join('any' if side is None else str(side) for side in shape)}) numbers"
    data = photo.get(name)
    if data is None:
        raise MirrorError(f"{where} is missing; {wanted}")
    if not isinstance(data, h5py.Dataset):
        raise MirrorError(f"{where} is a group; {wanted}")
    if data.is_virtual or data.external:
        raise MirrorError(f"{where} lies in another file; {wanted} in this one")
    fits = data.shape is not None and len(data.shape) == len(shape)
    fits = fits and all(side in (None, got) for side, got in zip(shape, data.shape, strict=True))
    if not fits or data.dtype.kind not in "fiu" or data.dtype.itemsize > 8:
        raise MirrorError(f"{where} is {data.shape} of {data.dtype}; {wanted}")
    if data.size > _MAX_VALUES:
        raise MirrorError(f"{where} claims to hold {data.size} numbers; at most {_MAX_VALUES} are read")
    return np.asarray(data[()], data.dtype.newbyteorder("="))


def _image_size(photo: h5py.Group, file: Path) -> tuple[int, int]:
    """(width, height) of the photo; (0, 0) where the file does not say."""
    if "image_size" not in photo:
        return 0, 0
    size = _array(photo, "image_size", (2,), file)
    if not np.isfinite(size).all() or size.min() < 1 or size.max() > _MAX_SIDE or (size != np.floor(size)).any():
        where = f"{shown(str(file))}: {shown(photo.name.strip('/'))}/image_size"
        raise MirrorError(f"{where} is {size.tolist()}; expected width and height in pixels")
    return int(size[0]), int(size[1])
