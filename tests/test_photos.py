"""Photos of every kind that folders hold, good and bad."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mirror_sfm import photos
from mirror_sfm.folder import find_photos
from mirror_sfm.photos import UnusablePhoto, large_photos_allowed, read_picture, shown


@pytest.fixture
def picture(texture: Image.Image) -> Image.Image:
    return texture.crop((0, 0, 640, 480))


def grey(path: Path) -> np.ndarray:
    return read_picture(path, 640).grey.astype(int)


# ---- pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "convert", "error"),
    [
        ("grey.png", lambda p: p, 0),
        ("colour.png", lambda p: p.convert("RGB"), 0),
        ("colour.jpg", lambda p: p.convert("RGB"), 4),
        ("grey.jpg", lambda p: p, 4),
        ("cmyk.jpg", lambda p: p.convert("RGB").convert("CMYK"), 4),
        ("palette.png", lambda p: p.convert("P"), 1),
        ("palette.gif", lambda p: p.convert("P"), 1),
        ("opaque.png", lambda p: p.convert("RGBA"), 0),
        ("opaque_grey.png", lambda p: p.convert("LA"), 0),
        ("ycbcr.tif", lambda p: p.convert("RGB").convert("YCbCr"), 1),
        ("colour.webp", lambda p: p.convert("RGB"), 6),
        ("colour.bmp", lambda p: p.convert("RGB"), 0),
        ("mislabelled.jpg", lambda p: p, 0),
    ],
)
def test_every_mode_gives_the_same_grey(tmp_path: Path, picture: Image.Image, name: str, convert, error: float) -> None:
    kind = "PNG" if name.startswith("mislabelled") else None
    convert(picture).save(tmp_path / name, format=kind)
    assert np.abs(grey(tmp_path / name) - np.asarray(picture, int)).mean() <= error


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_colour_keeps_its_brightness(tmp_path: Path, picture: Image.Image, suffix: str) -> None:
    wide = np.asarray(picture.convert("RGB")).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / f"wide.{suffix}"), wide)
    assert np.abs(grey(tmp_path / f"wide.{suffix}") - np.asarray(picture, int)).max() <= 1


@pytest.mark.parametrize("scale", [1, 16, 257])
def test_16_bit_grey_is_stretched_whatever_part_of_its_range_it_uses(
    tmp_path: Path, picture: Image.Image, scale: int
) -> None:
    values = np.asarray(picture).astype(np.uint16) * scale
    Image.fromarray(values).save(tmp_path / "wide.png")
    result = grey(tmp_path / "wide.png")
    low, high = np.percentile(values, (0.1, 99.9))
    expected = np.clip((values.astype(float) - low) / (high - low) * 255, 0, 255)
    assert np.abs(result - expected).max() <= 0.51


def test_float_grey_with_holes(tmp_path: Path, picture: Image.Image) -> None:
    values = np.asarray(picture, np.float32) / 1000
    values[:10] = np.nan
    Image.fromarray(values).save(tmp_path / "depth.tif")
    assert grey(tmp_path / "depth.tif").std() > 30


@pytest.mark.parametrize("value", [0, 1000, 65535])
def test_16_bit_constant_is_constant(tmp_path: Path, value: int) -> None:
    Image.fromarray(np.full((48, 64), value, np.uint16)).save(tmp_path / "flat.png")
    assert grey(tmp_path / "flat.png").std() == 0


def test_transparency_becomes_mean_grey(tmp_path: Path, picture: Image.Image) -> None:
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (0, 0, 320, 480))
    masked = picture.convert("RGB")
    masked.putalpha(alpha)
    masked.save(tmp_path / "mask.png")
    result, seen = grey(tmp_path / "mask.png"), np.asarray(picture, int)[:, 320:]
    assert np.abs(result[:, 320:] - seen).max() <= 1
    assert np.abs(result[:, :320] - seen.mean()).max() <= 1


def test_transparent_palette(tmp_path: Path, picture: Image.Image) -> None:
    picture.convert("P").save(tmp_path / "p.png", transparency=0)
    assert np.abs(grey(tmp_path / "p.png") - np.asarray(picture, int)).mean() < 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_recorded_and_not_applied(tmp_path: Path, picture: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    result = read_picture(tmp_path / "turned.jpg", 640)
    assert result.orientation == orientation
    assert result.size == (640, 480)
    assert np.abs(result.grey.astype(int) - np.asarray(picture, int)).mean() < 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b""])
def test_damaged_exif_does_not_cost_the_photo(tmp_path: Path, picture: Image.Image, exif: bytes) -> None:
    picture.save(tmp_path / "exif.jpg", exif=exif)
    assert read_picture(tmp_path / "exif.jpg", 640).orientation == 1


@pytest.mark.parametrize("size", [(1, 1), (640, 1), (3, 5000), (64, 48), (4000, 3000), (2561, 1441)])
def test_the_long_side_is_what_was_asked_for(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size, 90).save(tmp_path / "any.jpg")
    result = read_picture(tmp_path / "any.jpg", 640)
    assert max(result.grey.shape) == 640
    assert result.size == size
    assert result.grey.shape == tuple(max(1, round(side * 640 / max(size))) for side in reversed(size))
    assert np.abs(result.grey.astype(int) - 90).max() <= 1


# ---- unusable --------------------------------------------------------------------------------------------------------


def png_of(width: int, height: int) -> bytes:
    """A small file that claims to be a large picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def bad_files(picture: Image.Image, folder: Path) -> dict[str, bytes]:
    picture.save(folder / "whole.jpg")
    picture.save(folder / "whole.png")
    jpeg, png = (folder / "whole.jpg").read_bytes(), (folder / "whole.png").read_bytes()
    return {
        "empty.jpg": b"",
        "text.jpg": b"this is a letter\n",
        "zeros.png": bytes(5000),
        "half.jpg": jpeg[: len(jpeg) // 2],
        "start.jpg": jpeg[:150],
        "half.png": png[: len(png) // 2],
        "bomb.png": png_of(60000, 60000),
        "lies.png": png_of(640, 480),
        "fake.heic": b"\0\0\0\x18ftypheic" + bytes(100),
        "fake.gif": b"GIF89a" + bytes(3),
        "fake.tif": b"II*\0\x08\0\0\0" + bytes(20),
        "fake.webp": b"RIFF\x10\0\0\0WEBPVP8 " + bytes(8),
    }


def test_unusable_files_say_why_in_one_line(tmp_path: Path, picture: Image.Image) -> None:
    reasons = {}
    for name, content in bad_files(picture, tmp_path).items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnusablePhoto) as caught, large_photos_allowed():
            read_picture(tmp_path / name, 640)
        reasons[name] = str(caught.value)
    assert all(reason and "\n" not in reason for reason in reasons.values()), reasons
    assert "empty" in reasons["empty.jpg"]
    assert "not an image" in reasons["text.jpg"]
    assert "truncated" in reasons["half.jpg"]
    assert "truncated" in reasons["half.png"]
    assert "60000 x 60000" in reasons["bomb.png"] and "500 million" in reasons["bomb.png"]


def test_fully_transparent_and_fully_undefined(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 48), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((48, 64), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(UnusablePhoto, match="transparent"):
        read_picture(tmp_path / "clear.png", 640)
    with pytest.raises(UnusablePhoto, match="finite"):
        read_picture(tmp_path / "nan.tif", 640)


def test_broken_links_and_pipes_do_not_hang(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert len(find_photos(tmp_path)) == 2
    for photo in find_photos(tmp_path):
        with pytest.raises(UnusablePhoto, match="not a regular file"):
            read_picture(photo.path, 640)


def test_pillow_limit_is_lifted_and_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(photos, "MAX_PIXELS", 10_000)
    Image.new("L", (100, 101)).save(tmp_path / "large.png")
    Image.new("L", (100, 100)).save(tmp_path / "just.png")
    with large_photos_allowed():
        assert Image.MAX_IMAGE_PIXELS is None
        read_picture(tmp_path / "just.png", 64)
        with pytest.raises(UnusablePhoto, match="100 x 101 pixels"):
            read_picture(tmp_path / "large.png", 64)
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a b.jpg", "a b.jpg"),
        ("a\nb", "a\\nb"),
        ("é漢.jpg", "é漢.jpg"),
        ("\udcff.jpg", "\\udcff.jpg"),
        ("\x1b[2J", "\\x1b[2J"),
    ],
)
def test_names_are_shown_on_one_line_of_utf8(name: str, text: str) -> None:
    assert shown(name) == text
    shown(name).encode()
