"""Points with normals -> a surface where there are points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mirror_sfm.errors import MirrorError
from mirror_sfm.surface.cloud import Array, neighbours

FEWEST = 30  # points that make a surface
_AROUND = 6  # neighbours that make up the spacing of points
_DEPTHS = (5, 12)  # of the octree: from what COLMAP's Poisson solves fully to what it is fast at


def surface(points: Array, normals: Array, cell: float, reach: float) -> tuple[Array, NDArray[np.int32]]:
    """Screened Poisson surface, trimmed where no point supports it.

    Args:
        points, normals: [M, 3], M >= FEWEST, no two points alike.
        cell: of the finest cubes of the surface, in units of the points.
        reach: a vertex is kept within this many spacings of the nearest point; the spacing at a point is the distance
            to its sixth neighbour.

    Returns:
        vertices [V, 3] and faces [F, 3], the front where the normals point to.

    Raises:
        MirrorError: nothing is left.
    """
    from mirror_sfm.colmap.meshing import poisson

    extent = float(np.ptp(points, axis=0).max())
    depth = int(np.clip(np.ceil(np.log2(1.1 * extent / cell)), *_DEPTHS))
    vertices, faces = poisson(points, normals, depth)
    spacing = neighbours(points, _AROUND)[0][:, -1]
    away, nearest = cKDTree(points).query(vertices) if len(vertices) else (np.zeros(0), np.zeros(0, np.int64))
    supported = away <= reach * spacing[nearest]
    vertices, faces = compact(vertices, faces[supported[faces].all(axis=1)])
    if not len(faces):
        raise MirrorError(
            f"surface: no triangle is supported by the {len(points)} points; give a mesh or depth maps, or a model "
            "with more points"
        )
    return vertices, faces


def compact(vertices: Array, faces: NDArray[np.int32]) -> tuple[Array, NDArray[np.int32]]:
    """The same without vertices that no face uses."""
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    rows = np.cumsum(used, dtype=np.int32) - np.int32(1)
    return vertices[used], rows[faces]
