"""Depth maps in files: 16-bit PNG or TIFF, PFM, NumPy, COLMAP's own."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import MAX_PIXELS, UnusablePhoto, large_photos_allowed, open_image, reasons_in_words, shown
from mirror_sfm.scenes.cameras import Camera, Pinhole
from mirror_sfm.scenes.files import broken, first_of, listed, read_bytes, said
from mirror_sfm.scenes.pfm import pfm_size, read_pfm
from mirror_sfm.scenes.photo_names import stem
from mirror_sfm.scenes.scene import DepthMap

_log = logging.getLogger("mirror_sfm")

DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".pfm", ".npy", ".bin")
_NO_READING = 65535  # of a sensor; so is 0
_WORDS = (".depth", "_depth", "-depth", ".geometric", ".photometric")  # that names of maps end with
_COLMAP = re.compile(rb"(\d{1,9})&(\d{1,9})&(\d{1,9})&")  # width, height, channels; then float32, row by row
_LONGEST = 64  # bytes of that


def depth_maps(
    folder: Path, names: list[str], scale: float | None, camera: Callable[[int, int], Pinhole | None] | None = None
) -> dict[str, DepthMap]:
    """Maps of a folder by name of the photo they belong to: that with the same name or stem, but for a word such as
    ".depth". Of COLMAP's maps the geometric ones are taken before the photometric ones.

    Args:
        folder: of the maps, below it folders as below that of the photos.
        names: of the photos.
        scale: values of a map per unit of the world; None: what whole numbers mean is unknown, and said when such a map
            is read; others are in units of the world.
        camera: the pinhole camera of a map of this width and height.

    Raises:
        UsageError: the folder cannot be read.
        MirrorError: no map belongs to a photo, or two belong to one.
    """
    files = _by_stem(folder)
    stems = {name: stem(name) for name in names}
    found = {name: files[key] for name, key in stems.items() if key in files}
    if not found:
        inside = first_of(listed(folder)) or "nothing"
        raise MirrorError(
            f"no depth map in {shown(str(folder))} belongs to a photo: looked for "
            f"{first_of(list(stems.values())[:1])} with {', '.join(DEPTH_SUFFIXES)}; found {inside}"
        )
    if len(found) < len(names):
        missing = [name for name in names if name not in found]
        _log.warning("%d of %d photos have no depth map, first %s", len(missing), len(names), shown(missing[0]))
    return {
        name: DepthMap(partial(read_depth, path, scale), camera(*depth_size(path)) if camera else None)
        for name, path in found.items()
    }


def read_depth(path: Path, scale: float | None = None) -> np.ndarray:
    """Reads a map.

    Args:
        scale: values per unit of the world: 1000 for millimetres in a world of metres. None: numbers with a point are
            in units of the world, and whole numbers are refused.

    Returns:
        [height, width] float32, units of the world; 0 where the file has 0, less, no finite number, or (16 bits) 65535.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is not a depth map, or of whole numbers without a scale.
    """
    suffix = path.suffix.lower()
    values = {".pfm": read_pfm, ".npy": _numpy, ".bin": _colmap}.get(suffix, _picture)(path)
    if values.dtype.kind in "ui":
        if scale is None:
            raise MirrorError(
                f"{shown(str(path))} holds whole numbers and nothing says how many make one unit of the world: give "
                "depth_scale, 1000 for millimetres in a world of metres"
            )
        values = np.where(values == _NO_READING, 0, values) if values.dtype.itemsize <= 2 else values
    with np.errstate(all="ignore"):
        depth = np.asarray(values, np.float32) / np.float32(1 if scale is None else scale)
        return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def depth_size(path: Path) -> tuple[int, int]:
    """(width, height) of a map, from its header.

    Raises:
        UsageError, MirrorError: as `read_depth`.
    """
    if path.suffix.lower() == ".pfm":
        return pfm_size(path)
    if path.suffix.lower() == ".npy":
        height, width = _numpy(path).shape
        return width, height
    if path.suffix.lower() == ".bin":
        return _colmap_header(path, read_bytes(path, _LONGEST))[:2]
    return picture_size(path)


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of a photo as the sensor stored it, from its header.

    Raises:
        MirrorError: it is not a photo.
    """
    from mirror_sfm.photos import open_file

    try:
        with reasons_in_words(), large_photos_allowed(), open_file(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnusablePhoto(f"{width} x {height} pixels; the limit is {MAX_PIXELS // 1_000_000} million")
            return width, height
    except UnusablePhoto as reason:
        raise MirrorError(f"{shown(str(path))}: {reason}") from reason


def scaled_camera(camera: Camera, width: int, height: int) -> Camera:
    """A pinhole camera given for a picture of another size, for this one.

    Raises:
        MirrorError: the camera distorts, or the proportions differ.
    """
    if (camera.width, camera.height) == (width, height):
        return camera
    if camera.distorts or abs(camera.width * height - width * camera.height) > max(camera.width, camera.height, width):
        raise MirrorError(
            f"{width} x {height} pixels, its camera is for {camera.width} x {camera.height}; expected the same size, "
            "or a pinhole camera and the same proportions"
        )
    pinhole = camera.pinhole.resized(width, height)
    return Camera("PINHOLE", tuple(pinhole.intrinsics.tolist()), width, height)


def _by_stem(folder: Path) -> dict[str, Path]:
    """Maps of a folder and those below it, by stem of their photo."""
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in DEPTH_SUFFIXES or path.name.startswith("."):
            continue
        if ".photometric." in path.name and path.with_name(path.name.replace(".photometric.", ".geometric.")).is_file():
            continue
        key = path.relative_to(folder).with_suffix("").as_posix()
        for word in _WORDS:
            key = key.removesuffix(word)
        key = stem(key)
        if key in files:
            raise MirrorError(f"{shown(str(files[key]))} and {shown(path.name)}: two maps of one photo; keep one")
        files[key] = path
    return files


def _picture(path: Path) -> np.ndarray:
    content = read_bytes(path)
    try:
        with reasons_in_words(), large_photos_allowed(), open_image(content) as image:
            if image.mode not in ("I;16", "I;16B", "I", "F", "L"):
                raise UnusablePhoto(f"a picture of mode {image.mode}; expected one channel of 16 bits")
            values = np.asarray(image)
    except UnusablePhoto as reason:
        raise MirrorError(f"{shown(str(path))} is not a depth map: {reason}") from reason
    wide = values.dtype == np.int32 and values.min() >= 0 and values.max() <= _NO_READING
    return values.astype(np.uint16) if wide else values  # older releases of Pillow give 16 bits as 32


def _numpy(path: Path) -> np.ndarray:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # fed with a damaged header, NumPy raises nearly anything
        raise MirrorError(f"{shown(str(path))} is not a depth map: {said(error)}") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "uif" or not values.size:
        raise MirrorError(f"{shown(str(path))} is not a depth map: expected an array of numbers [height, width]")
    return values


def _colmap(path: Path) -> np.ndarray:
    content = read_bytes(path)
    width, height, start = _colmap_header(path, content)
    if len(content) - start != 4 * width * height:
        found = f"found {len(content) - start} bytes"
        raise broken(path, f"byte {start}", f"expected {width} x {height} numbers of 4 bytes, {found}")
    return np.frombuffer(content, "<f4", offset=start).reshape(height, width)


def _colmap_header(path: Path, content: bytes) -> tuple[int, int, int]:
    """Width, height, first byte of the numbers."""
    found = _COLMAP.match(content[:_LONGEST])
    width, height, channels = map(int, found.groups()) if found else (0, 0, 0)
    if not found or channels != 1 or min(width, height) < 1:
        raise broken(path, "byte 0", "expected COLMAP's header of a depth map: width&height&1&")
    return width, height, found.end()
