"""The rasteriser in plain NumPy and float64, without rounding of corners; mirror_ext.reference gives it out."""

import numpy as np

from ._like import like
from ._overlap_reference import visible_triangles
from ._results import Raster, Visible


def rasterize(
    vertices, faces, cam_from_world, intrinsics, height, width, *, near=1e-3, cull=False, barycentrics=False
) -> Raster:
    """Every face against every pixel of its box, by the signs of three volumes spanned by the ray and two corners."""
    points, corners = np.asarray(vertices, np.float64), np.asarray(faces)
    poses, lenses = np.asarray(cam_from_world, np.float64), np.asarray(intrinsics, np.float64)
    planes = np.broadcast_to(np.asarray(near, np.float64), len(poses))
    ids = np.full((len(poses), height, width), -1, np.int32)
    depth = np.full(ids.shape, np.inf)
    weights = np.zeros((*ids.shape, 2))
    for view, (pose, lens, plane) in enumerate(zip(poses, lenses, planes, strict=True)):
        pixels = _pixel_coordinates(points, pose, lens)  # [V, 3]: the pixel is (u / z, v / z)
        for face, three in enumerate(pixels[corners]):
            _draw(face, three, plane, cull, ids[view], depth[view], weights[view])
    found = ids, depth.astype(np.float32), weights.astype(np.float32)
    ids, depth, weights = (like(vertices, x) for x in found)
    return Raster(ids, depth, weights if barycentrics else None)


def rasterize_visible(
    vertices, faces, cam_from_world, intrinsics, height, width, *, near=1e-3, cull=False, min_pixels=1
) -> Visible:
    """Those that own at least min_pixels pixels."""
    maps = rasterize(vertices, faces, cam_from_world, intrinsics, height, width, near=near, cull=cull)
    return visible_triangles(maps.triangle_ids, len(faces), min_pixels)


def _pixel_coordinates(points: np.ndarray, pose: np.ndarray, lens: np.ndarray) -> np.ndarray:
    """K R (X - C)."""
    fx, fy, cx, cy = lens
    turned = (points + np.linalg.solve(pose[:, :3], pose[:, 3])) @ pose[:, :3].T
    return turned @ np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]).T


def _draw(face: int, three: np.ndarray, near: float, cull: bool, ids, depth, weights) -> None:
    """The ray through a pixel meets the face where the three volumes have one sign; their shares are the weights."""
    if not np.isfinite(three).all() or (three[:, 2] < near).all():
        return
    rows, columns = _box(three, near, *ids.shape)
    y, x = np.mgrid[rows, columns] + 0.5
    u, v, z = three.T
    across = u[:, None, None] - x * z[:, None, None]  # [3, rows, columns]
    down = v[:, None, None] - y * z[:, None, None]
    edges = [(1, 2), (2, 0), (0, 1)]
    volumes = np.array([across[i] * down[j] - down[i] * across[j] for i, j in edges])
    total = volumes.sum(0)
    sense = np.sign(total)
    # On an edge: inside where it is a left or a top one.
    lines = [(v[i] * z[j] - z[i] * v[j], z[i] * u[j] - u[i] * z[j]) for i, j in edges]  # along x and y
    owns = np.array([(sense * a > 0) | ((a == 0) & (sense * b > 0)) for a, b in lines])
    inside = (total != 0) & ((volumes * sense > 0) | ((volumes == 0) & owns)).all(0)
    if cull:
        inside &= total < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = volumes / total  # at the point that is seen, whatever the corners' depths
        seen = (shares * z[:, None, None]).sum(0)
    closer = inside & (seen >= near) & (seen < depth[rows, columns])
    ids[rows, columns][closer] = face
    depth[rows, columns][closer] = seen[closer]
    weights[rows, columns][closer] = np.clip(shares[:2], 0, 1).transpose(1, 2, 0)[closer]


def _box(three: np.ndarray, near: float, height: int, width: int) -> tuple[slice, slice]:
    """The pixels that may be inside: all of them for a face that crosses the near plane."""
    if (three[:, 2] < near).any():
        return slice(0, height), slice(0, width)
    places = three[:, :2] / three[:, 2:]
    (left, top), (right, bottom) = places.min(0), places.max(0)
    rows = np.clip([top - 1, bottom + 2], 0, height).astype(int)
    columns = np.clip([left - 1, right + 2], 0, width).astype(int)
    return slice(*rows), slice(*columns)
