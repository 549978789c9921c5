"""How much of their pictures a surface fills: tells which cameras share its world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import mirror_ext.numpy
from mirror_sfm.scenes.cameras import View
from mirror_sfm.scenes.scene import Mesh

SIDE = 64  # of the pictures, pixels: enough to see whether there is anything
VIEWS = 32  # looked at, evenly spread


def filled_share(views: Sequence[View], mesh: Mesh) -> float:
    """Mean share of the views' undistorted pictures that the mesh fills, 0 to 1; 0 without views or faces.

    Raises:
        MirrorError: a camera cannot be undistorted.
    """
    some = [views[k] for k in np.unique(np.linspace(0, len(views) - 1, min(VIEWS, len(views)), dtype=int))]
    if not some:
        return 0.0
    near = 1e-6 * float(np.ptp(mesh.vertices, axis=0).max()) if len(mesh.vertices) else 1.0
    seen = mirror_ext.numpy.rasterize(
        mesh.vertices,
        mesh.faces,
        np.stack([view.cam_from_world for view in some]),
        np.stack([view.camera.pinhole.resized(SIDE, SIDE).intrinsics for view in some]),
        SIDE,
        SIDE,
        near=near or 1e-6,
    )
    return float((seen.triangle_ids >= 0).mean())
