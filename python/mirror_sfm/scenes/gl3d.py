"""GL3D scenes: `undist_images/`, `geolabel/`, `depths/`, `rendered_depths/`, and their overlap as a whole.

Photos are the undistorted ones, 1000 x 1000; where they are missing, the cameras are those of the photos as taken.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.overlap.measured import MASK_SIDE, Overlap
from mirror_sfm.photos import shown
from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.depth_files import depth_size, picture_size, read_depth
from mirror_sfm.scenes.files import listed
from mirror_sfm.scenes.gl3d_cameras import GL3DCamera, read_cameras
from mirror_sfm.scenes.gl3d_lists import Ratios, read_image_list, read_ratios, write_list, write_ratios
from mirror_sfm.scenes.gl3d_masks import KEYS, SIDES, GL3DMasks, filled, read_masks, write_masks
from mirror_sfm.scenes.photo_names import photo_names
from mirror_sfm.scenes.scene import DepthMap, Scene

_log = logging.getLogger("mirror_sfm")

_RATIOS = {"tracks": "common_track.txt", "triangles": "mesh_overlap.txt"}


def is_gl3d(scene: Path) -> bool:
    """Whether a folder is a scene of GL3D."""
    return (scene / "geolabel" / "cameras.txt").is_file()


def read_gl3d(scene: str | os.PathLike[str], images: Path | None = None) -> Scene:
    """Reads a scene.

    Args:
        images: folder of the undistorted photos, by default `undist_images`.

    Raises:
        UsageError: a file cannot be read.
        MirrorError: a file is broken, or cameras and photos do not belong together.
    """
    scene = Path(scene)
    images = images or (scene / "undist_images" if (scene / "undist_images").is_dir() else None)
    cameras = read_cameras(scene / "geolabel" / "cameras.txt")
    names = _names(scene, images, max(camera.index for camera in cameras) + 1)
    views = []
    for camera in cameras:
        name = names[camera.index]
        if images is None:
            made = camera.photo()
        else:
            pinhole = camera.undistorted().resized(*picture_size(images / name))
            made = Camera("PINHOLE", tuple(pinhole.intrinsics.tolist()), pinhole.width, pinhole.height)
        views.append(View(name, made, camera.cam_from_world))
    posed = {view.name for view in views}
    return Scene(
        name=scene.resolve().name,
        views=tuple(sorted(views, key=lambda view: view.name)),
        unregistered=tuple(sorted(name for name in names if name not in posed)),
        images=images,
        depths=_depths(scene, {names[camera.index]: camera for camera in cameras}),
        source=str(scene),
    )


def _names(scene: Path, images: Path | None, least: int) -> list[str]:
    """Names of the photos by index: the folder's files in order, else `image_list.txt`, else 00000000.jpg."""
    if images is not None:
        names = photo_names(images)
        indices = [PurePosixPath(name).stem for name in names]
        if all(index.isascii() and index.isdigit() and len(index) < 10 for index in indices) and names:
            by_index = {int(index): name for index, name in zip(indices, names, strict=True)}
            count = max(max(by_index) + 1, least)
            if len(by_index) < len(names):
                raise MirrorError(f"{shown(str(images))}: two photos of one index; expected 00000000 and so on")
            if len(by_index) < count:
                absent = next(k for k in range(count) if k not in by_index)
                raise MirrorError(
                    f"{shown(str(images))}: {len(names)} photos, none of index {absent}; expected one for each of "
                    f"{count} images, 00000000 and so on"
                )
            return [by_index[k] for k in range(count)]
        if len(names) >= least:
            return names
        raise MirrorError(f"{shown(str(images))}: {len(names)} photos; expected {least} or more, one for each camera")
    if (scene / "image_list.txt").is_file():
        paths = [PurePosixPath(line) for line in read_image_list(scene / "image_list.txt")]
        names = [path.name if path.is_absolute() or ".." in path.parts else str(path) for path in paths]
        if len(names) >= least and len(set(names)) == len(names):
            return names
        raise MirrorError(
            f"{shown(str(scene / 'image_list.txt'))}: {len(set(names))} different names; expected {least} or more, "
            "one for each camera"
        )
    return [f"{k:08d}.jpg" for k in range(least)]


def _depths(scene: Path, cameras: dict[str, GL3DCamera]) -> dict[str, DepthMap]:
    """Rendered maps before those of stereo, which have holes."""
    for folder in ("rendered_depths", "depths"):
        stems = {PurePosixPath(name).stem: scene / folder / name for name in listed(scene / folder)}
        maps = {}
        for name, camera in cameras.items():
            path = stems.get(PurePosixPath(name).stem) or stems.get(f"{camera.index:08d}")
            if path is not None and path.suffix == ".pfm":
                pinhole = camera.undistorted().resized(*depth_size(path))
                maps[name] = DepthMap(partial(read_depth, path), pinhole)
        if maps:
            return maps
    return {}


def read_overlap(scene: str | os.PathLike[str], fill_holes: bool = True) -> Overlap:
    """Reads the overlap of a scene: `geolabel/common_track.txt`, `mesh_overlap.txt`, `mask.bin`, whichever are there.

    GL3D does not tell how many tracks and triangles a photo sees: `seen` is inf for photos that share something.

    Args:
        fill_holes: of the masks. GL3D's own were splatted and have holes.

    Raises:
        UsageError: a file cannot be read, or there is none.
        MirrorError: a file is broken.
    """
    scene = Path(scene)
    labels = scene / "geolabel"
    images = scene / "undist_images"
    cameras = read_cameras(labels / "cameras.txt") if is_gl3d(scene) else []
    names = _names(scene, images if images.is_dir() else None, max((c.index for c in cameras), default=-1) + 1)
    ratios = {m: read_ratios(labels / f, len(names)) for m, f in _RATIOS.items() if (labels / f).is_file()}
    if not ratios:
        raise UsageError(f"no overlap in {shown(str(labels))}: looked for {' and '.join(_RATIOS.values())}")
    order = np.argsort(names, kind="stable")
    rank = np.argsort(order, kind="stable")
    masks = read_masks(labels / "mask.bin", len(names)) if (labels / "mask.bin").is_file() else None
    shared = [(i, j) for halves in ratios.values() for (i, j), ratio in halves.items() if i != j and ratio > 0]
    listed_pairs = np.array(shared, np.int64).reshape(-1, 2)
    if masks is not None:
        listed_pairs = np.concatenate([listed_pairs, masks.pairs[masks.pairs[:, 0] != masks.pairs[:, 1]]])
    pairs = np.unique(np.sort(rank[listed_pairs], axis=1), axis=0).astype(np.int32).reshape(-1, 2)
    place = {(int(i), int(j)): k for k, (i, j) in enumerate(pairs)}
    halves = {measure: _halves(ratios[measure], rank, place) for measure in ratios}
    return Overlap(
        names=tuple(names[k] for k in order),
        pairs=pairs,
        halves=halves,
        seen={m: np.where(np.isin(np.arange(len(names)), pairs[h.any(axis=1)]), np.inf, 0) for m, h in halves.items()},
        masks=None if masks is None else _coverage(masks, rank, place, fill_holes),
        surface="mesh",
    )


def _halves(ratios: Ratios, rank: np.ndarray, place: dict[tuple[int, int], int]) -> np.ndarray:
    halves = np.zeros((len(place), 2))
    for (i, j), ratio in ratios.items():
        a, b = int(rank[i]), int(rank[j])
        if (min(a, b), max(a, b)) in place:
            halves[place[min(a, b), max(a, b)], int(a > b)] = ratio
    return halves


def _coverage(masks: GL3DMasks, rank: np.ndarray, place: dict[tuple[int, int], int], fill_holes: bool) -> np.ndarray:
    """[P, 2, 56, 56] uint8 in the order of names: masks of another side by exact area averaging."""
    coverage = np.zeros((len(place), 2, MASK_SIDE, MASK_SIDE), np.uint8)
    for (i, j), mask in zip(masks.pairs, masks.masks, strict=True):
        if i != j:
            a, b = int(rank[i]), int(rank[j])
            sums, area = area_sums(filled(mask) if fill_holes else mask, MASK_SIDE)
            both = (sums * 510 + area) // (2 * area)  # 255 times the mean, rounded
            coverage[place[min(a, b), max(a, b)]] = both if a < b else both[::-1]
    return coverage


def write_overlap(scene: str | os.PathLike[str], overlap: Overlap, side: int = 32, key: str = "int32") -> None:
    """Writes the overlap of a scene as GL3D has it: `image_list.txt`, `geolabel/common_track.txt`, `mesh_overlap.txt`
    (triangles) and `mask.bin` (of pairs with a mask), whichever the overlap has. Indices are rows of `overlap.names`.

    Args:
        side: of the masks: 32 (version 2), 14 (version 1), 64 or 28. A cell is 1 where half of it or more is covered.
        key: of the masks: "int32" (version 2) or "uint64" (version 1).

    Raises:
        UsageError: there is no such side or key.
        MirrorError: a file cannot be written.
    """
    if side not in SIDES or key not in KEYS:
        raise UsageError(f"side: expected one of {SIDES}, key: one of {KEYS}; got {side!r} and {key!r}")
    scene = Path(scene)
    write_list(scene / "image_list.txt", overlap.names)
    for measure, file in _RATIOS.items():
        if measure in overlap.halves:
            ratios: Ratios = {}
            for (i, j), (ij, ji) in zip(overlap.pairs.tolist(), overlap.halves[measure].tolist(), strict=True):
                ratios.update({pair: half for pair, half in (((i, j), ij), ((j, i), ji)) if half > 0})
            write_ratios(scene / "geolabel" / file, dict(sorted(ratios.items())))
    if overlap.masks is not None:
        kept = overlap.masks.any(axis=(1, 2, 3))
        sums, area = area_sums(overlap.masks[kept], side)
        cells = 2 * sums >= 255 * area
        write_masks(scene / "geolabel" / "mask.bin", GL3DMasks(overlap.pairs[kept], cells.astype(np.uint8), key))


def area_sums(masks: np.ndarray, side: int) -> tuple[np.ndarray, int]:
    """Whole-number masks [..., s, s] summed over the cells of [..., side, side], by the area that each old cell covers
    of each new one; and what to divide by for their mean. Exact."""
    source = masks.shape[-1]
    new, old = np.arange(side)[:, None] * source, np.arange(source)[None] * side
    covered = np.maximum(np.minimum(new + source, old + side) - np.maximum(new, old), 0)
    return covered @ masks.astype(np.int64) @ covered.T, source * source
