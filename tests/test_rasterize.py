"""rasterize, rasterize_visible: golden maps, the specification, Embree, closed surfaces, clipping, extremes, errors."""

import json
from pathlib import Path

import inputs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mirror_ext
import mirror_ext.numpy as ops
from mirror_ext import reference

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())["mini_scene"]
NEAR_AN_EDGE = 1e-3  # pixels


def turned(degrees: tuple[float, float, float], centre: tuple[float, float, float]) -> np.ndarray:
    """A camera at `centre`, looking along z, turned about x, y and z."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [k for k in range(3) if k != axis]
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        rotation = step @ rotation
    return np.c_[rotation, -rotation @ np.asarray(centre, float)]


def cameras(*poses: np.ndarray, size: tuple[int, int], focal: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    height, width = size
    lens = [focal * width, focal * width, width / 2, height / 2]
    return np.array(poses), np.array([lens] * len(poses))


def hills(side: int, seed: int = 0, roughness: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """A rough surface over [-3, 3]^2 at z about 5, float32."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-3 : 3 : side * 1j, -3 : 3 : side * 1j]
    vertices = np.stack([x, y, 5 + roughness * rng.standard_normal(x.shape)], -1).reshape(-1, 3)
    at = np.arange(side * side).reshape(side, side)
    a, b, c, d = at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]
    faces = np.concatenate([np.stack(f, -1).reshape(-1, 3) for f in ((a, c, b), (b, c, d))])
    return vertices.astype(np.float32), faces.astype(np.int32)


def box_room() -> tuple[np.ndarray, np.ndarray]:
    """A cube of side 2 around the origin, normals to the inside."""
    vertices = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))], np.int32)
    for k, f in enumerate(faces):
        p, q, r = vertices[f]
        if np.cross(q - p, r - p) @ p > 0:
            faces[k] = f[::-1]
    return vertices, faces


def distance_to_edges(vertices, faces, pose, lens, pixels) -> np.ndarray:
    """Of pixels [n, 2] (row, column), in pixels: how far the nearest projected edge of faces in front is."""
    points = np.asarray(vertices, float) @ pose[:, :3].T + pose[:, 3]
    places = points[:, :2] / points[:, 2:] * lens[:2] + lens[2:]
    edges = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0)
    edges = edges[(points[edges, 2] > 0).all(1)]
    p, q = places[edges[:, 0]], places[edges[:, 1]]
    nearest = []
    for row, column in pixels:
        centre = np.array([column + 0.5, row + 0.5])
        along = q - p
        t = np.clip(((centre - p) * along).sum(1) / np.maximum((along**2).sum(1), 1e-300), 0, 1)
        nearest.append(np.linalg.norm(p + t[:, None] * along - centre, axis=1).min())
    return np.array(nearest)


def expect_explained(ours, other, vertices, faces, poses, lenses) -> None:
    """Where two maps differ, an edge is within NEAR_AN_EDGE of the pixel's centre."""
    for view in range(len(poses)):
        pixels = np.argwhere(ours[view] != other[view])
        if len(pixels):
            far = distance_to_edges(vertices, faces, poses[view], lenses[view], pixels)
            assert far.max() < NEAR_AN_EDGE, (view, far.max())


# ---- golden numbers --------------------------------------------------------------------------------------------------


def golden_scene(dtype):
    given_ = GOLDEN["inputs"]
    poses = np.array([np.c_[c["R"], c["t"]] for c in given_["cameras"]])
    lenses = np.array([[c["K"][0][0], c["K"][1][1], c["K"][0][2], c["K"][1][2]] for c in given_["cameras"]])
    vertices, faces = np.array(given_["vertices"], dtype), np.array(given_["faces"], np.int32)
    return vertices, faces, poses.astype(dtype), lenses.astype(dtype), given_["height"], given_["width"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rasterize", [ops.rasterize, reference.rasterize])
def test_golden_maps(rasterize, dtype) -> None:
    scene = golden_scene(dtype)
    maps = rasterize(*scene)
    for view in range(2):
        np.testing.assert_array_equal(maps.triangle_ids[view], GOLDEN["expected"][f"id_map_{view + 1}"])
        expected = [d if d > 0 else np.inf for d in GOLDEN["expected"][f"depth_{view + 1}_row5"]]
        np.testing.assert_allclose(maps.depth[view, 5], expected, rtol=3e-6)


@pytest.mark.parametrize("min_pixels", [1, 3])
def test_golden_sets(min_pixels) -> None:
    expected = GOLDEN["expected"][f"min_px_{min_pixels}"]
    seen = ops.rasterize_visible(*golden_scene(np.float64), min_pixels=min_pixels)
    for view in range(2):
        bits = [t for t in range(26) if seen.bitsets[view, 0] >> t & 1]
        assert bits == expected[f"T{view + 1}"]
        assert seen.counts[view] == len(bits)


# ---- the specification -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cull", [False, True])
def test_specification_on_a_rough_surface(cull) -> None:
    vertices, faces = hills(24)
    size = (150, 200)
    poses, lenses = cameras(
        turned((0, 0, 0), (0, 0, 0)), turned((50, 8, 30), (0.3, 3, 2)), turned((5, 170, 0), (0, 0.4, 9)), size=size
    )
    found = ops.rasterize(vertices, faces, poses, lenses, *size, cull=cull, barycentrics=True)
    expected = reference.rasterize(vertices, faces, poses, lenses, *size, cull=cull, barycentrics=True)
    same = found.triangle_ids == expected.triangle_ids
    assert same.mean() >= 0.9999
    assert 0.2 < (found.triangle_ids >= 0).mean() < 0.99 or cull
    expect_explained(found.triangle_ids, expected.triangle_ids, vertices, faces, poses, lenses)
    np.testing.assert_allclose(found.depth[same], expected.depth[same], rtol=2e-4)
    np.testing.assert_allclose(found.barycentrics[same], expected.barycentrics[same], atol=1e-5)


def test_barycentrics_give_back_the_point_that_is_seen() -> None:
    vertices, faces = hills(12, seed=2)
    size = (60, 80)
    poses, lenses = cameras(turned((40, 5, 0), (0.3, 3, 2)), size=size)
    maps = ops.rasterize(vertices, faces, poses, lenses, *size, barycentrics=True)
    rows, columns = np.nonzero(maps.triangle_ids[0] >= 0)
    first, second = maps.barycentrics[0, rows, columns].T.astype(float)
    corners = vertices[faces[maps.triangle_ids[0, rows, columns]]].astype(float)
    points = np.einsum("kn,nkd->nd", np.stack([first, second, 1 - first - second]), corners)
    seen = points @ poses[0, :, :3].T + poses[0, :, 3]
    np.testing.assert_allclose(seen[:, 2], maps.depth[0, rows, columns], rtol=1e-3)
    places = seen[:, :2] / seen[:, 2:] * lenses[0, :2] + lenses[0, 2:]
    np.testing.assert_allclose(places, np.stack([columns, rows], 1) + 0.5, atol=2e-3)
    assert (maps.barycentrics[0][maps.triangle_ids[0] < 0] == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 40), st.sampled_from([0.05, 0.5, 5.0]))
def test_specification_on_clutter(seed, height, width, size) -> None:
    """Faces anywhere: behind the camera, through it, slivers, on top of each other."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform([-3, -3, -1], [3, 3, 6], (20, 1, 3))
    vertices = (centres + size * rng.standard_normal((20, 3, 3))).reshape(-1, 3)
    faces = np.arange(60, dtype=np.int32).reshape(20, 3)
    poses, lenses = cameras(turned(tuple(rng.uniform(-60, 60, 3)), (0, 0, 0)), size=(height, width))
    found = ops.rasterize(vertices, faces, poses, lenses, height, width, near=0.05)
    expected = reference.rasterize(vertices, faces, poses, lenses, height, width, near=0.05)
    differ = found.triangle_ids != expected.triangle_ids
    assert differ.sum() <= 1 + differ.size // 1000
    both = ~differ & (found.triangle_ids >= 0)
    assert np.isinf(found.depth[~differ & ~both]).all()
    assert (found.depth[found.triangle_ids >= 0] >= 0.05 * (1 - 1e-6)).all()


@pytest.mark.parametrize("name", ["stanford_bunny.ply", "koala.ply"])
def test_real_meshes_against_embree(data, name) -> None:
    trimesh, embree = pytest.importorskip("trimesh"), pytest.importorskip("embreex.rtcore_scene")
    from embreex.mesh_construction import TriangleMesh

    mesh = trimesh.load(data / "meshes" / name, process=False)
    vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)
    middle, reach = (vertices.max(0) + vertices.min(0)) / 2, float(np.ptp(vertices, 0).max())
    size = (300, 400)
    poses = []
    for degrees in ((0, 0, 0), (20, 130, 0), (-35, 250, 10)):
        rotation = turned(degrees, (0, 0, 0))[:, :3]
        poses.append(np.c_[rotation, -rotation @ (middle - 1.4 * reach * rotation[2])])
    poses, lenses = cameras(*poses, size=size, focal=1.1)
    found = ops.rasterize(vertices, faces, poses, lenses, *size, near=1e-3 * reach)
    scene = embree.EmbreeScene()
    TriangleMesh(scene, vertices, faces)
    row, column = np.mgrid[:300, :400] + 0.5
    for view, (pose, lens) in enumerate(zip(poses, lenses, strict=True)):
        rays = np.stack([(column - lens[2]) / lens[0], (row - lens[3]) / lens[1], np.ones(size)], -1) @ pose[:, :3]
        start = np.broadcast_to((-pose[:, :3].T @ pose[:, 3]), rays.shape)
        ids = scene.run(*(np.ascontiguousarray(x.reshape(-1, 3), np.float32) for x in (start, rays)), query="INTERSECT")
        same = ids.reshape(size) == found.triangle_ids[view]
        assert same.mean() >= 0.999
    assert (found.triangle_ids >= 0).mean() > 0.1


@pytest.mark.slow
def test_real_mesh_against_the_specification(data) -> None:
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.load(data / "meshes" / "stanford_bunny.ply", process=False)
    vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)
    middle, reach = (vertices.max(0) + vertices.min(0)) / 2, float(np.ptp(vertices, 0).max())
    rotation = turned((20, 130, 0), (0, 0, 0))[:, :3]
    poses, lenses = cameras(
        np.c_[rotation, -rotation @ (middle - 1.4 * reach * rotation[2])], size=(300, 400), focal=1.1
    )
    near = 1e-3 * reach
    found = ops.rasterize(vertices, faces, poses, lenses, 300, 400, near=near).triangle_ids
    expected = reference.rasterize(vertices, faces, poses, lenses, 300, 400, near=near).triangle_ids
    assert (found == expected).mean() >= 0.9999
    expect_explained(found, expected, vertices, faces, poses, lenses)


# ---- closed surfaces -------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.booleans())
def test_every_pixel_of_a_triangulation_has_one_owner(seed, count, on_pixels) -> None:
    """Delaunay triangles of points in a square, each drawn alone: together they cover each of its pixels once."""
    from scipy.spatial import Delaunay

    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 32, (count, 2))
    if on_pixels:  # edges and corners at pixel centres
        points = np.floor(points) + 0.5
    points = np.unique(np.concatenate([points, [[0, 0], [0, 32], [32, 0], [32, 32]]]), axis=0)
    triangles = Delaunay(points).simplices
    vertices = np.c_[points, np.ones(len(points))]
    flip = rng.random(len(triangles)) < 0.5
    triangles[flip] = triangles[flip][:, ::-1]
    owners = np.zeros((32, 32), int)
    pose, lens = np.eye(3, 4)[None], np.array([[1.0, 1, 0, 0]])
    for triangle in triangles:
        maps = ops.rasterize(vertices, triangle[None].astype(np.int32), pose, lens, 32, 32, num_threads=1)
        owners += maps.triangle_ids[0] == 0
    assert (owners == 1).all()


def test_inside_a_room_every_pixel_shows_a_wall() -> None:
    vertices, faces = box_room()
    rng = np.random.default_rng(0)
    poses = [turned(tuple(rng.uniform(-180, 180, 3)), tuple(rng.uniform(-0.99, 0.99, 3))) for _ in range(40)]
    poses, lenses = cameras(*poses, size=(70, 90), focal=0.3)
    for near in (1e-6, 1e-3):
        maps = ops.rasterize(vertices, faces, poses, lenses, 70, 90, near=near, cull=True)
        assert (maps.triangle_ids >= 0).all()
        again = ops.rasterize(vertices, faces, poses, lenses, 70, 90, near=near)
        np.testing.assert_array_equal(maps.triangle_ids, again.triangle_ids)
    from_behind = ops.rasterize(vertices, faces[:, ::-1].copy(), poses, lenses, 70, 90, cull=True)
    assert (from_behind.triangle_ids == -1).all()


# ---- rules -----------------------------------------------------------------------------------------------------------

LENS = np.array([[100.0, 100, 50, 40]])
AHEAD = np.eye(3, 4)[None]
TRIANGLE = np.array([[-1, -0.7, 4], [1.1, -0.5, 4], [0.1, 0.9, 5]])


def test_front_and_back() -> None:
    """Seen with its corners counter-clockwise, a face shows its front: its normal points at the camera."""
    p, q, r = TRIANGLE
    front = [0, 1, 2] if np.cross(q - p, r - p) @ p < 0 else [0, 2, 1]
    for order, kept in ((front, True), (front[::-1], False)):
        maps = ops.rasterize(TRIANGLE, np.array([order], np.int32), AHEAD, LENS, 80, 100, cull=True)
        assert (maps.triangle_ids >= 0).any() == kept


def test_the_lowest_of_equal_faces_wins_whatever_its_corners() -> None:
    orders = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0], [1, 0, 2], [0, 2, 1]]
    copies = np.concatenate([TRIANGLE[o] for o in orders])  # vertices of their own
    rng = np.random.default_rng(1)
    owned: dict[float, int] = {}
    for _ in range(20):
        pose = turned(tuple(rng.uniform(-15, 15, 3)), tuple(rng.uniform(-0.5, 0.5, 3)))[None]
        for near in (0.1, 4.3):  # clipped too
            maps = ops.rasterize(copies, np.arange(18, dtype=np.int32).reshape(6, 3), pose, LENS, 80, 100, near=near)
            assert set(np.unique(maps.triangle_ids)) <= {-1, 0}
            owned[near] = owned.get(near, 0) + (maps.triangle_ids == 0).sum()
    assert 0 < owned[4.3] < owned[0.1]


def test_near_clips_and_may_differ_from_view_to_view() -> None:
    floor = np.array([[-50, 1, -50], [50, 1, -50], [50, 1, 50], [-50, 1, 50]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    poses, lenses = np.repeat(AHEAD, 3, 0), np.repeat(LENS, 3, 0)
    near = np.array([1e-3, 3.0, 10.0])
    maps = ops.rasterize(floor, faces, poses, lenses, 80, 100, near=near)
    rows = np.arange(80) + 0.5
    expected = 100 / np.maximum(rows - 40, 1e-9)  # depth of the floor in each row
    for view in range(3):
        shown = (expected >= near[view]) & (expected <= 50)
        np.testing.assert_array_equal(maps.triangle_ids[view, :, 50] >= 0, shown)
        np.testing.assert_allclose(maps.depth[view, shown, 50], expected[shown], rtol=1e-3)


def test_faces_that_own_nothing() -> None:
    vertices = np.concatenate([TRIANGLE, [[np.nan, 0, 4], [np.inf, 0, 4], [0, 0, -1e300], [0, 0, 1e160]]])
    empty = [[0, 1, 3], [4, 1, 2], [0, 0, 1], [1, 1, 1], [0, 5, 1], [6, 0, 1]]
    maps = ops.rasterize(vertices, np.array(empty, np.int32), AHEAD, LENS, 80, 100)
    assert (maps.triangle_ids == -1).all()
    assert np.isinf(maps.depth).all()
    maps = ops.rasterize(vertices, np.array([*empty, [0, 1, 2]], np.int32), AHEAD, LENS, 80, 100)
    assert set(np.unique(maps.triangle_ids)) == {-1, 6}


def test_faces_behind_the_camera_own_nothing() -> None:
    maps = ops.rasterize(-TRIANGLE, np.array([[0, 1, 2]], np.int32), AHEAD, LENS, 80, 100)
    assert (maps.triangle_ids == -1).all()


# ---- scale, place, threads, instructions -----------------------------------------------------------------------------


def survey():
    vertices, faces = hills(60, seed=5, roughness=0.05)
    poses, lenses = cameras(
        turned((0, 0, 0), (0, 0, 0)),
        turned((40, 5, 20), (0.2, 2.5, 2.5)),
        turned((0, 0, 90), (1, -1, 4)),
        size=(170, 270),
    )
    return vertices, faces, poses, lenses, 170, 270


@pytest.mark.parametrize("scale", [1e-3, 1e3, 2.0**40])
def test_scale_changes_no_id(scale) -> None:
    vertices, faces, poses, lenses, height, width = survey()
    expected = ops.rasterize(vertices.astype(float), faces, poses, lenses, height, width)
    moved = poses * [1, 1, 1, scale]
    found = ops.rasterize(vertices.astype(float) * scale, faces, moved, lenses, height, width, near=1e-3 * scale)
    assert (found.triangle_ids == expected.triangle_ids).mean() >= (1 if scale == 2.0**40 else 0.9999)
    seen = (found.triangle_ids == expected.triangle_ids) & (found.triangle_ids >= 0)
    np.testing.assert_allclose(found.depth[seen], expected.depth[seen] * scale, rtol=1e-4)


def test_far_from_the_origin() -> None:
    """Coordinates of a national grid, 1e7 units away, show what the same scene shows at the origin."""
    vertices, faces, poses, lenses, height, width = survey()
    offset = np.array([1e7, -2e7, 3e6])
    vertices = np.round(vertices.astype(float) * 2**20) / 2**20  # so that adding the offset rounds nothing
    moved = poses.copy()
    moved[:, :, 3] -= moved[:, :, :3] @ offset
    expected = ops.rasterize(vertices, faces, poses, lenses, height, width)
    found = ops.rasterize(vertices + offset, faces, moved, lenses, height, width)
    assert (found.triangle_ids == expected.triangle_ids).mean() >= 0.9999
    seen = (found.triangle_ids == expected.triangle_ids) & (found.triangle_ids >= 0)
    np.testing.assert_allclose(found.depth[seen], expected.depth[seen], rtol=1e-4)


def test_levels_and_threads_give_the_same_bits() -> None:
    scene = survey()

    def run(threads):
        maps = ops.rasterize(*scene, barycentrics=True, num_threads=threads)
        return [*maps, *ops.rasterize_visible(*scene, num_threads=threads)]

    expected = run(1)
    for found in [*inputs.every_isa(lambda: run(1)).values(), *(run(n) for n in inputs.THREADS)]:
        assert all(inputs.same_bits(a, b) for a, b in zip(expected, found, strict=True))


def test_one_view_or_many_order_of_faces() -> None:
    vertices, faces, poses, lenses, height, width = survey()
    whole = ops.rasterize(vertices, faces, poses, lenses, height, width)
    for view in range(3):
        alone = ops.rasterize(vertices, faces, poses[view : view + 1], lenses[view : view + 1], height, width)
        assert inputs.same_bits(alone.triangle_ids[0], whole.triangle_ids[view])
    order = np.random.default_rng(3).permutation(len(faces))
    mixed = ops.rasterize(vertices, faces[order], poses, lenses, height, width)
    ids = np.where(mixed.triangle_ids >= 0, order[mixed.triangle_ids], -1)
    assert inputs.same_bits(mixed.depth, whole.depth)
    assert (ids == whole.triangle_ids).mean() > 0.9999  # ties go to another one


@pytest.mark.parametrize("min_pixels", [1, 4, 300])
def test_visible_sets_are_those_of_the_maps(min_pixels) -> None:
    scene = survey()
    maps = ops.rasterize(*scene)
    expected = ops.visible_triangles(maps.triangle_ids, len(scene[1]), min_pixels)
    for threads in (1, 8):  # more threads than views: another road
        found = ops.rasterize_visible(*scene, min_pixels=min_pixels, num_threads=threads)
        assert inputs.same_bits(found.bitsets, expected.bitsets)
        assert inputs.same_bits(found.counts, expected.counts)


def test_any_memory_layout() -> None:
    scene = survey()
    expected = ops.rasterize(*scene)
    found = ops.rasterize(*(inputs.scattered(a) for a in scene[:4]), *scene[4:])
    assert inputs.same_bits(found.triangle_ids, expected.triangle_ids)
    found = ops.rasterize(*(inputs.misaligned(a) for a in scene[:4]), *scene[4:])
    assert inputs.same_bits(found.depth, expected.depth)


# ---- torch -----------------------------------------------------------------------------------------------------------


def tensors():
    vertices, faces, poses, lenses, *_ = survey()
    return [torch.from_numpy(x) for x in (vertices, faces, poses, lenses)]


def test_torch_gives_what_numpy_gives() -> None:
    arrays, given_ = survey(), tensors()
    near = np.array([1e-3, 0.5, 1e-2])
    expected = ops.rasterize(*arrays, near=near, barycentrics=True)
    found = mirror_ext.rasterize(*given_, 170, 270, near=torch.from_numpy(near), barycentrics=True)
    for a, b in zip(found, expected, strict=True):
        assert inputs.same_bits(a.numpy(), b)
    assert mirror_ext.rasterize(*given_, 170, 270).barycentrics is None
    for a, b in zip(mirror_ext.rasterize_visible(*given_, 170, 270), ops.rasterize_visible(*arrays), strict=True):
        assert inputs.same_bits(a.numpy(), b)


@pytest.mark.parametrize("barycentrics", [False, True])
def test_opcheck(barycentrics) -> None:
    near = torch.full((3,), 1e-3, dtype=torch.float64)
    torch.library.opcheck(torch.ops.mirror.rasterize, (*tensors(), 20, 30, near, False, barycentrics))
    torch.library.opcheck(torch.ops.mirror.rasterize_visible, (*tensors(), 20, 30, near, False, 1))


def test_compiled() -> None:
    def depths(vertices, faces, poses, lenses):
        return mirror_ext.rasterize(vertices, faces, poses, lenses, 20, 30, near=0.01).depth * 2

    expected = depths(*tensors())
    assert torch.equal(torch.compile(depths, fullgraph=True, backend="aot_eager")(*tensors()), expected)


# ---- nothing, and wrong arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("vertices,faces,views,height,width", [
    (0, 0, 1, 4, 5), (3, 0, 1, 4, 5), (3, 1, 0, 4, 5), (3, 1, 2, 0, 5), (3, 1, 2, 4, 0),
])  # fmt: skip
def test_empty(vertices, faces, views, height, width) -> None:
    given_ = (
        np.ones((vertices, 3), np.float32),
        np.zeros((faces, 3), np.int32),
        np.repeat(AHEAD, views, 0),
        np.repeat(LENS, views, 0),
    )
    maps = ops.rasterize(*given_, height, width, barycentrics=True)
    assert maps.triangle_ids.shape == maps.depth.shape == (views, height, width)
    assert maps.barycentrics.shape == (views, height, width, 2)
    assert (maps.triangle_ids == -1).all()
    seen = ops.rasterize_visible(*given_, height, width)
    assert seen.bitsets.shape == (views, -(-faces // 64))
    assert (seen.counts == 0).all()


def changed(place: int, index: tuple, value: float) -> list:
    """Good arguments but for one number."""
    arguments = [TRIANGLE.copy(), np.array([[0, 1, 2]], np.int32), AHEAD.copy(), LENS.copy()]
    arguments[place][index] = value
    return arguments


@pytest.mark.parametrize("arguments,options,message", [
    (changed(1, (0, 1), 3), {}, "faces: expected vertices 0..2, got 3 in face 0"),
    (changed(1, (0, 2), -1), {}, "faces: expected vertices 0..2, got -1 in face 0"),
    (changed(2, (0, 1, 3), np.nan), {}, "cam_from_world: expected finite numbers, got nan in view 0"),
    (changed(2, (0, 0, 0), 0), {}, "cam_from_world: expected a rotation .*, got a singular matrix in view 0"),
    (changed(3, (0, 0), 0), {}, "intrinsics: expected focal lengths > 0, got 0 in view 0"),
    (changed(3, (0, 3), np.inf), {}, "intrinsics: expected finite numbers, got inf in view 0"),
    (changed(3, (0, 3), 1), {"near": 0.0}, "near: expected a number 1e-30..1e30, got 0 in view 0"),
    (changed(3, (0, 3), 1), {"near": float("nan")}, "near: expected a number 1e-30..1e30, got nan in view 0"),
    (changed(3, (0, 3), 1), {"near": np.ones(2)}, r"near: expected float64 \[1\], got float64 \[2\]"),
    (changed(3, (0, 3), 1), {"height": -1}, "height: expected a number 0..65536, got -1"),
    (changed(3, (0, 3), 1), {"width": 65537}, "width: expected a number 0..65536, got 65537"),
    (changed(3, (0, 3), 1), {"height": 65536, "width": 65536}, "height: expected at most 2147483647 pixels"),
    ([TRIANGLE, np.zeros((1, 3), np.int64), AHEAD, LENS], {}, r"faces: expected int32 \[F, 3\], got int64 \[1, 3\]"),
    ([TRIANGLE[:, :2], np.zeros((1, 3), np.int32), AHEAD, LENS], {}, r"vertices: expected float32 or float64 \[V, 3\]"),
    ([TRIANGLE, np.ones((1, 3), np.int32), np.eye(4)[None], LENS], {}, r"cam_from_world: .*\[N, 3, 4\], got .*1, 4, 4"),
    ([TRIANGLE, np.zeros((1, 3), np.int32), AHEAD, LENS[0]], {}, r"intrinsics: expected .*\[1, 4\], got float64 \[4\]"),
])  # fmt: skip
@pytest.mark.parametrize("op", ["rasterize", "rasterize_visible"])
def test_refusals(op, arguments, options, message) -> None:
    options = {"height": 8, "width": 9, **options}
    with pytest.raises(ValueError, match=f"^{op}: {message}"):
        getattr(ops, op)(*arguments, **options)
    near = options.pop("near", 1e-3)
    if isinstance(near, np.ndarray):
        near = torch.from_numpy(near)
    with pytest.raises((ValueError, RuntimeError), match=message):
        getattr(mirror_ext, op)(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arguments), near=near, **options)


def test_more_refusals() -> None:
    good = changed(3, (0, 3), 1)
    with pytest.raises(ValueError, match=r"^rasterize_visible: min_pixels: expected a number >= 1, got 0"):
        ops.rasterize_visible(*good, 8, 9, min_pixels=0)
    with pytest.raises(TypeError, match=r"^rasterize: vertices: expected a NumPy array, got list"):
        ops.rasterize([[0, 0, 1]], *good[1:], 8, 9)
    with pytest.raises(TypeError, match=r"^rasterize: faces: expected a tensor"):
        mirror_ext.rasterize(torch.zeros(3, 3), good[1], torch.zeros(1, 3, 4), torch.ones(1, 4), 8, 9)
