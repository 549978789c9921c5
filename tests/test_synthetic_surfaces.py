"""Patches, shapes and the atlas of their pictures."""

import numpy as np
import pytest

from mirror_sfm.synthetic.shapes import box, cube_sphere, disc, quadrangle, rectangle, turned
from mirror_sfm.synthetic.surfaces import LEVELS, MARGIN, Patch, assemble

GREY = np.full((16, 16, 3), 128, np.uint8)


def outward(patches: list[Patch], middle: tuple[float, float, float]) -> np.ndarray:
    """Smallest cosine between the faces' normals and the directions away from the middle of a convex body."""
    mesh = assemble(patches).mesh
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    normals, away = np.cross(b - a, c - a), (a + b + c) / 3 - middle
    return ((normals * away).sum(axis=1) / np.linalg.norm(normals, axis=1) / np.linalg.norm(away, axis=1)).min()


def test_faces_look_outward() -> None:
    solid = box((1, 2, 0), (2, 1, 3), lambda *_: GREY, 0.5, turn=0.3, sides=range(6))
    assert outward(solid, (1, 2, 1.5)) > 0.1
    ball = [Patch(points, GREY) for points in cube_sphere(6)]
    assert outward(ball, (0, 0, 0)) > 0.9
    barrel = turned([(1, 1), (1.2, 0), (1, -1)], GREY, 12, parts=2)
    assert outward([*barrel, disc((0, 0, 1), 1, GREY, 6)], (0, 0, 0)) > 0.3


def test_vertex_normals_are_those_of_the_faces() -> None:
    surface = assemble(box((0, 0, 0), (2, 1, 3), lambda *_: GREY, 0.5, turn=0.3))
    a, b, c = (surface.mesh.vertices[surface.mesh.faces[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    for corner in range(3):
        np.testing.assert_allclose(surface.normals[surface.mesh.faces[:, corner]], flat, atol=1e-6)


def test_neighbouring_patches_meet_exactly() -> None:
    """Equal coordinates are projected to equal pixels, so nothing shows between the sides of a ball."""
    points = np.concatenate([side.reshape(-1, 3) for side in cube_sphere(5)])
    assert len(np.unique(points, axis=0)) == 6 * 25 + 2
    lathe = turned([(1, 0), (1, -1)], GREY, 12, parts=3)
    assert len(np.unique(np.concatenate([p.points.reshape(-1, 3) for p in lathe]) + 0.0, axis=0)) == 24


def test_places_in_the_atlas() -> None:
    """Corners of a patch have the corners of its part of its picture."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((40, 30), (17, 90), (64, 64))]
    parts = [None, (10.0, 2.0, 50.0, 12.0), None]
    patches = [rectangle((0, 0, k), (3, 0, 0), (0, -2, 0), pictures[k], 1.0, parts[k]) for k in range(3)]
    surface = assemble(patches)
    assert surface.mesh.vertices.shape == (36, 3) and surface.mesh.faces.shape == (36, 3)
    for k, picture in enumerate(pictures):
        x, y = surface.texels[12 * k : 12 * k + 12].T
        left, top, right, bottom = parts[k] or (0, 0, picture.shape[1], picture.shape[0])
        x0, y0 = int(x.min() - left), int(y.min() - top)
        assert (x.max() - x.min(), y.max() - y.min()) == (right - left, bottom - top)
        np.testing.assert_array_equal(surface.atlas[y0 : y0 + picture.shape[0], x0 : x0 + picture.shape[1]], picture)
        edge = surface.atlas[y0 - MARGIN : y0, x0]
        np.testing.assert_array_equal(edge, np.broadcast_to(picture[0, 0], edge.shape))
        expected = ((right - left) * (bottom - top) / 6) ** 0.5
        assert surface.density[12 * k] == pytest.approx(expected)


def test_levels_are_means() -> None:
    rng = np.random.default_rng(0)
    surface = assemble([rectangle((0, 0, 0), (1, 0, 0), (0, -1, 0), rng.integers(0, 256, (64, 64, 3), np.uint8), 1.0)])
    width = int(surface.places[1, 0])
    above = surface.atlas[:, :width].astype(int)
    for level in range(1, LEVELS):
        left, top = surface.places[level].astype(int)
        h, w = above.shape[0] // 2, above.shape[1] // 2
        below = surface.atlas[top : top + h, left : left + w].astype(int)
        blocks = above.reshape(h, 2, w, 2, 3).sum(axis=(1, 3))
        np.testing.assert_array_equal(below, (blocks + 2) // 4)
        above = below


def test_patches_share_pictures() -> None:
    alone = assemble([rectangle((0, 0, 0), (1, 0, 0), (0, -1, 0), GREY, 1.0)])
    many = assemble([rectangle((k, 0, 0), (1, 0, 0), (0, -1, 0), GREY, 1.0) for k in range(9)])
    assert many.atlas.shape == alone.atlas.shape


def test_a_quadrangle_has_its_corners() -> None:
    corners = [(0, 0, 1), (2, 0, 1), (3, 0, 0), (0, 0, 0)]
    points = quadrangle(corners, GREY, 0.5).points
    np.testing.assert_allclose([points[0, 0], points[0, -1], points[-1, -1], points[-1, 0]], corners)
    assert points.shape == (4, 7, 3)
