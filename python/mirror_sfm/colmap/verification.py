"""What the matches of two photos agree on: an essential or fundamental matrix, or a homography. By COLMAP."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.colmap.library import SEED, pycolmap
from mirror_sfm.colmap.matches import View


def verify(first: View, second: View, matches: NDArray[np.uint32]) -> pycolmap.TwoViewGeometry:
    """Two-view geometry of matches [m, 2] by COLMAP's defaults, as its own matchers store it: empty where fewer than 15
    matches agree. Every pair starts from the same seed, so that no order of pairs and no number of threads changes a
    result. Releases the interpreter's lock."""
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = SEED
    if len(matches) < options.min_num_inliers:
        return pycolmap.TwoViewGeometry()
    geometry = pycolmap.estimate_two_view_geometry(
        first.camera, first.points, second.camera, second.points, matches, options
    )
    enough = len(geometry.inlier_matches) >= options.min_num_inliers
    return geometry if enough else pycolmap.TwoViewGeometry()
