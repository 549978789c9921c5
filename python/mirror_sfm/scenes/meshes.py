"""Surface meshes from and to files, through trimesh."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import shown
from mirror_sfm.scenes.files import broken, read_bytes, said, write_file
from mirror_sfm.scenes.scene import Mesh
from mirror_sfm.threads import undisturbed

_log = logging.getLogger("mirror_sfm")

MESH_SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf")
_MOST = (1 << 31) - 1  # of vertices, of faces


def read_mesh(path: str | os.PathLike[str]) -> Mesh:
    """Reads a surface of triangles: PLY, OBJ, STL, OFF, glTF. Nothing is merged, dropped or put in another order.

    Parts (materials of an OBJ, nodes of a glTF) are joined in order of their names; quads become two triangles each.
    Vertices that are not finite are kept, and told in a warning: their faces are not drawn.

    Raises:
        UsageError: the file cannot be read, or its suffix is not that of a mesh.
        MirrorError: it is broken, a point cloud, or empty; or trimesh is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise UsageError(f"{shown(str(path))}: expected a mesh: {', '.join(MESH_SUFFIXES)}")
    if not path.is_file():
        raise UsageError(f"no such mesh: {shown(str(path))}")
    loaded = _loaded(path)
    vertices = np.ascontiguousarray(loaded.vertices, np.float64)
    faces = np.asarray(loaded.faces)
    if max(len(vertices), len(faces)) > _MOST:
        raise MirrorError(f"{shown(str(path))}: {len(faces)} faces; a mesh has at most {_MOST}")
    outside = np.flatnonzero(((faces < 0) | (faces >= len(vertices))).any(axis=1))
    if len(outside):
        raise broken(path, f"face {outside[0]}", f"expected vertices from 0 to {len(vertices) - 1}")
    bad = int(np.count_nonzero(~np.isfinite(vertices).all(axis=1)))
    if bad:
        _log.warning("%s: %d of %d vertices are not finite; their faces are not drawn", path.name, bad, len(vertices))
    return Mesh(vertices, np.ascontiguousarray(faces, np.int32), path)


def _loaded(path: Path) -> Any:
    trimesh = _trimesh()
    is_ply = path.suffix.lower() == ".ply"
    if path.suffix.lower() in (".glb", ".gltf"):
        _check_gltf(path)
    points = _ply_points(path) if is_ply else None
    options = {"fix_texture": False} if is_ply else {"maintain_order": True} if path.suffix.lower() == ".obj" else {}
    try:
        with np.errstate(all="ignore"):
            scene = trimesh.load_scene(path, process=False, skip_materials=True, **options)
            parts = [part for part in _parts(scene) if isinstance(part, trimesh.Trimesh) and len(part.faces)]
            if parts and is_ply:
                _whole_faces(path, parts[0])
            if parts:
                return parts[0] if len(parts) == 1 else trimesh.util.concatenate(parts)
            points = points or sum(len(part.vertices) for part in _parts(scene) if hasattr(part, "vertices"))
    except MirrorError:
        raise
    except Exception as error:  # fed with damaged bytes, trimesh raises nearly anything
        raise MirrorError(
            f"{shown(str(path))} is not a mesh that can be read: {said(error)}; expected a whole file, its faces "
            "all triangles or all quads"
        ) from error
    if points:
        raise MirrorError(
            f"{shown(str(path))} is a point cloud, {points} points without faces: mesh it first, or leave it "
            "out and a surface is made from the scene's points or depth"
        )
    raise MirrorError(f"{shown(str(path))} is empty; expected triangles")


def _parts(scene: Any) -> list[Any]:
    """Geometry in the world, in order of the names of its nodes."""
    found = []
    for node in sorted(scene.graph.nodes_geometry):
        transform, name = scene.graph[node]
        part = scene.geometry[name]
        found.append(part if np.array_equal(transform, np.eye(4)) else part.copy().apply_transform(transform))
    return found


def _check_gltf(path: Path) -> None:
    """Arrays of a glTF file that are told without data, which trimesh makes as large as is told."""
    content = read_bytes(path)
    size = len(content)
    if content[:4] == b"glTF":
        content = content[20 : 20 + int.from_bytes(content[12:16], "little")]
    try:
        accessors = json.loads(content).get("accessors", [])
        told = [a["count"] for a in accessors if "bufferView" not in a]
        wrong = any(not isinstance(count, int) or not 0 <= count <= 16 * size for count in told)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise broken(path, "header", f"expected the JSON of a glTF file: {said(error)}") from None
    if wrong:
        raise broken(path, "header", f"expected arrays with data, or of at most {16 * size} numbers")


def _whole_faces(path: Path, part: Any) -> None:
    """trimesh takes every face of a binary PLY to have as many corners as the first."""
    raw = part.metadata.get("_ply_raw", {}).get("face", {}).get("data")
    for name in getattr(getattr(raw, "dtype", None), "names", None) or ():
        if raw[name].dtype.names == ("f0", "f1"):
            counts = raw[name]["f0"]
            odd = np.flatnonzero(counts != counts[0])
            if len(odd):
                raise broken(path, f"face {odd[0]}", f"expected {counts[0]} corners as before, found {counts[odd[0]]}")


def _ply_points(path: Path) -> int:
    """Vertices of a PLY file without faces; 0 of one with faces."""
    header = read_bytes(path, 1 << 16).partition(b"end_header")[0]
    counts = dict(re.findall(rb"^\s*element\s+(vertex|face)\s+(\d{1,18})\s*$", header, re.MULTILINE))
    return 0 if int(counts.get(b"face", 0)) else int(counts.get(b"vertex", 0))


def holds_faces(path: Path) -> bool:
    """Whether a file with the suffix of a mesh can be one: COLMAP and others write point clouds as PLY."""
    return path.suffix.lower() != ".ply" or _ply_points(path) == 0


def write_mesh(path: str | os.PathLike[str], mesh: Mesh, colours: np.ndarray | None = None) -> None:
    """Writes a binary PLY, with vertices in double precision where single would move them, or what trimesh writes for
    another suffix.

    Args:
        colours: [V, 3] uint8.

    Raises:
        UsageError: the suffix is not that of a mesh.
        MirrorError: it cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise UsageError(f"{shown(str(path))}: expected the suffix of a mesh: {', '.join(MESH_SUFFIXES)}")
    if suffix == ".ply":
        content: bytes | str = _ply(mesh, colours)
    else:
        made = _trimesh().Trimesh(mesh.vertices, mesh.faces, vertex_colors=colours, process=False)
        content = made.export(file_type=suffix[1:])
    write_file(path, content)


def _ply(mesh: Mesh, colours: np.ndarray | None) -> bytes:
    with np.errstate(over="ignore"):
        single = bool(np.array_equal(mesh.vertices.astype(np.float32), mesh.vertices, equal_nan=True))
    number, name = ("<f4", "float") if single else ("<f8", "double")
    fields = [(axis, number, name) for axis in "xyz"]
    if colours is not None:
        fields += [(band, "|u1", "uchar") for band in ("red", "green", "blue")]
    vertices = np.empty(len(mesh.vertices), [(field, kind) for field, kind, _ in fields])
    faces = np.empty(len(mesh.faces), [("corners", "|u1"), ("vertices", "<i4", 3)])
    for k, axis in enumerate("xyz"):
        vertices[axis] = mesh.vertices[:, k]
    for k, (band, _, _) in enumerate(fields[3:]):
        vertices[band] = np.asarray(colours)[:, k]
    faces["corners"], faces["vertices"] = 3, mesh.faces
    header = "ply\nformat binary_little_endian 1.0\n" + f"element vertex {len(vertices)}\n"
    header += "".join(f"property {name} {field}\n" for field, _, name in fields)
    header += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    return header.encode() + vertices.tobytes() + faces.tobytes()


def _trimesh() -> Any:
    try:
        with undisturbed():
            import trimesh
    except ImportError as error:
        raise MirrorError(f'meshes need trimesh: pip install "mirror-sfm[mesh]" ({error})') from error
    return trimesh
