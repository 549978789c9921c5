"""Formats of photos: every layout in sensor coordinates, numbers of every depth, damaged files of every kind."""

import io
import os
import random
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mirror_sfm import photos
from mirror_sfm.features import extract, stack
from mirror_sfm.photos import UnusablePhoto, decode, large_photos_allowed, load_image, read_picture

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = ("jpg", "png", "tif", "webp", "avif", "heic", "jp2", "gif", "bmp", "ppm")
HAS_ORIENTATION = ("jpg", "png", "tif", "webp")


@pytest.fixture(autouse=True)
def heif(request: pytest.FixtureRequest) -> None:
    """Formats that this machine cannot write are skipped."""
    suffix = getattr(request.node, "callspec", None) and request.node.callspec.params.get("suffix")
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    Image.init()
    if suffix == "avif" and "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow writes no AVIF")


@pytest.fixture(scope="session")
def corner(texture: Image.Image) -> Image.Image:
    """128 x 96, no two corners alike."""
    return texture.crop((0, 0, 128, 96)).convert("RGB")


def written(image: Image.Image, suffix: str, orientation: int = 1, **options) -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    if suffix in ("jpg", "webp", "avif", "heic"):
        options = {"quality": 90} | options
    if suffix in (*HAS_ORIENTATION, "avif", "heic"):
        options["exif"] = exif
    image.save(file, Image.registered_extensions()[f".{suffix}"], **options)
    return file.getvalue()


def apart(grey: np.ndarray, image: Image.Image) -> float:
    return float(np.abs(grey.astype(int) - np.asarray(image.convert("L"), int)).mean())


# ---- layout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", HAS_ORIENTATION)
def test_the_layout_is_that_of_the_file(corner: Image.Image, suffix: str, orientation: int) -> None:
    result = decode(written(corner, suffix, orientation), 128)
    assert (result.size, result.scale, result.orientation) == ((128, 96), (1, 1), orientation)
    assert apart(result.grey, corner) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_the_layout_is_that_of_colmap(tmp_path: Path, corner: Image.Image, suffix: str, orientation: int) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    (tmp_path / f"a.{suffix}").write_bytes(written(corner, suffix, orientation))
    theirs = pycolmap.Bitmap.read(tmp_path / f"a.{suffix}", as_rgb=False).to_array()
    ours = read_picture(tmp_path / f"a.{suffix}", 128).grey
    assert theirs.squeeze().shape == ours.shape
    assert np.abs(theirs.squeeze().astype(int) - ours).mean() < 2


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_compressed_tiff_keeps_its_layout(corner: Image.Image, compression: str) -> None:
    result = decode(written(corner, "tif", 6, compression=compression), 128)
    assert (result.size, result.orientation) == ((128, 96), 6)
    assert apart(result.grey, corner) < 4


@pytest.mark.parametrize(
    ("orientation", "turn"), [(6, Image.Transpose.ROTATE_270), (2, Image.Transpose.FLIP_LEFT_RIGHT)]
)
@pytest.mark.parametrize("suffix", ["heic", "avif"])
def test_a_rotation_inside_the_file_is_part_of_the_picture(
    corner: Image.Image, suffix: str, orientation: int, turn: Image.Transpose
) -> None:
    if suffix == "heic":
        import pillow_heif

        exif = Image.Exif()
        exif[0x0112] = orientation
        made, file = pillow_heif.from_pillow(corner), io.BytesIO()
        made[0].info["exif"] = exif.tobytes()
        made.save(file, quality=90)
        content = file.getvalue()
    else:
        content = written(corner, suffix, orientation)
    assert b"irot" in content or b"imir" in content
    result = decode(content, 128)
    turned = corner.transpose(turn)
    assert (result.size, result.orientation) == (turned.size, 1)
    assert apart(result.grey, turned) < 6


@pytest.mark.parametrize("suffix", ["heic"])
def test_exif_alone_turns_no_heic(corner: Image.Image, suffix: str) -> None:
    content = written(corner, suffix, 6)
    assert b"irot" not in content
    result = decode(content, 128)
    assert (result.size, result.orientation) == ((128, 96), 1)
    assert apart(result.grey, corner) < 6


def test_heic_without_its_package_names_the_remedy(corner: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    content = written(corner, "heic")
    monkeypatch.setattr(photos, "_heif_readable", lambda: False)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    monkeypatch.setattr(Image, "OPEN", {name: opener for name, opener in Image.OPEN.items() if name != "HEIF"})
    with pytest.raises(UnusablePhoto, match=r"pip install 'mirror-sfm\[heif\]'"):
        decode(content, 128)


def test_exif_of_heic_is_read_before_any_photo_was_decoded(tmp_path: Path, corner: Image.Image) -> None:
    """With a full cache nothing is decoded, and Pillow must know HEIC all the same."""
    pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    corner.save(tmp_path / "a.heic", quality=90, exif=exif)
    code = "import sys; from mirror_sfm.photos import open_file; print(open_file(sys.argv[1]).getexif()[0x0110])"
    paths = os.pathsep.join((str(ROOT), str(ROOT / "python")))
    command = [sys.executable, "-c", code, str(tmp_path / "a.heic")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, check=True)
    assert done.stdout == "a camera\n"


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_of_several_pictures_the_first_counts(corner: Image.Image, suffix: str) -> None:
    others = [Image.new("RGB", corner.size, "white"), Image.new("RGB", (64, 64), "black")]
    if suffix != "tif":
        others = others[:1]
    content = written(corner, suffix, save_all=True, append_images=others)
    assert Image.open(io.BytesIO(content)).n_frames > 1
    assert apart(decode(content, 128).grey, corner) < 6


def test_colours_are_kept_where_asked_for(corner: Image.Image) -> None:
    red = Image.new("RGB", (1000, 700), (200, 30, 30))
    loaded = load_image(written(red, "jpg", 8), 100)
    assert loaded.image.mode == "RGB" and loaded.image.size == (125, 88) and loaded.shrunk == 8
    assert (loaded.size, loaded.orientation) == ((1000, 700), 8)
    assert np.abs(np.asarray(loaded.image, int)[40, 60] - (200, 30, 30)).max() < 5
    assert load_image(written(red, "jpg"), 100, "L").image.mode == "L"


# ---- places ----------------------------------------------------------------------------------------------------------


def blobs(width: int, height: int) -> tuple[Image.Image, np.ndarray]:
    """A photo of round blobs, and their centres in its pixels, the first pixel's at (0.5, 0.5)."""
    step, radius = max(width, height) / 12, max(width, height) / 640 * 3.5
    rng = np.random.default_rng(3)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    grey, centres = np.full((height, width), 40.0), []
    for row in np.arange(step, height - 0.7 * step, step):
        for column in np.arange(step, width - 0.7 * step, step):
            centre = np.array((column, row)) + rng.uniform(-4, 4, 2)
            near_x, near_y = (np.abs(axis - place) < 6 * radius for axis, place in zip((x, y), centre, strict=True))
            apart_x, apart_y = x[near_x] - centre[0], y[near_y] - centre[1]
            spot = np.exp(-(apart_x**2 + apart_y[:, None] ** 2) / (2 * radius**2))
            grey[np.ix_(near_y, near_x)] += 180 * spot
            centres.append(centre)
    return Image.fromarray(np.clip(grey + 0.5, 0, 255).astype(np.uint8)), np.array(centres)


@pytest.mark.parametrize("searched", ["half", "whole"])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("size", [(2567, 1705), (1281, 961), (427, 640), (333, 251)])
def test_places_are_exact_in_pixels_of_the_file(size: tuple[int, int], suffix: str, searched: str) -> None:
    image, centres = blobs(*size)
    picture = decode(written(image, suffix), 640)
    large = extract(picture, 1).large
    features = stack(["a"], [extract(picture, large if searched == "half" else 10**6)])
    distance = np.linalg.norm(features.sensor_xy(0)[:, None] - centres, axis=2).min(axis=0)
    found = distance < 5
    assert found.mean() > 0.8
    assert distance[found].max() < 0.25


def test_an_eighth_of_a_jpeg_reaches_beyond_its_edge(corner: Image.Image) -> None:
    picture = decode(written(corner.resize((5121, 3417)), "jpg"), 640)
    assert picture.size == (5121, 3417) and picture.grey.shape == (427, 640)
    assert picture.scale == (641 * 8 / 640, 428 * 8 / 427)


# ---- depth -----------------------------------------------------------------------------------------------------------


def tiff(
    values: np.ndarray, orientation: int = 1, separate: bool = False, order: str = "<", big: bool = False
) -> bytes:
    """An uncompressed TIFF of any numbers."""
    samples = 1 if values.ndim == 2 else values.shape[2]
    pixels = np.moveaxis(values, 2, 0) if separate else values
    body = pixels.astype(values.dtype.newbyteorder(order)).tobytes()
    start = 16 if big else 8
    each = len(body) // samples if separate else len(body)
    parts = [start + k * each for k in range(samples if separate else 1)]
    tags = {
        256: ("I", [values.shape[1]]),
        257: ("I", [values.shape[0]]),
        258: ("H", [values.dtype.itemsize * 8] * samples),
        259: ("H", [1]),
        262: ("H", [2 if samples > 1 else 1]),
        273: ("I", parts),
        274: ("H", [orientation]),
        277: ("H", [samples]),
        278: ("I", [values.shape[0]]),
        279: ("I", [each] * len(parts)),
        284: ("H", [2 if separate else 1]),
        339: ("H", [{"u": 1, "i": 2, "f": 3}[values.dtype.kind]] * samples),
    }
    directory, extra = start + len(body), b""
    count, word, room = ("Q", "Q", 8) if big else ("H", "I", 4)
    beyond = directory + struct.calcsize(f"={count}") + len(tags) * (20 if big else 12) + room
    entries = b""
    for tag, (kind, numbers) in tags.items():
        data = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        if len(data) > room:
            data, extra = struct.pack(order + word, beyond + len(extra)), extra + data
        entries += struct.pack(f"{order}HH{word}", tag, {"H": 3, "I": 4}[kind], len(numbers)) + data.ljust(room, b"\0")
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "HHHQ", 43, 8, 0, directory) if big else struct.pack(order + "HI", 42, directory)
    return mark + head + body + struct.pack(order + count, len(tags)) + entries + bytes(room) + extra


DEEP = ["uint16", "int16", "uint32", "int32", "float32", "float64"]


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("kind", DEEP)
def test_deep_tiff(corner: Image.Image, kind: str, colour: bool) -> None:
    if kind == "uint32" and int(cv2.__version__.split(".")[0]) < 5:
        pytest.skip("OpenCV 4 refuses 32-bit integers")
    grey = np.asarray(corner.convert("L"), np.float64) / 255
    span = 1.0 if kind.startswith("f") else float(np.iinfo(kind).max)
    values = (grey * span).astype(kind)
    values = np.repeat(values[..., None], 3, axis=2) if colour else values
    for orientation, order in ((1, "<"), (6, ">"), (2, "<")):
        result = decode(tiff(values, orientation, order=order), 128)
        assert (result.size, result.orientation) == ((128, 96), orientation)
        assert np.corrcoef(result.grey.ravel(), grey.ravel())[0, 1] > 0.995, (orientation, order)
    if kind != "int32":  # which Pillow reads in a large TIFF of neither order
        big = decode(tiff(values, big=True), 128)
        assert np.corrcoef(big.grey.ravel(), grey.ravel())[0, 1] > 0.995


@pytest.mark.parametrize("kind", DEEP)
def test_deep_colours_in_separate_planes_are_refused(corner: Image.Image, kind: str) -> None:
    values = np.asarray(corner).astype(kind)
    with pytest.raises(UnusablePhoto, match="separate planes; save it with interleaved"):
        decode(tiff(values, separate=True), 128)
    assert apart(decode(tiff(np.asarray(corner), separate=True), 128).grey, corner) < 1


def test_a_deep_tiff_has_the_same_limit(corner: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    content = tiff(np.asarray(corner).astype(np.float64))
    monkeypatch.setattr(photos, "MAX_PIXELS", 1000)
    with pytest.raises(UnusablePhoto, match="128 x 96 pixels"):
        decode(content, 128)


# ---- damage ----------------------------------------------------------------------------------------------------------


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut, flipped, with a number made large, or with a piece moved."""
    data = bytearray(content)
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(min(len(data), 400) if rng.random() < 0.5 else len(data))
        if kind == 1:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            number = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff", b"\0\0\0\1"))
            data[place : place + len(number)] = number
        else:
            other = rng.randrange(len(data))
            data[place : place + 16] = data[other : other + 16]
    return bytes(data)


def attack(content: bytes, attempts: int, seed: int) -> tuple[int, int]:
    """How many damaged copies were decoded, how many refused. Anything else is an error of the test."""
    rng, decoded, refused = random.Random(seed), 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged EXIF
        for _ in range(attempts):
            try:
                picture = decode(damaged(content, rng), 64)
            except UnusablePhoto as reason:
                assert str(reason) and "\n" not in str(reason)
                refused += 1
            else:
                assert max(picture.grey.shape) == 64 and picture.grey.dtype == np.uint8
                assert all(scale > 0 for scale in picture.scale) and picture.orientation in range(1, 9)
                decoded += 1
    return decoded, refused


@pytest.mark.parametrize("attempts", [40, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_decoded_or_refused(
    corner: Image.Image, suffix: str, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "MAX_PIXELS", 1_000_000)
    with large_photos_allowed():
        decoded, refused = attack(written(corner, suffix, 6), attempts, seed=attempts)
    assert decoded + refused == attempts and refused > 0


@pytest.mark.parametrize("attempts", [40, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", DEEP)
def test_damaged_deep_tiffs_are_decoded_or_refused(
    corner: Image.Image, kind: str, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "MAX_PIXELS", 1_000_000)
    with large_photos_allowed():
        decoded, refused = attack(tiff(np.asarray(corner).astype(kind), 6), attempts, seed=attempts)
    assert decoded + refused == attempts and refused > 0
