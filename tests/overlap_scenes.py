"""Reconstructions made on the spot, whose overlap can be written down."""

from __future__ import annotations

import numpy as np

from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.scene import DepthMap, Mesh, Scene, Tracks

SIZE = (64, 48)  # width, height


def looking(centre: tuple[float, float, float], rotation: np.ndarray | None = None) -> np.ndarray:
    """[3, 4] cam_from_world of a camera there; without a rotation it looks along z."""
    rotation = np.eye(3) if rotation is None else rotation
    return np.column_stack([rotation, -rotation @ np.array(centre, float)])


def view(name: str, centre: tuple[float, float, float], focal: float = 48.0, size: tuple[int, int] = SIZE) -> View:
    """A photo along z; from a height of 48 a pixel is as large as a unit of the plane z = 0 where focal is 48."""
    width, height = size
    return View(name, Camera("PINHOLE", (focal, focal, width / 2, height / 2), width, height), looking(centre))


def plane(low: float, high: float, cells: int, z: float = 0.0) -> Mesh:
    """A square of cells x cells x 2 triangles at one depth."""
    steps = np.linspace(low, high, cells + 1)
    x, y = np.meshgrid(steps, steps)
    vertices = np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], 1)
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    a, b, c, d = corner, corner + 1, corner + cells + 2, corner + cells + 1
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    return Mesh(vertices, faces)


def joined(*meshes: Mesh) -> Mesh:
    """Several surfaces as one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces).astype(np.int32))


def tracks(*seen: list[int]) -> Tracks:
    """Points 0.. on a line, and which of them each view sees."""
    count = max((point for points in seen for point in points), default=-1) + 1
    points = np.column_stack([np.arange(count), np.zeros(count), np.zeros(count)]).astype(float)
    offsets = np.concatenate([[0], np.cumsum([len(points) for points in seen])]).astype(np.int64)
    return Tracks(points, offsets, np.concatenate([*map(sorted, seen), []]).astype(np.int32))


def scaled(scene: Scene, factor: float) -> Scene:
    """The same scene in another unit."""
    views = []
    for old in scene.views:
        pose = old.cam_from_world.copy()
        pose[:, 3] *= factor
        views.append(View(old.name, old.camera, pose))
    mesh = scene.mesh and Mesh(scene.mesh.vertices * factor, scene.mesh.faces)
    points = scene.tracks and Tracks(scene.tracks.points * factor, scene.tracks.offsets, scene.tracks.seen)
    depths = {
        name: DepthMap(lambda map_=map_: map_.read() * np.float32(factor), map_.camera)
        for name, map_ in scene.depths.items()
    }
    return Scene(scene.name, tuple(views), scene.unregistered, scene.images, points, mesh, depths)


def strip_overlap(shift: float, width: float = SIZE[0]) -> float:
    """Share of a photo of a plane that one taken `shift` to the side sees too."""
    return max(0.0, 1 - abs(shift) / width)
