"""COLMAP databases with our matches: COLMAP's own mappers make models of them."""

import dataclasses
import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from made_graph import NAMES, made_graph
from PIL import Image

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.exports import References, write_results
from mirror_sfm.exports.cameras import camera_of
from mirror_sfm.exports.matched import matches_of_chosen
from mirror_sfm.pairs import PairOptions, find_pairs
from mirror_sfm.sources import ColmapDatabase
from mirror_sfm.view_graph import ViewGraph

pycolmap = pytest.importorskip("pycolmap")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("verify", [False, True])
def test_the_database_holds_photos_features_and_matches(tmp_path: Path, verify: bool) -> None:
    graph = made_graph(("my photo.jpg", *NAMES[:2]))
    write_results(tmp_path, graph, PairOptions(), ("colmap",), references=References(verify=verify))
    with pycolmap.Database.open(tmp_path / "colmap.db") as database:
        images = {image.name: image.image_id for image in database.read_all_images()}
        assert tuple(images) == graph.names
        assert database.num_frames() == database.num_rigs() == database.num_cameras() == len(graph.names)
        for row, name in enumerate(graph.names):
            stored = database.read_keypoints(images[name])
            np.testing.assert_allclose(stored[:, :2], graph.features.sensor_xy(row), atol=1e-3)
            np.testing.assert_allclose(stored[:, 2], graph.features.keypoints[row, : len(stored), 2] * 2, rtol=1e-5)
            camera = database.read_camera(database.read_image(images[name]).camera_id)
            assert (camera.width, camera.height, camera.has_prior_focal_length) == (1280, 960, False)
        pairs = list(matches_of_chosen(graph, 1))
        for pair in pairs:
            first, second = images[graph.names[pair.i]], images[graph.names[pair.j]]
            assert np.array_equal(database.read_matches(first, second), pair.features)
            assert database.exists_two_view_geometry(first, second) == verify
        assert len(database.read_all_matches()[0]) == len(pairs) == len(graph.chosen)


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    for threads in (1, 3):
        (tmp_path / str(threads)).mkdir()
        write_results(tmp_path / str(threads), made_graph(NAMES[:3]), PairOptions(threads=threads), ("colmap",))
    assert digest(tmp_path / "1" / "colmap.db") == digest(tmp_path / "3" / "colmap.db")


def small_source(path: Path, count: int = 60) -> Path:
    """A database of photos that see the same points, with more features than are asked for, and matches of its own."""
    from inputs import descriptors

    rng, described = np.random.default_rng(1), descriptors(4, count, 1)
    with pycolmap.Database.open(path) as database, pycolmap.DatabaseTransaction(database):
        camera = pycolmap.Camera.create_from_model_name(1, "OPENCV", 800, 640, 480)
        camera_id = database.write_camera(camera)
        for row in range(4):
            image = database.write_image(pycolmap.Image(name=f"photo {row}.jpg", camera_id=camera_id))
            database.write_keypoints(image, rng.uniform(1, 400, (count, 4)).astype(np.float32))
            kind = pycolmap.FeatureExtractorType.SIFT
            data = (described[row] * 2).astype(np.uint8)
            database.write_descriptors(image, pycolmap.FeatureDescriptors(type=kind, data=data))
        database.write_matches(1, 2, np.array([[0, 0]], np.uint32))
    return path


def every_pair(graph: ViewGraph) -> ViewGraph:
    rows = np.arange(len(graph.candidates))
    return dataclasses.replace(graph, chosen=rows, reasons=np.zeros(len(rows), np.uint8))


def test_a_source_database_is_copied_and_matches_name_its_features(tmp_path: Path) -> None:
    source = small_source(tmp_path / "project.db")
    before, options = digest(source), PairOptions(any_name=True, features=40)
    graph = every_pair(find_pairs(ColmapDatabase(source), options))
    write_results(tmp_path, graph, options, ("colmap",), references=References(database=source, verify=False))
    assert digest(source) == before
    with pycolmap.Database.open(tmp_path / "colmap.db") as database, pycolmap.Database.open(source) as original:
        for image in (1, 2, 3, 4):
            assert np.array_equal(database.read_keypoints(image), original.read_keypoints(image))
        assert database.read_camera(1).model_name == "OPENCV"
        ids, matches = database.read_all_matches()
        assert len(ids) == len(graph.chosen) == 6
        described = [original.read_descriptors(image).data.astype(int) for image in (1, 2, 3, 4)]
        for pair, found in zip(ids, matches, strict=True):
            first, second = (described[image - 1] for image in pycolmap.pair_id_to_image_pair(pair))
            assert len(found) > 3 and found[:, 0].max() >= 40  # rows of the database, not of our selection
            distances = np.linalg.norm(first[found[:, 0]] - second[found[:, 1]], axis=1)
            strangers = np.linalg.norm(first[found[:, 0]] - np.roll(second[found[:, 1]], 1, axis=0), axis=1)
            assert np.median(distances) < 0.7 * np.median(strangers)


def test_a_source_of_an_older_colmap_is_brought_up_to_date_in_the_copy_only(tmp_path: Path) -> None:
    source = small_source(tmp_path / "project.db")
    with closing(sqlite3.connect(source)) as older:  # as COLMAP 3.11 wrote them
        older.execute("PRAGMA foreign_keys=OFF")
        for statement in ("ALTER TABLE descriptors DROP COLUMN type", "PRAGMA user_version=3110"):
            older.execute(statement)
        for table in ("frame_data", "frames", "rig_sensors", "rigs"):
            older.execute(f"DROP TABLE {table}")
        older.commit()
    before, options = digest(source), PairOptions(any_name=True)
    graph = every_pair(find_pairs(ColmapDatabase(source), options))
    write_results(tmp_path, graph, options, ("colmap",), references=References(database=source, verify=False))
    assert digest(source) == before
    with pycolmap.Database.open(tmp_path / "colmap.db") as database:
        assert database.num_images() == 4 and database.num_matched_image_pairs() == 6


def test_the_source_is_never_the_target(tmp_path: Path) -> None:
    source = small_source(tmp_path / "colmap.db")
    before, options = digest(source), PairOptions(any_name=True)
    graph = find_pairs(ColmapDatabase(source), options)
    with pytest.raises(UsageError, match="would be written over"):
        write_results(tmp_path, graph, options, ("colmap",), references=References(database=source))
    assert digest(source) == before and list(tmp_path.iterdir()) == [source]


def test_a_source_that_changed_meanwhile(tmp_path: Path) -> None:
    options = PairOptions(any_name=True)
    graph = find_pairs(ColmapDatabase(small_source(tmp_path / "x.db")), options)
    with pycolmap.Database.open(tmp_path / "x.db") as database:
        database.clear_descriptors()
        kind = pycolmap.FeatureExtractorType.SIFT
        for image in (1, 2):
            data = np.ones((60, 128), np.uint8)
            database.write_descriptors(image, pycolmap.FeatureDescriptors(type=kind, data=data))
    with pytest.raises(MirrorError, match=r"has changed meanwhile.*photo 2\.jpg"):
        write_results(tmp_path, graph, options, ("colmap",), references=References(database=tmp_path / "x.db"))
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]


def test_photos_of_unknown_size_and_names_that_are_not_utf_8(tmp_path: Path) -> None:
    graph = made_graph()
    graph.features.image_sizes[1] = 0
    with pytest.raises(MirrorError, match=r"size of the photo b/ü漢\.jpg is not known"):
        write_results(tmp_path, graph, PairOptions(), ("colmap",))
    with pytest.raises(MirrorError, match="not UTF-8"):
        write_results(tmp_path, made_graph(("a.jpg", "b\udcff.jpg")), PairOptions(), ("colmap",))
    assert list(tmp_path.iterdir()) == []


def test_photos_taken_alike_share_a_camera(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 7"
    exif.get_ifd(0x8769).update({0x920A: 8.8, 0xA405: 24})
    for name in ("a.jpg", "b.jpg"):
        Image.new("L", (64, 48)).save(tmp_path / name, exif=exif)
    Image.new("L", (64, 48)).save(tmp_path / "c.jpg")
    (tmp_path / "d.jpg").write_bytes(b"damaged")
    cameras = [camera_of(name, tmp_path / f"{name}.jpg", 64, 48) for name in "abcd"]
    assert cameras[0] == cameras[1] and cameras[0].known and cameras[0].focal == pytest.approx(64 * 24 / 35)
    assert (
        len({*cameras, camera_of("e", None, 64, 48)}) == 4
        and not cameras[2].known
        and cameras[2].focal == pytest.approx(64 * 1.2)
    )
    assert camera_of("a", tmp_path / "a.jpg", 48, 64) != cameras[0]


def test_without_pycolmap_the_remedy_is_told(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["pycolmap"] = None
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from pathlib import Path
from made_graph import made_graph
from mirror_sfm.errors import MirrorError
from mirror_sfm.exports import write_results
from mirror_sfm.pairs import PairOptions
try:
    write_results(Path({str(tmp_path)!r}), made_graph(), PairOptions(), ("pairs", "colmap"))
except MirrorError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "mirror-sfm[colmap]"' in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [20_000, 100_000])
@pytest.mark.parametrize("copy", [False, True])
def test_a_full_disk_leaves_the_earlier_results(tmp_path: Path, limit: int, copy: bool) -> None:
    source = small_source(tmp_path / "project.db", 600) if copy else None
    (tmp_path / "colmap.db").write_text("earlier")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code = f"""
import resource, sys
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from pathlib import Path
from made_graph import made_graph
from mirror_sfm.errors import MirrorError
from mirror_sfm.exports import References, write_results
from mirror_sfm.pairs import PairOptions, find_pairs
from mirror_sfm.sources import ColmapDatabase
from mirror_sfm.view_graph import ViewGraph
options, source = PairOptions(any_name=True), {str(source) if source else None!r}
graph = find_pairs(ColmapDatabase(source), options) if source else made_graph(count=2000)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))  # the end of the disk, for a process
try:
    references = References(database=source and Path(source))
    write_results(Path({str(tmp_path)!r}), graph, options, ("pairs", "colmap"), references=references)
except MirrorError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.count("\n") == 1 and "cannot write" in done.stdout, done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rendered photos whose names hold spaces, and project.db with COLMAP's SIFT of them."""
    folder = tmp_path_factory.mktemp("synthetic")
    photos, source = folder / "my photos", folder / "project.db"
    photos.mkdir()
    pycolmap.set_random_seed(0)
    scene = pycolmap.SyntheticDatasetOptions(
        num_rigs=1, num_cameras_per_rig=1, num_frames_per_rig=6, num_points3D=100, num_points2D_without_point3D=50
    )
    scene.camera_width, scene.camera_height = 1024, 768
    with pycolmap.Database.open(folder / "truth.db") as database:
        truth = pycolmap.synthesize_dataset(scene, database)
    pycolmap.synthesize_images(pycolmap.SyntheticImageOptions(), truth, photos)
    for number, path in enumerate(sorted(photos.iterdir())):
        path.rename(photos / f"photo {number} ü.png")
    pycolmap.Database.open(source).close()
    pycolmap.extract_features(source, photos, camera_mode=pycolmap.CameraMode.SINGLE, device=pycolmap.Device.cpu)
    return folder


def registered(mapping: Callable[..., dict[int, object]], database: Path, photos: Path, models: Path) -> list[int]:
    models.mkdir()
    return [model.num_reg_images() for model in mapping(database, photos, models).values()]  # type: ignore[attr-defined]


def test_colmap_makes_models_of_photos_with_spaces_in_their_names(synthetic: Path, tmp_path: Path) -> None:
    """COLMAP's SIFT, our pairs and matches, COLMAP's geometry and both of its mappers: every photo registered."""
    options, source, photos = (
        PairOptions(any_name=True, features=2048),
        synthetic / "project.db",
        synthetic / "my photos",
    )
    graph = find_pairs(ColmapDatabase(source), options)
    write_results(tmp_path, graph, options, ("colmap",), references=References(database=source))
    for name, mapping in (("incremental", pycolmap.incremental_mapping), ("global", pycolmap.global_mapping)):
        assert registered(mapping, tmp_path / "colmap.db", photos, tmp_path / name) == [6], name


def test_matches_of_ours_that_colmap_verifies(synthetic: Path, tmp_path: Path) -> None:
    options, source = PairOptions(any_name=True, features=2048), synthetic / "project.db"
    graph = find_pairs(ColmapDatabase(source), options)
    write_results(tmp_path, graph, options, ("colmap",), references=References(database=source, verify=False))
    pycolmap.geometric_verification(tmp_path / "colmap.db")
    with pycolmap.Database.open(tmp_path / "colmap.db") as database:
        assert database.num_verified_image_pairs() >= 0.8 * len(graph.chosen)
    photos = synthetic / "my photos"
    assert registered(pycolmap.incremental_mapping, tmp_path / "colmap.db", photos, tmp_path / "model") == [6]


def test_colmap_matches_the_pairs_of_our_list(synthetic: Path, tmp_path: Path) -> None:
    """pairs.txt with folders and UTF-8 in names, COLMAP's own matcher, COLMAP's mapper."""
    database_path = tmp_path / "project.db"
    shutil.copy(synthetic / "project.db", database_path)
    with pycolmap.Database.open(database_path) as database:
        for image in database.read_all_images():
            image.name = f"day/ü{image.image_id}.png"
            database.update_image(image)
    graph = find_pairs(ColmapDatabase(database_path))
    write_results(tmp_path, graph, PairOptions())
    pairs = pycolmap.ImportedPairingOptions(match_list_path=str(tmp_path / "pairs.txt"))
    pycolmap.match_image_pairs(database_path, pairing_options=pairs, device=pycolmap.Device.cpu)
    with pycolmap.Database.open(database_path) as database:
        assert database.num_matched_image_pairs() == len(graph.pairs)
    assert registered(pycolmap.incremental_mapping, database_path, synthetic, tmp_path / "model") == [6]
