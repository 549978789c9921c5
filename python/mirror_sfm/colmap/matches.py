"""Matches and their geometry in a COLMAP database: what is there, and writing what was found.

Everything goes through pycolmap, which knows the layout of its own version. Its transactions are not used: they are
committed even when their block fails, and the process is aborted when the commit does (disk full). Every row is
complete by itself, so a run that stops between two of them can be continued.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.colmap import database as reading
from mirror_sfm.colmap import library
from mirror_sfm.colmap.library import last_words, pycolmap, quiet
from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown

LENGTH = 128  # of a SIFT descriptor
MAX_FEATURES = 32768  # of a photo, as in COLMAP
_SIFT = (pycolmap.FeatureExtractorType.SIFT, pycolmap.FeatureExtractorType.UNDEFINED)  # the latter: before COLMAP 4


@dataclass(frozen=True)
class SiftFeatures:
    """Features of a photo that can be matched.

    Attributes:
        rows: [n] int64, their rows in the database, rising.
        descriptors: [n, 128] uint8, 0..127: half of what the database holds.
        dropped: how many others there are: not finite, zero, or beyond the 32,768 of largest scale.
    """

    rows: NDArray[np.int64]
    descriptors: NDArray[np.uint8]
    dropped: int


@dataclass(frozen=True)
class View:
    """What geometry needs of a photo: its camera and the places of all of its features, [n, 2] float64 in pixels."""

    camera: pycolmap.Camera
    points: NDArray[np.float64]


@dataclass(frozen=True)
class PairResult:
    """What was found out about two photos.

    Attributes:
        first, second: image ids.
        matches: [m, 2] uint32, rows of features of the first and of the second; None: already in the database.
        geometry: what all matches agree on; None: not asked for.
    """

    first: int
    second: int
    matches: NDArray[np.uint32] | None
    geometry: pycolmap.TwoViewGeometry | None


class MatchDatabase:
    """A COLMAP database, open for reading features and for writing matches. See `open_matches`.

    Attributes:
        ids: image ids by name.
    """

    def __init__(self, path: Path, database: pycolmap.Database) -> None:
        self._path, self._database = path, database
        images = database.read_all_images()
        self._cameras = {camera.camera_id: camera for camera in database.read_all_cameras()}
        self._camera_of = {image.image_id: image.camera_id for image in images}
        self.ids: dict[str, int] = {image.name: image.image_id for image in images}
        self._names = {number: name for name, number in self.ids.items()}

    def features(self, image: int) -> SiftFeatures:
        """SIFT of a photo; none where none were extracted.

        Raises:
            MirrorError: other descriptors than SIFT, or as many descriptors as there are not key points.
        """
        if not self._database.exists_descriptors(image) or not self._database.exists_keypoints(image):
            return SiftFeatures(np.zeros(0, np.int64), np.zeros((0, LENGTH), np.uint8), 0)
        stored = self._database.read_descriptors(image)
        descriptors = np.asarray(stored.data)
        keypoints = np.asarray(self._database.read_keypoints(image), np.float32)
        if stored.type not in _SIFT or (descriptors.size and descriptors.shape[1] != LENGTH):
            raise MirrorError(
                f"{self._name(image)}: expected SIFT descriptors of {LENGTH} bytes, the database holds "
                f"{stored.type.name} of {descriptors.shape[1]}; extract SIFT into a new database"
            )
        if len(descriptors) != len(keypoints):
            raise MirrorError(
                f"{self._name(image)}: {len(keypoints)} key points but {len(descriptors)} descriptors; "
                "extract its features again"
            )
        rows = np.flatnonzero(np.isfinite(keypoints).all(axis=1) & descriptors.any(axis=1))
        if len(rows) > MAX_FEATURES:
            area = _area(keypoints[rows])
            rows = np.sort(rows[np.argsort(-area, kind="stable")[:MAX_FEATURES]])
        return SiftFeatures(rows, (descriptors[rows] >> 1).astype(np.uint8), len(descriptors) - len(rows))

    def view(self, image: int) -> View:
        """Camera and feature places of a photo."""
        points = np.zeros((0, 2))
        if self._database.exists_keypoints(image):
            points = np.asarray(self._database.read_keypoints(image), np.float64)[:, :2]
        return View(self._cameras[self._camera_of[image]], points)

    def has_matches(self, first: int, second: int) -> bool:
        """Whether the pair was matched, with or without success."""
        return bool(self._database.exists_matches(first, second))

    def has_geometry(self, first: int, second: int) -> bool:
        """Whether the pair's geometry was examined, with or without success."""
        return bool(self._database.exists_two_view_geometry(first, second))

    def matches(self, first: int, second: int) -> NDArray[np.uint32]:
        """[m, 2] rows of features of the first and of the second photo, as stored.

        Raises:
            MirrorError: a match names a feature that the photo does not have.
        """
        matches = np.asarray(self._database.read_matches(first, second), np.uint32).reshape(-1, 2)
        for image, column in ((first, 0), (second, 1)):
            known = self._database.num_keypoints_for_image(image)
            if len(matches) and matches[:, column].max() >= known:
                raise MirrorError(
                    f"{self._name(first)} - {self._name(second)}: the database holds matches of features that are not "
                    "there: the features were extracted anew after matching. Match again, overwriting old matches"
                )
        return matches

    def counts(self) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]]:
        """Matches and verified matches of all pairs, by image ids, the lower first."""
        number, inliers = self._database.read_num_matches(), self._database.read_two_view_geometry_num_inliers()
        return tuple(  # type: ignore[return-value]
            {tuple(sorted(pycolmap.pair_id_to_image_pair(pair))): count for pair, count in zip(*table, strict=True)}
            for table in (number, inliers)
        )

    def write(self, results: Sequence[PairResult], overwrite: bool = False) -> None:
        """Writes pairs one after the other: first the matches, then the geometry.

        Raises:
            MirrorError: the database cannot be written: disk full, or locked by another program.
        """
        with self._writing():
            for pair in results:
                both = (pair.first, pair.second)
                if overwrite:
                    self._forget(*both)
                if pair.matches is not None:
                    self._database.write_matches(*both, pair.matches)
                if pair.geometry is not None:
                    self._database.write_two_view_geometry(*both, pair.geometry)

    def keep_only(self, pairs: set[tuple[int, int]]) -> int:
        """Removes what the database knows about all other pairs; gives their number. `pairs`: the lower id first."""
        others = set().union(*self.counts()) - pairs
        with self._writing():
            for pair in sorted(others):
                self._forget(*pair)
        return len(others)

    def _forget(self, first: int, second: int) -> None:
        if self.has_matches(first, second):
            self._database.delete_matches(first, second)
        if self.has_geometry(first, second):
            self._database.delete_two_view_geometry(first, second)

    def _name(self, image: int) -> str:
        return f"{shown(str(self._path))}: photo {shown(self._names[image])}"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with quiet():
                yield
        except (RuntimeError, ValueError) as error:  # what pycolmap makes of SQLite's errors
            raise MirrorError(
                f"cannot write to {shown(str(self._path))}: {shown(last_words(error))}; is the disk full, or the "
                "database open in another program? What was written before is intact: run the same command again"
            ) from error


@contextmanager
def open_matches(path: str | os.PathLike[str]) -> Iterator[MatchDatabase]:
    """Opens a database for matching.

    pycolmap brings an older layout up to its own. A newer one is refused, because it would be damaged.

    Raises:
        UsageError: no such file.
        MirrorError: not a COLMAP database, locked, read-only, or written by a newer COLMAP than pycolmap.
    """
    file = Path(path)
    _examine(file)
    try:
        with quiet():
            database = pycolmap.Database.open(file)
    except (RuntimeError, ValueError) as error:
        raise MirrorError(
            f"cannot open {shown(str(file))} for writing: {shown(last_words(error))}; is it open in another program, "
            "its folder read-only, or the disk full?"
        ) from error
    try:
        yield MatchDatabase(file, database)
    finally:
        database.close()


def _examine(file: Path) -> None:
    """Looks before pycolmap does, whose errors do not say what is wrong. The file is closed again: two connections of
    one process to one file would undo each other's locks."""
    with reading.opened(file) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        _check_rows(file, database)
    ours = library.version()
    if version > ours:
        raise MirrorError(
            f"{shown(str(file))} was written by COLMAP {_dotted(version)}, newer than the pycolmap here "
            f"({_dotted(ours)}): pip install --upgrade pycolmap"
        )
    if not os.access(file, os.W_OK) or not os.access(file.parent, os.W_OK):
        raise MirrorError(f"cannot write to {shown(str(file))}: the file or its folder is read-only; work on a copy")


def _check_rows(file: Path, database: sqlite3.Connection) -> None:
    """pycolmap believes what the tables say about their blobs, and names to be UTF-8."""
    cameras = {number for (number,) in database.execute("SELECT camera_id FROM cameras")}
    names: dict[int, str] = {}
    for number, name, camera in database.execute("SELECT image_id, name, camera_id FROM images"):
        if not isinstance(name, str) or not name:
            raise MirrorError(f"{shown(str(file))}: photo {number} has no name")
        names[number], what = name, f"{shown(str(file))}: photo {shown(name)}"
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise MirrorError(f"{what}: its name is not UTF-8, which COLMAP cannot read; rename it and its file")
        if camera not in cameras:
            raise MirrorError(f"{what} has no camera: the database is damaged")
    for table, size in (("keypoints", 4), ("descriptors", 1)):
        query = f"SELECT image_id, rows, cols, ifnull(length(data), 0), typeof(data) FROM {table}"
        for number, rows, columns, length, kind in database.execute(query):
            whole = isinstance(rows, int) and isinstance(columns, int) and kind in ("blob", "null")
            if not whole or rows < 0 or columns < 0 or rows * columns * size != length:
                raise MirrorError(
                    f"{shown(str(file))}: photo {shown(names.get(number, str(number)))}: {length} bytes for {rows} x "
                    f"{columns} {table}: the database is damaged"
                )


def _dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 10_000 % 100}.{version // 100 % 100}"


def _area(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n] grows with the size of features: |det| of the affine shape, or the scale; zeros where neither is known."""
    columns = keypoints.shape[1]
    if columns >= 6:
        return np.abs(keypoints[:, 2] * keypoints[:, 5] - keypoints[:, 3] * keypoints[:, 4])
    return keypoints[:, 2] if columns >= 3 else np.zeros(len(keypoints), np.float32)
