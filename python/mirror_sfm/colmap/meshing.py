"""Oriented points -> a closed surface, by the screened Poisson reconstruction that COLMAP brings along."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.colmap.library import last_words, pycolmap, quiet
from mirror_sfm.errors import MirrorError

_CORNER = np.dtype([("count", "<i4"), ("rows", "<i4", 3)])


def poisson(
    points: NDArray[np.float64], normals: NDArray[np.float64], depth: int
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices [V, 3] and faces [F, 3], anticlockwise where normals point at the beholder; untrimmed.

    Always with one thread: with more, COLMAP's Poisson gives vertices in another order. (Kazhdan & Hoppe 2013.)

    Args:
        points, normals: [M, 3], rounded to float32 on the way.
        depth: of the octree; a cell is 1 / 2^depth of the longest side.

    Raises:
        MirrorError: the folder for temporary files cannot be written, or COLMAP fails.
    """
    options = pycolmap.PoissonMeshingOptions(depth=depth, trim=0.0, color=False, num_threads=1)
    try:
        with tempfile.TemporaryDirectory(prefix="mirror-sfm-") as folder:
            given, made = Path(folder, "points.ply"), Path(folder, "mesh.ply")
            given.write_bytes(_points_file(points, normals))
            with quiet():
                pycolmap.poisson_meshing(given, made, options)
            return _mesh_file(made.read_bytes())
    except OSError as error:
        raise MirrorError(f"surface: no room for temporary files ({error.strerror or error}); set TMPDIR") from error
    except (RuntimeError, ValueError) as error:
        raise MirrorError(f"surface: COLMAP's Poisson meshing failed: {last_words(error)}") from error


def _points_file(points: NDArray[np.float64], normals: NDArray[np.float64]) -> bytes:
    fields = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{fields}end_header\n"
    return head.encode() + np.hstack([points, normals]).astype("<f4").tobytes()


def _mesh_file(data: bytes) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    head, _, body = data.partition(b"end_header\n")
    lines = [line.split() for line in head.decode().splitlines()]
    count = {line[1]: int(line[2]) for line in lines if line[0] == "element"}
    vertices = np.frombuffer(body, "<f4", 3 * count["vertex"]).reshape(-1, 3)
    corners = np.frombuffer(body, _CORNER, count["face"], vertices.nbytes)
    if (corners["count"] != 3).any():
        raise ValueError("a face that is no triangle")
    return vertices.astype(np.float64), corners["rows"].astype(np.int32)
