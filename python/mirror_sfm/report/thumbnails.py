"""Small upright pictures of the photos, with a limit on what all of them take together."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mirror_sfm.photos import UnusablePhoto, decode, large_photos_allowed, load_image, read_file, reasons_in_words
from mirror_sfm.threads import parallel

ALL_BYTES = 10_000_000  # of all thumbnails: 10 kB each for 1,000 photos
SIDES = (512, 448, 384, 320, 256, 208, 160, 128, 96, 64)  # of the longer side, pixels
BYTES_PER_PIXEL = 0.24  # what JPEG takes for photos full of detail, at the first of `QUALITIES`
QUALITIES = (74, 62, 50, 38, 24)


@dataclass(frozen=True)
class Thumbnail:
    """What the report shows of a photo.

    Attributes:
        jpeg: the picture, upright; empty where there is none.
        orientation: EXIF orientation that was applied, 1 to 8.
        missing: why there is no picture; empty where there is one.
    """

    jpeg: bytes
    orientation: int
    missing: str


def make_thumbnails(paths: Sequence[Path | None], threads: int, progress: bool = False) -> list[Thumbnail]:
    """Thumbnails of photos, in their order. A photo without a file, or whose file cannot be read, gets the reason."""
    from tqdm import tqdm

    side, share = side_for(len(paths)), ALL_BYTES // max(1, len(paths))

    def make(path: Path | None) -> Thumbnail:
        if path is None:
            return Thumbnail(b"", 1, "the source has no photo files")
        try:
            return _thumbnail(path, side, share)
        except UnusablePhoto as reason:
            return Thumbnail(b"", 1, str(reason))

    with large_photos_allowed():
        made = parallel(make, paths, threads)
        return list(tqdm(made, "thumbnails", len(paths), unit="photo", disable=not progress, leave=False))


def side_for(photos: int) -> int:
    """Longer side of a thumbnail in pixels: as large as `ALL_BYTES` allows for so many photos."""
    pixels = ALL_BYTES / BYTES_PER_PIXEL / max(1, photos)
    return next((side for side in SIDES if side * side * 3 / 4 <= pixels), SIDES[-1])


def _thumbnail(path: Path, side: int, share: int) -> Thumbnail:
    content = read_file(path)
    loaded = load_image(content, side)
    with reasons_in_words():
        image = _coloured(loaded.image) or Image.fromarray(decode(content, min(side, max(loaded.size))).grey)
        image.thumbnail((side, side), reducing_gap=3.0)
        if loaded.orientation in _TURNS:
            image = image.transpose(_TURNS[loaded.orientation])
        for quality in QUALITIES:
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= share:
                break
    return Thumbnail(file.getvalue(), loaded.orientation, "")


def _coloured(image: Image.Image) -> Image.Image | None:
    """In colour, what is transparent in white; None where more than 8 bits have to be stretched first."""
    if image.mode.startswith(("I", "F")):
        return None
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(points: NDArray[np.floating], orientation: int) -> NDArray[np.floating]:
    """Points [n, 2] of a photo as the sensor stored it, each coordinate from 0 to 1, on the upright photo."""
    x, y = points[:, 0], points[:, 1]
    turned = {
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (1 - y, x),
        7: (1 - y, 1 - x),
        8: (y, 1 - x),
    }
    return np.stack(turned.get(orientation, (x, y)), 1)
