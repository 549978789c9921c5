"""Scenes as files: photos, cameras, COLMAP model, mesh, overlap."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mirror_sfm.errors import UsageError
from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap
from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.meshes import write_mesh
from mirror_sfm.scenes.scene import Mesh, Scene
from mirror_sfm.synthetic.kinds import KINDS
from mirror_sfm.synthetic.lighting import Lit, illuminate
from mirror_sfm.synthetic.paths import centres
from mirror_sfm.synthetic.rendering import RenderOptions, develop, near_of, render
from mirror_sfm.synthetic.surfaces import Surface, assemble
from mirror_sfm.synthetic.tracks import find_tracks, scatter_points
from mirror_sfm.threads import parallel, processors

POINTS = 400  # of the model, found in each photo
BUILD, FLY, EXPOSE, SENSOR, MODEL = range(5)  # streams of random numbers
_NOTE = "x_cam = cam_from_world [3, 4] (x, 1); metres; x right, y down, z forward; first pixel centre (0.5, 0.5)"


def make_lit(kind: str, seed: int = 0, threads: int | None = None) -> Lit:
    """The surface of a kind of scene in its light, ready for `render`.

    Raises:
        UsageError: no such kind.
    """
    if kind not in KINDS:
        raise UsageError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    threads = threads or processors()
    surface = assemble(KINDS[kind].build(np.random.default_rng([seed, BUILD]), threads))
    return illuminate(surface, KINDS[kind].light(surface.mesh), threads=threads)


def make_path(kind: str, photos: int, seed: int = 0) -> np.ndarray:
    """Poses [photos, 3, 4], cam_from_world, of the camera of a kind of scene."""
    return KINDS[kind].path(photos, np.random.default_rng([seed, FLY]))


def make_scene(
    kind: str,
    folder: str | os.PathLike[str],
    photos: int = 24,
    seed: int = 0,
    options: RenderOptions | None = None,
) -> Path:
    """Renders a scene into `folder` and returns its folder of photos.

    Writes images/photo_NNN.jpg, cameras.json (camera and cam_from_world of each photo), pairs_overlap.csv (for every
    pair the share of each photo that the other sees too), mesh.ply, manifest.json and, where pycolmap is installed,
    the COLMAP model sparse/0. The same seed gives the same bytes.

    Args:
        kind: "village", "terrain", "interior" or "object".
        folder: created where missing; files of an earlier scene are overwritten.
        photos: how many, at least 1.
        seed: of the scene and the camera's way.
        options: how photos are taken.

    Raises:
        UsageError: no such kind, no photos, or the folder holds other photos already.
        MirrorError: a file cannot be written.
    """
    options = options or RenderOptions()
    if photos < 1:
        raise UsageError(f"photos: expected at least 1, got {photos}")
    threads = options.threads or processors()
    lit = make_lit(kind, seed, threads)
    camera, poses = options.camera(KINDS[kind].focal * options.width / 640), make_path(kind, photos, seed)
    digits = max(3, len(str(photos - 1)))
    views = tuple(View(f"photo_{i:0{digits}d}{options.suffix}", camera, poses[i]) for i in range(photos))
    folder = Path(folder)
    images = _photo_folder(folder / "images", {view.name for view in views})
    points = scatter_points(lit.surface.mesh, views, near_of(lit), POINTS, seed, threads)
    tracks, kept = find_tracks(lit.surface.mesh, views, points, near_of(lit), threads)
    exposures = options.exposure * np.random.default_rng([seed, EXPOSE]).normal(size=photos)

    def shoot(index: int) -> np.ndarray:
        light = expose(lit, poses, index, camera, options)
        photo = develop(light, float(exposures[index]), options, np.random.default_rng([seed, SENSOR, index]))
        Image.fromarray(photo).save(images / views[index].name, **_file_options(options))
        column, row = points.pixel[points.view == index].T
        return photo[row, column]

    colours = np.concatenate(list(parallel(shoot, range(photos), threads)))[kept]
    if find_spec("pycolmap") is not None:
        from mirror_sfm.colmap.models import write_model

        write_model(folder / "sparse" / "0", views, tracks, colours)
    write_mesh(folder / "mesh.ply", lit.surface.mesh, vertex_colours(lit.surface))
    write_cameras(folder / "cameras.json", views)
    write_overlap(folder / "pairs_overlap.csv", lit.surface.mesh, views, threads)
    write_manifest(folder / "manifest.json", kind, photos, seed)
    return images


def expose(lit: Lit, poses: np.ndarray, index: int, camera: Camera, options: RenderOptions) -> np.ndarray:
    """Light [3, h, w] of photo `index`; with motion, the mean over the shutter's time along the camera's way."""
    pose = poses[index]
    if not options.motion:
        return render(lit, pose, camera, options.samples)
    places = centres(poses)
    way = places[min(index + 1, len(poses) - 1)] - places[max(index - 1, 0)]
    length = float(np.linalg.norm(way))
    if not length:
        return render(lit, pose, camera, options.samples)
    distance = float(np.linalg.norm(places[index] - lit.surface.mesh.vertices.mean(axis=0)))
    reach = options.motion * distance / camera.pinhole.fx / length
    count = int(np.ceil(options.motion)) + 1
    total = np.zeros((3, camera.height, camera.width), np.float32)
    for share in np.linspace(-0.5, 0.5, count):
        moved = pose.copy()
        moved[:, 3] -= pose[:, :3] @ (way * reach * share)
        total += render(lit, moved, camera, options.samples)
    return total / np.float32(count)


def _photo_folder(images: Path, names: set[str]) -> Path:
    """The folder of photos, made where missing.

    Raises:
        UsageError: it holds photos of something else, which nobody would tell from ours.
    """
    images.mkdir(parents=True, exist_ok=True)
    others = sorted(path.name for path in images.iterdir() if path.name not in names)
    if others:
        raise UsageError(f"{images} holds {others[0]} and is no place for another scene; choose an empty folder")
    return images


def _file_options(options: RenderOptions) -> dict[str, Any]:
    return {"quality": options.quality, "subsampling": 0} if options.suffix == ".jpg" else {"compress_level": 6}


def vertex_colours(surface: Surface) -> np.ndarray:
    """[V, 3] uint8, of the pictures at the vertices."""
    x, y = (surface.texels - np.float32(0.5)).round().astype(np.int64).T
    return surface.atlas[y, x]


def write_cameras(path: Path, views: Sequence[View]) -> None:
    """cameras.json: a list of cameras in COLMAP's terms."""
    entries = [
        {
            "name": view.name,
            "width": view.camera.width,
            "height": view.camera.height,
            "model": view.camera.model,
            "params": list(view.camera.params),
            "cam_from_world": view.cam_from_world.tolist(),
        }
        for view in views
    ]
    path.write_text(json.dumps({"note": _NOTE, "cameras": entries}, indent=1) + "\n")


def write_overlap(path: Path, mesh: Mesh, views: tuple[View, ...], threads: int) -> None:
    """pairs_overlap.csv: of every pair, the share of each photo's pixels whose triangle the other sees too."""
    names, camera = [view.name for view in views], views[0].camera
    options = OverlapOptions(long_side=max(camera.width, camera.height), masks=False, threads=threads)
    shares = measure_overlap(Scene("", views, mesh=mesh), options).matrix("pixels")
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_a", "image_b", "overlap_a_to_b", "overlap_b_to_a", "overlap_min", "overlap_mean"])
        for i in range(len(names)):
            for j in range(i + 1, len(names)):
                ab, ba = float(shares[i, j]), float(shares[j, i])
                values = (ab, ba, min(ab, ba), (ab + ba) / 2)
                writer.writerow([names[i], names[j], *(f"{value:.4f}" for value in values)])


def write_manifest(path: Path, kind: str, photos: int, seed: int) -> None:
    """manifest.json: what the scene is."""
    manifest = {
        "name": kind,
        "n_images": photos,
        "kind": f"rendered: {KINDS[kind].note}",
        "seed": seed,
        "gt": "cameras.json; mesh.ply; pairs_overlap.csv, from the triangles that photos see",
    }
    path.write_text(json.dumps(manifest, indent=1) + "\n")
