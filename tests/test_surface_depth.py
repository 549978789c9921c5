"""Surfaces from depth maps: near the truth, what maps contradict removed, whatever the scale."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pycolmap")

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.scenes.cameras import Camera, Pinhole, View
from mirror_sfm.scenes.scene import DepthMap, Mesh, Scene
from mirror_sfm.surface.depth import DepthSurfaceOptions, surface_from_depth
from mirror_sfm.surface.lifting import lifted, looked_up, sampled
from mirror_sfm.surface.voxels import Voxels

SENSOR = Pinhole(96, 72, 110.0, 108.0, 47.0, 36.5)
PHOTO = Camera("PINHOLE", (500.0, 500.0, 320.0, 240.0), 640, 480)  # another field of view than the sensor's
OPTIONS = DepthSurfaceOptions(long_side=96, voxel=1.5)


def pose(angle: float, distance: float) -> np.ndarray:
    """Looks at the origin from a circle in the plane z = 0."""
    forward = np.array([-np.cos(angle), -np.sin(angle), 0])
    down = np.array([0.0, 0, -1])
    rotation = np.stack([np.cross(down, forward), down, forward])
    return np.column_stack([rotation, -rotation @ (-distance * forward)])


def rays(camera: Pinhole) -> np.ndarray:
    x, y = (
        (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx,
        (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy,
    )
    return np.stack([*np.meshgrid(x, y), np.ones((camera.height, camera.width))], axis=2)


def depth_of_sphere(cam_from_world: np.ndarray, camera: Pinhole, radius: float = 1.0) -> np.ndarray:
    """Depth of a sphere about the origin; 0 beside it."""
    direction, centre = rays(camera), cam_from_world[:, 3]
    a, b, c = (direction**2).sum(axis=2), direction @ centre, centre @ centre - radius**2
    inside = b * b - a * c
    return np.where(inside > 0, (b - np.sqrt(np.maximum(inside, 0))) / a, 0).astype(np.float32)


def ring(scale: float = 1.0, views: int = 8) -> Scene:
    """A sphere, seen from around by a sensor that is not the camera of the photos."""
    poses = {f"{k}.jpg": pose(2 * np.pi * k / views, 4.0) for k in range(views)}
    maps = {
        name: DepthMap(lambda place=place: depth_of_sphere(place, SENSOR) * np.float32(scale), SENSOR)
        for name, place in poses.items()
    }
    shifted = {name: np.column_stack([place[:, :3], place[:, 3] * scale]) for name, place in poses.items()}
    return Scene("ring", tuple(View(name, PHOTO, place) for name, place in shifted.items()), depths=maps)


@pytest.fixture(scope="module")
def ball() -> Mesh:
    return surface_from_depth(ring(), OPTIONS)


def test_sphere(ball: Mesh) -> None:
    radii = np.linalg.norm(ball.vertices, axis=1)
    near = abs(ball.vertices[:, 2]) < 0.8
    assert abs(radii[near] - 1).max() < 0.02
    corners = ball.vertices[ball.faces]
    fronts = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((fronts * corners[:, 0]).sum(axis=1) > 0).mean() > 0.999
    assert np.linalg.norm(fronts, axis=1).sum() / 2 == pytest.approx(4 * np.pi, rel=0.1)


def test_the_far_side_is_a_hole() -> None:
    mesh = surface_from_depth(ring(views=1), OPTIONS)
    assert mesh.vertices[:, 0].min() > 0  # the camera stands at x = 4


def test_a_map_without_a_camera_of_its_own_is_the_photos(ball: Mesh) -> None:
    scene = ring()
    own = {
        v.name: DepthMap(lambda v=v: depth_of_sphere(v.cam_from_world, PHOTO.pinhole.resized(96, 72)))
        for v in scene.views
    }
    mesh = surface_from_depth(replace(scene, depths=own), OPTIONS)
    near = abs(mesh.vertices[:, 2]) < 0.8
    assert abs(np.linalg.norm(mesh.vertices[near], axis=1) - 1).max() < 0.02
    wrong = {
        name: DepthMap(given.read) for name, given in scene.depths.items()
    }  # the sensor's maps, the photos' camera
    with_wrong = surface_from_depth(replace(scene, depths=wrong), OPTIONS)
    assert np.median(abs(np.linalg.norm(with_wrong.vertices, axis=1) - 1)) > 0.02


def test_what_other_maps_see_through_is_left_out() -> None:
    plain = ring(views=16)

    def with_a_floater() -> np.ndarray:
        depth = plain.depths["0.jpg"].read().copy()
        depth[30:42, 40:56] = 2.7  # 0.3 before the sphere, where both neighbouring maps show the sphere behind it
        return depth

    scene = replace(plain, depths={**plain.depths, "0.jpg": DepthMap(with_a_floater, SENSOR)})
    assert (np.linalg.norm(surface_from_depth(scene, OPTIONS).vertices, axis=1) < 1.2).all()
    blind = replace(OPTIONS, tolerance=0.9)
    assert (np.linalg.norm(surface_from_depth(scene, blind).vertices, axis=1) > 1.25).sum() > 20


@pytest.mark.parametrize("scale", [2.0**-10])  # others round depth, float32, in another way
def test_scale_does_not_matter(scale: float, ball: Mesh) -> None:
    mesh = surface_from_depth(ring(scale), OPTIONS)
    assert np.array_equal(mesh.faces, ball.faces)
    assert abs(mesh.vertices / scale - ball.vertices).max() < 1e-9


def test_any_scale_gives_nearly_the_same(ball: Mesh) -> None:
    mesh = surface_from_depth(ring(1e3), OPTIONS)
    assert len(mesh.faces) == pytest.approx(len(ball.faces), rel=0.01)


def test_same_bytes_every_time(ball: Mesh) -> None:
    again = surface_from_depth(ring(), OPTIONS)
    assert again.vertices.tobytes() == ball.vertices.tobytes() and again.faces.tobytes() == ball.faces.tobytes()


@pytest.mark.parametrize("long_side, stride", [(96, 1), (95, 2), (32, 3), (20, 5)])
def test_samples_lie_where_they_are_looked_up(long_side: int, stride: int) -> None:
    place = pose(0.3, 4.0)
    given = sampled(View("a", PHOTO, place), DepthMap(lambda: depth_of_sphere(place, SENSOR), SENSOR), long_side)
    points, normals = lifted(given)
    assert given.stride == stride and max(given.depth.shape) <= long_side
    assert np.allclose(np.linalg.norm(points, axis=1), 1, atol=1e-5)
    assert ((points * normals).sum(axis=1) > 0.9).mean() > 0.9
    z, found = looked_up(given, points)
    assert np.allclose(z, found, rtol=1e-6)
    assert (looked_up(given, np.array([[9.0, 0, 0], [4, 9, 0], [0, 0, 2]]))[1] == 0).all()  # behind, beside, above


def test_steps_and_gaps_are_no_surface() -> None:
    depth = np.full((72, 96), 2.0, np.float32)
    depth[:, 48:] = 3.0
    depth[20, 20] = np.nan
    depth[50, 20] = np.inf
    points, normals = lifted(sampled(View("a", PHOTO, np.eye(3, 4)), DepthMap(lambda: depth, SENSOR), 96))
    assert len(points) == 70 * 94 - 70 * 2 - 2 * 5  # less two columns at the step and five points at each gap
    assert np.allclose(normals, (0, 0, -1), atol=1e-6)


def test_voxels() -> None:
    rng = np.random.default_rng(0)
    points, up = rng.uniform(-2, 2, (5000, 3)), np.tile([0.0, 0, 1], (5000, 1))
    voxels = Voxels(0.5)
    for part in range(0, 5000, 700):
        voxels.add(points[part : part + 700], up[part : part + 700])
    voxels.add(points + 1e9, up)  # out of bounds
    voxels.add(points, -up)
    voxels.add(points[:0], up[:0])
    means, normals = voxels.means()
    cubes = np.unique(np.floor(points / 0.5), axis=0)
    assert len(means) == 2 * len(cubes) and (normals[:, 2] > 0).sum() == len(cubes)
    assert np.array_equal(np.unique(np.floor(means / 0.5), axis=0), cubes)
    assert Voxels(1.0).means()[0].shape == (0, 3)


@pytest.mark.parametrize(
    "broken, message",
    [
        (lambda scene: replace(scene, depths={}), "no photo with a pose has a depth map; give depth maps, a mesh"),
        (lambda scene: _read(scene, lambda depth: depth * 0), "0 usable points in its depth maps, at least 30"),
        (lambda scene: _read(scene, lambda depth: depth[0]), r"depth of 0.jpg: expected \[height, width\], got \[96\]"),
        (lambda scene: _read(scene, lambda depth: depth[:, :0]), r"got \[72, 0\]"),
    ],
)
def test_errors_say_what_to_do(broken, message) -> None:
    with pytest.raises(MirrorError, match=message) as caught:
        surface_from_depth(broken(ring(views=2)), OPTIONS)
    assert "\n" not in str(caught.value)


def _read(scene: Scene, change) -> Scene:
    maps = {name: DepthMap(lambda given=given: change(given.read()), SENSOR) for name, given in scene.depths.items()}
    return replace(scene, depths=maps)


@pytest.mark.parametrize("options", [{"long_side": 7}, {"voxel": 0}, {"tolerance": np.nan}, {"reach": np.inf}])
def test_options_are_checked(options) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        DepthSurfaceOptions(**options)
