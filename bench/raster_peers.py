"""What else finds the triangle that every pixel shows: a ray caster and a plain z-buffer compiled by numba.

Each gives a function of nothing that returns the id maps of all views. What can be made ready is: the tree of the ray
caster and its rays are not timed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Maps = Callable[[], list[np.ndarray]]


def embree(vertices: np.ndarray, faces: np.ndarray, poses: np.ndarray, lenses: np.ndarray, size: tuple) -> Maps:
    """Embree through embreex, all rays of a view in one call."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene = EmbreeScene()
    TriangleMesh(scene, vertices, faces)
    height, width = size
    row, column = np.mgrid[:height, :width] + 0.5
    rays = []
    for pose, (fx, fy, cx, cy) in zip(poses, lenses, strict=True):
        ways = np.stack([(column - cx) / fx, (row - cy) / fy, np.ones(size)], -1).reshape(-1, 3) @ pose[:, :3]
        starts = np.broadcast_to(-pose[:, :3].T @ pose[:, 3], ways.shape)
        rays.append((np.ascontiguousarray(starts, np.float32), np.ascontiguousarray(ways, np.float32)))
    scene.run(rays[0][0][:1], rays[0][1][:1], query="INTERSECT")  # builds the tree
    return lambda: [scene.run(*r, query="INTERSECT").astype(np.int32).reshape(size) for r in rays]


def numba_buffer(vertices: np.ndarray, faces: np.ndarray, poses: np.ndarray, lenses: np.ndarray, size: tuple) -> Maps:
    """Every face over its box, float64. Faces that reach behind the camera are left out: it does not clip."""
    import numba

    @numba.njit(fastmath=True)
    def draw(places, faces, depth, ids):
        height, width = ids.shape
        for face in range(len(faces)):
            p, q, r = places[faces[face, 0]], places[faces[face, 1]], places[faces[face, 2]]
            if p[2] <= 0 or q[2] <= 0 or r[2] <= 0:
                continue
            left = max(int(np.ceil(min(p[0], q[0], r[0]) - 0.5)), 0)
            right = min(int(np.floor(max(p[0], q[0], r[0]) - 0.5)), width - 1)
            top = max(int(np.ceil(min(p[1], q[1], r[1]) - 0.5)), 0)
            bottom = min(int(np.floor(max(p[1], q[1], r[1]) - 0.5)), height - 1)
            area = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
            if left > right or top > bottom or area == 0:
                continue
            for j in range(top, bottom + 1):
                for i in range(left, right + 1):
                    x, y = i + 0.5, j + 0.5
                    a = ((r[0] - q[0]) * (y - q[1]) - (r[1] - q[1]) * (x - q[0])) / area
                    b = ((p[0] - r[0]) * (y - r[1]) - (p[1] - r[1]) * (x - r[0])) / area
                    c = 1 - a - b
                    if a >= 0 and b >= 0 and c >= 0:
                        w = a * p[2] + b * q[2] + c * r[2]
                        if w > depth[j, i]:
                            depth[j, i], ids[j, i] = w, face

    def view(pose: np.ndarray, lens: np.ndarray) -> np.ndarray:
        points = vertices @ pose[:, :3].T + pose[:, 3]
        w = np.where(points[:, 2] > 1e-3, 1 / points[:, 2], 0)
        places = np.stack([lens[0] * points[:, 0] * w + lens[2], lens[1] * points[:, 1] * w + lens[3], w], 1)
        depth, ids = np.zeros(size), np.full(size, -1, np.int32)
        draw(places, faces, depth, ids)
        return ids

    return lambda: [view(pose, lens) for pose, lens in zip(poses, lenses, strict=True)]


PEERS = {"Embree (embreex), without its tree and rays": embree, "z-buffer in numba, float64": numba_buffer}
