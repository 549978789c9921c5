"""Features of COLMAP databases: as COLMAP wrote them, or a clear refusal; the file stays as it is."""

import hashlib
import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mirror_sfm.colmap.database import feature_rows, read_features
from mirror_sfm.errors import MirrorError, UsageError

pycolmap = pytest.importorskip("pycolmap")


def make(path: Path, photos: dict[str, tuple[np.ndarray, np.ndarray] | None], kind: str = "SIFT") -> Path:
    """A database as COLMAP writes it; of each photo key points and descriptors, or None where it has neither."""
    with pycolmap.Database.open(path) as database, pycolmap.DatabaseTransaction(database):
        camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_RADIAL", 800, 640, 480)
        camera_id = database.write_camera(camera)
        for name, features in photos.items():
            image = database.write_image(pycolmap.Image(name=name, camera_id=camera_id))
            if features is not None:
                database.write_keypoints(image, features[0].astype(np.float32))
                described = pycolmap.FeatureDescriptors(
                    type=getattr(pycolmap.FeatureExtractorType, kind), data=features[1]
                )
                database.write_descriptors(image, described)
    return path


def features(count: int = 20, columns: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(1, 400, (count, columns)).astype(np.float32)
    return keypoints, rng.integers(0, 200, (count, 128), dtype=np.uint8)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return make(tmp_path / "small.db", {"b.jpg": features(seed=1), "a b/ü 漢.jpg": features(seed=2)})


def changed(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA foreign_keys=OFF")
        for statement in statements:
            database.execute(statement)
        database.commit()
    return path


def refusal(path: Path, error: type[MirrorError] = MirrorError) -> str:
    with pytest.raises(error) as caught:
        read_features(path, 10)
    message = str(caught.value)
    assert "\n" not in message and path.name in message
    return message


def test_six_columns_are_an_affine_shape(tmp_path: Path) -> None:
    turn, scale = math.radians(30), 3.0
    a11, a12, a21, a22 = (scale * part for part in (math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)))
    keypoints = np.array([[10.5, 20.5, a11, a12, a21, a22], [1, 2, 1, 0, 0, 3], [5, 5, 9, 0, 0, 9]])
    read = read_features(make(tmp_path / "x.db", {"a.jpg": (keypoints, features(3)[1])}), 10).features
    expected = [[4.5, 4.5, 9, 0], [10, 20, 3, 30], [0.5, 1.5, 2, 0]]  # largest first
    np.testing.assert_allclose(read.keypoints[0], expected, atol=1e-5)
    assert read.image_sizes.tolist() == [[640, 480]] and read.diagonals.tolist() == [800]
    np.testing.assert_allclose(read.sensor_xy(0)[1], [10.5, 20.5], atol=1e-5)


def test_four_columns_are_scale_and_angle_and_two_have_neither(tmp_path: Path) -> None:
    keypoints = np.array([[10, 20, 2, math.pi / 2], [30, 40, 5, -math.pi]])
    read = read_features(make(tmp_path / "four.db", {"a.jpg": (keypoints, features(2)[1])}), 10).features
    np.testing.assert_allclose(read.keypoints[0], [[29.5, 39.5, 5, -180], [9.5, 19.5, 2, 90]], atol=1e-4)
    read = read_features(make(tmp_path / "two.db", {"a.jpg": (keypoints[:, :2], features(2)[1])}), 10).features
    assert read.keypoints[0].tolist() == [[9.5, 19.5, 1, 0], [29.5, 39.5, 1, 0]]  # the order of the database


def test_pycolmap_agrees_on_the_meaning_of_six_columns(texture: object, tmp_path: Path) -> None:
    """Key points of a real extraction: scale and angle as pycolmap computes them."""
    (tmp_path / "images").mkdir()
    texture.crop((0, 0, 400, 300)).save(tmp_path / "images" / "a.png")  # type: ignore[attr-defined]
    pycolmap.Database.open(tmp_path / "x.db").close()
    pycolmap.extract_features(tmp_path / "x.db", tmp_path / "images", device=pycolmap.Device.cpu)
    read = read_features(tmp_path / "x.db", 100).features
    with pycolmap.Database.open(tmp_path / "x.db") as database:
        stored, described = database.read_keypoints(1), database.read_descriptors(1).data
    rows = feature_rows(tmp_path / "x.db", 100)["a.png"]
    assert len(rows) == 100 == read.sizes[0]
    for (x, y, scale, angle), (sx, sy, *shape) in zip(read.keypoints[0].tolist(), stored[rows].tolist(), strict=True):
        point = pycolmap.FeatureKeypoint()
        point.x, point.y, point.a11, point.a12, point.a21, point.a22 = sx, sy, *shape
        assert (x, y) == pytest.approx((sx - 0.5, sy - 0.5), abs=1e-4)
        assert scale == pytest.approx(point.compute_scale(), rel=1e-4)
        assert angle == pytest.approx(math.degrees(point.compute_orientation()), abs=1e-2)
    assert np.array_equal(read.descriptors[0], described[rows] >> 1) and read.descriptors.max() < 128


def test_the_largest_come_first_and_ties_keep_their_order(tmp_path: Path) -> None:
    keypoints, descriptors = features(50, 4)
    keypoints[:, 2] = np.arange(50) // 10 + 1
    path = make(tmp_path / "x.db", {"a.jpg": (keypoints, descriptors)})
    read = read_features(path, 15).features
    expected = [*range(40, 50), *range(30, 35)]
    assert feature_rows(path, 15)["a.jpg"].tolist() == expected
    assert np.array_equal(read.descriptors[0], descriptors[expected] >> 1)


def test_photos_are_sorted_by_name_whatever_the_database_does(small: Path) -> None:
    read = read_features(small, 512)
    assert read.features.names == ("a b/ü 漢.jpg", "b.jpg") and read.photos == 2 and read.skipped == ()


def test_photos_without_features_are_skipped_with_the_reason(tmp_path: Path) -> None:
    one = features(1)
    blank = (np.zeros((0, 6)), np.zeros((0, 128), np.uint8))
    path = make(tmp_path / "x.db", {"c.jpg": None, "b.jpg": features(), "a.jpg": one, "d.jpg": blank})
    read = read_features(path, 512)
    assert read.features.names == ("b.jpg",) and read.photos == 4
    assert [(photo.name, photo.reason.split(" ")[0]) for photo in read.skipped] == [
        ("a.jpg", "1"),
        ("c.jpg", "it"),
        ("d.jpg", "it"),
    ]


def test_features_that_are_not_finite_or_zero_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keypoints, descriptors = features(8, 4)
    keypoints[0, 0], keypoints[1, 2], keypoints[2, 2], descriptors[3] = np.nan, np.inf, 0, 0
    nothing = np.full((5, 4), np.nan), features(5)[1]
    path = make(tmp_path / "x.db", {"a.jpg": (keypoints, descriptors), "b.jpg": nothing})
    read = read_features(path, 512)
    assert read.features.sizes.tolist() == [4] and np.isfinite(read.features.keypoints).all()
    assert "a.jpg: 4 of 8 features left out" in caplog.text
    assert [photo.reason.split(" ")[0] for photo in read.skipped] == ["no"]


def test_learned_descriptors_keep_their_distances(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, 40, 64)).astype(np.float32)
    photos = {f"{k}.jpg": (features(40, 2)[0], vectors[k].view(np.uint8).reshape(40, 256)) for k in range(2)}
    read = read_features(make(tmp_path / "x.db", photos, "ALIKED_N16ROT"), 512).features
    whole = read.descriptors.reshape(80, 128).astype(float) - 64
    assert (whole.sum(axis=1) == 0).all()
    correlation = np.corrcoef(np.concatenate(vectors)), np.corrcoef(whole)
    assert np.abs(correlation[0] - correlation[1]).max() < 0.2 and np.abs(np.diff(correlation, axis=0)).mean() < 0.04


def test_descriptors_of_different_kinds_are_not_mixed(small: Path) -> None:
    message = refusal(changed(small, "UPDATE descriptors SET type = 1 WHERE image_id = 1"))
    assert "SIFT" in message and "ALIKED" in message and "same way" in message
    assert "unknown type 77" in refusal(changed(small, "UPDATE descriptors SET type = 77"))


def test_an_older_database_has_no_type_of_descriptors(small: Path) -> None:
    before = read_features(small, 10).features
    after = read_features(changed(small, "ALTER TABLE descriptors DROP COLUMN type"), 10).features
    assert np.array_equal(before.descriptors, after.descriptors) and before.names == after.names


def test_an_empty_database_is_empty(tmp_path: Path) -> None:
    read = read_features(make(tmp_path / "x.db", {}), 512)
    assert read.features.names == () and read.photos == 0 and read.features.descriptors.shape == (0, 0, 128)


def test_no_descriptors_at_all(tmp_path: Path) -> None:
    message = refusal(make(tmp_path / "x.db", {"a.jpg": None}))
    assert "no descriptors" in message and "feature_extractor" in message


def test_what_is_no_database(tmp_path: Path) -> None:
    assert "no such" in refusal(tmp_path / "none.db", UsageError)
    assert "folder" in refusal(tmp_path, UsageError)
    (tmp_path / "text.db").write_text("a.jpg b.jpg\n" * 100)
    assert "not a COLMAP database" in refusal(tmp_path / "text.db")
    (tmp_path / "empty.db").touch()
    assert "not a COLMAP database" in refusal(tmp_path / "empty.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE songs (name)")
        other.commit()
    assert "no table cameras(camera_id, width, height)" in refusal(tmp_path / "other.db")


def test_another_layout_is_named(small: Path) -> None:
    message = refusal(
        changed(small, "ALTER TABLE keypoints RENAME COLUMN data TO bytes", "PRAGMA user_version=5100100")
    )
    assert "no table keypoints(image_id, rows, cols, data)" in message and "version 5.10" in message


def test_a_view_in_place_of_a_table_is_not_read(small: Path) -> None:
    """It could compute for ever."""
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x image_id, 'a' name, 1 camera_id"
    changed(small, "ALTER TABLE images RENAME TO old", f"CREATE VIEW images AS {endless} FROM n")
    assert "no table images" in refusal(small)


DAMAGE: dict[str, tuple[str, str]] = {
    "short key points": ("UPDATE keypoints SET data = x'0000' WHERE image_id = 2", "damaged"),
    "no data": ("UPDATE descriptors SET data = NULL WHERE image_id = 2", "damaged"),
    "text for a blob": ("UPDATE keypoints SET data = 'abc'", "damaged"),
    "text for a number": ("UPDATE descriptors SET cols = 'many'", "damaged"),
    "negative": ("UPDATE keypoints SET rows = -20, cols = -6", "damaged"),
    "five columns": ("UPDATE keypoints SET rows = 24, cols = 5", "24 key points but 20 descriptors"),
    "three columns": ("UPDATE keypoints SET rows = 40, cols = 3", "40 key points but 20 descriptors"),
    "one column": ("UPDATE keypoints SET rows = 20, cols = 1, data = zeroblob(80)", "expected 2, 4 or 6"),
    "wide descriptors": ("UPDATE descriptors SET cols = 256, data = zeroblob(5120)", "expected 128"),
    "no camera": ("DELETE FROM cameras", "no camera"),
    "no width": ("UPDATE cameras SET width = 0", "no camera with a width"),
    "huge width": ("UPDATE cameras SET width = 9000000000000", "no camera with a width"),
    "no name": ("UPDATE images SET name = '' WHERE image_id = 1", "no name"),
    "a number for a name": ("UPDATE images SET name = x'00ff' WHERE image_id = 1", "no name"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_rows_are_named(small: Path, damage: str) -> None:
    statement, expected = DAMAGE[damage]
    assert expected in refusal(changed(small, statement))


def test_names_that_are_not_utf_8(small: Path) -> None:
    read = read_features(changed(small, "UPDATE images SET name = CAST(x'61ff' AS TEXT) WHERE image_id = 1"), 10)
    assert read.features.names == ("a b/ü 漢.jpg", "a\udcff")


def digest(path: Path) -> dict[str, str]:
    return {entry.name: hashlib.sha256(entry.read_bytes()).hexdigest() for entry in path.parent.iterdir()}


def test_nothing_changes_and_nothing_is_left_behind(small: Path) -> None:
    before = digest(small)
    read_features(small, 10)
    assert digest(small) == before and list(before) == ["small.db"]


def test_what_another_program_has_not_yet_written_back_is_read_too(small: Path) -> None:
    with pycolmap.Database.open(small) as writer:
        image = pycolmap.Image(name="c.jpg", camera_id=1)
        number = writer.write_image(image)
        writer.write_keypoints(number, features()[0])
        kind = pycolmap.FeatureExtractorType.SIFT
        writer.write_descriptors(number, pycolmap.FeatureDescriptors(type=kind, data=features()[1]))
        assert small.with_name("small.db-wal").exists()
        assert read_features(small, 10).features.names == ("a b/ü 漢.jpg", "b.jpg", "c.jpg")


def test_a_locked_database(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror_sfm.colmap.database._SECONDS_TO_WAIT", 0.05)
    changed(small, "PRAGMA journal_mode=DELETE")
    with closing(sqlite3.connect(small, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "locked by another program" in refusal(small)
    assert len(read_features(small, 10).features.names) == 2


@pytest.mark.skipif(not shutil.which("setpriv") or os.geteuid() != 0, reason="needs a user who is not root")
def test_a_folder_that_cannot_be_written(small: Path) -> None:
    code = f"from mirror_sfm.colmap.database import read_features; print(read_features({str(small)!r}, 9).photos)"
    for folder in (small.parent, *small.parent.parents[:2]):
        folder.chmod(0o555)
    small.chmod(0o444)
    command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", code]
    try:
        readable = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "cat", small], capture_output=True)
        if readable.returncode:
            pytest.skip("the other user cannot reach the folder of temporary files")
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}
        )
    finally:
        for folder in (small.parent, *small.parent.parents[:2]):
            folder.chmod(0o755)
    assert done.stdout.strip() == "2", done.stderr


def mutations(content: bytes, count: int) -> Iterator[bytes]:
    rng = random.Random(5)
    ways: list[Callable[[bytearray], object]] = [
        lambda data: data.__delitem__(slice(rng.randrange(len(data)), None)),
        lambda data: [
            data.__setitem__(rng.randrange(len(data)), rng.randrange(256)) for _ in range(rng.choice((1, 64)))
        ],
        lambda data: data.__setitem__(slice(start := rng.randrange(4096), start + 8), rng.choice((b"\0", b"\xff")) * 8),
        lambda data: data.__setitem__(slice(16 * rng.randrange(6), None), bytes(data[16 * rng.randrange(2) :])),
    ]
    for _ in range(count):
        data = bytearray(content)
        rng.choice(ways)(data)
        yield bytes(data)


def test_damaged_files_end_in_features_or_one_line(tmp_path: Path) -> None:
    path = make(tmp_path / "x.db", {f"{k}.jpg": features(4, seed=k) for k in range(3)})
    content = path.read_bytes()
    ends = {"read": 0, "refused": 0}
    for data in mutations(content, 1000):
        path.write_bytes(data)
        try:
            assert np.isfinite(read_features(path, 10).features.keypoints).all()
            ends["read"] += 1
        except MirrorError as error:
            assert "\n" not in str(error) and "x.db" in str(error)
            ends["refused"] += 1
    assert min(ends.values()) > 100, ends
