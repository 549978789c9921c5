"""Scenes as files: what they say about each other must be true, or everything tested on them lies."""

import csv
import itertools
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirror_sfm.cli import main
from mirror_sfm.errors import UsageError
from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.meshes import read_mesh
from mirror_sfm.scenes.reading import read_scene
from mirror_sfm.synthetic import KINDS, RenderOptions, assemble, export, make_path, make_scene
from mirror_sfm.synthetic.export import write_overlap
from mirror_sfm.synthetic.paths import centres, look
from mirror_sfm.synthetic.shapes import box, rectangle
from mirror_sfm.synthetic.tracks import depth_of, find_tracks, scatter_points, seen

PHOTOS = 4
SMALL = RenderOptions(width=160, height=120, samples=1, threads=2)
GREY = np.full((16, 16, 3), 128, np.uint8)
CAMERA = Camera("PINHOLE", (200.0, 200.0, 80.0, 60.0), 160, 120)


@pytest.fixture
def built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The photos are taken anew, of a surface that stays."""
    monkeypatch.setattr(export, "make_lit", make_lit_once)


make_lit_once = cache(export.make_lit)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "scene"
    assert make_scene("object", folder, PHOTOS, options=SMALL) == folder / "images"
    return folder


def read_overlap(folder: Path) -> list[dict[str, str]]:
    with (folder / "pairs_overlap.csv").open() as file:
        return list(csv.DictReader(file))


def overlap_of(mesh, poses, folder: Path) -> np.ndarray:
    """[N, N] what pairs_overlap.csv says of photos of a mesh."""
    views = tuple(View(f"{k}.jpg", CAMERA, pose) for k, pose in enumerate(poses))
    write_overlap(folder / "pairs_overlap.csv", mesh, views, 2)
    shares = np.eye(len(poses))
    for row in read_overlap(folder):
        i, j = int(row["image_a"][0]), int(row["image_b"][0])
        shares[i, j], shares[j, i] = float(row["overlap_a_to_b"]), float(row["overlap_b_to_a"])
    return shares


def test_files(scene: Path) -> None:
    names = [f"photo_{i:03d}.jpg" for i in range(PHOTOS)]
    assert sorted(path.name for path in (scene / "images").iterdir()) == names
    for name in names:
        with Image.open(scene / "images" / name) as photo:
            assert photo.size == (160, 120) and photo.mode == "RGB"
            assert np.asarray(photo).std() > 15
    rows = read_overlap(scene)
    assert [(row["image_a"], row["image_b"]) for row in rows] == list(itertools.combinations(names, 2))
    for row in rows:
        there, back, least, mean = (float(row[f"overlap_{key}"]) for key in ("a_to_b", "b_to_a", "min", "mean"))
        assert 0 <= there <= 1 and 0 <= back <= 1 and least == min(there, back)
        assert mean == pytest.approx((there + back) / 2, abs=1e-4)
    manifest = json.loads((scene / "manifest.json").read_text())
    assert manifest["n_images"] == PHOTOS and manifest["seed"] == 0


def test_the_files_agree(scene: Path) -> None:
    """cameras.json, the COLMAP model, the mesh: what is read back is one scene."""
    pytest.importorskip("pycolmap")
    read = read_scene(scene)  # refuses models that disagree
    assert [view.name for view in read.views] == [f"photo_{i:03d}.jpg" for i in range(PHOTOS)]
    poses = make_path("object", PHOTOS)
    for view, pose in zip(read.views, poses, strict=True):
        np.testing.assert_allclose(view.cam_from_world, pose, atol=1e-7)
        assert view.camera.model == "PINHOLE"
    listed = json.loads((scene / "cameras.json").read_text())["cameras"]
    assert np.array_equal([entry["cam_from_world"] for entry in listed], poses)
    assert read.mesh is not None and read.tracks is not None and len(read.tracks.points) > 100
    for k, view in enumerate(read.views):  # every point of a track lies on what its photo shows there
        assert seen(read.tracks.points[read.tracks.of(k)], read.mesh, view, 1e-3).all()


def test_same_seed_same_bytes(scene: Path, tmp_path: Path) -> None:
    one = RenderOptions(**{**vars(SMALL), "threads": 1})
    make_scene("object", tmp_path / "again", PHOTOS, options=one)
    make_scene("object", tmp_path / "other", PHOTOS, seed=1, options=one)
    files = sorted(path for path in scene.rglob("*.*") if path.suffix != ".bin" or path.stem != "rigs")
    assert len(files) >= PHOTOS + 4
    for path in files:
        again, other = (tmp_path / name / path.relative_to(scene) for name in ("again", "other"))
        assert again.read_bytes() == path.read_bytes(), path.name
        if path.stem not in ("cameras", "frames") or path.suffix == ".json":
            assert other.read_bytes() != path.read_bytes(), path.name


def test_how_photos_are_taken_changes_no_label(scene: Path, built_once: None, tmp_path: Path) -> None:
    changed = {"exposure": 1.0, "vignetting": 0.6, "noise": 8.0, "samples": 2, "suffix": ".png"}
    make_scene("object", tmp_path / "scene", PHOTOS, options=RenderOptions(**{**vars(SMALL), **changed}))
    assert (tmp_path / "scene/mesh.ply").read_bytes() == (scene / "mesh.ply").read_bytes()
    before, after = (np.loadtxt(f / "pairs_overlap.csv", str, delimiter=",") for f in (scene, tmp_path / "scene"))
    np.testing.assert_array_equal(before[:, 2:], after[:, 2:])
    bright = [np.asarray(Image.open(path)).mean() for path in sorted((tmp_path / "scene/images").iterdir())]
    assert np.ptp(bright) > 15 and bright != [np.asarray(Image.open(p)).mean() for p in (scene / "images").iterdir()]


def test_overlap_of_a_plane_is_that_of_footprints(tmp_path: Path) -> None:
    """Straight down from 4 m, a photo shows 3.2 m x 2.4 m."""
    cell = 0.02
    mesh = assemble([rectangle((-4, 4, 0), (8, 0, 0), (0, -8, 0), GREY, cell)]).mesh
    places = [(0, 0, 4), (0.8, 0, 4), (0.8, 0.6, 4), (2.4, 0, 4), (0, 0, 2)]
    shares = overlap_of(mesh, [look(place, (0, 0, -1), (0, 1, 0)) for place in places], tmp_path)
    slack = 3 * cell / 2.4  # triangles at the border belong to both
    for (i, j), share in {(0, 1): 0.75, (1, 2): 0.75, (0, 2): 0.75**2, (0, 3): 0.25, (0, 4): 0.25, (1, 3): 0.5}.items():
        assert share <= shares[i, j] <= share + slack, (i, j)
    assert shares[4, 0] == 1 and shares[3, 4] < slack  # the closer photo shows part of the other; these two touch


def test_overlap_of_a_box_is_that_of_its_sides(tmp_path: Path) -> None:
    """One photo shows the top, one top and front, one the back: shares follow from the outlines of the sides."""
    mesh = assemble(box((0, 0, 0), (1, 1, 1), lambda *_: GREY, 0.1, sides=range(6))).mesh
    above, front, behind = (
        look((0, 0, 4), (0, 0, -1), (0, 1, 0)),
        look((0, -3, 3), (0, 3, -2.5)),
        look((0, 4, 0.5), (0, -1, 0)),
    )
    shares = overlap_of(mesh, [above, front, behind], tmp_path)

    def area(pose: np.ndarray, corners: list[tuple[float, float, float]]) -> float:
        x, y, z = pose[:, :3] @ np.array(corners).T + pose[:, 3:]
        u, v = x / z, y / z
        return abs(float(u @ np.roll(v, -1) - v @ np.roll(u, -1))) / 2

    top = [(-0.5, -0.5, 1.0), (0.5, -0.5, 1.0), (0.5, 0.5, 1.0), (-0.5, 0.5, 1.0)]
    wall = [(-0.5, -0.5, 1.0), (0.5, -0.5, 1.0), (0.5, -0.5, 0.0), (-0.5, -0.5, 0.0)]
    assert shares[0, 1] == 1
    assert shares[1, 0] == pytest.approx(area(front, top) / (area(front, top) + area(front, wall)), abs=0.02)
    assert shares[0, 2] == shares[2, 0] == shares[1, 2] == shares[2, 1] == 0


@pytest.mark.parametrize("model", ["PINHOLE", "SIMPLE_RADIAL"])
def test_tracks_follow_depth(model: str) -> None:
    """Points lie on the depth of every photo that sees them, and no photo that sees them is left out."""
    sides = box((0, 0, 0), (1, 1, 1), lambda *_: GREY, 0.1)
    mesh = assemble([rectangle((-3, 3, 0), (6, 0, 0), (0, -6, 0), GREY, 0.25), *sides]).mesh
    params = (200.0, 80.0, 60.0, -0.08) if model == "SIMPLE_RADIAL" else CAMERA.params
    camera = Camera(model, params, 160, 120)
    turns = np.arange(5) * 0.5
    poses = [look((4 * np.cos(t), 4 * np.sin(t), 2.5), (-4 * np.cos(t), -4 * np.sin(t), -2.2)) for t in turns]
    views = [View(f"{k}", camera, pose) for k, pose in enumerate(poses)]
    points = scatter_points(mesh, views, 1e-3, 80, seed=0)
    assert len(points.xyz) == 5 * 80
    onto = np.abs(points.xyz).max(axis=1) < 0.5 + 1e-4
    assert (
        np.abs(points.xyz[~onto & (points.xyz[:, 2] < 1 - 1e-4), 2]) < 1e-4
    ).mean() > 0.6  # on the ground or the box
    for point, view, (column, row) in zip(points.xyz, points.view, points.pixel, strict=True):
        z = float(views[view].cam_from_world[2, :3] @ point + views[view].cam_from_world[2, 3])
        assert depth_of_once(mesh, views[view])[row, column] == pytest.approx(z, rel=1e-5)
    tracks, kept = find_tracks(mesh, views, points, 1e-3)
    np.testing.assert_array_equal(tracks.points, points.xyz[kept])
    for k, view in enumerate(views):
        np.testing.assert_array_equal(np.flatnonzero(seen(tracks.points, mesh, view, 1e-3)), tracks.of(k))
    assert np.bincount(tracks.seen).min() >= 2 and len(kept) > 0.5 * len(points.xyz)
    own = points.view[kept]
    assert np.mean([row in tracks.of(view) for row, view in enumerate(own)]) > 0.97


_depths: dict[tuple[int, int], np.ndarray] = {}


def depth_of_once(mesh, view: View) -> np.ndarray:
    key = (id(mesh), id(view))
    if key not in _depths:
        _depths[key] = depth_of(mesh, view, 1e-3)
    return _depths[key]


def test_the_village_is_flown_over_with_varied_overlap() -> None:
    """The default flight: neighbours share much, the ends nothing, and no photo is alone."""
    places, poses = centres(make_path("village", 24)), make_path("village", 24)
    corners = np.array([[x, y, 1] for x in (-320 / 560, 320 / 560) for y in (-240 / 560, 240 / 560)])
    footprints = []
    for place, pose in zip(places, poses, strict=True):
        rays = corners @ pose[:, :3]
        assert (rays[:, 2] < -0.3).all()  # steeper than any slope of the ground
        ground = place[:2] - place[2] / rays[:, 2:] * rays[:, :2]
        assert np.abs(ground).max() < 130  # nothing beyond the landscape's edge
        footprints.append(ground.mean(axis=0))
    distance = np.linalg.norm(np.array(footprints)[:, None] - np.array(footprints)[None], axis=-1)
    assert distance.max() > 150 and np.sort(distance, axis=1)[:, 1].max() < 45


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("photos", [1, 2, 9])
def test_paths_have_a_pose_per_photo(kind: str, photos: int) -> None:
    poses = make_path(kind, photos)
    assert poses.shape == (photos, 3, 4)
    rotation = poses[:, :, :3]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (photos, 3, 3)), atol=1e-8
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-8)
    assert np.array_equal(poses.round(9), poses) and np.array_equal(make_path(kind, photos), poses)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["village", "terrain", "interior"])
def test_every_kind(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "interior":
        pytest.importorskip("pycolmap")  # overlap of photos with distortion
    monkeypatch.setattr("mirror_sfm.synthetic.terrain.TEXELS", 576)  # painting the ground takes longest
    options = RenderOptions(width=320, height=240, distortion=-0.05 if kind == "interior" else 0)
    images = make_scene(kind, tmp_path, 3, seed=2, options=options)
    for path in images.iterdir():
        photo = np.asarray(Image.open(path)).astype(int)
        assert photo.std() > 20 and 60 < photo.mean() < 190 and (photo == 255).mean() < 0.1
    assert len(read_mesh(tmp_path / "mesh.ply").faces) > 20_000


def test_one_photo(built_once: None, tmp_path: Path) -> None:
    assert len(list(make_scene("object", tmp_path, photos=1, options=SMALL).iterdir())) == 1
    assert read_overlap(tmp_path) == []


def test_errors(scene: Path, built_once: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="photos: expected at least 1, got 0"):
        make_scene("object", tmp_path, photos=0)
    with pytest.raises(UsageError, match="kind: expected one of village, terrain, interior, object, got 'castle'"):
        make_scene("castle", tmp_path)
    with pytest.raises(UsageError, match=r"holds photo_003\.jpg and is no place for another scene"):
        make_scene("object", scene, PHOTOS - 1, options=SMALL)


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "synthetic.md"
    _, parts = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)  # the first is `make_scene` as above
    monkeypatch.chdir(tmp_path)
    exec(parts, {})
    with Image.open("box.png") as photo:
        assert photo.size == (640, 480) and np.asarray(photo).std() > 20


@pytest.mark.slow
def test_every_processor_renders_the_same_bytes(scene: Path, tmp_path: Path) -> None:
    """A second process that may not use the instructions this processor has beyond the common ones."""
    code = f"""
from mirror_sfm.synthetic import RenderOptions, make_scene
make_scene("object", {str(tmp_path)!r}, {PHOTOS}, options=RenderOptions(width=160, height=120, samples=1))
"""
    poor = {
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_ICL X86_V4 X86_V3",
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX512-ICL,AVX2",
        "MIRROR_ISA": "portable",
    }
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env={**os.environ, **poor}, check=True)
    for path in (*(scene / "images").iterdir(), scene / "mesh.ply", scene / "pairs_overlap.csv"):
        assert (tmp_path / path.relative_to(scene)).read_bytes() == path.read_bytes(), path.name


def test_the_command_without_pycolmap(
    built_once: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)  # as if it were not installed
    monkeypatch.setattr(sys, "argv", ["mirror-sfm", "demo", str(tmp_path), "--kind", "object", "--photos", "1"])
    with pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr()
    assert stop.value.code == 0 and told.out == f"1 rendered photos -> {tmp_path / 'images'}\n"
    assert told.err == 'no COLMAP model was written: pip install "mirror-sfm[colmap]"\n'
    assert not (tmp_path / "sparse").exists() and (tmp_path / "mesh.ply").exists()
