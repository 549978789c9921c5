"""Surfaces from points: near the truth where there are points, absent where there are none."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pycolmap")

from mirror_sfm.colmap.meshing import poisson
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.scene import Mesh, Scene, Tracks
from mirror_sfm.surface.cloud import Cloud, frame, inliers, normals
from mirror_sfm.surface.sparse import PointSurfaceOptions, surface_from_points

PINHOLE = Camera("SIMPLE_PINHOLE", (300.0, 160.0, 120.0), 320, 240)


def view(name: str, centre: np.ndarray) -> View:
    """A camera somewhere; where it looks is of no account for points."""
    return View(name, PINHOLE, np.column_stack([np.eye(3), -centre]))


def scene_of(points: np.ndarray, centres: np.ndarray, sees: np.ndarray) -> Scene:
    """`sees`: [N, M], who sees which point."""
    views = tuple(view(f"{k:02d}.jpg", centre) for k, centre in enumerate(centres))
    offsets = np.concatenate([[0], np.cumsum(sees.sum(axis=1))])
    return Scene("made", views, tracks=Tracks(points, offsets, np.nonzero(sees)[1].astype(np.int32)))


def sphere(count: int = 1500, noise: float = 0.003) -> Scene:
    """A unit sphere, seen by a ring of twelve cameras at a distance of 4: neither pole's cap is seen by any."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    angles = np.arange(12) * np.pi / 6
    centres = 4 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    sees = directions @ centres.T > 1.6  # at 66 degrees at most from the surface's normal
    seen = sees.sum(axis=1) >= 2
    points = directions[seen] * (1 + noise * rng.normal(size=(seen.sum(), 1)))
    return scene_of(points, centres, sees[seen].T)


def plane(count: int = 600) -> Scene:
    """A square of side 2 at z = 0, seen from z = -3."""
    points = np.random.default_rng(1).uniform(-1, 1, (count, 3)) * (1, 1, 0)
    centres = np.array([[-1.0, 0, -3], [0, 0.5, -3], [1, 0, -3]])
    return scene_of(points, centres, np.ones((3, count), bool))


def transformed(scene: Scene, scale: float, shift: float = 0.0) -> Scene:
    views = tuple(view(one.name, one.centre * scale + shift) for one in scene.views)
    assert scene.tracks is not None
    return replace(scene, views=views, tracks=replace(scene.tracks, points=scene.tracks.points * scale + shift))


def fronts(mesh: Mesh) -> np.ndarray:
    corners = mesh.vertices[mesh.faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def area(mesh: Mesh) -> float:
    return float(np.linalg.norm(fronts(mesh), axis=1).sum() / 2)


@pytest.fixture(scope="module")
def ball() -> Mesh:
    return surface_from_points(sphere())


def test_sphere(ball: Mesh) -> None:
    radii = np.linalg.norm(ball.vertices, axis=1)
    inside = abs(ball.vertices[:, 2]) < 0.85  # towards the rim a surface goes on straight where the sphere bends away
    assert abs(radii[inside] - 1).max() < 0.03 and np.median(abs(radii - 1)) < 0.003
    assert abs(radii - 1).max() < 0.2
    assert ((fronts(ball) * ball.vertices[ball.faces[:, 0]]).sum(axis=1) > 0).mean() > 0.999  # fronts look outwards


def test_what_nobody_saw_is_a_hole(ball: Mesh) -> None:
    points = sphere().tracks.points  # type: ignore[union-attr]
    highest = abs(points[:, 2]).max()
    assert highest < 0.95
    assert abs(ball.vertices[:, 2]).max() < highest + 0.35  # spacing of points is 0.14, reach 3 spacings
    zone = 4 * np.pi * highest  # Archimedes: the area of a zone is 2 pi times its height
    assert area(ball) == pytest.approx(zone, rel=0.2)


def test_reach_is_how_far_the_surface_goes_beyond_points() -> None:
    areas = [area(surface_from_points(sphere(), PointSurfaceOptions(reach=reach))) for reach in (1.0, 3.0)]
    assert areas[0] < areas[1] < 4 * np.pi * 1.01


def test_plane() -> None:
    mesh = surface_from_points(plane())
    assert abs(mesh.vertices[:, 2]).max() < 0.01
    assert abs(mesh.vertices[:, :2]).max() < 1.35
    assert (fronts(mesh)[:, 2] < 0).mean() > 0.999  # towards the cameras
    assert 3.8 < area(mesh) < 5.5


def test_few_points() -> None:
    assert 3.2 < area(surface_from_points(plane(40))) < 12


@pytest.mark.parametrize("scale, shift", [(1e-9, 0.0), (1e12, 0.0), (1.0, 4096.0)])
def test_scale_and_place_do_not_matter(scale: float, shift: float, ball: Mesh) -> None:
    mesh = surface_from_points(transformed(sphere(), scale, shift))
    assert np.array_equal(mesh.faces, ball.faces)
    assert abs((mesh.vertices - shift) / scale - ball.vertices).max() < 1e-6


def test_same_bytes_every_time_and_for_any_order_of_cameras(ball: Mesh) -> None:
    scene = sphere()
    tracks = scene.tracks
    assert tracks is not None
    order = range(len(scene.views))[::-1]
    offsets = np.concatenate([[0], np.cumsum(np.diff(tracks.offsets)[::-1])])
    seen = np.concatenate([tracks.of(k) for k in order])
    turned = replace(scene, views=scene.views[::-1], tracks=Tracks(tracks.points, offsets, seen))
    again = surface_from_points(turned)
    assert again.vertices.tobytes() == ball.vertices.tobytes() and again.faces.tobytes() == ball.faces.tobytes()


def test_outliers_and_points_at_infinity_change_nothing_near_by(ball: Mesh) -> None:
    scene = sphere()
    tracks = scene.tracks
    assert tracks is not None
    strays = np.array([[0, 0, 2.5], [2.0, 1.5, 0.5], [1e5, 1e5, 0], [-1e30, 0, 0], [np.inf, 0, 0], [np.nan, 1, 1]])
    counts = np.diff(tracks.offsets) + len(strays)
    rows = np.arange(len(tracks.points), len(tracks.points) + len(strays), dtype=np.int32)
    seen = np.concatenate([np.concatenate([tracks.of(k), rows]) for k in range(len(scene.views))])
    more = Tracks(np.vstack([tracks.points, strays]), np.concatenate([[0], np.cumsum(counts)]), seen.astype(np.int32))
    mesh = surface_from_points(replace(scene, tracks=more))
    assert abs(np.linalg.norm(mesh.vertices, axis=1) - 1).max() < 0.2
    assert area(mesh) == pytest.approx(area(ball), rel=0.01)


def test_thin_wall_has_two_sides() -> None:
    rng = np.random.default_rng(2)
    front = rng.uniform(-1, 1, (1500, 3)) * (1, 1, 0)
    back = rng.uniform(-1, 1, (1500, 3)) * (1, 1, 0) + (0, 0, 0.05)  # nearer to the front than points to each other
    towards = np.repeat([[0.0, 0, -1], [0, 0, 1]], 1500, axis=0)
    found = normals(Cloud(np.vstack([front, back]), towards), 12)
    assert ((found * towards).sum(axis=1) > 0.9).mean() > 0.99


def test_points_on_a_line_look_at_their_cameras() -> None:
    points = np.linspace(-1, 1, 50)[:, None] * (1.0, 0, 0)
    found = normals(Cloud(points, np.repeat([[0.0, 0.6, 0.8]], 50, axis=0)), 6)
    assert np.allclose(found, (0, 0.6, 0.8), atol=1e-3)


def test_inliers() -> None:
    points = np.vstack([np.random.default_rng(3).normal(size=(500, 3)), [[9.0, 9, 9], [0, 60, 0]]])
    good = inliers(points, 8, 3.0)
    assert good[:500].mean() > 0.98 and not good[500:].any()
    assert frame(np.ones((3, 3))).size == 0


@pytest.mark.parametrize(
    "broken, message",
    [
        (lambda scene: replace(scene, tracks=None), "has no points; give its COLMAP model"),
        (
            lambda scene: replace(scene, tracks=Tracks(np.zeros((0, 3)), np.zeros(13, int), np.zeros(0, np.int32))),
            "0 us",
        ),
        (lambda scene: _with(scene, lambda points: points * 0 + 1), "points coincide"),
        (lambda scene: _with(scene, lambda points: points * (1, 0, 0)), "lie on a line"),
        (lambda scene: _with(scene, lambda points: points * np.nan), "0 usable points, at least 30"),
        (lambda scene: transformed(scene, 1e200), "0 usable points"),
    ],
)
def test_errors_say_what_to_do(broken, message) -> None:
    with pytest.raises(MirrorError, match=message) as caught:
        surface_from_points(broken(plane(100)))
    assert "\n" not in str(caught.value) and "surface of made" in str(caught.value)


def _with(scene: Scene, change) -> Scene:
    assert scene.tracks is not None
    return replace(scene, tracks=replace(scene.tracks, points=change(scene.tracks.points)))


@pytest.mark.parametrize("options", [{"neighbours": 2}, {"reach": 0}, {"cell": np.nan}, {"lonely": np.inf}])
def test_options_are_checked(options) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        PointSurfaceOptions(**options)


def test_no_room_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    with pytest.raises(MirrorError, match="set TMPDIR"):
        poisson(np.zeros((1, 3)), np.ones((1, 3)), 5)
