"""Which photo belongs to which camera."""

from __future__ import annotations

import logging
from collections.abc import Iterable
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


def on_photos(
    views: Iterable[View], photos: Photos | None, source: str, unregistered: Iterable[str] = ()
) -> tuple[tuple[View, ...], tuple[str, ...], Path | None]:
    """Views under the names of their photos, and the photos without a pose, both by name; and the folder of the photos.

    A camera belongs to the photo of its name, or, where its name has no suffix of a photo, to the one with that stem.
    Cameras without a photo are left out with a warning.

    Args:
        photos: None where only cameras are at hand: names then stay as they are. So they do if none of the photos is a
            camera's and they were guessed.
        source: of the cameras, for messages.
        unregistered: photos of which the source says that they have no pose.

    Raises:
        MirrorError: no camera has a photo, or one has several.
    """
    views = sorted(views, key=lambda view: view.name)
    if photos is None:
        return tuple(views), tuple(sorted(unregistered)), None
    there, stems = set(photos.names), dict[str, list[str]]()
    for name in photos.names:
        stems.setdefault(stem(name), []).append(name)
    found: dict[str, View] = {}
    missing = []
    for view in views:
        fitting = [view.name] if view.name in there else [] if _is_photo(view.name) else stems.get(view.name, [])
        if len(fitting) > 1:
            raise MirrorError(f"{source}: the camera {shown(view.name)} fits several photos: {first_of(fitting)}")
        if not fitting:
            missing.append(view.name)
        elif fitting[0] in found:
            raise MirrorError(f"{source}: two cameras of the photo {shown(fitting[0])}")
        else:
            found[fitting[0]] = replace(view, name=fitting[0])
    if views and not found and photos.guessed:
        return tuple(views), tuple(sorted(unregistered)), None
    if views and not found:
        seen = first_of(photos.names) or "none"
        raise MirrorError(f"{source}: no camera belongs to a photo: cameras {first_of(missing)}; photos {seen}")
    if missing:
        _log.warning(
            "%s: %d of %d cameras have no photo, first %s", source, len(missing), len(views), shown(missing[0])
        )
    left = tuple(name for name in sorted(photos.names) if name not in found)
    return tuple(found[name] for name in sorted(found)), left, photos.folder
