"""Surface from depth maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.scenes.scene import Mesh, Scene
from mirror_sfm.surface.cloud import Array, Frame, frame
from mirror_sfm.surface.lifting import Sampled, lifted, looked_up, sampled
from mirror_sfm.surface.poisson import FEWEST, surface
from mirror_sfm.surface.voxels import Voxels

_FOR_FRAME = 16  # every 16th point says where the scene lies
_FINEST = 1e-4  # of the size of the scene: no voxel is smaller


@dataclass(frozen=True)
class DepthSurfaceOptions:
    """How depth maps become a surface.

    Attributes:
        long_side: samples along the longer side of a map; the surface is as fine as these.
        voxel: side of the cubes in which points are merged, in widths of what a sample shows (the median).
        tolerance: maps agree on a point up to this share of its depth.
        reach: how far the surface goes beyond points, in spacings at the nearest.
    """

    long_side: int = 256
    voxel: float = 2.0
    tolerance: float = 0.02
    reach: float = 3.0

    def __post_init__(self) -> None:
        if self.long_side < 8:
            raise UsageError(f"long_side: expected at least 8, got {self.long_side}")
        for name in ("voxel", "tolerance", "reach"):
            if not 0 < getattr(self, name) < np.inf:
                raise UsageError(f"{name}: expected a positive number, got {getattr(self, name)}")


def surface_from_depth(scene: Scene, options: DepthSurfaceOptions | None = None) -> Mesh:
    """A mesh through the depth maps of a scene: lifted, merged in voxels, checked against each other, Poisson, trimmed.

    Each map is lifted with its own camera where it has one (a depth sensor beside the camera of the photos). A point
    that more maps see through than see is left out. Same scene, same bytes.

    Raises:
        MirrorError: no depth maps, or too little in them; pycolmap is missing.
    """
    options = options or DepthSurfaceOptions()
    what = f"surface of {scene.name}"
    maps = [sampled(v, scene.depths[v.name], options.long_side) for v in scene.views if v.name in scene.depths]
    if not maps:
        raise MirrorError(
            f"{what}: no photo with a pose has a depth map; give depth maps, a mesh, or a model with points"
        )
    place, cell = _frame(maps, what)
    side = max(options.voxel * cell / place.size, _FINEST)
    voxels = Voxels(side)
    for one in maps:
        points, normals = lifted(one)
        voxels.add(place.inward(points), normals)
    points, normals = voxels.means()
    rows = _agreed(place.outward(points), maps, options.tolerance)
    _enough(int(rows.sum()), what)
    vertices, faces = surface(points[rows], normals[rows], side, options.reach)
    return Mesh(place.outward(vertices), faces)


def _frame(maps: Sequence[Sampled], what: str) -> tuple[Frame, float]:
    """Where the scene lies, and the median width of what a sample shows."""
    some = np.concatenate([lifted(one)[0][::_FOR_FRAME] for one in maps])
    _enough(len(some), what)
    place = frame(some)
    if not 0 < place.size < np.inf:
        raise MirrorError(f"{what}: the points of its depth maps coincide or are not finite; check poses and units")
    return place, float(np.nanmedian([one.footprint for one in maps]))


def _agreed(points: Array, maps: Sequence[Sampled], tolerance: float) -> NDArray[np.bool_]:
    """[m] which points at least one map sees, and no more maps see through (they show something behind) than see."""
    seen, through = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
    for one in maps:
        z, found = looked_up(one, points)
        seen += (found > 0) & (np.abs(found - z) <= tolerance * z)
        through += (found > 0) & (found > (1 + tolerance) * z)
    return np.asarray((seen > 0) & (through <= seen))


def _enough(count: int, what: str) -> None:
    if count < FEWEST:
        raise MirrorError(
            f"{what}: {count} usable points in its depth maps, at least {FEWEST} are needed; check scale of depth, "
            "poses and intrinsics, or give a mesh"
        )
