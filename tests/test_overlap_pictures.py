"""Pictures of overlap and the command that writes them."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from overlap_scenes import plane, tracks, view
from PIL import Image
from typer.testing import CliRunner

from mirror_sfm.cli.app import app
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.overlap.files import load_overlap
from mirror_sfm.overlap.measured import Overlap
from mirror_sfm.overlap.measuring import measure_overlap
from mirror_sfm.overlap.pictures import FIRST_ONLY, SECOND_ONLY, SHARED, draw_matrix, draw_pairs, save_picture
from mirror_sfm.scenes.meshes import write_mesh
from mirror_sfm.scenes.scene import Scene

RUN = CliRunner()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Photos that share their halves, 64 x 48 units of a plane which ends in the middle of the second."""
    images = tmp_path / "scene" / "images"
    images.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 48), (200, 200, 200)).save(images / name)
    surface = plane(-128, 128, 256)
    kept = (surface.vertices[surface.faces][:, :, 0] <= 48).all(1)
    views = (view("a.png", (0, 0, -48)), view("b.png", (32, 0, -48)))
    return Scene("scene", views, images=images, mesh=type(surface)(surface.vertices, surface.faces[kept]))


def mixed(colour: tuple[int, int, int]) -> np.ndarray:
    return np.rint(0.45 * 200 + 0.55 * np.array(colour))


def test_pairs_are_yellow_red_and_green_on_dimmed_photos(scene: Scene) -> None:
    [picture] = draw_pairs(scene, [("a.png", "b.png")])
    pixels = np.asarray(picture)
    left, right = pixels[:768, :1024], pixels[:768, 1032:2056]
    assert (left[:, :510] == mixed(FIRST_ONLY)).all() and (left[:, 514:] == mixed(SHARED)).all()
    assert (right[:, :510] == mixed(SHARED)).all() and (right[:, 514:766] == mixed(SECOND_ONLY)).all()
    assert (right[:, 770:] == round(0.35 * 200)).all()


def test_photos_are_shown_upright(scene: Scene) -> None:
    """The camera is that of the stored pixels; EXIF says they lie on their right side."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:, :32] = 200  # of the stored photo the left half, of the upright one the upper half
    file = io.BytesIO()
    Image.fromarray(stored).save(file, "JPEG", quality=100, exif=exif)
    (scene.images / "a.png").write_bytes(file.getvalue())
    [picture] = draw_pairs(scene, [("a.png", "b.png")])
    pixels = np.asarray(picture)[:1024, :768].astype(int)
    assert (np.abs(pixels[:490] - mixed(FIRST_ONLY)) < 4).all()
    assert (np.abs(pixels[540:] - np.rint(0.55 * np.array(SHARED))) < 4).all()


def test_pairs_that_cannot_be_drawn_are_named(scene: Scene) -> None:
    with pytest.raises(UsageError, match=r"no photo of the scene is called c\.png"):
        draw_pairs(scene, [("a.png", "c.png")])
    lost = Scene("x", scene.views[:1], ("b.png",), mesh=scene.mesh)
    with pytest.raises(UsageError, match=r"b\.png has no pose"):
        draw_pairs(lost, [("a.png", "b.png")])
    with pytest.raises(MirrorError, match="no surface to draw pairs on"):
        draw_pairs(Scene("x", scene.views, tracks=tracks([0], [0])), [("a.png", "b.png")])
    (scene.images / "b.png").write_bytes(b"no photo")
    with pytest.raises(MirrorError, match=r"b\.png: "):
        draw_pairs(scene, [("a.png", "b.png")])


def test_a_matrix_shows_both_directions(tmp_path: Path) -> None:
    names = ("a.jpg", "b.jpg", "c.jpg")
    overlap = Overlap(names, np.array([[0, 1]], np.int32), {"pixels": np.array([[1.0, 0.6]])}, {"pixels": np.ones(3)})
    picture = np.asarray(draw_matrix(overlap, "pixels"))
    height, width = picture.shape[:2]
    top, left = height - 8 - 900, width - 7 * 8 - 5 * 14 - 900
    cells = picture[top + 150 : top + 900 : 300, left + 150 : left + 900 : 300]
    assert cells[0, 0].tolist() == cells[0, 1].tolist() == [252, 240, 150]
    assert cells[0, 2].tolist() == cells[2, 1].tolist() == [13, 8, 40]
    assert cells[1, 0].tolist() == [214, 95, 70]
    save_picture(tmp_path / "m.png", draw_matrix(overlap, "pixels"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "m.png")), picture)
    many = Overlap(tuple(f"{k:04}" for k in range(1200)), overlap.pairs, overlap.halves, {"pixels": np.ones(1200)})
    assert draw_matrix(many, "pixels").height < 1300
    with pytest.raises(UsageError, match="no overlap in tracks, only in pixels"):
        draw_matrix(overlap, "tracks")
    with pytest.raises(UsageError, match="without photos"):
        draw_matrix(Overlap((), overlap.pairs[:0], {"pixels": np.zeros((0, 2))}, {"pixels": np.zeros(0)}), "pixels")


@pytest.fixture
def folder(scene: Scene) -> Path:
    """The scene as files: photos, cameras, mesh, listed overlap."""
    root = scene.images.parent
    cameras = {
        photo.name: {
            "K": [[48, 0, 32], [0, 48, 24], [0, 0, 1]],
            "cam_to_world": [[1, 0, 0, photo.centre[0]], [0, 1, 0, 0], [0, 0, 1, -48], [0, 0, 0, 1]],
        }
        for photo in scene.views
    }
    (root / "cameras.json").write_text(json.dumps({"image_size": [64, 48], "cameras": cameras}))
    write_mesh(root.parent / "surface.ply", scene.mesh)
    (root / "truth.csv").write_text("a,b,overlap_a_in_b,overlap_b_in_a\na,b,0.5,0.6\n")
    return root


def test_the_command_prints_and_writes(folder: Path, tmp_path: Path) -> None:
    mesh, out = str(tmp_path / "surface.ply"), tmp_path / "out"
    arguments = ["overlap", str(folder), "--mesh", mesh, "--truth", str(folder / "truth.csv"), "-o", str(out)]
    done = RUN.invoke(app, [*arguments, "--pair", "a.png", "b.png"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["surface"] == "mesh" and said["measures"] == ["triangles", "areas", "pixels"]
    [pair] = said["pairs"]
    assert (pair["a"], pair["b"], pair["label"]) == ("a.png", "b.png", "strong")
    np.testing.assert_allclose(pair["pixels"], [0.5, 2 / 3], atol=1e-6)
    assert said["truth"]["measure"] == "pixels" and said["truth"]["pairs"] == 1
    assert said["truth"]["median_error"] == pytest.approx((2 / 3 - 0.6) / 2)
    assert said["truth"]["worst"][0]["a"] == "a.png"
    assert said["mesh"]["degenerate"] == 0 and said["statistics"]["strong"] == 1
    assert said["files"] == ["overlap.npz", "overlap.csv", "overlap.png", "pair_a_b.jpg"]
    assert sorted(path.name for path in out.iterdir()) == sorted(said["files"])
    loaded = load_overlap(out / "overlap.npz")
    np.testing.assert_array_equal(loaded.masks[0, 0][:, 28:], 255)
    assert Image.open(out / "pair_a_b.jpg").size == (2056, 798)


def test_the_command_can_be_brief_and_label_otherwise(folder: Path, tmp_path: Path) -> None:
    arguments = ["overlap", str(folder), "--mesh", str(tmp_path / "surface.ply"), "--no-list", "--average", "min"]
    done = RUN.invoke(app, [*arguments, "--weight", "pixels", "--measure", "areas", "--threads", "1"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert "pairs" not in said and "files" not in said and said["statistics"]["strong"] == 1


@pytest.mark.parametrize(
    ("more", "said", "code"),
    [
        (["--measure", "leagues"], "--measure: expected one of tracks, triangles", 2),
        (["--measure", "tracks"], "--measure tracks: this scene has only triangles, areas, pixels", 2),
        (["--depth-tolerance", "2"], "depth_tolerance: expected a share", 2),
        (["--average", "mean"], "average: expected one of geometric", 2),
        (["--weight", "tracks"], "weight: expected one of triangles", 2),
        (["--pair", "a.png", "b.png"], "--pair draws pictures", 2),
        (["--depth-camera", "1,2,3"], "--depth-camera: expected four numbers", 2),
        (["--depth-camera", "1,2,3,4"], "--depth-camera is that of depth maps, and there are none", 2),
        (["--depth", "x"], "--mesh and --depth are two surfaces", 2),
        (["--truth", "absent.csv"], "cannot read absent.csv", 2),
    ],
)
def test_the_command_says_what_is_wrong(folder: Path, tmp_path: Path, more: list[str], said: str, code: int) -> None:
    done = RUN.invoke(app, ["overlap", str(folder), "--mesh", str(tmp_path / "surface.ply"), *more])
    assert done.exit_code == code and said in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_depth_maps_with_a_camera_of_their_own(folder: Path) -> None:
    """The sensor sees twice as wide as the photos."""
    (folder / "depth").mkdir()
    for name in ("a", "b"):
        np.save(folder / "depth" / f"{name}.npy", np.full((48, 64), 48, np.float32))
    done = RUN.invoke(app, ["overlap", str(folder)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pairs"][0]["pixels"] == [0.5, 0.5]
    done = RUN.invoke(app, ["overlap", str(folder), "--depth-camera", "24,24,32,24"])
    assert json.loads(done.stdout)["pairs"][0]["pixels"] == [1, 1]


def test_overlap_needs_no_torch(folder: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    arguments = ["mirror-sfm", "overlap", str(folder), "--mesh", str(tmp_path / "surface.ply"), "--no-list"]
    code = (
        f"import sys; from mirror_sfm.cli import main; sys.argv = {arguments!r}\n"
        "try: main()\nexcept SystemExit as end: sys.exit(end.code or ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_scene_of_tracks_alone_is_measured(scene: Scene) -> None:
    overlap = measure_overlap(Scene("x", scene.views, tracks=tracks([0, 1], [0, 1])))
    assert draw_matrix(overlap, "tracks").width > 900
