"""Photos in, cameras and points out: the whole chain on rendered photos, again after changes, and where it must end."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from mirror_sfm import reconstruction
from mirror_sfm.cli import main
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.pairs import PairOptions
from mirror_sfm.reconstruction import ReconstructOptions, reconstruct
from mirror_sfm.stages import Stages
from mirror_sfm.synthetic import KINDS, RenderOptions, develop, make_lit, make_path, render

pytest.importorskip("pycolmap")
PHOTOS = 5
BLANK = "blank, of one colour.png"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Rendered photos in a folder with a space, one that is blank and one that is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "my photos" / "more").mkdir(parents=True)
    options, surface = RenderOptions(), make_lit("object")
    for place, pose in enumerate(make_path("object", 48)[:PHOTOS]):
        name = f"more/photo {place}.jpg" if place == 0 else f"photo {place}.jpg"
        light = render(surface, pose, options.camera(KINDS["object"].focal))
        photo = develop(light, 0.0, options, np.random.default_rng(place))
        Image.fromarray(photo).save(folder / "my photos" / name, quality=92)
    Image.new("RGB", (320, 240), (90, 90, 90)).save(folder / "my photos" / BLANK)
    (folder / "my photos" / "broken.jpg").write_bytes(b"no photo")
    return folder / "my photos"


@pytest.fixture(scope="module")
def done(photos, tmp_path_factory):
    """A finished reconstruction: its folder and its report."""
    out = tmp_path_factory.mktemp("done") / "project"
    return out, reconstruct(photos, out, ReconstructOptions(threads=1))


@pytest.fixture
def project(done, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(done[0], tmp_path / "project")


@pytest.fixture
def stages_run(monkeypatch):
    """Names of the stages that did their work."""
    names = []
    run = Stages.run

    def told(self, stage, key, work, still_there=True):
        return run(self, stage, key, lambda: (names.append(stage), work())[1], still_there)

    monkeypatch.setattr(Stages, "run", told)
    return names


def test_models_and_summary(done, photos):
    out, report = done
    best = report.models[0]
    assert len(best.registered) >= 3 and best.points > 50 and best.reprojection_error < 1
    assert best.track_length == pytest.approx(best.observations / best.points)
    reasons = {photo.name: photo.reason for photo in report.skipped}
    assert set(reasons) == {BLANK, "broken.jpg"}
    assert "no features" in reasons[BLANK] and "cannot read it" in reasons["broken.jpg"]
    assert {*best.registered, *report.unregistered} == {
        p.relative_to(photos).as_posix() for p in photos.rglob("*.jpg")
    } - {"broken.jpg"}
    summary = json.loads((out / "summary.json").read_text())
    assert summary["photos"] == PHOTOS + 2 and summary["usable"] == PHOTOS
    assert summary["registered"] == len(best.registered) and len(summary["unregistered"]) == len(report.unregistered)
    assert summary["pairs"] == summary["pairs_possible"] == 10 >= summary["verified_pairs"] > 0
    assert summary["matches"] >= summary["inliers"] > 100
    assert set(summary["models"][0]) == {
        "folder", "registered", "points", "observations", "track_length", "reprojection_error"
    }  # fmt: skip
    assert set(summary["seconds"]) == set(reconstruction.STAGES)
    assert (out / "sparse" / "0" / "points3D.bin").exists() and not (out / "sparse.partial").exists()


def test_nothing_is_done_twice(project, done, photos, stages_run):
    report = reconstruct(photos, project, ReconstructOptions(threads=1))
    assert stages_run == [] and report.inliers == done[1].inliers
    assert [m.points for m in report.models] == [m.points for m in done[1].models]
    shutil.rmtree(project / "sparse")
    again = reconstruct(photos, project, ReconstructOptions(threads=1))
    assert stages_run == ["mapping"] and again.models[0].observations == report.models[0].observations
    assert (project / "sparse/0/images.bin").read_bytes() == (done[0] / "sparse/0/images.bin").read_bytes()


def test_fewer_pairs_leave_no_traces_of_more(project, photos, stages_run):
    options = ReconstructOptions(pairs=PairOptions(per_image=2), threads=1)
    report = reconstruct(photos, project, options)
    assert stages_run == ["pairs", "match", "mapping"] and report.pairs == 5
    import pycolmap

    with pycolmap.Database.open(project / "database.db") as database:
        assert database.num_matched_image_pairs() == 5


def test_another_ratio_matches_again(project, done, photos, stages_run):
    report = reconstruct(photos, project, ReconstructOptions(max_ratio=0.6, threads=1))
    assert stages_run == ["match", "mapping"] and report.matches < done[1].matches
    stages_run.clear()
    reconstruct(photos, project, ReconstructOptions(max_ratio=0.6, exact=True, threads=1))
    assert stages_run == ["match", "mapping"]


def test_changed_and_added_photos(project, done, photos, tmp_path, stages_run, monkeypatch):
    monkeypatch.setattr(reconstruction._Run, "map", lambda self, key, photos: [])
    monkeypatch.setattr(reconstruction._Run, "report", lambda *rest: done[1])
    mine = tmp_path / "mine"
    mine.mkdir()
    for path in photos.glob("photo *.jpg"):
        with Image.open(path) as photo:
            photo.resize((240, 180)).save(mine / path.name, quality=95)
    reconstruct(mine, project, ReconstructOptions(threads=1))
    assert stages_run == ["features", "pairs", "match"]  # other photos than the project was made of: everything anew
    written = (project / "database.db").stat().st_ino

    shutil.copy(mine / "photo 1.jpg", mine / "twin.jpg")
    reconstruct(mine, project, ReconstructOptions(threads=1))
    assert stages_run == ["features", "pairs", "match"] * 2
    assert (project / "database.db").stat().st_ino == written  # the others' features were kept

    (mine / "twin.jpg").write_bytes((mine / "photo 2.jpg").read_bytes())
    reconstruct(mine, project, ReconstructOptions(threads=1))
    import pycolmap

    with pycolmap.Database.open(project / "database.db") as database:
        twins = [database.read_image_with_name(name).image_id for name in ("photo 2.jpg", "twin.jpg")]
        assert len({database.num_keypoints_for_image(image) for image in twins}) == 1


def test_interrupted_after_every_stage(photos, done, tmp_path, monkeypatch):
    """Stopped at the end of each stage before it is remembered, then run again: the same result."""
    out, keep = tmp_path / "project", Stages.keep
    for stopped in ("features", "pairs", "match", "mapping"):

        def stop(self, stage, *rest, stopped=stopped):
            if stage == stopped:
                raise KeyboardInterrupt
            keep(self, stage, *rest)

        monkeypatch.setattr(Stages, "keep", stop)
        with pytest.raises(KeyboardInterrupt):
            reconstruct(photos, out, ReconstructOptions(threads=1))
    monkeypatch.setattr(Stages, "keep", keep)
    report = reconstruct(photos, out, ReconstructOptions(threads=1))
    assert (report.matches, report.inliers) == (done[1].matches, done[1].inliers)
    assert (out / "sparse/0/images.bin").read_bytes() == (done[0] / "sparse/0/images.bin").read_bytes()


def test_damaged_memory_is_not_believed(project, caplog):
    for text in ("{", "[]", '{"format": 1}', '{"format": 99, "stages": {}}', '{"format": 1, "stages": {"a": {}}}'):
        (project / "stages.json").write_text(text)
        assert Stages(project / "stages.json").result("features", "any") is None
        assert "everything is done again" in caplog.text
        caplog.clear()


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["mirror-sfm", "reconstruct", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code, *capsys.readouterr()


def test_command_line(project, photos, monkeypatch, capsys):
    code, out, err = command(monkeypatch, capsys, photos, "-o", project)
    assert code == 0 and f"of {PHOTOS} photos" in out and str(project / "sparse" / "0") in out
    assert f"skipped {BLANK}" in err and "skipped broken.jpg" in err
    code, out, _ = command(monkeypatch, capsys, photos, "-o", project, "--json")
    assert code == 0 and json.loads(out)["usable"] == PHOTOS


def test_no_model(tmp_path, monkeypatch, capsys):
    (tmp_path / "blank").mkdir()
    for n in range(3):
        Image.new("L", (300, 200), 80 + n).save(tmp_path / "blank" / f"{n}.png")
    code, out, err = command(monkeypatch, capsys, tmp_path / "blank", "-o", tmp_path / "out")
    assert code == 1 and out == "" and "no model of" in err and "0 of 3 photos can be used" in err
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["models"] == []


def test_wrong_usage(tmp_path, photos, monkeypatch, capsys):
    wrong = [
        ((tmp_path / "gone",), "no such folder"),
        ((photos, "--camera-model", "WIDE"), "camera model must be one of"),
        ((photos, "--single-camera", "--camera-per-folder"), "contradict"),
    ]
    for arguments, message in wrong:
        code, _, err = command(monkeypatch, capsys, *arguments, "-o", tmp_path / "out")
        assert code == 2 and message in err and "Traceback" not in err
    (tmp_path / "none").mkdir()
    with pytest.raises(MirrorError, match="no photo in"):
        reconstruct(tmp_path / "none", tmp_path / "out")
    for options in ({"mapper": "magic"}, {"threads": 0}):
        with pytest.raises(UsageError):
            ReconstructOptions(**options)


def test_global_mapper(project, photos, stages_run):
    report = reconstruct(photos, project, ReconstructOptions(mapper="global", threads=1))
    assert stages_run == ["mapping"] and len(report.models[0].registered) >= 3
