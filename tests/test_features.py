"""Features: the formula, the order, the same bytes whatever the threads."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mirror_sfm.features import extract, seven_bits, stack
from mirror_sfm.folder import find_photos
from mirror_sfm.photos import Photo, read_picture
from mirror_sfm.reading import read_features
from mirror_sfm.threads import parallel

FIELDS = ("keypoints", "descriptors", "sizes", "diagonals")


@given(st.lists(st.lists(st.integers(0, 255), min_size=128, max_size=128), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_seven_bits_is_rounded_rootsift(rows: list[list[int]]) -> None:
    sift = np.array(rows, np.float32)
    exact = 256 * np.sqrt(sift.astype(float) / np.maximum(sift.sum(1, keepdims=True), 1e-9))
    result = seven_bits(sift)
    assert result.dtype == np.uint8 and result.max() <= 127
    assert np.abs(result - np.minimum(exact, 127)).max() <= 0.5 + 1e-4


def test_seven_bits_of_one_large_component_is_clipped() -> None:
    sift = np.zeros((1, 128), np.float32)
    sift[0, 5] = 255
    assert seven_bits(sift).max() == 127


def test_largest_first_and_only_as_many_as_wanted(strip: Path) -> None:
    picture = read_picture(strip / "0.jpg", 640)
    more, some = extract(picture, 200), extract(picture, 100)
    assert len(more.descriptors) == 200 and (np.diff(more.keypoints[:, 2]) <= 0).all()
    assert np.array_equal(more.keypoints[:100], some.keypoints)
    assert np.array_equal(more.descriptors[:100], some.descriptors)
    assert some.searched_size == some.image_size == (640, 480)
    assert some.keypoints.dtype == np.float32 and some.descriptors.dtype == np.uint8


def test_half_the_size_shows_the_same_large_features(strip: Path) -> None:
    picture = read_picture(strip / "0.jpg", 640)
    large, every = extract(picture, 300), extract(picture, 10**6)
    assert len(every.descriptors) > 1000  # more than half the size shows, so the photo was searched whole
    assert every.keypoints[:, 2].min() < large.keypoints[:, 2].min() / 2
    twins = 0
    for x, y, scale, angle in large.keypoints:
        apart = np.hypot(every.keypoints[:, 0] - x, every.keypoints[:, 1] - y)
        turned = np.abs((every.keypoints[:, 3] - angle + 180) % 360 - 180)
        near = (apart < 0.15 * scale) & (np.abs(np.log2(every.keypoints[:, 2] / scale)) < 0.2) & (turned < 10)
        twins += bool(near.any())
    assert twins > 0.8 * len(large.keypoints)


@pytest.mark.parametrize("size", [(64, 48), (1, 1), (640, 1), (5, 3000)])
def test_a_blank_photo_has_no_feature(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size, 128).save(tmp_path / "blank.png")
    blank = extract(read_picture(tmp_path / "blank.png", 640), 512)
    assert blank.keypoints.shape == (0, 4) and blank.descriptors.shape == (0, 128)


def test_threads_change_nothing(strip: Path) -> None:
    one, four = (read_features(find_photos(strip), 512, threads).features for threads in (1, 4))
    assert one.names == four.names == tuple(f"{k}.jpg" for k in range(8))
    for field in FIELDS:
        assert getattr(one, field).tobytes() == getattr(four, field).tobytes()


def test_opencv_threads_are_put_back(strip: Path) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        read_features(find_photos(strip)[:1], 8, 1)
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_unusable_photos_keep_their_reason_and_cost_the_others_nothing(strip: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    Image.new("L", (64, 48)).save(tmp_path / "black.jpg")
    good = [Photo("good", strip / "0.jpg"), Photo("other", strip / "1.jpg")]
    mixed = [good[0], Photo("bad", tmp_path / "bad.jpg"), Photo("black", tmp_path / "black.jpg"), good[1]]
    reading = read_features(mixed, 64, 2)
    assert [photo.name for photo in reading.skipped] == ["bad", "black"]
    assert "not an image" in reading.skipped[0].reason and "no feature" in reading.skipped[1].reason
    assert reading.features.names == ("good", "other")
    assert np.array_equal(reading.features.descriptors, read_features(good, 64, 1).features.descriptors)
    assert reading.decode_seconds > 0 and reading.sift_seconds > 0


def test_stack_pads_with_zeros(strip: Path) -> None:
    picture = read_picture(strip / "0.jpg", 640)
    both = stack(["a", "b"], [extract(picture, 3), extract(picture, 7)])
    assert both.descriptors.shape == (2, 7, 128) and both.sizes.tolist() == [3, 7]
    assert not both.descriptors[0, 3:].any() and not both.keypoints[0, 3:].any()


def test_no_photos() -> None:
    features = read_features([], 512, 2).features
    assert features.names == () and features.descriptors.shape == (0, 0, 128) and features.sizes.dtype == np.int32


def test_parallel_keeps_order_and_stops_at_an_error() -> None:
    assert list(parallel(lambda k: k * k, range(20), 3)) == [k * k for k in range(20)]
    started = []

    def fail(k: int) -> None:
        started.append(k)
        raise ValueError(f"item {k}")

    with pytest.raises(ValueError, match="item 0"):
        list(parallel(fail, range(1000), 1))
    assert len(started) < 1000
