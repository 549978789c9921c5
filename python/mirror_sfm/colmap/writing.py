"""New COLMAP databases: photos, cameras, key points, matches and their geometry."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.colmap import database as reading
from mirror_sfm.colmap.library import last_words, pycolmap, quiet
from mirror_sfm.colmap.matches import PairResult, open_matches
from mirror_sfm.colmap.verification import verify as geometry_of
from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown
from mirror_sfm.threads import parallel, processors

_CHUNK = 512  # pairs written at a time


class Camera(Protocol):
    """What a database has to know about a camera; equal ones are stored once."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def focal(self) -> float: ...
    @property
    def known(self) -> bool: ...


@dataclass(frozen=True)
class DatabasePhoto:
    """A photo to be stored.

    Attributes:
        name: of the photo.
        camera: hashable.
        keypoints: [n, 4] float32: x, y (the first pixel's centre at 0.5, 0.5), scale, angle in radians.
    """

    name: str
    camera: Camera
    keypoints: NDArray[np.float32]


def create(path: Path, photos: Sequence[DatabasePhoto]) -> None:
    """A new database of photos without matches, each photo in a frame of its own.

    Raises:
        MirrorError: it cannot be written.
    """
    cameras: dict[Camera, tuple[int, int]] = {}
    with (
        _errors_in_one_line(path),
        pycolmap.Database.open(path) as database,
        pycolmap.DatabaseTransaction(database),
    ):
        for photo in photos:
            if photo.camera not in cameras:
                cameras[photo.camera] = _write_camera(database, photo.camera)
            camera, rig = cameras[photo.camera]
            number = database.write_image(pycolmap.Image(name=photo.name, camera_id=camera))
            frame = pycolmap.Frame()
            frame.rig_id = rig
            frame.add_data_id(database.read_image(number).data_id)
            database.write_frame(frame)
            database.write_keypoints(number, photo.keypoints)


def _write_camera(database: pycolmap.Database, camera: Camera) -> tuple[int, int]:
    """Ids of the camera and of the rig that holds nothing else."""
    model = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", camera.focal, camera.width, camera.height)
    model.has_prior_focal_length = camera.known
    model.camera_id = database.write_camera(model)
    rig = pycolmap.Rig()
    rig.add_ref_sensor(model.sensor_id)
    return model.camera_id, database.write_rig(rig)


def copy(source: Path, path: Path) -> None:
    """Copies a database without its matches. The source is only read.

    Raises:
        MirrorError: it cannot be read, or the copy cannot be written.
    """
    with reading.opened(source) as original:
        try:
            with closing(sqlite3.connect(path)) as target:
                original.backup(target)
        except sqlite3.Error as error:
            raise MirrorError(f"cannot write a copy of {shown(str(source))}: {error}; is the disk full?") from error
    with _errors_in_one_line(path), pycolmap.Database.open(path) as database:
        database.clear_matches()
        database.clear_two_view_geometries()


def add_matches(
    path: Path, matches: Iterable[tuple[str, str, NDArray[np.uint32]]], verify: bool, threads: int | None
) -> None:
    """Writes the matches [m, 2] of pairs of photos, and with `verify` their geometry.

    Raises:
        MirrorError: they cannot be written.
    """
    with open_matches(path) as database:
        while chunk := list(itertools.islice(matches, _CHUNK)):
            pairs = [(database.ids[first], database.ids[second], found) for first, second, found in chunk]
            views = {image: database.view(image) for first, second, _ in pairs for image in (first, second)}

            def result(pair: tuple[int, int, NDArray[np.uint32]], views: dict = views) -> PairResult:
                first, second, found = pair
                geometry = geometry_of(views[first], views[second], found) if verify else None
                return PairResult(first, second, found, geometry)

            database.write(list(parallel(result, pairs, threads or processors())))


@contextmanager
def _errors_in_one_line(path: Path) -> Iterator[None]:
    try:
        with quiet():
            yield
    except (RuntimeError, ValueError) as error:  # what pycolmap makes of SQLite's errors
        reason = shown(last_words(error))
        raise MirrorError(
            f"cannot write the COLMAP database {shown(path.name)}: {reason}; is the disk full?"
        ) from error
