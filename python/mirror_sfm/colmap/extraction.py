"""Photos -> cameras and SIFT features in a new COLMAP database, by COLMAP's own extractor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from mirror_sfm.colmap.library import last_words, pycolmap, quiet
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import Skipped, shown

SHARING = {
    "auto": pycolmap.CameraMode.AUTO,  # consecutive photos with the same EXIF and size share a camera
    "single": pycolmap.CameraMode.SINGLE,
    "folder": pycolmap.CameraMode.PER_FOLDER,
    "image": pycolmap.CameraMode.PER_IMAGE,
}


@dataclass(frozen=True)
class CameraOptions:
    """What COLMAP is told about cameras.

    Attributes:
        sharing: which photos share one: "auto", "single" (all), "folder" (those of a folder) or "image" (none).
        model: COLMAP's name, such as SIMPLE_RADIAL, OPENCV or OPENCV_FISHEYE.
    """

    sharing: str = "auto"
    model: str = "SIMPLE_RADIAL"

    def __post_init__(self) -> None:
        if self.sharing not in SHARING:
            raise UsageError(f"camera sharing must be one of {', '.join(SHARING)}, got {shown(self.sharing)}")
        if self.model not in camera_models():
            raise UsageError(f"camera model must be one of {', '.join(camera_models())}, got {shown(self.model)}")


def camera_models() -> list[str]:
    """Names that COLMAP knows."""
    return sorted(name for name in pycolmap.CameraModelId.__members__ if name != "INVALID")


def extract(
    database: Path, photos: Path, names: Sequence[str], cameras: CameraOptions, threads: int, progress: bool
) -> tuple[Skipped, ...]:
    """Adds the photos that the database does not have features of; gives those that could not be read.

    Cameras are made first, for all photos: only so do those that come after each other share them whatever the chunks.
    """
    reader = pycolmap.ImageReaderOptions(camera_model=cameras.model)
    sift = pycolmap.FeatureExtractionOptions(num_threads=threads, use_gpu=False)
    mode, size = SHARING[cameras.sharing], max(16, 4 * threads)
    bar = tqdm(total=len(names), unit="photo", disable=not progress, desc="features")
    try:
        with bar, quiet():
            pycolmap.Database.open(database).close()  # makes it
            pycolmap.import_images(database, photos, mode, list(names), reader)
            for start in range(0, len(names), size):
                chunk = list(names[start : start + size])
                pycolmap.extract_features(database, photos, chunk, mode, reader, sift, pycolmap.Device.cpu)
                bar.update(len(chunk))
    except (RuntimeError, ValueError) as error:
        raise MirrorError(
            f"cannot write features to {shown(str(database))}: {shown(last_words(error))}; is the disk full?"
        ) from error
    return _without_features(database, names)


def _without_features(database: Path, names: Sequence[str]) -> tuple[Skipped, ...]:
    opened = pycolmap.Database.open(database)
    try:
        count = {image.name: opened.num_keypoints_for_image(image.image_id) for image in opened.read_all_images()}
    finally:
        opened.close()
    skipped = []
    for name in names:
        if name not in count:
            skipped.append(Skipped(name, "COLMAP cannot read it; save it as JPEG or PNG"))
        elif not count[name]:
            skipped.append(Skipped(name, "no features were found: blank, or out of focus"))
    return tuple(skipped)
