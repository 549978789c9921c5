"""Which photo belongs to which camera."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from mirror_sfm.errors import MirrorError
from mirror_sfm.folder import find_photos
from mirror_sfm.photos import PHOTO_SUFFIXES, shown
from mirror_sfm.scenes.cameras import View
from mirror_sfm.scenes.files import first_of, listed

_log = logging.getLogger("mirror_sfm")

_FOLDERS = ("images", "undist_images", "blended_images", "photos", "rgb", "color")


def photo_folder(scene: Path) -> Path | None:
    """The folder of a scene's photos: one of the usual names, else the scene's own where photos lie in it."""
    for name in _FOLDERS:
        if (scene / name).is_dir():
            return scene / name
    return scene if any(_is_photo(name) and (scene / name).is_file() for name in listed(scene)) else None


def photo_names(folder: Path, below: bool = True) -> list[str]:
    """Names of the photos in a folder, sorted.

    Args:
        below: those in its folders, too.

    Raises:
        UsageError: the folder cannot be read.
    """
    if not below:
        return [name for name in listed(folder) if _is_photo(name) and (folder / name).is_file()]
    return [photo.name for photo in find_photos(folder)]


def _is_photo(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES


def stem(name: str) -> str:
    """A photo's name without its suffix; other names as they are, points and all."""
    return str(PurePosixPath(name).with_suffix("")) if _is_photo(name) else name


def on_photos(
    views: Iterable[View], names: list[str] | None, source: str, unregistered: Iterable[str] = ()
) -> tuple[tuple[View, ...], tuple[str, ...]]:
    """Views under the names of their photos, and the photos without a pose; both by name.

    A camera belongs to the photo of its name, or, where its name has no suffix of a photo, to the one with that stem.
    Cameras without a photo are left out with a warning.

    Args:
        names: of the photos; None where only cameras are at hand: names then stay as they are.
        source: of the cameras, for messages.
        unregistered: photos of which the source says that they have no pose.

    Raises:
        MirrorError: no camera has a photo, or one has several.
    """
    if names is None:
        return tuple(sorted(views, key=lambda view: view.name)), tuple(sorted(unregistered))
    views, there = list(views), set(names)
    stems: dict[str, list[str]] = {}
    for name in names:
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
    if views and not found:
        raise MirrorError(
            f"{source}: no camera belongs to a photo: cameras {first_of(missing)}; photos {first_of(names) or 'none'}"
        )
    if missing:
        _log.warning(
            "%s: %d of %d cameras have no photo, first %s", source, len(missing), len(views), shown(missing[0])
        )
    return tuple(found[name] for name in sorted(found)), tuple(name for name in sorted(names) if name not in found)
