"""Pictures of overlap: the matrix of a scene, and two photos side by side with what both see and what only one does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mirror_sfm.colour import turned_upright
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.exports.files import complete_file
from mirror_sfm.overlap.measured import Overlap
from mirror_sfm.overlap.measuring import sight_of
from mirror_sfm.overlap.options import OverlapOptions
from mirror_sfm.overlap.pixels import Sight, contains
from mirror_sfm.photos import UnusablePhoto, load_image, read_file, shown
from mirror_sfm.scenes.scene import Scene

SHARED, FIRST_ONLY, SECOND_ONLY = (255, 221, 51), (226, 60, 50), (60, 176, 76)  # the paper's yellow, red and green
_LIT, _DIM = 0.45, 0.35  # of the photo's light, under a colour and without one
_SCALE = ((13, 8, 40), (66, 40, 110), (140, 60, 110), (214, 95, 70), (250, 165, 55), (252, 240, 150))  # 0 to 1
_MATRIX = 900  # pixels of a matrix, about
_NAMED = 64  # photos whose names are written beside it
_EDGE = 8
_TEXT = 14


def draw_matrix(overlap: Overlap, measure: str) -> Image.Image:
    """Halves of a measure as a picture: row i, column j is the share of what i sees that j sees too, dark to light.

    Raises:
        UsageError: the scene has no such measure, or no photos.
    """
    if measure not in overlap.halves:
        raise UsageError(f"this scene has no overlap in {measure}, only in {', '.join(overlap.halves)}")
    if not overlap.names:
        raise UsageError("a scene without photos has no matrix")
    count = len(overlap.names)
    cell = max(1, _MATRIX // count)
    colours = np.array(_SCALE, np.float64)
    steps = np.linspace(0, 1, len(colours))

    def coloured(values: NDArray[np.float64]) -> NDArray[np.uint8]:
        bands = [np.interp(values, steps, colours[:, band]) for band in range(3)]
        return np.rint(np.stack(bands, -1)).astype(np.uint8)

    cells = Image.fromarray(coloured(overlap.matrix(measure))).resize((cell * count,) * 2, Image.Resampling.NEAREST)
    font, names = _font(), [_drawable(name) for name in overlap.names] if count <= _NAMED else []
    margin = max((round(font.getlength(name)) for name in names), default=0) + 2 * _EDGE
    picture = Image.new("RGB", (margin + cells.width + 7 * _EDGE + 5 * _TEXT, margin + cells.height + _EDGE), "white")
    picture.paste(cells, (margin, margin))
    pen = ImageDraw.Draw(picture)
    for k, name in enumerate(names):
        middle = margin + k * cell + cell // 2
        pen.text((margin - _EDGE, middle), name, "black", font, "rm")
        picture.paste(_standing(name, font), (middle - _TEXT // 2, margin - _EDGE - round(font.getlength(name))))
    ramp = coloured(np.linspace(1, 0, cells.height)[:, None].repeat(2 * _EDGE, 1))
    left = margin + cells.width + 2 * _EDGE
    picture.paste(Image.fromarray(ramp), (left, margin))
    for value in (0, 0.25, 0.5, 0.75, 1):
        at = margin + (1 - value) * (cells.height - 1)
        pen.text((left + 3 * _EDGE, at), f"{value:g}", "black", font, "lm")
    return picture


def draw_pairs(scene: Scene, pairs: list[tuple[str, str]], options: OverlapOptions | None = None) -> list[Image.Image]:
    """Pairs of photos side by side, upright and dimmed: yellow what both see, red what only the first does, green
    what only the second does; without a colour where there is no surface. Photos without a file are black.

    Raises:
        UsageError: a photo is not in the scene, or has no pose.
        MirrorError: the scene has no surface, or a photo cannot be read.
    """
    place = {view.name: row for row, view in enumerate(scene.views)}
    for name in (name for pair in pairs for name in pair):
        if name in scene.unregistered:
            raise UsageError(f"{shown(name)} has no pose in this scene: nothing is known of what it sees")
        if name not in place:
            raise UsageError(f"no photo of the scene is called {shown(name)}")
    sight = sight_of(scene, options or OverlapOptions(), {place[name] for pair in pairs for name in pair})
    if sight is None:
        raise MirrorError(f"scene {shown(scene.name)} has no surface to draw pairs on: give a mesh or depth maps")
    return [_pair(scene, sight, place[a], place[b]) for a, b in pairs]


def save_picture(path: str | os.PathLike[str], picture: Image.Image) -> None:
    """Writes a PNG or JPEG, by the suffix.

    Raises:
        MirrorError: it cannot be written.
    """
    path = Path(path)
    with complete_file(path) as file:
        picture.save(file, "PNG" if path.suffix.lower() == ".png" else "JPEG", quality=90)


def _pair(scene: Scene, sight: Sight, a: int, b: int) -> Image.Image:
    halves = []
    for view, other, only in ((a, b, FIRST_ONLY), (b, a, SECOND_ONLY)):
        [(_, ids)] = sight.batches(np.array([view]))
        sets, rows = sight.sets(view, np.array([other]))
        any_, both = ids[0] >= 0, contains(sets[rows[0]], ids[0])
        share = both.sum() / max(1, any_.sum())
        picture = _coloured(scene, scene.views[view].name, any_, both, only)
        halves.append((picture, f"{_drawable(scene.views[view].name)}: {share:.0%} shared"))
    height = max(picture.height for picture, _ in halves)
    width = sum(picture.width for picture, _ in halves) + _EDGE
    sheet = Image.new("RGB", (width, height + _TEXT + 2 * _EDGE), "white")
    pen, left = ImageDraw.Draw(sheet), 0
    for picture, caption in halves:
        sheet.paste(picture, (left, 0))
        pen.text((left + _EDGE, height + _EDGE), caption, "black", _font())
        left += picture.width + _EDGE
    return sheet


def _coloured(
    scene: Scene, name: str, any_: NDArray[np.bool_], both: NDArray[np.bool_], only: tuple[int, int, int]
) -> Image.Image:
    photo, orientation = _photo(scene, name, (any_.shape[1], any_.shape[0]))
    tint = np.where(both[..., None], np.array(SHARED), np.array(only))
    mixed = np.where(any_[..., None], _LIT * photo + (1 - _LIT) * tint, _DIM * photo)
    return Image.fromarray(np.ascontiguousarray(turned_upright(np.rint(mixed).astype(np.uint8), orientation)))


def _photo(scene: Scene, name: str, size: tuple[int, int]) -> tuple[NDArray[np.float64], int]:
    """[height, width, 3] as the sensor stored it, and its EXIF orientation."""
    if scene.images is None:
        return np.zeros((size[1], size[0], 3)), 1
    try:
        loaded = load_image(read_file(scene.images / name), max(size))
        image = loaded.image
        if image.mode.startswith(("I", "F")):
            values = np.asarray(image, np.float64)
            low, high = np.quantile(values, (0.01, 0.99))
            image = Image.fromarray(np.uint8(np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255))
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX), np.float64), loaded.orientation
    except UnusablePhoto as reason:
        raise MirrorError(f"{shown(name)}: {reason}") from reason


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_TEXT)


def _standing(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    """Text to be read from below upwards."""
    line = Image.new("RGB", (round(font.getlength(text)), _TEXT + 4), "white")
    ImageDraw.Draw(line).text((0, 0), text, "black", font)
    return line.transpose(Image.Transpose.ROTATE_90)


def _drawable(name: str) -> str:
    """A name in the letters of the font, its end where it is long."""
    plain = shown(name).encode("ascii", "replace").decode()
    return plain if len(plain) <= 40 else f"...{plain[-37:]}"
