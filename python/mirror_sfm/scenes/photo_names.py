"""Which photo belongs to which camera."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mirror_sfm.errors import MirrorError
from mirror_sfm.folder import find_photos
from mirror_sfm.photos import PHOTO_SUFFIXES, shown
from mirror_sfm.scenes.cameras import View
from mirror_sfm.scenes.files import first_of, listed

_log = logging.getLogger("mirror_sfm")

_FOLDERS = ("images", "undist_images", "blended_images", "photos", "rgb", "color")


@dataclass(frozen=True)
class Photos:
    """The photos of a scene.

    Attributes:
        folder: where they are.
        names: relative to it, sorted.
        guessed: they lie in the scene's own folder, where pictures may be something else: textures of a mesh.
    """

    folder: Path
    names: tuple[str, ...]
    guessed: bool = False


@dataclass(frozen=True)
class Placed:
    """Cameras and the photos they took.

    Attributes:
        views: under the names of their photos, by name.
        rows: of the cameras given, for each view.
        unregistered: photos without a pose, by name.
        folder: of the photos; None without.
    """

    views: tuple[View, ...]
    rows: tuple[int, ...]
    unregistered: tuple[str, ...]
    folder: Path | None = None


def photos_of(scene: Path, images: Path | None = None) -> Photos | None:
    """The photos of a scene, None where it has none.

    Args:
        images: their folder, where it is known.

    Raises:
        UsageError: the folder cannot be read.
    """
    folder = images or photo_folder(scene)
    if folder is None:
        return None
    if images is None and folder == scene:  # folders below it hold other things
        return Photos(folder, tuple(n for n in listed(folder) if _is_photo(n) and (folder / n).is_file()), True)
    return Photos(folder, tuple(photo_names(folder)))


def photo_folder(scene: Path) -> Path | None:
    """The folder of a scene's photos: one of the usual names, else the scene's own where photos lie in it."""
    for name in _FOLDERS:
        if (scene / name).is_dir():
            return scene / name
    return scene if any(_is_photo(name) and (scene / name).is_file() for name in listed(scene)) else None


def photo_names(folder: Path) -> list[str]:
    """Names of the photos in a folder and those below it, sorted.

    Raises:
        UsageError: the folder cannot be read.
    """
    return [photo.name for photo in find_photos(folder)]


def _is_photo(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES


def stem(name: str) -> str:
    """A photo's name without its suffix; other names as they are, points and all."""
    return str(PurePosixPath(name).with_suffix("")) if _is_photo(name) else name


def on_photos(views: Sequence[View], photos: Photos | None, source: str, unregistered: Iterable[str] = ()) -> Placed:
    """Finds the photo of every camera.

    It is the one of the camera's name, or, where that has no suffix of a photo, the one with that stem. Cameras without
    a photo are left out with a warning.

    Args:
        views: under the names that their source has.
        photos: None where only cameras are at hand: names then stay as they are. So they do if none of the photos is a
            camera's and they were guessed.
        source: of the cameras, for messages.
        unregistered: photos of which the source says that they have no pose.

    Raises:
        MirrorError: no camera has a photo, or one has several.
    """
    rows = _rows(views, photos, source) if photos is not None else {}
    if photos is None or (views and not rows and photos.guessed):
        order = sorted(range(len(views)), key=lambda row: views[row].name)
        return Placed(tuple(views[row] for row in order), tuple(order), tuple(sorted(unregistered)))
    if views and not rows:
        cameras, seen = first_of([view.name for view in views]), first_of(photos.names) or "none"
        raise MirrorError(f"{source}: no camera belongs to a photo: cameras {cameras}; photos {seen}")
    if len(rows) < len(views):
        first = min(set(range(len(views))) - set(rows.values()))
        missing, name = len(views) - len(rows), shown(views[first].name)
        _log.warning("%s: %d of %d cameras have no photo, first %s", source, missing, len(views), name)
    return Placed(
        tuple(replace(views[rows[name]], name=name) for name in sorted(rows)),
        tuple(rows[name] for name in sorted(rows)),
        tuple(name for name in sorted(photos.names) if name not in rows),
        photos.folder,
    )


def _rows(views: Sequence[View], photos: Photos, source: str) -> dict[str, int]:
    """Rows of the cameras by name of their photo."""
    there, stems = set(photos.names), dict[str, list[str]]()
    for name in photos.names:
        stems.setdefault(stem(name), []).append(name)
    rows: dict[str, int] = {}
    for row, view in enumerate(views):
        fitting = [view.name] if view.name in there else [] if _is_photo(view.name) else stems.get(view.name, [])
        if len(fitting) > 1:
            raise MirrorError(f"{source}: the camera {shown(view.name)} fits several photos: {first_of(fitting)}")
        for name in fitting:
            if name in rows:
                raise MirrorError(f"{source}: two cameras of the photo {shown(name)}")
            rows[name] = row
    return rows
