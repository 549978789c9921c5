"""Data sets from scenes: what is in them, and that no number of jobs, order of scenes or kill changes a byte."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from strip_scene import LENGTH, PHOTOS, band, shares, write_strip
from typer.main import get_command
from typer.testing import CliRunner, Result

from mirror_sfm.cli.dataset import dataset_app
from mirror_sfm.dataset.build import RunOptions, build_dataset
from mirror_sfm.dataset.format import open_dataset
from mirror_sfm.dataset.making import WORK, Task, make_scene
from mirror_sfm.dataset.sampling import Sampler
from mirror_sfm.dataset.sources import SceneOptions, SceneSource
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.overlap.measured import MASK_SIDE, NONE, STRONG, WEAK
from mirror_sfm.overlap.pictures import FIRST_ONLY, SECOND_ONLY, SHARED
from mirror_sfm.scenes.meshes import read_mesh, write_mesh
from mirror_sfm.scenes.scene import Mesh

ROOT = Path(__file__).resolve().parent.parent
SMALL = SceneOptions(size=112, long_side=192)


@pytest.fixture(scope="module")
def strip_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_strip(tmp_path_factory.mktemp("scenes") / "strip")


def made(scene: Path, out: Path, options: SceneOptions = SMALL, **given: object):
    build_dataset([SceneSource(scene, **given)], out, options)
    (entry,) = open_dataset(out)
    return entry


def files(folder: Path) -> dict[str, str]:
    """SHA-256 of everything but the working folder."""
    paths = [path for path in folder.rglob("*") if path.is_file() and WORK not in path.parts]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


# ---- what is in them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "surface", "off"),
    [
        ("mesh", "mesh", 0.03),
        ("depth", "depth", 0.01),
        ("points", "sparse points", 0.1),
        ("fuse", "fused depth", 0.1),
    ],
)
def test_overlap_labels_and_masks_are_those_of_the_ground(tmp_path: Path, kind: str, surface: str, off: float) -> None:
    if kind in ("points", "fuse"):
        pytest.importorskip("pycolmap")
    scene = write_strip(tmp_path / "strip", "depth" if kind == "fuse" else kind)
    entry = made(scene, tmp_path / "out", SceneOptions(size=112, long_side=192, fuse=kind == "fuse"))
    assert entry.photos == tuple(f"{k}.png" for k in range(PHOTOS)) and entry.surface == surface
    pairs, labels = entry.array("pairs").tolist(), entry.array("labels")
    assert [(i, j) for i in range(PHOTOS) for j in range(i + 1, PHOTOS) if j < i + 7] == [tuple(p) for p in pairs]
    for (i, j), (forth, back), label in zip(pairs, entry.array("halves_pixels"), labels, strict=True):
        if surface != "sparse points" or (i > 0 and j < PHOTOS - 1):  # the ends are seen by one photo: no points
            assert abs(forth - shares(i, j)) < off and abs(back - shares(j, i)) < off
        expected = {1: STRONG, 2: STRONG, 3: STRONG, 4: NONE, 5: NONE, 6: WEAK}[j - i]
        assert label == expected, (i, j)
    masks = entry.array("masks")
    assert len(masks) == entry.labelled
    inner = slice(6, -6)  # the sparse surface frays at the sides of the strip
    for (i, j), mask in zip(np.array(pairs)[labels != NONE], masks, strict=True):
        for side, (a, b) in enumerate(((i, j), (j, i))):
            apart = np.abs(mask[side] / 255 - band(a, b, MASK_SIDE))[inner]
            assert apart.mean() < off + 0.02, (i, j, side)


def test_photos_are_square_and_as_stored(strip_scene: Path, tmp_path: Path) -> None:
    entry = made(strip_scene, tmp_path)
    for row, name in enumerate(entry.photos):
        whole = Image.open(strip_scene / "images" / name).resize((112, 112), Image.Resampling.BILINEAR)
        assert (entry.array("photos")[row] == np.asarray(whole)).all()


def test_triplets_show_under_their_masks_what_both_photos_show(strip_scene: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from mirror_sfm.dataset.triplets import MASKS, GradedTriplets

    made(strip_scene, tmp_path)
    dataset = open_dataset(tmp_path)
    triplets = GradedTriplets(dataset, columns=2, size=112, mask_side=28, crop=0.5, jitter=None)
    assert triplets.sampler.usable == {"strip": dataset.scenes[0].anchors} and dataset.scenes[0].anchors == 4
    for step in range(5):
        batch = triplets.batch(step)
        for column in range(2):
            for place, (of, towards) in enumerate(MASKS):
                x = batch.images[of, column, 0].reshape(28, 4, 28, 4).mean(dim=(1, 3)).numpy() * LENGTH
                start = 0.15 * float(batch.photos[towards, column])
                mask = batch.masks[place, column].numpy()
                shared = np.clip(np.minimum(x - start, start + 1 - x) / 0.03 + 0.5, 0, 1)  # within a cell of the edge
                assert np.abs(mask - shared).max() < 1 and np.abs(mask - shared).mean() < 0.06


def test_a_share_of_the_photos_is_held_out(strip_scene: Path, tmp_path: Path) -> None:
    entry = made(strip_scene, tmp_path, SceneOptions(size=32, long_side=96, holdout=0.25))
    assert entry.held_out.sum() == 2
    kept = ~entry.held_out[entry.array("pairs")].any(axis=1)
    strong, weak = (entry.array("pairs")[kept & (entry.array("labels") == label)] for label in (STRONG, WEAK))
    assert entry.anchors == len(set(strong.ravel()) & set(weak.ravel()))


def test_gl3d_scenes_bring_their_own_overlap(strip_scene: Path, tmp_path: Path) -> None:
    from mirror_sfm.overlap.measuring import measure_overlap
    from mirror_sfm.scenes.gl3d import write_overlap
    from mirror_sfm.scenes.gl3d_cameras import GL3DCamera, write_cameras
    from mirror_sfm.scenes.reading import read_scene

    scene, strip = tmp_path / "gl3d", read_scene(strip_scene)
    (scene / "undist_images").mkdir(parents=True)
    cameras = []
    for k, view in enumerate(strip.views):
        shutil.copy(strip_scene / "images" / view.name, scene / "undist_images" / f"{k:08d}.png")
        pose = view.cam_from_world
        k_matrix = (*view.camera.params, 0.0)
        cameras.append(GL3DCamera(k, k_matrix, tuple(pose[:, 3]), tuple(pose[:, :3].ravel()), (0, 0, 0), (96, 72)))
    write_cameras(scene / "geolabel" / "cameras.txt", cameras)
    measured = measure_overlap(strip, SMALL.measuring("mesh"))
    write_overlap(scene, measured)
    (scene / "image_list.txt").unlink()
    entry = made(scene, tmp_path / "out")
    assert entry.surface == "listed" and entry.has_masks and entry.measures == ("triangles",)
    np.testing.assert_allclose(entry.array("halves_triangles"), measured.halves["triangles"], atol=1e-5)
    assert (entry.array("labels") == measured.labels()).all()
    assert entry.labelled == len(entry.array("masks"))


@pytest.mark.slow
def test_mesh_model_and_photos_of_a_rendered_village_agree_with_what_was_rendered(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    from scipy.stats import spearmanr

    from mirror_sfm.synthetic import RenderOptions
    from mirror_sfm.synthetic import make_scene as render_scene

    whole = tmp_path / "mesh"
    render_scene("village", whole, 14, 3, RenderOptions(width=480, height=360, distortion=0.05))
    for name, part in (("model", "sparse"), ("photos", "")):
        shutil.copytree(whole / "images", tmp_path / name / "images")
        if part:
            shutil.copytree(whole / part, tmp_path / name / part)
    names = ("mesh", "model", "photos")
    options = SceneOptions(size=224, long_side=480)
    report = build_dataset([SceneSource(tmp_path / name) for name in names], tmp_path / "out", options)
    assert not report.failed
    for scene, least in zip(open_dataset(tmp_path / "out"), (0.9999, 0.96, 0.8), strict=True):
        row = {name: k for k, name in enumerate(scene.photos)}
        halves = np.zeros((len(row), len(row)))
        pairs = np.asarray(scene.array("pairs"))
        halves[pairs[:, 0], pairs[:, 1]], halves[pairs[:, 1], pairs[:, 0]] = scene.array("halves_pixels").T
        truth = np.zeros_like(halves)
        for a, b, forth, back, *_ in csv.reader((whole / "pairs_overlap.csv").read_text().splitlines()[1:]):
            if a in row and b in row:
                truth[row[a], row[b]], truth[row[b], row[a]] = float(forth), float(back)
        beside = ~np.eye(len(row), dtype=bool)
        assert len(row) >= 8 and scene.anchors >= 4
        assert spearmanr(truth[beside], halves[beside])[0] > least, scene.name


# ---- photos that cannot be used --------------------------------------------------------------------------------------


def test_photos_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    scene = write_strip(tmp_path / "strip", "points")
    whole = made(scene, tmp_path / "whole")
    content = (scene / "images" / "2.png").read_bytes()
    (scene / "images" / "2.png").write_bytes(content[: len(content) // 2])
    turned = Image.open(scene / "images" / "5.png").transpose(Image.Transpose.ROTATE_90)
    turned.save(scene / "images" / "5.png")
    Image.new("RGB", (96, 72)).save(scene / "images" / "extra.png")
    entry = made(scene, tmp_path / "out")
    assert entry.about["unregistered"] == ["extra.png"]
    reasons = {skipped["name"]: skipped["reason"] for skipped in entry.about["skipped"]}
    assert set(reasons) == {"2.png", "5.png"} and "truncated" in reasons["2.png"]
    assert reasons["5.png"] == (
        "72 x 96 pixels as stored, but its camera has 96 x 72: it was turned after the reconstruction"
    )
    rows = [0, 1, 3, 4, 6, 7]
    assert entry.photos == tuple(f"{k}.png" for k in rows)
    assert (entry.array("photos") == whole.array("photos")[rows]).all()
    kept = np.isin(whole.array("pairs"), rows).all(axis=1)
    assert (np.array(rows)[entry.array("pairs")] == whole.array("pairs")[kept]).all()
    for name in ("labels", "overlap", "halves_triangles", "halves_tracks"):
        assert (entry.array(name) == whole.array(name)[kept]).all()
    assert (entry.array("seen_triangles") == whole.array("seen_triangles")[rows]).all()
    labelled = kept[whole.array("labels") != NONE]
    assert 0 < len(entry.array("masks")) == labelled.sum()
    assert (entry.array("masks") == whole.array("masks")[labelled]).all()


def test_a_scene_that_fails_does_not_lose_the_others(strip_scene: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "images").mkdir(parents=True)
    Image.new("RGB", (96, 72)).save(tmp_path / "broken" / "images" / "0.png")
    (tmp_path / "broken" / "cameras.json").write_text("{")
    for jobs in (1, 2):
        out = tmp_path / f"out{jobs}"
        sources = [SceneSource(path) for path in (tmp_path / "empty", strip_scene, tmp_path / "broken")]
        report = build_dataset(sources, out, SMALL, RunOptions(jobs=jobs))
        assert list(report.made) == ["strip"] and set(report.failed) == {"empty", "broken"}
        assert "cameras.json, line 1" in report.failed["broken"] and "no photo" in report.failed["empty"]
        assert [scene.name for scene in open_dataset(out)] == ["strip"]


# ---- same files, same bytes ------------------------------------------------------------------------------------------


def test_bytes_depend_on_nothing_but_files_and_settings(tmp_path: Path) -> None:
    scenes = [write_strip(tmp_path / "scenes" / name, kind, 7) for name, kind in (("b", "mesh"), ("a", "depth"))]
    results = []
    for k, (jobs, threads, order) in enumerate(((1, 1, 1), (2, 2, -1), (1, 3, -1))):
        moved = shutil.copytree(tmp_path / "scenes", tmp_path / f"moved{k}")
        sources = [SceneSource(moved / scene.name) for scene in scenes[::order]]
        build_dataset(sources, tmp_path / f"out{k}", SMALL, RunOptions(jobs=jobs, threads=threads))
        results.append(files(tmp_path / f"out{k}"))
    assert results[0] == results[1] == results[2] and len(results[0]) > 15
    one_by_one = tmp_path / "one by one"
    for scene in scenes:
        build_dataset([SceneSource(scene)], one_by_one, SMALL)
    assert files(one_by_one) == results[0]


def parts(out: Path) -> dict[str, str]:
    return dict(path.name.split("-") for path in (out / WORK / "strip").glob("*-*"))


def test_only_what_changed_is_done_again(strip_scene: Path, tmp_path: Path) -> None:
    scene, out = shutil.copytree(strip_scene, tmp_path / "strip"), tmp_path / "out"

    def run(options: SceneOptions = SMALL) -> tuple[bool, dict[str, str]]:
        done = make_scene(Task(SceneSource(scene), out, options)).seconds != {}
        return done, parts(out)

    assert run()[0]
    first = parts(out)
    assert run() == (False, first)
    (scene / "ground.ply").touch()
    assert run() == (False, first)  # by content, not by date
    done, after = run(SceneOptions(size=56, long_side=192))
    assert done and after["overlap"] == first["overlap"] and after["photos"] != first["photos"]
    done, after = run(SceneOptions(size=112, long_side=160))
    assert done and after["overlap"] != first["overlap"] and after["photos"] == first["photos"]
    assert run()[0]
    mesh = read_mesh(scene / "ground.ply")
    write_mesh(scene / "ground.ply", Mesh(mesh.vertices, mesh.faces[::-1].copy()))
    done, after = run()
    assert done and after["overlap"] != first["overlap"] and after["photos"] == first["photos"]
    os.truncate(out / "strip" / "labels.npy", 100)
    whole = files(out)
    assert run()[0] and files(out) != whole and len(np.load(out / "strip" / "labels.npy")) == 27
    shutil.rmtree(out / "strip")
    for torn in (out / WORK / "strip").glob("*/about.json"):
        torn.write_text("{")
    assert run()[0] and len(np.load(out / "strip" / "labels.npy")) == 27


def test_scenes_are_added_and_settings_stay(strip_scene: Path, tmp_path: Path) -> None:
    other = write_strip(tmp_path / "other", photos=3)
    out = tmp_path / "out"
    build_dataset([SceneSource(strip_scene)], out, SMALL)
    report = build_dataset([SceneSource(other)], out, SMALL)
    assert report.kept == ("strip",) and [scene.name for scene in open_dataset(out)] == ["other", "strip"]
    changed = SceneOptions(size=56, long_side=192)
    with pytest.raises(
        UsageError, match=r"built with size 112, now 56 is asked for: name all its scenes \(strip too\)"
    ):
        build_dataset([SceneSource(other)], out, changed)
    build_dataset([SceneSource(other), SceneSource(strip_scene)], out, changed)
    assert open_dataset(out).size == 56 and len(open_dataset(out)) == 2
    (out / "strip" / "labels.npy").unlink()
    assert build_dataset([SceneSource(other)], out, changed).kept == ()
    assert [scene.name for scene in open_dataset(out)] == ["other"]
    (out / "dataset.json").write_text('{"format": 2}')
    with pytest.raises(MirrorError, match=r"build it again, into another folder or after deleting dataset.json"):
        build_dataset([SceneSource(other)], out, changed)


def test_scenes_of_runs_at_once_are_all_listed(
    strip_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run begins and ends while this one makes its scene."""
    out = tmp_path / "out"

    def meanwhile(task: Task):
        if task.source.name == "first":
            build_dataset([SceneSource(strip_scene, name="second")], out, SMALL)
        return make_scene(task)

    monkeypatch.setattr("mirror_sfm.dataset.build.make_scene", meanwhile)
    assert build_dataset([SceneSource(strip_scene, name="first")], out, SMALL).kept == ("second",)
    assert [scene.name for scene in open_dataset(out)] == ["first", "second"]


@pytest.mark.parametrize("name", ["..", "a/b", ".hidden", "dataset.json"])
def test_names_are_those_of_folders(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="give --name"):
        SceneSource(tmp_path, name=name)


def test_two_scenes_of_one_name(strip_scene: Path, tmp_path: Path) -> None:
    (tmp_path / "strip").mkdir()
    with pytest.raises(UsageError, match="two scenes are called strip"):
        build_dataset([SceneSource(strip_scene), SceneSource(tmp_path / "strip")], tmp_path / "out")


@pytest.mark.parametrize("place", ["scenes", "scenes/strip", "results"])
def test_nothing_but_an_older_scene_makes_way(strip_scene: Path, tmp_path: Path, place: str) -> None:
    """A data set beside its scenes would have put each in the place of its source."""
    shutil.copytree(strip_scene, tmp_path / "scenes/strip")
    (tmp_path / "results").mkdir()
    (tmp_path / "results/strip").write_text("notes")
    before = files(tmp_path)
    name = "images" if place == "scenes/strip" else ""
    report = build_dataset([SceneSource(tmp_path / "scenes/strip", name=name)], tmp_path / place, SMALL)
    assert "is in the way" in report.failed[name or "strip"]
    assert files(tmp_path) == before


def test_two_builds_of_one_scene_do_not_meet(
    strip_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr("mirror_sfm.dataset.parts._PATIENCE", 0.1)
    (tmp_path / WORK / "strip").mkdir(parents=True)
    with open(tmp_path / WORK / "strip" / "lock", "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(MirrorError, match="another process is at work"):
            make_scene(Task(SceneSource(strip_scene), tmp_path, SMALL))


# ---- kills -----------------------------------------------------------------------------------------------------------

# Imports everything and builds once, then forks a process per run: they take a quarter of a second each.
KILLER = """
import contextlib, os, random, shutil, signal, sys, time
from pathlib import Path
import pycolmap
from mirror_sfm import cli
from test_dataset_build import files

out, scenes, moments = Path(sys.argv[1]), sys.argv[3:], int(sys.argv[2])
rng = random.Random(moments)

def run():
    with contextlib.redirect_stdout(None), contextlib.suppress(SystemExit):
        cli.app.app(["dataset", "build", *scenes, "-o", str(out), "--size", "112", "--long-side", "192"])

def start():
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1); os.dup2(devnull, 2)
        run()
        os._exit(0)
    return child

run()
expected = files(out)
whole = 0
kills = 0
for moment in range(moments + 1):
    shutil.rmtree(out)
    started = time.monotonic()
    if moment:  # the first run is timed
        child = start()
        time.sleep(rng.uniform(0, whole))
        os.kill(child, rng.choice((signal.SIGKILL, signal.SIGINT)))
        kills += os.waitpid(child, 0)[1] != 0
    assert os.waitpid(start(), 0)[1] == 0
    whole = whole or time.monotonic() - started
    assert files(out) == expected, moment
    left = [path.name for path in (out / ".work").glob("*/*") if "partial" in path.name or "before" in path.name]
    assert not left, (moment, left)
print(kills)
"""


def environment() -> dict[str, str]:
    """What this process imports, the others do."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), *map(str, (ROOT, ROOT / "python"))])}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("moments", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_no_kill_changes_the_result(tmp_path: Path, moments: int) -> None:
    pytest.importorskip("pycolmap")
    scenes = [write_strip(tmp_path / kind, kind, 5) for kind in ("mesh", "points")]
    arguments = [sys.executable, "-c", KILLER, tmp_path / "out", str(moments), *scenes]
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= moments // 2


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mirror_sfm", "dataset", *map(str, arguments)]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_jobs_end_with_the_run(tmp_path: Path, number: int) -> None:
    scenes = [write_strip(tmp_path / "scenes" / name, "depth", 6) for name in "ab"]
    build = command("build", *scenes, "--size", 112, "--long-side", 96, "--jobs", 2, "-o")
    subprocess.run([*build, tmp_path / "whole"], env=environment(), check=True, capture_output=True)
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen([*build, tmp_path / "out"], env=environment(), stderr=subprocess.PIPE, **heard) as run:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out" / WORK).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(run.pid, number)
        said = run.stderr.read().decode()  # until every job has closed it
    assert run.returncode == (130 if number == signal.SIGINT else -number), said
    subprocess.run([*build, tmp_path / "out"], env=environment(), check=True, capture_output=True)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


# ---- command line ----------------------------------------------------------------------------------------------------


def test_command_line(strip_scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = subprocess.run(
        command("build", strip_scene, tmp_path / "nowhere", "-o", out, "--size", 56, "--long-side", 192),
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1 and run.stderr.startswith("failed nowhere: no such folder"), run.stderr
    assert run.stderr.count("\n") == 1
    line = "strip: 8 of 8 photos registered, 8 used; surface: mesh; pairs: 18 strong, 2 weak, 7 neither; 4 anchors\n"
    assert run.stdout == line
    assert called("show", out).stdout == line
    assert json.loads(called("show", out, "--json").stdout)["scenes"]["strip"]["anchors"] == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["build", ".", "..", "-o", "out", "--mesh", "m.ply"], "--mesh says something of one scene, got 2"),
        (["build", ".", "-o", "out", "--holdout", "1"], "holdout: expected a share"),
        (["build", ".", "-o", "out", "--average", "median"], "average: expected one of"),
        (["build", ".", "-o", "out", "--weight", "median"], "weight: expected one of"),
        (["build", ".", "-o", "out", "--depth-tolerance", "0"], "depth_tolerance: expected a share"),
        (["build", "/", "-o", "out"], "give --name"),
        (["show", "."], "no data set in"),
    ],
)
def test_wrong_usage_is_one_line(
    wrong: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = called(*wrong)
    assert found.exit_code == 2 and message in found.stderr and found.stderr.count("\n") == 1, found.stderr


def called(*arguments: object) -> Result:
    return CliRunner().invoke(dataset_app, list(map(str, arguments)))


def test_pictures_show_triplets_under_their_masks(strip_scene: Path, tmp_path: Path) -> None:
    entry = made(strip_scene, tmp_path / "out")
    assert (entry.array("covered") == 255).all()
    run = called("show", tmp_path / "out", "--pictures", tmp_path / "pictures", "--count", 3)
    assert run.stdout.startswith("strip: 8 of 8")
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in pictures] == ["000_strip.png", "001_strip.png", "002_strip.png"]
    column = Sampler(open_dataset(tmp_path / "out"), 3, 0).draw(0)[0]
    anchor, strong, _ = column.photos
    picture = np.asarray(Image.open(pictures[0]), float)
    assert picture.shape == (112, 4 * 112 + 24, 3)
    for left, (photo, other, only) in zip(
        (0, 120), ((anchor, strong, FIRST_ONLY), (strong, anchor, SECOND_ONLY)), strict=True
    ):
        tint = (picture[:, left : left + 112] - 0.45 * entry.array("photos")[photo]) / 0.55
        shared = band(photo, other, 112) > 0.5
        for colour, where in ((SHARED, shared), (only, ~shared)):
            near = np.abs(tint - np.array(colour)).max(axis=2) < 3
            assert near[where].mean() > 0.85  # the columns of one cell lie on the edge


def test_every_option_is_on_the_page() -> None:
    page = (ROOT / "docs" / "dataset.md").read_text()
    for sub in get_command(dataset_app).commands.values():
        for parameter in sub.params:
            for option in (option for option in parameter.opts if option.startswith("--") and option != "--help"):
                assert f"`{option}`" in page or f"`{option} " in page, option


def test_examples_of_the_page_run(strip_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    made(strip_scene, tmp_path / "dataset")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "dataset.md").read_text(), re.S)
    assert len(blocks) == 2
    exec("\n".join(blocks).replace("num_workers=4", "num_workers=0").replace("== 99", "== 1"), {})
