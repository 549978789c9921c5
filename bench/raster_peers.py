"""What else finds the triangle that every pixel shows: ray casters and a plain z-buffer compiled by numba.

Each gives a function of nothing that returns the id maps of all views. What can be made ready is: the trees of the ray
casters and, where they take them as arrays, the rays are not timed. Whoever is not installed is left out: Embree's own
interface is Debian's libembree-dev, Open3D wants libusb.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

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


def open3d(vertices: np.ndarray, faces: np.ndarray, poses: np.ndarray, lenses: np.ndarray, size: tuple) -> Maps:
    """Open3D's RaycastingScene (Embree inside), one thread."""
    import open3d

    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(open3d.core.Tensor(vertices), open3d.core.Tensor(faces.astype(np.uint32)))
    height, width = size
    rays = []
    for pose, (fx, fy, cx, cy) in zip(poses, lenses, strict=True):
        camera = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        world = np.vstack([pose, [0, 0, 0, 1]])
        tensors = [open3d.core.Tensor(np.ascontiguousarray(matrix)) for matrix in (camera, world)]
        rays.append(open3d.t.geometry.RaycastingScene.create_rays_pinhole(*tensors, width, height))
    scene.cast_rays(rays[0][:1, :1])  # builds the tree
    return lambda: [scene.cast_rays(r)["primitive_ids"].numpy().view(np.int32) for r in rays]


@functools.cache
def packets_library() -> ctypes.CDLL:
    """embree_packets.cpp, compiled for this processor."""
    folder, source = Path(tempfile.mkdtemp(prefix="mirror-embree-")), Path(__file__).with_name("embree_packets.cpp")
    command = ["c++", "-O3", "-march=native", "-shared", "-fPIC", "-o", folder / "packets.so", source, "-lembree3"]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(folder / "packets.so"))
    library.packets_build.restype = ctypes.c_void_p
    return library


def packets(vertices: np.ndarray, faces: np.ndarray, poses: np.ndarray, lenses: np.ndarray, size: tuple) -> Maps:
    """Embree's C interface, packets of eight rays."""
    library, (height, width) = packets_library(), size

    def pointer(array: np.ndarray) -> ctypes.c_void_p:
        return array.ctypes.data_as(ctypes.c_void_p)

    counts = (ctypes.c_int64(len(vertices)), ctypes.c_int64(len(faces)))
    scene = ctypes.c_void_p(library.packets_build(pointer(vertices), counts[0], pointer(faces), counts[1]))
    cameras = []
    for pose, (fx, fy, cx, cy) in zip(poses, lenses, strict=True):
        way = pose[:, :3].T @ np.array([[1 / fx, 0, -cx / fx], [0, 1 / fy, -cy / fy], [0, 0, 1]])
        centre = -pose[:, :3].T @ pose[:, 3]
        cameras.append((np.ascontiguousarray(way, np.float32), np.ascontiguousarray(centre, np.float32)))

    def view(way: np.ndarray, centre: np.ndarray) -> np.ndarray:
        ids = np.empty(size, np.int32)
        library.packets_draw(scene, pointer(way), pointer(centre), height, width, pointer(ids))
        return ids

    return lambda: [view(*camera) for camera in cameras]


def installed() -> dict[str, Callable[..., Maps]]:
    """The contenders that are here."""
    found: dict[str, Callable[..., Maps]] = {}
    modules = (("Embree (embreex), without its tree and rays", "embreex", embree),
               ("Open3D, without its tree and rays", "open3d", open3d),
               ("z-buffer in numba, float64", "numba", numba_buffer))  # fmt: skip
    for name, module, peer in modules:
        if importlib.util.find_spec(module):
            found[name] = peer
    if Path("/usr/include/embree3/rtcore.h").exists():
        found["Embree, packets of 8 rays, without its tree"] = packets
    return found
