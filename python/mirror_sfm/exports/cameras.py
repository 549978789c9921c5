"""What is known about the camera of a photo, from its EXIF data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mirror_sfm.photos import open_file

_MAKE, _MODEL, _EXIF, _FOCAL, _FOCAL_35 = 0x010F, 0x0110, 0x8769, 0x920A, 0xA405
_FILM_WIDTH = 35.0  # millimetres, COLMAP's value for the focal length of a 35 mm camera
_GUESS = 1.2  # focal length / long side where nothing is known; COLMAP's value too


@dataclass(frozen=True)
class PhotoCamera:
    """Photos with equal cameras share one. `identity` tells apart those of which nothing is known.

    Attributes:
        width, height: pixels.
        focal: focal length in pixels.
        known: whether it is more than a guess.
        identity: maker, model and focal length, or the name of the photo.
    """

    width: int
    height: int
    focal: float
    known: bool
    identity: tuple[str, ...]


def camera_of(name: str, path: Path | None, width: int, height: int) -> PhotoCamera:
    """The camera of a photo of a known size. Without EXIF every photo has its own."""
    make, model, focal, focal_35 = _exif(path)
    known = focal_35 > 0
    pixels = focal_35 / _FILM_WIDTH * max(width, height) if known else _GUESS * max(width, height)
    alike = (make, model, f"{focal:g}", f"{focal_35:g}") if model and (focal or focal_35) else (name,)
    return PhotoCamera(width, height, pixels, known, alike)


def _exif(path: Path | None) -> tuple[str, str, float, float]:
    """Maker, model, focal length in millimetres, the same for 35 mm film; "" and 0 where it does not say."""
    if path is None:
        return "", "", 0.0, 0.0
    try:
        with open_file(path) as image:
            tags = image.getexif()
            detail = tags.get_ifd(_EXIF)
    except Exception:  # damaged EXIF data raises nearly anything; the photo's pixels were fine
        return "", "", 0.0, 0.0
    return (
        _text(tags.get(_MAKE)),
        _text(tags.get(_MODEL)),
        _positive(detail.get(_FOCAL)),
        _positive(detail.get(_FOCAL_35)),
    )


def _text(value: object) -> str:
    return value.strip(" \0") if isinstance(value, str) else ""


def _positive(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return 0.0
    return number if 0 < number < 1e5 else 0.0
