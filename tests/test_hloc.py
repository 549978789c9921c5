"""Local features in hloc's layout: read as hloc means them, or a clear refusal."""

import fcntl
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mirror_sfm import hloc
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evaluation import label_table, mean_average_precision, read_labels
from mirror_sfm.features import Reading
from mirror_sfm.pairs import PairOptions, choose_pairs, score_pairs


def arrays(count: int = 12, length: int = 64, seed: int = 0) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {
        "keypoints": rng.uniform(0, 400, (count, 2)).astype(np.float32),
        "descriptors": rng.normal(size=(length, count)).astype(np.float32),
        "scores": rng.permutation(count).astype(np.float32),
        "image_size": np.array([640, 480]),
    }


def write(path: Path, photos: dict[str, dict[str, Any]]) -> Path:
    with h5py.File(path, "w", libver="latest") as file:
        for name, held in photos.items():
            group = file.create_group(name)
            for key, values in held.items():
                group.create_dataset(key, data=values)
    return path


def refusal(path: Path, error: type[MirrorError] = MirrorError) -> str:
    with pytest.raises(error) as caught:
        hloc.read_features(path, 10)
    message = str(caught.value)
    assert "\n" not in message and path.name in message
    return message


def test_names_are_nested_groups_and_photos_come_sorted(tmp_path: Path) -> None:
    photos = {name: arrays(seed=k) for k, name in enumerate(("b.jpg", "day 1/left/ü漢.jpg", "day 1/a.jpg"))}
    read = hloc.read_features(write(tmp_path / "f.h5", photos), 512)
    assert read.features.names == ("b.jpg", "day 1/a.jpg", "day 1/left/ü漢.jpg") and read.photos == 3
    assert read.features.image_sizes.tolist() == [[640, 480]] * 3 and read.features.diagonals.tolist() == [800] * 3


def test_without_scales_the_highest_scores_come_first(tmp_path: Path) -> None:
    held = arrays()
    read = hloc.read_features(write(tmp_path / "f.h5", {"a.jpg": held}), 5).features
    best = np.argsort(-held["scores"])[:5]
    assert np.array_equal(read.keypoints[0, :, :2], held["keypoints"][best])
    assert read.keypoints[0, :, 2:].tolist() == [[1, 0]] * 5
    np.testing.assert_allclose(read.sensor_xy(0), held["keypoints"][best] + 0.5)  # COLMAP's origin


def test_scales_and_angles_are_used_where_the_file_has_them(tmp_path: Path) -> None:
    held = arrays() | {"scales": np.arange(12)[::-1] % 5 + 1.0, "oris": np.linspace(-180, 180, 12)}
    read = hloc.read_features(write(tmp_path / "f.h5", {"a.jpg": held}), 5).features
    largest = np.argsort(-held["scales"], kind="stable")[:5]
    np.testing.assert_allclose(read.keypoints[0, :, 2], held["scales"][largest])
    np.testing.assert_allclose(read.keypoints[0, :, 3], held["oris"][largest], rtol=1e-6)


def test_without_scores_and_scales_the_order_of_the_file(tmp_path: Path) -> None:
    held = {key: values for key, values in arrays().items() if key not in ("scores", "image_size")}
    read = hloc.read_features(write(tmp_path / "f.h5", {"a.jpg": held}), 5).features
    assert np.array_equal(read.keypoints[0, :, :2], held["keypoints"][:5])
    assert read.image_sizes.tolist() == [[0, 0]]  # not known
    assert read.diagonals[0] == pytest.approx(np.hypot(*held["keypoints"][:5].max(0)), abs=2)


def test_half_precision_as_hloc_writes_it_by_default(tmp_path: Path) -> None:
    wide = arrays(length=128) | {"descriptors": np.abs(arrays(length=128)["descriptors"])}
    half = {key: values.astype(np.float16) if values.dtype == np.float32 else values for key, values in wide.items()}
    first = hloc.read_features(write(tmp_path / "wide.h5", {"a.jpg": wide}), 512).features
    second = hloc.read_features(write(tmp_path / "half.h5", {"a.jpg": half}), 512).features
    assert (first.descriptors != second.descriptors).mean() < 0.01
    np.testing.assert_allclose(first.keypoints, second.keypoints, atol=0.2)


def test_photos_that_cannot_be_used_are_skipped_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = arrays(4)
    broken["keypoints"][0], broken["descriptors"][:, 1], broken["descriptors"][3, 2] = np.inf, 0, np.nan
    photos = {"a.jpg": arrays(), "b.jpg": arrays(0), "c.jpg": arrays(1), "d.jpg": broken}
    read = hloc.read_features(write(tmp_path / "f.h5", photos), 512)
    assert read.features.names == ("a.jpg",) and read.photos == 4
    assert [photo.reason.split(" ")[0] for photo in read.skipped] == ["it", "1", "1"]
    assert "d.jpg: 3 of 4 features left out" in caplog.text


def test_what_is_no_file_of_features(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.h5", UsageError)
    assert "folder" in refusal(tmp_path, UsageError)
    (tmp_path / "text.h5").write_text("a.jpg b.jpg\n" * 1000)
    assert "not an HDF5 file" in refusal(tmp_path / "text.h5")
    (tmp_path / "empty.h5").touch()
    refusal(tmp_path / "empty.h5")
    assert "no local features" in refusal(write(tmp_path / "nothing.h5", {}))
    whole = write(tmp_path / "global.h5", {"a.jpg": {"global_descriptor": np.ones(8)}})
    assert "no local features" in refusal(whole)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "key points of three": ({"keypoints": np.zeros((12, 3))}, "a.jpg/keypoints is (12, 3)"),
    "flat": ({"keypoints": np.zeros(24)}, "expected (any, 2) numbers"),
    "not transposed": ({"descriptors": np.zeros((12, 64))}, "a.jpg/descriptors is (12, 64)"),
    "scores of others": ({"scores": np.zeros(11)}, "expected (12) numbers"),
    "text": ({"keypoints": "none"}, "a.jpg/keypoints is ()"),
    "complex": ({"descriptors": np.zeros((64, 12), complex)}, "complex"),
    "no size": ({"image_size": np.array([0, 480])}, "expected width and height"),
    "endless size": ({"image_size": np.array([np.inf, 480])}, "expected width and height"),
    "one side": ({"image_size": np.array([640])}, "expected (2) numbers"),
    "no dimensions": ({"descriptors": np.zeros((0, 12))}, "descriptors has no rows"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_wrong_arrays_are_named_with_what_was_expected(tmp_path: Path, fault: str) -> None:
    wrong, expected = WRONG[fault]
    assert expected in refusal(write(tmp_path / "f.h5", {"a.jpg": arrays() | wrong}))


def test_missing_arrays_mixed_lengths_and_groups_for_arrays(tmp_path: Path) -> None:
    held = arrays()
    del held["descriptors"]
    assert "a.jpg/descriptors is missing" in refusal(write(tmp_path / "f.h5", {"a.jpg": held}))
    mixed = {"a.jpg": arrays(length=64), "b.jpg": arrays(length=32)}
    assert "32 and 64" in refusal(write(tmp_path / "f.h5", mixed))
    with h5py.File(write(tmp_path / "f.h5", {"a.jpg": held}), "a") as file:
        file.create_group("a.jpg/descriptors")
    assert "a.jpg/descriptors is a group" in refusal(tmp_path / "f.h5")


def test_nothing_outside_the_file_is_read(tmp_path: Path) -> None:
    """Links and arrays can name any file of the computer."""
    write(tmp_path / "secret.h5", {"a.jpg": arrays()})
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a.jpg"] = h5py.ExternalLink("secret.h5", "/a.jpg")
    assert "link to elsewhere" in refusal(tmp_path / "f.h5")
    with h5py.File(write(tmp_path / "f.h5", {"a.jpg": arrays()}), "a") as file:
        file["b.jpg"] = h5py.SoftLink("/a.jpg")
    assert "link to elsewhere" in refusal(tmp_path / "f.h5")
    held = arrays()
    del held["keypoints"]
    with h5py.File(write(tmp_path / "f.h5", {"a.jpg": held}), "a") as file:
        stored = [(str(tmp_path / "secret.h5"), 0, 96)]
        file["a.jpg"].create_dataset("keypoints", (12, 2), np.float32, external=stored)
    assert "another file" in refusal(tmp_path / "f.h5")


def test_groups_in_a_ring_and_arrays_of_a_false_size(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "f.h5", {"a/b.jpg": arrays()}), "a") as file:
        file["a/again"] = file["a"]
    assert "second name" in refusal(tmp_path / "f.h5")
    held = arrays()
    del held["descriptors"]
    with h5py.File(write(tmp_path / "f.h5", {"a.jpg": held}), "a") as file:  # a few bytes that claim a terabyte
        file["a.jpg"].create_dataset("descriptors", (1 << 36, 12), np.float16, chunks=(1024, 12))
    assert "claims to hold" in refusal(tmp_path / "f.h5")


def test_a_file_that_another_program_writes(tmp_path: Path) -> None:
    path = write(tmp_path / "f.h5", {"a.jpg": arrays()})
    with open(path, "rb") as held:  # as HDF5 does while it writes
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "locked by another program" in refusal(path)
    assert hloc.read_features(path, 10).photos == 1


@pytest.mark.parametrize("layout", ["earliest", "latest"])
def test_damaged_files_end_in_features_or_one_line(tmp_path: Path, layout: str) -> None:
    path, rng, ends = tmp_path / "f.h5", random.Random(layout), {"read": 0, "refused": 0}
    with h5py.File(path, "w", libver=layout) as file:
        for k in range(3):
            for key, values in arrays(seed=k, length=16).items():
                file[f"d/{k}.jpg/{key}"] = values
    content = path.read_bytes()
    for _ in range(500):
        data, way = bytearray(content), rng.randrange(4)
        start, other, length = rng.randrange(len(data)), rng.randrange(len(data)), rng.randrange(1, 200)
        if way == 0:
            del data[start:]
        elif way == 1:
            for _ in range(rng.choice((1, 8, 64))):
                data[rng.randrange(len(data))] = rng.randrange(256)
        else:
            data[start : start + length] = (
                data[other : other + length] if way == 2 else rng.choice((b"\0", b"\xff")) * 8
            )
        path.write_bytes(data)
        try:
            assert np.isfinite(hloc.read_features(path, 8).features.keypoints).all()
            ends["read"] += 1
        except MirrorError as error:
            assert "\n" not in str(error) and "f.h5" in str(error)
            ends["refused"] += 1
    assert min(ends.values()) > 30, ends


@dataclass(frozen=True)
class Features:
    """hloc's features as a source."""

    path: Path

    def read(self, count: int, threads: int, progress: bool = False) -> Reading:
        return hloc.read_features(self.path, count)


def turned_copies(photos: Path, folder: Path) -> dict[str, Path]:
    """RootSIFT of photos; the same turned by a random rotation into signed vectors of 128 and of 256 dimensions."""
    import cv2

    rng, copies = np.random.default_rng(3), {}
    turns = {"root": np.eye(128), **{str(n): np.linalg.qr(rng.normal(size=(n, 128)))[0].T for n in (128, 256)}}
    files: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in turns}
    for path in sorted(photos.iterdir()):
        picture = Image.open(path).convert("L")
        picture.thumbnail((400, 400))
        grey = np.asarray(picture)
        found, sift = cv2.SIFT.create(contrastThreshold=0.02).detectAndCompute(grey, None)
        largest = np.argsort([-point.size for point in found], kind="stable")[:512]
        root = np.sqrt(sift / sift.sum(axis=1, keepdims=True))[largest]
        held = {
            "keypoints": np.array([found[k].pt for k in largest], np.float32),
            "scales": np.array([found[k].size for k in largest], np.float32),
            "oris": np.array([found[k].angle for k in largest], np.float32),
            "image_size": np.array(grey.shape[::-1]),
        }
        for kind, turn in turns.items():
            files[kind][path.name] = held | {"descriptors": (root @ turn).T.astype(np.float32)}
    for kind, held_by_name in files.items():
        copies[kind] = write(folder / f"{kind}.h5", held_by_name)
    return copies


def test_rotated_descriptors_give_the_same_pairs(strip: Path, tmp_path: Path) -> None:
    options = PairOptions(per_image=2)
    graphs = {
        kind: choose_pairs(score_pairs(Features(path), options), options)
        for kind, path in turned_copies(strip, tmp_path).items()
    }
    assert set(graphs["root"].pairs) == set(graphs["128"].pairs) == set(graphs["256"].pairs)
    for kind in ("128", "256"):
        np.testing.assert_allclose(graphs[kind].evidence.weight, graphs["root"].evidence.weight, rtol=0.1, atol=1)


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["drone_garfield"])
def test_rotated_descriptors_are_as_good_on_real_photos(data: Path, scene: str, tmp_path: Path) -> None:
    options, results = PairOptions(), {}
    for kind, path in turned_copies(data / "scenes" / scene / "images", tmp_path).items():
        scored = score_pairs(Features(path), options)
        labels = read_labels(label_table(data / "scenes" / scene), scored.names)
        scores = np.full(labels.positive.shape, -np.inf, np.float32)
        i, j = scored.candidates.i, scored.candidates.j
        scores[i, j] = scores[j, i] = scored.scores
        quality = mean_average_precision(scores, labels.positive)
        results[kind] = quality, set(choose_pairs(scored, options).pairs)
    quality, pairs = results["root"]
    assert quality > 0.9
    for kind in ("128", "256"):
        assert abs(results[kind][0] - quality) < 0.005 and len(results[kind][1] & pairs) > 0.9 * len(pairs)
