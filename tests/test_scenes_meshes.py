"""Meshes from files: nothing merged, dropped or moved, and what is no surface refused with the remedy."""

import numpy as np
import pytest

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.scenes.meshes import holds_faces, read_mesh, write_mesh
from mirror_sfm.scenes.scene import Mesh

trimesh = pytest.importorskip("trimesh")

# Two equal vertices, one that no face uses, a face twice, a degenerate one: all of it must survive.
VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [5, 5, 5], [0, 0, 1.25]])
FACES = np.array([[0, 1, 2], [3, 1, 0], [0, 1, 2], [1, 1, 5], [5, 2, 0]], np.int32)


@pytest.mark.parametrize("suffix", [".ply", ".off", ".obj", ".glb"])
def test_survives(tmp_path, suffix):
    write_mesh(tmp_path / f"a{suffix}", Mesh(VERTICES, FACES))
    found = read_mesh(tmp_path / f"a{suffix}")
    assert found.path == tmp_path / f"a{suffix}"
    assert found.vertices.dtype == np.float64 and found.faces.dtype == np.int32
    assert np.array_equal(found.vertices[found.faces], VERTICES[FACES])  # face by face, in order
    if suffix in (".ply", ".off"):
        assert np.array_equal(found.vertices, VERTICES) and np.array_equal(found.faces, FACES)


def test_stl_has_three_vertices_per_face(tmp_path):
    write_mesh(tmp_path / "a.stl", Mesh(VERTICES, FACES))
    found = read_mesh(tmp_path / "a.stl")
    assert len(found.vertices) == 3 * len(found.faces)
    assert np.array_equal(found.vertices[found.faces], VERTICES[FACES])


@pytest.mark.parametrize("offset", [0.0, 5.188e6])
def test_ply_keeps_precision(tmp_path, offset):
    """Single precision where it suffices, double where metres from the equator would be rounded to half metres."""
    vertices = VERTICES + (576661.0 * (offset > 0), offset, 0) + (0.001 if offset else 0)
    colours = np.arange(18).reshape(6, 3).astype(np.uint8)
    write_mesh(tmp_path / "a.ply", Mesh(vertices, FACES), colours)
    found = read_mesh(tmp_path / "a.ply")
    assert np.array_equal(found.vertices, vertices) and np.array_equal(found.faces, FACES)
    header = (tmp_path / "a.ply").read_bytes().partition(b"end_header")[0]
    assert (b"property double x" in header) == (offset > 0)
    by_trimesh = trimesh.load_mesh(tmp_path / "a.ply", process=False)
    assert np.array_equal(by_trimesh.visual.vertex_colors[:, :3], colours)


def test_parts_are_joined(tmp_path):
    """An OBJ of two materials: all faces, those of one material after those of the other, each in order."""
    rows = [f"v {x} {y} {z}" for x, y, z in VERTICES]
    rows += ["usemtl wall", "f 1 2 3", "usemtl floor", "f 4 2 1", "usemtl wall", "f 1 2 6", "f 2 3 6"]
    (tmp_path / "a.obj").write_text("\n".join(rows) + "\n")
    found = read_mesh(tmp_path / "a.obj")
    triangles = {tuple(map(tuple, triangle)) for triangle in found.vertices[found.faces]}
    expected = np.array([[0, 1, 2], [3, 1, 0], [0, 1, 5], [1, 2, 5]])
    assert len(found.faces) == 4
    assert triangles == {tuple(map(tuple, triangle)) for triangle in VERTICES[expected]}


def test_nodes_are_placed(tmp_path):
    scene = trimesh.Scene()
    box = trimesh.Trimesh(VERTICES, FACES, process=False)
    scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([10, 0, 0]), node_name="b")
    scene.add_geometry(box, transform=np.eye(4), node_name="a")
    scene.export(tmp_path / "a.glb")
    found = read_mesh(tmp_path / "a.glb")
    assert len(found.faces) == 2 * len(FACES)
    placed = found.vertices[found.faces]
    assert np.allclose(placed[: len(FACES)], VERTICES[FACES])  # in order of the nodes' names
    assert np.allclose(placed[len(FACES) :], VERTICES[FACES] + (10, 0, 0))


@pytest.mark.parametrize("suffix", [".obj", ".off", ".ply"])
def test_quads_become_triangles(tmp_path, suffix):
    corners = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0), (2, 1, 0)]
    quads = [(0, 1, 2, 3), (1, 4, 5, 2)]
    head = {
        ".obj": "",
        ".off": "OFF\n6 2 0\n",
        ".ply": "ply\nformat ascii 1.0\nelement vertex 6\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 2\nproperty list uchar int vertex_indices\nend_header\n",
    }[suffix]
    v, f, shift = ("v ", "f ", 1) if suffix == ".obj" else ("", "4 ", 0)
    lines = [v + " ".join(map(str, corner)) for corner in corners]
    lines += [f + " ".join(str(k + shift) for k in quad) for quad in quads]
    (tmp_path / f"a{suffix}").write_text(head + "\n".join(lines) + "\n")
    found = read_mesh(tmp_path / f"a{suffix}")
    assert found.faces.shape == (4, 3)
    sides = found.vertices[found.faces]
    area = np.linalg.norm(np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0]), axis=1).sum() / 2
    assert area == pytest.approx(2)


def test_vertices_that_are_not_finite(tmp_path, caplog):
    vertices = VERTICES.copy()
    vertices[2, 1], vertices[5, 0] = np.nan, np.inf
    write_mesh(tmp_path / "a.ply", Mesh(vertices, FACES))
    with caplog.at_level("WARNING"):
        found = read_mesh(tmp_path / "a.ply")
    assert np.array_equal(found.vertices, vertices, equal_nan=True)
    assert "2 of 6 vertices are not finite" in caplog.text


def test_point_clouds_are_refused(tmp_path):
    trimesh.PointCloud(VERTICES).export(tmp_path / "points.ply")
    assert not holds_faces(tmp_path / "points.ply")
    with pytest.raises(MirrorError, match="is a point cloud, 6 points without faces: mesh it first, or leave it out"):
        read_mesh(tmp_path / "points.ply")
    (tmp_path / "points.obj").write_text("v 0 0 0\nv 1 0 0\n")
    with pytest.raises(MirrorError, match=r"points.obj is (a point cloud|empty|not a mesh)"):
        read_mesh(tmp_path / "points.obj")


def test_empty_meshes_are_refused(tmp_path):
    write_mesh(tmp_path / "a.ply", Mesh(np.empty((0, 3)), np.empty((0, 3), np.int32)))
    with pytest.raises(MirrorError, match=r"a.ply is empty; expected triangles"):
        read_mesh(tmp_path / "a.ply")


def test_faces_without_vertices(tmp_path):
    faces = FACES.copy()
    faces[3, 1] = 99
    write_mesh(tmp_path / "a.ply", Mesh(VERTICES, faces))
    with pytest.raises(MirrorError, match=r"a.ply, face 3: expected vertices from 0 to 5"):
        read_mesh(tmp_path / "a.ply")


def test_faces_of_several_kinds(tmp_path):
    """trimesh reads a binary PLY as if every face had as many corners as the first."""
    write_mesh(tmp_path / "a.ply", Mesh(VERTICES, FACES))
    content = bytearray((tmp_path / "a.ply").read_bytes())
    start = content.index(b"end_header\n") + len(b"end_header\n") + 12 * len(VERTICES)
    content[start + 2 * 13] = 4
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(MirrorError, match=r"a.ply, face 2: expected 3 corners as before, found 4"):
        read_mesh(tmp_path / "a.ply")
    (tmp_path / "b.ply").write_bytes(content[:-5])
    with pytest.raises(MirrorError, match=r"b.ply is not a mesh that can be read: .*length.*; expected a whole file"):
        read_mesh(tmp_path / "b.ply")


def test_arrays_that_are_only_told(tmp_path):
    """Four billion zeros, in a file of a hundred bytes."""
    (tmp_path / "a.gltf").write_text('{"accessors": [{"componentType": 5126, "count": 4294967295, "type": "VEC3"}]}')
    with pytest.raises(MirrorError, match=r"a.gltf, header: expected arrays with data, or of at most"):
        read_mesh(tmp_path / "a.gltf")
    (tmp_path / "a.glb").write_bytes(b"glTF" + bytes(20))
    with pytest.raises(MirrorError, match=r"a.glb, header: expected the JSON of a glTF file"):
        read_mesh(tmp_path / "a.glb")


def test_no_mesh(tmp_path):
    (tmp_path / "a.las").write_text("")
    with pytest.raises(UsageError, match=r"a.las: expected a mesh: .ply, .obj"):
        read_mesh(tmp_path / "a.las")
    with pytest.raises(UsageError, match="no such mesh"):
        read_mesh(tmp_path / "b.ply")
    with pytest.raises(UsageError, match="expected the suffix of a mesh"):
        write_mesh(tmp_path / "b.las", Mesh(VERTICES, FACES))


def test_real_mesh(data):
    found = read_mesh(data / "meshes" / "stanford_bunny.ply")
    assert found.vertices.shape == (34834, 3) and found.faces.shape == (69451, 3)
