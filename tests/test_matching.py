"""Matching into a COLMAP database: what is found, what is written, what is refused, and what survives a stop."""

import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import zlib  # noqa: F401  before pycolmap
from contextlib import closing

import numpy as np
import pytest

from mirror_ext import reference
from mirror_sfm import matching
from mirror_sfm.cli import main
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.matching import MatchOptions, match

pycolmap = pytest.importorskip("pycolmap")

POINTS, CLUTTER, PHOTOS = 120, 60, 5
WIDTH, HEIGHT, FOCAL = 1000, 800, 900.0


def make_database(path, names, empty=(), spoilt=()):
    """Photos of the same points from a row of places. Descriptors of a point differ a little from photo to photo; a
    third of the features of every photo is clutter. `spoilt`: photos whose first two features are unusable."""
    rng = np.random.default_rng(0)
    points = rng.uniform((-2, -1.5, 4), (2, 1.5, 7), (POINTS, 3))
    looks = rng.integers(0, 120, (POINTS, 128))
    pycolmap.Database.open(path).close()
    with pycolmap.Database.open(path) as database:
        camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=WIDTH, height=HEIGHT, params=[FOCAL, 500, 400])
        camera.has_prior_focal_length = (
            True  # without, COLMAP's solver for shared focal lengths may crash on exact data
        )
        camera.camera_id = database.write_camera(camera)
        rig = pycolmap.Rig()
        rig.add_ref_sensor(camera.sensor_id)
        rig_id = database.write_rig(rig)
        for place, name in enumerate(names):
            image = pycolmap.Image(name=name, camera_id=camera.camera_id)
            image.image_id = database.write_image(image)
            frame = pycolmap.Frame(rig_id=rig_id)
            frame.add_data_id(image.data_id)
            database.write_frame(frame)
            if name in empty:
                continue
            seen = points - (0.3 * place, 0, 0)
            exact = FOCAL * seen[:, :2] / seen[:, 2:] + (500, 400)
            xy = np.concatenate((exact + rng.normal(0, 0.3, exact.shape), rng.uniform(0, 800, (CLUTTER, 2))))
            descriptors = np.concatenate(
                (looks + rng.integers(-12, 13, looks.shape), rng.integers(0, 120, (CLUTTER, 128)))
            )
            order = rng.permutation(len(xy))
            keypoints = np.concatenate((xy, np.tile([2, 0, 0, 2], (len(xy), 1))), axis=1)[order].astype(np.float32)
            descriptors = (2 * descriptors.clip(0, 127))[order].astype(np.uint8)
            if name in spoilt:
                keypoints[0, 0], descriptors[1] = np.nan, 0
            database.write_keypoints(image.image_id, keypoints)
            kind = pycolmap.FeatureExtractorType.SIFT
            database.write_descriptors(image.image_id, pycolmap.FeatureDescriptors(kind, descriptors))
    return path


NAMES = tuple(f"{n}.jpg" for n in range(PHOTOS))
PAIRS = list(itertools.combinations(NAMES, 2))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return make_database(tmp_path_factory.mktemp("databases") / "original.db", NAMES)


@pytest.fixture
def database(original, tmp_path):
    return shutil.copy(original, tmp_path / "project.db")


def contents(path):
    """Every match and every geometry, as bytes."""
    with pycolmap.Database.open(path) as opened:
        matches = {pair: found.tobytes() for pair, found in zip(*opened.read_all_matches(), strict=True)}
        geometries = {
            pair: (g.config, g.inlier_matches.tobytes(), *(None if m is None else m.tobytes() for m in (g.E, g.F, g.H)))
            for pair, g in zip(*opened.read_two_view_geometries(), strict=True)
        }
    return matches, geometries


def test_matches_are_mutual_and_verified(database):
    report = match(database, PAIRS)
    assert (report.pairs, report.matched, report.examined, report.verified) == (10, 10, 10, 10)
    assert report.inliers <= report.matches and report.inliers > 0.9 * POINTS * 10
    assert set(report.seconds) == {"features", "match", "verify", "write"}
    with pycolmap.Database.open(database) as opened:
        stored = [np.asarray(opened.read_descriptors(image).data) >> 1 for image in (1, 2)]
        found = reference.mutual_matches(np.stack(stored), pairs=np.array([[0, 1]]), max_ratio=0.8)
        expected = found.matches[found.ratios.mean(axis=1) < np.float32(0.8)]
        np.testing.assert_array_equal(opened.read_matches(1, 2), expected)
        assert len(expected) == pytest.approx(POINTS, abs=15)


def test_colmap_maps_what_was_matched(database, tmp_path):
    match(database, PAIRS)
    options = pycolmap.IncrementalPipelineOptions(extract_colors=False)
    models = pycolmap.incremental_mapping(database, tmp_path, tmp_path, options)
    assert models[0].num_reg_images() == PHOTOS and models[0].compute_mean_reprojection_error() < 0.5


def test_threads_chunks_and_order_change_nothing(original, tmp_path, monkeypatch):
    expected = None
    for threads, chunk, cache, pairs in ((1, 32, 1 << 20, PAIRS), (3, 2, 1, [pair[::-1] for pair in reversed(PAIRS)])):
        monkeypatch.setattr(matching, "CHUNK", chunk)
        monkeypatch.setattr(matching, "CACHE_BYTES", cache)
        path = shutil.copy(original, tmp_path / f"{threads}.db")
        match(path, pairs, MatchOptions(threads=threads))
        expected = expected or contents(path)
        assert contents(path) == expected


def test_pairs_known_before_are_left_alone(database):
    match(database, PAIRS[:4])
    before = contents(database)
    report = match(database, PAIRS[:6])
    assert (report.pairs, report.matched, report.examined) == (6, 2, 2)
    after = contents(database)
    assert all(after[k][pair] == before[k][pair] for k in (0, 1) for pair in before[k])
    assert match(database, PAIRS[:6]).matched == 0


def test_geometry_can_follow_later(database, original, tmp_path):
    report = match(database, PAIRS, MatchOptions(verify=False))
    assert (report.matched, report.examined, report.verified) == (10, 0, 0) and not contents(database)[1]
    report = match(database, PAIRS)
    assert (report.matched, report.examined, report.verified) == (0, 10, 10)
    at_once = shutil.copy(original, tmp_path / "at_once.db")
    match(at_once, PAIRS)
    assert contents(database) == contents(at_once)


def test_overwrite(database):
    match(database, PAIRS, MatchOptions(max_ratio=0.24))
    few = contents(database)
    assert match(database, PAIRS, MatchOptions(overwrite=True)).matched == 10
    assert contents(database) != few
    match(database, PAIRS, MatchOptions(max_ratio=0.24, overwrite=True))
    assert contents(database) == few


def test_repeated_reversed_and_self_pairs(database):
    report = match(database, [("0.jpg", "1.jpg"), ("1.jpg", "0.jpg"), ("2.jpg", "2.jpg"), ("0.jpg", "1.jpg")])
    assert (report.pairs, report.repeated, report.self_pairs) == (1, 2, 1)
    assert match(database, []).pairs == 0


def test_photos_without_features_and_with_spoilt_ones(tmp_path):
    path = make_database(tmp_path / "a.db", NAMES, empty=NAMES[:1], spoilt=NAMES[1:2])
    report = match(path, PAIRS)
    assert report.featureless == NAMES[:1] and report.dropped == {NAMES[1]: 2}
    with pycolmap.Database.open(path) as opened:
        assert opened.exists_matches(1, 2) and len(opened.read_matches(1, 2)) == 0
        rows = opened.read_matches(2, 3)[:, 0]
    assert not np.isin(rows, (0, 1)).any() and len(rows) > 90
    assert match(path, PAIRS).matched == 0  # nothing is tried twice


def test_more_features_than_fit(database):
    """The largest are matched: here the first photo's features come back, enlarged, behind 33,000 small ones."""
    rng = np.random.default_rng(1)
    small = 33_000
    with pycolmap.Database.open(database) as opened:
        image = opened.read_image(1)
        image = pycolmap.Image(name="many.jpg", camera_id=image.camera_id)
        image.image_id = opened.write_image(image)
        keypoints = np.array(opened.read_keypoints(1))
        keypoints[:, 2:] *= 2
        clutter = np.concatenate((rng.uniform(0, 800, (small, 2)), np.tile([1, 0, 0, 1], (small, 1))), axis=1)
        opened.write_keypoints(image.image_id, np.concatenate((clutter, keypoints)).astype(np.float32))
        descriptors = np.concatenate(
            (rng.integers(0, 128, (small, 128), np.uint8), np.asarray(opened.read_descriptors(1).data))
        )
        kind = pycolmap.FeatureExtractorType.SIFT
        opened.write_descriptors(image.image_id, pycolmap.FeatureDescriptors(kind, descriptors))
    report = match(database, [("many.jpg", "0.jpg")], MatchOptions(verify=False))
    assert report.dropped == {"many.jpg": small + POINTS + CLUTTER - 32_768}
    with pycolmap.Database.open(database) as opened:
        found = opened.read_matches(image.image_id, 1).astype(np.int64)
    np.testing.assert_array_equal(found[:, 0] - small, found[:, 1])
    assert len(found) == POINTS + CLUTTER


def test_unknown_photos_and_files(database, tmp_path):
    with pytest.raises(MirrorError, match=r"the database has no nine\.jpg"):
        match(database, [("0.jpg", "nine.jpg")])
    with pytest.raises(UsageError, match="no such database"):
        match(tmp_path / "no.db", PAIRS)
    assert not (tmp_path / "no.db").exists()
    with pytest.raises(UsageError, match="no such file of pairs"):
        match(database, tmp_path / "no.txt")
    for options in ({"max_ratio": 0}, {"max_ratio": 1.5}, {"max_ratio": float("nan")}, {"threads": 0}):
        with pytest.raises(UsageError):
            MatchOptions(**options)


def test_refused_databases(database, tmp_path):
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"not a database" * 100)
    with pytest.raises(MirrorError, match="not a COLMAP database"):
        match(junk, PAIRS)
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("PRAGMA user_version = 99010000")
    with pytest.raises(MirrorError, match=r"was written by COLMAP 99\.1\.0, newer than the pycolmap here"):
        match(database, PAIRS)


def test_database_of_an_older_colmap(database, original, tmp_path):
    """COLMAP 3: no types of descriptors, no rigs."""
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("ALTER TABLE descriptors DROP COLUMN type")
        for table in ("frame_data", "frames", "rig_sensors", "rigs", "pose_priors"):
            opened.execute(f"DROP TABLE {table}")
        opened.execute("PRAGMA user_version = 3900")
        opened.commit()
    assert match(database, PAIRS).verified == 10


def test_other_descriptors_are_refused(database):
    with pycolmap.Database.open(database) as opened:
        opened.clear_descriptors()
        for image in range(1, PHOTOS + 1):
            floats = np.zeros((POINTS + CLUTTER, 512), np.uint8)
            kind = pycolmap.FeatureExtractorType.ALIKED_N16ROT
            opened.write_descriptors(image, pycolmap.FeatureDescriptors(kind, floats))
    with pytest.raises(
        MirrorError, match=r"photo 0.jpg: expected SIFT descriptors .* extract SIFT into a new database"
    ):
        match(database, PAIRS)


def test_matches_of_other_features_are_refused(database):
    with pycolmap.Database.open(database) as opened:
        opened.write_matches(1, 2, np.array([[0, 5000]], np.uint32))
    with pytest.raises(MirrorError, match=r"0.jpg - .*1.jpg: .*features that are not there"):
        match(database, PAIRS)
    assert match(database, PAIRS, MatchOptions(overwrite=True)).verified == 10


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120, env=os.environ
    )


HOLD = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def test_locked_by_another_program(database):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        with pytest.raises(MirrorError, match=r"cannot open .* is it open in another program"):
            match(database, PAIRS)
        holder.stdin.close()
    assert match(database, PAIRS).verified == 10


STOP = """
import itertools, os, signal, sys
from mirror_sfm import matching
from mirror_sfm.colmap.matches import MatchDatabase
from mirror_sfm.errors import MirrorError
matching.CHUNK = 2
whole, left, where = MatchDatabase.write, [int(sys.argv[2])], sys.argv[3]
def write(self, results, overwrite=False):
    left[0] -= 1
    if left[0] == 0 and where == "middle":
        whole(self, results[:1], overwrite)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(self, results, overwrite)
MatchDatabase.write = write
names = [f"{n}.jpg" for n in range(5)]
matching.match(sys.argv[1], list(itertools.combinations(names, 2)), matching.MatchOptions(threads=1))
"""


@pytest.mark.parametrize(("chunk", "where", "left"), [(1, "before", 10), (2, "middle", 5)])
def test_killed_and_run_again(original, tmp_path, chunk, where, left):
    path = shutil.copy(original, tmp_path / "killed.db")
    assert run(STOP, path, chunk, where).returncode == -signal.SIGKILL
    assert match(path, PAIRS).matched == left  # of chunks of four pairs
    undisturbed = shutil.copy(original, tmp_path / "undisturbed.db")
    match(undisturbed, PAIRS)
    assert contents(path) == contents(undisturbed)


FULL = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
sys.argv[1:] = ["match", "--database", sys.argv[1], "--pairs", sys.argv[2]]
from mirror_sfm.cli import main
main()
"""


@pytest.mark.parametrize("room", [4096, 60_000])  # for no file at all, for the first pairs
def test_disk_full(database, tmp_path, room):
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("".join(f"{a} {b}\n" for a, b in PAIRS))
    stopped = run(FULL, database, pairs, room)
    assert stopped.returncode == 1 and "Traceback" not in stopped.stderr
    assert "the disk full" in stopped.stderr and stopped.stderr.count("\n") == 1
    assert match(database, pairs).verified == 10  # what was there is intact


def test_two_passes_unless_exact(database, monkeypatch):
    asked, original = [], matching.ops.mutual_matches
    monkeypatch.setattr(
        matching.ops, "mutual_matches", lambda *a, **options: asked.append(options["exact"]) or original(*a, **options)
    )
    match(database, PAIRS[:1], MatchOptions(verify=False))
    match(database, PAIRS[:1], MatchOptions(verify=False, overwrite=True, exact=True))
    pairs = database.with_suffix(".txt")
    pairs.write_text("{} {}\n".format(*PAIRS[1]))
    for more in ((), ("--overwrite", "--exact")):
        arguments = ["mirror-sfm", "match", "--database", str(database), "--pairs", str(pairs), *more]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit, match="0"):
            main()
    assert asked == [False, True, False, True]


def test_command_line(tmp_path, capsys, monkeypatch):
    names = ["with space 0.jpg", "with space 1.jpg", "ü/2.jpg"]
    path = make_database(tmp_path / "a b.db", names)
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("with space 0.jpg with space 1.jpg 0.93\n\n# comment\nü/2.jpg with space 0.jpg\n")

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["mirror-sfm", "match", "--database", str(path), "--pairs", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    code, out, err = command(str(pairs))
    assert code == 0 and out.startswith("2 pairs matched: ") and str(path) in out and err == ""
    code, out, _ = command(str(pairs), "--json")
    assert code == 0 and json.loads(out)["matched"] == 0 and json.loads(out)["verified"] == 2
    pairs.write_text("with space 0.jpg with space 1.jpg\nwith space 0.jpg gone.jpg\n")
    code, out, err = command(str(pairs))
    assert code == 1 and out == "" and err.count("\n") == 1 and "pairs.txt, line 2" in err
    code, _, err = command(str(pairs), "--max-ratio", "3")
    assert code == 2 and "max_ratio must be above 0 and at most 1" in err
