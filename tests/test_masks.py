"""Masks: whose they are, what they take away, and what is wrong with them."""

import io
import logging
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirror_sfm import photos
from mirror_sfm.errors import UsageError
from mirror_sfm.features import extract
from mirror_sfm.folder import find_photos
from mirror_sfm.masks import MaskFile, Masks, counted
from mirror_sfm.photos import UnusablePhoto, read_picture
from mirror_sfm.reading import read_features
from mirror_sfm.sources import PhotoFolder

LEFT = np.repeat([[255] * 40 + [0] * 24], 48, axis=0).astype(np.uint8)  # 64 x 48, the left five eighths count


def png(values: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(file, kind, **options)
    return file.getvalue()


def decoded(content: bytes, size: tuple[int, int] = (640, 480)) -> np.ndarray:
    return MaskFile(Path("masks/a.jpg.png"), content).decode(size)


# ---- whose -----------------------------------------------------------------------------------------------------------


def test_the_full_name_comes_before_the_stem(tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    for name in ("left/a.jpg.png", "left/a.png", "left/b.png", "a.b.png"):
        (tmp_path / name).write_bytes(name.encode())
    masks = Masks(tmp_path)
    owners = {
        name: masks.read(name) for name in ("left/a.jpg", "left/a.tif", "left/b.jpg", "a.b.jpg", "b.jpg", "a.jpg")
    }
    assert {name: mask and mask.content.decode() for name, mask in owners.items()} == {
        "left/a.jpg": "left/a.jpg.png",
        "left/a.tif": "left/a.png",
        "left/b.jpg": "left/b.png",
        "a.b.jpg": "a.b.png",
        "b.jpg": None,
        "a.jpg": None,
    }


def test_missing_masks_are_counted_and_said(strip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "3.jpg.png").write_bytes(png(LEFT))
    with caplog.at_level(logging.WARNING, "mirror_sfm"):
        Masks(tmp_path).tell_missing(["3.jpg"])
        assert not caplog.messages
        reading = read_features(find_photos(strip), 16, 2, masks=Masks(tmp_path))
    assert len(reading.features.names) == 8
    assert caplog.messages == ["7 of 8 photos have no mask and count whole, first 0.jpg"]


def test_masks_of_other_photos_are_a_usage_error(strip: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jpg.png").write_bytes(png(LEFT))
    with pytest.raises(UsageError, match=r"no mask in .* belongs to a photo: that of 0.jpg would be 0.jpg.png"):
        read_features(find_photos(strip), 16, 2, masks=Masks(tmp_path))
    with pytest.raises(UsageError, match=r"no such folder of masks: .*nowhere"):
        Masks(tmp_path / "nowhere")


def test_masks_inside_the_folder_are_no_photos(strip: Path, tmp_path: Path) -> None:
    for name in ("0.jpg", "1.jpg"):
        (tmp_path / name).write_bytes((strip / name).read_bytes())
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / "masks" / f"{name}.png").write_bytes(png(LEFT))
    assert PhotoFolder(tmp_path, masks=tmp_path / "masks").read(16, 1).features.names == ("0.jpg", "1.jpg")
    with pytest.raises(UsageError, match="give masks a folder of their own"):
        PhotoFolder(tmp_path, masks=tmp_path).read(16, 1)


# ---- what they take away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [50, 100_000])
def test_masked_features_are_dropped_before_the_largest_are_chosen(strip: Path, count: int) -> None:
    picture = read_picture(strip / "0.jpg", 640)
    every = extract(picture, 100_000)
    whole = extract(picture, count)
    result = extract(picture, count, LEFT > 0)
    assert (result.keypoints[:, 0] + 0.5 < 400).all()
    assert len(result.keypoints) == min(count, (every.keypoints[:, 0] + 0.5 < 400).sum())
    inside = whole.keypoints[whole.keypoints[:, 0] + 0.5 < 400]
    assert np.array_equal(result.keypoints[: len(inside)], inside) and len(inside) < len(whole.keypoints)
    assert np.array_equal(extract(picture, count, np.ones((1, 1), bool)).descriptors, whole.descriptors)


def test_a_mask_follows_the_file_not_the_reduced_picture(tmp_path: Path) -> None:
    """An eighth of this JPEG reaches 7 pixels beyond its edge; the mask ends with the file."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (43, 65), dtype=np.uint8)).resize(
        (5121, 3417), Image.Resampling.BICUBIC
    )
    coarse.save(tmp_path / "a.jpg", quality=80)
    picture = read_picture(tmp_path / "a.jpg", 640)
    mask = np.zeros((3417, 5121), bool)
    mask[:, 4000:] = True
    result, every = extract(picture, 10_000, mask), extract(picture, 10_000)
    x = (every.keypoints[:, 0] + 0.5) * picture.scale[0]
    assert np.array_equal(every.descriptors[x >= 4000], result.descriptors) and len(result.keypoints) > 0


def test_nothing_left_is_a_photo_without_features(strip: Path, tmp_path: Path) -> None:
    (tmp_path / "0.jpg.png").write_bytes(png(np.zeros((48, 64), np.uint8)))
    reading = read_features(find_photos(strip)[:1], 16, 1, masks=Masks(tmp_path))
    assert reading.features.names == () and "no feature" in reading.skipped[0].reason


def test_places_of_a_mask() -> None:
    mask = np.array([[True, False], [False, True]])
    x, y = np.array([(0, 0), (0.49, 0.49), (0.5, 0.49), (0.49, 0.5), (1, 1), (-0.1, 0), (1.1, 1.1), (1.1, 0)]).T
    assert counted(mask, x, y).tolist() == [True, True, False, False, True, True, True, False]


@pytest.mark.parametrize(
    "content",
    [
        png(LEFT),
        png(LEFT // 255),  # 1 is not 0
        png(Image.fromarray(LEFT).convert("1")),
        png(Image.fromarray(LEFT).convert("P")),
        png(Image.fromarray(LEFT).convert("RGB")),
        png(Image.fromarray(LEFT).convert("RGBA")),
        png(Image.fromarray(LEFT).convert("LA")),
        png(LEFT.astype(np.uint16)),
        png(LEFT.astype(np.int32), "TIFF"),
        png(LEFT.astype(np.float32) / 255, "TIFF"),
    ],
)
def test_every_kind_of_mask(content: bytes) -> None:
    assert np.array_equal(decoded(content), LEFT > 0)


# ---- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 48), (640, 480), (1000, 750), (4, 3), (1, 1), (333, 250), (333, 249)])
def test_any_size_of_the_same_proportions(size: tuple[int, int]) -> None:
    assert decoded(png(np.ones(size[::-1], np.uint8))).shape == size[::-1]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((480, 640), "480 x 640 pixels do not fit .* stored as 640 x 480; it seems turned upright"),
        ((48, 64), "seems turned upright"),
        ((640, 640), "640 x 640 pixels do not fit .* stored as 640 x 480; masks have the layout"),
        ((640, 470), "640 x 470"),
    ],
)
def test_other_proportions_are_refused(size: tuple[int, int], message: str) -> None:
    with pytest.raises(UnusablePhoto, match=rf"^its mask masks/a.jpg.png: .*{message}"):
        decoded(png(np.ones(size[::-1], np.uint8)))


def test_a_damaged_mask_costs_its_photo_and_is_named(strip: Path, tmp_path: Path) -> None:
    good = png(LEFT)
    files = {"0.jpg": good[: len(good) // 2], "1.jpg": b"", "2.jpg": b"no picture", "3.jpg": good}
    for name, content in files.items():
        (tmp_path / f"{name}.png").write_bytes(content)
    (tmp_path / "4.jpg.png").symlink_to(tmp_path / "nowhere")
    reading = read_features(find_photos(strip)[:5], 16, 2, masks=Masks(tmp_path))
    assert reading.features.names == ("3.jpg",)
    reasons = {photo.name: photo.reason for photo in reading.skipped}
    assert list(reasons) == ["0.jpg", "1.jpg", "2.jpg", "4.jpg"]
    assert all(f"its mask {tmp_path}/{name}.png: " in reason for name, reason in reasons.items())
    assert "truncated" in reasons["0.jpg"] and "empty" in reasons["1.jpg"] and "broken link" in reasons["4.jpg"]


@pytest.mark.parametrize("attempts", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_masks_are_decoded_or_refused(attempts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_PIXELS", 1_000_000)
    good, rng, refused = png(LEFT), random.Random(attempts), 0
    for _ in range(attempts):
        content = bytearray(good[: rng.randrange(1, len(good) + 1)] if rng.random() < 0.3 else good)
        for _ in range(rng.randrange(3)):
            content[rng.randrange(len(content))] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        try:
            mask = decoded(bytes(content))
        except UnusablePhoto as reason:
            assert str(reason).startswith("its mask ") and "\n" not in str(reason)
            refused += 1
        else:
            assert mask.dtype == bool and mask.ndim == 2
    assert 0 < refused < attempts
