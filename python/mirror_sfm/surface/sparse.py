"""Surface from the points of a reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.scenes.scene import Mesh, Scene, Tracks
from mirror_sfm.surface.cloud import Array, Cloud, frame, inliers, lengths, neighbours, normals
from mirror_sfm.surface.poisson import FEWEST, surface

_REMEDY = "reconstruct with more features or photos, or give a mesh or depth maps"
_ASTRAY = 1e-3  # length of the mean of a point's view directions: shorter, it is seen from everywhere and nowhere
_FLAT = 1e-4  # of the extent of points: less across, they lie on a line


@dataclass(frozen=True)
class PointSurfaceOptions:
    """How points become a surface. Every length is relative to the spacing of the points.

    Attributes:
        neighbours: of a point, for its normal and its loneliness.
        lonely: points this many times as lonely as their neighbours are outliers.
        cell: finest detail of the surface, in median distances of nearest points.
        reach: how far the surface goes beyond points, in spacings at the nearest.
    """

    neighbours: int = 12
    lonely: float = 3.0
    cell: float = 0.5
    reach: float = 3.0

    def __post_init__(self) -> None:
        if not 3 <= self.neighbours < FEWEST:
            raise UsageError(f"neighbours: expected 3 to {FEWEST - 1}, got {self.neighbours}")
        for name in ("lonely", "cell", "reach"):
            if not 0 < getattr(self, name) < np.inf:
                raise UsageError(f"{name}: expected a positive number, got {getattr(self, name)}")


def surface_from_points(scene: Scene, options: PointSurfaceOptions | None = None) -> Mesh:
    """A mesh through the points of a scene: screened Poisson, trimmed where no point supports it.

    Same scene, same bytes. Points that are not finite, that stand alone, or whose cameras stand on opposite sides are
    left out. Triangles show their front to the cameras.

    Raises:
        MirrorError: no tracks, too few points, or points on one line; pycolmap is missing.
    """
    options = options or PointSurfaceOptions()
    what = f"surface of {scene.name}"
    if scene.tracks is None:
        raise MirrorError(f"{what}: the scene has no points; give its COLMAP model with points3D, a mesh or depth maps")
    points = scene.tracks.points
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite((points * points).sum(axis=1))
    _enough(int(finite.sum()), what)
    place = frame(np.unique(points[finite], axis=0))
    if not place.size > 0:
        raise MirrorError(f"{what}: its points coincide; {_REMEDY}")
    with np.errstate(invalid="ignore", over="ignore"):
        cloud = _cloud(place.inward(points), place.inward(np.array([v.centre for v in scene.views])), scene.tracks)
    _enough(len(cloud.points), what)
    cloud = cloud.of(inliers(cloud.points, options.neighbours, options.lonely))
    _enough(len(cloud.points), what)
    across = np.linalg.svd(cloud.points - cloud.points.mean(axis=0), compute_uv=False)
    if across[1] <= _FLAT * across[0]:
        raise MirrorError(f"{what}: its points lie on a line; {_REMEDY}")
    cell = options.cell * float(np.median(neighbours(cloud.points, 1)[0]))
    vertices, faces = surface(cloud.points, normals(cloud, options.neighbours), cell, options.reach)
    return Mesh(place.outward(vertices), faces)


def _cloud(points: Array, centres: Array, tracks: Tracks) -> Cloud:
    """Points that are seen from somewhere, each place once (the first of its points stands for it)."""
    view = np.repeat(np.arange(len(centres)), np.diff(tracks.offsets))
    rays: Array = centres[view] - points[tracks.seen]
    rays /= np.maximum(lengths(rays), np.finfo(float).tiny)[:, None]
    total = np.array([np.bincount(tracks.seen, rays[:, axis], len(points)) for axis in range(3)], np.float64).T
    length = lengths(total)
    times = np.maximum(1, np.bincount(tracks.seen, minlength=len(points)))
    _, first = np.unique(points, axis=0, return_index=True)
    rows = np.sort(first)
    rows = rows[np.isfinite(points[rows]).all(axis=1) & (length[rows] > _ASTRAY * times[rows])]
    return Cloud(points[rows], total[rows] / length[rows, None])


def _enough(count: int, what: str) -> None:
    if count < FEWEST:
        raise MirrorError(f"{what}: {count} usable points, at least {FEWEST} are needed; {_REMEDY}")
