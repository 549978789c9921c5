"""Where photos and their features come from: a folder, a COLMAP database, or hloc's features."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mirror_sfm.features import Reading, read_features
from mirror_sfm.photos import find_photos


class Source(Protocol):
    """Anything that has photos with features."""

    def read(self, count: int, threads: int, progress: bool = False) -> Reading:
        """The `count` largest features of every photo.

        Raises:
            UsageError: the source cannot be read. Photos that cannot be used are in `Reading.skipped`.
        """
        ...


@dataclass(frozen=True)
class PhotoFolder:
    """Photos in a folder and below it; SIFT finds their features."""

    folder: str | os.PathLike[str]

    def read(self, count: int, threads: int, progress: bool = False) -> Reading:
        """See `Source`."""
        return read_features(find_photos(self.folder), count, threads, progress)


def as_source(source: str | os.PathLike[str] | Source) -> Source:
    """A path is a folder of photos."""
    return PhotoFolder(Path(source)) if isinstance(source, (str, os.PathLike)) else source
