"""Where photos and their features come from: a folder, a COLMAP database, or hloc's features."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mirror_sfm.cache import Cache
from mirror_sfm.errors import UsageError
from mirror_sfm.features import Reading
from mirror_sfm.folder import find_photos
from mirror_sfm.masks import Masks
from mirror_sfm.photos import shown
from mirror_sfm.reading import read_features


class Source(Protocol):
    """Anything that has photos with features.

    Attributes:
        cache: folder that keeps what was found in photos from run to run; none: nothing is kept.
    """

    @property
    def cache(self) -> str | os.PathLike[str] | None: ...

    def files(self) -> dict[str, Path]:
        """Files of the photos by name, in the order of names, where they are known. Errors as in `read`."""
        ...

    def read(self, count: int, threads: int, progress: bool = False) -> Reading:
        """The `count` largest features of every photo.

        Raises:
            UsageError: the source cannot be read. Photos that cannot be used are in `Reading.skipped`.
        """
        ...


@dataclass(frozen=True)
class PhotoFolder:
    """Photos in a folder and below it; SIFT finds their features.

    Attributes:
        folder: where they are.
        include: shell patterns of names to take (see `mirror_sfm.folder.matches`); none: all.
        exclude: shell patterns of names to leave out.
        list_file: a text file with the names to take, one a line.
        masks: folder of masks (see `mirror_sfm.masks`). Inside `folder` its files are not taken for photos.
        cache: folder that keeps features from run to run (see `mirror_sfm.cache`); none: nothing is kept.
    """

    folder: str | os.PathLike[str]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    list_file: str | os.PathLike[str] | None = None
    masks: str | os.PathLike[str] | None = None
    cache: str | os.PathLike[str] | None = None

    def files(self) -> dict[str, Path]:
        """See `Source`."""
        photos = find_photos(self.folder, self.include, self.exclude, self.list_file, self.masks)
        return {photo.name: photo.path for photo in photos}

    def read(self, count: int, threads: int, progress: bool = False) -> Reading:
        """See `Source`."""
        if self.masks is not None and os.path.realpath(self.masks) == os.path.realpath(self.folder):
            raise UsageError(
                f"masks and photos are both in {shown(str(self.folder))}: give masks a folder of their own"
            )
        masks = Masks(Path(self.masks)) if self.masks is not None else None
        photos = find_photos(self.folder, self.include, self.exclude, self.list_file, self.masks)
        cache = Cache(self.cache) if self.cache is not None else None
        return read_features(photos, count, threads, progress, masks, cache)


@dataclass(frozen=True)
class _FeatureFile:
    """Photos whose features another program has found; no photo is decoded.

    Attributes:
        path: the file with the features. It is only read.
        images: folder of the photos, for what else they know (positions, thumbnails); none: nothing is known of them.
        cache: folder that keeps what a network saw in them from run to run.
    """

    path: str | os.PathLike[str]
    images: str | os.PathLike[str] | None = None
    cache: str | os.PathLike[str] | None = None

    def _features(self, count: int) -> Reading:
        raise NotImplementedError

    def files(self) -> dict[str, Path]:
        """See `Source`."""
        return self.read(2, 1).paths

    def read(self, count: int, threads: int, progress: bool = False) -> Reading:
        """See `Source`."""
        return _with_files(self._features(count), self.images)


class ColmapDatabase(_FeatureFile):
    """Photos with the features of a COLMAP database: `path`, `images` and `cache` as in `_FeatureFile`."""

    def _features(self, count: int) -> Reading:
        from mirror_sfm.colmap.database import read_features as read_database

        return read_database(self.path, count)


class HlocFeatures(_FeatureFile):
    """Photos with the local features of hloc's features.h5: `path`, `images` and `cache` as in `_FeatureFile`."""

    def _features(self, count: int) -> Reading:
        from mirror_sfm.hloc import read_features as read_h5

        return read_h5(self.path, count)


def _with_files(reading: Reading, images: str | os.PathLike[str] | None) -> Reading:
    """Adds where the photos' files are."""
    if images is None:
        return reading
    if not os.path.isdir(images):
        raise UsageError(f"no such folder of photos: {shown(str(images))}")
    files = {name: Path(images) / name for name in reading.features.names}
    found = {name: file for name, file in files.items() if file.is_file()}
    if files and not found:
        raise UsageError(f"none of the photos is in {shown(str(images))}, such as {shown(next(iter(files)))}")
    return dataclasses.replace(reading, paths=found)


def as_source(source: str | os.PathLike[str] | Source) -> Source:
    """A path is a folder of photos."""
    return PhotoFolder(Path(source)) if isinstance(source, (str, os.PathLike)) else source
