"""Local features of photos: SIFT, largest first, as 7-bit integers. spec: docs/late_interaction.md, 1-2."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.photos import Photo, Picture, Skipped, UnusablePhoto, large_photos_allowed, read_picture
from mirror_sfm.threads import Result, parallel

LONG_SIDE = 640  # 1024 gives the same retrieval quality for four times the time
CONTRAST = 0.02  # OpenCV's own 0.04 starves hazy photos, 0.01 lets noise in


@dataclass(frozen=True)
class PhotoFeatures:
    """Features of one photo, largest first.

    Attributes:
        keypoints: [n, 4] float32: x, y (pixels of the resized photo), scale, angle (degrees).
        descriptors: [n, 128] uint8, 0..127.
        searched_size: (width, height) of the picture they were found in, in pixels.
        image_size: (width, height) of the photo's file, as the sensor stored it; (0, 0) where it is not known.
    """

    keypoints: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    searched_size: tuple[int, int]
    image_size: tuple[int, int]


@dataclass(frozen=True)
class Features:
    """Features of a collection, padded to the same number of rows per photo.

    Attributes:
        names: of the N photos.
        keypoints: [N, n, 4] float32, as in `PhotoFeatures`.
        descriptors: [N, n, 128] uint8.
        sizes: [N] int32, features of each photo.
        diagonals: [N] float32, of the pictures they were found in, in pixels.
        image_sizes: [N, 2] int32, width and height of the photos' files as the sensor stored them; 0 0: not known.
        scales: [N, 2] float32, pixels of the file per pixel of `keypoints`, in x and y.
    """

    names: tuple[str, ...]
    keypoints: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    sizes: NDArray[np.int32]
    diagonals: NDArray[np.float32]
    image_sizes: NDArray[np.int32]
    scales: NDArray[np.float32]

    def sensor_xy(self, row: int) -> NDArray[np.float32]:
        """Key points [sizes[row], 2] of a photo in pixels of its file, COLMAP's way: the first pixel's centre is at
        (0.5, 0.5), and the EXIF orientation is not applied."""
        return (self.keypoints[row, : self.sizes[row], :2] + 0.5) * self.scales[row]

    def take(self, rows: NDArray[np.int64]) -> Features:
        """Features of some of the photos."""
        if np.array_equal(rows, np.arange(len(self.names))):
            return self
        arrays = {
            field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self) if field.name != "names"
        }
        return Features(names=tuple(self.names[row] for row in rows), **arrays)


@dataclass(frozen=True)
class Reading:
    """What a source of photos gives.

    Attributes:
        features: of the usable photos.
        skipped: the others, each with its reason.
        paths: files of the photos by name, where they are known.
        photos: how many there were.
        decode_seconds, sift_seconds: spent by all threads together.
    """

    features: Features
    skipped: tuple[Skipped, ...]
    paths: dict[str, Path]
    photos: int
    decode_seconds: float = 0.0
    sift_seconds: float = 0.0


def extract(picture: Picture, count: int) -> PhotoFeatures:
    """The `count` SIFT features of largest scale. Large ones, not strong ones, carry the overlap of distant photos.

    SIFT searches a photo at twice its size first, which takes four fifths of its time and finds the smallest features.
    The search of the photo at half its size begins one octave later, so it finds the same features without those; only
    a photo that has fewer than `count` of them is searched whole.
    """
    import cv2

    height, width = picture.grey.shape
    half = cv2.resize(picture.grey, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    keypoints, descriptors = _sift(half, count)
    if len(descriptors) < count:
        keypoints, descriptors = _sift(picture.grey, count)
    else:
        keypoints[:, :2] = 2 * keypoints[:, :2] + 0.5  # pixel centres are whole numbers here
        keypoints[:, 2] *= 2
    return PhotoFeatures(keypoints, descriptors, (width, height), picture.size)


def _sift(grey: NDArray[Any], count: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Key points and descriptors, largest first.

    Equal scales are ordered by strength, then by position and angle, so the order never depends on the detector's.
    """
    import cv2

    found, sift = cv2.SIFT.create(contrastThreshold=CONTRAST).detectAndCompute(grey, None)
    if sift is None:
        return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8)
    rows = np.array([(*point.pt, point.size, point.angle, point.response) for point in found], np.float32)
    x, y, size, angle, response = rows.T
    order = np.lexsort((angle, y, x, -response, -size))[:count]
    return np.ascontiguousarray(rows[order, :4]), seven_bits(sift[order])


def seven_bits(sift: NDArray[Any]) -> NDArray[np.uint8]:
    """RootSIFT in 7 bits: min(127, round(256 sqrt(d / |d|_1))). [n, 128] of OpenCV's SIFT to [n, 128] uint8.

    Products of two such numbers never saturate sums of pairs in 16 bits, so that all instruction sets agree exactly.
    """
    total = np.maximum(sift.sum(axis=1, keepdims=True), 1e-9)
    return np.minimum(127, np.round(256 * np.sqrt(sift / total))).astype(np.uint8)


def read_features(photos: Sequence[Photo], count: int, threads: int, progress: bool = False) -> Reading:
    """Decodes photos and finds their features, photo by photo in parallel. The result does not depend on `threads`."""
    with large_photos_allowed(), _one_opencv_thread():
        results = list(_shown(parallel(lambda photo: _read(photo, count), photos, threads), len(photos), progress))
    usable = [
        (photo, result)
        for photo, (result, _, _) in zip(photos, results, strict=True)
        if isinstance(result, PhotoFeatures)
    ]
    skipped = tuple(result for result, _, _ in results if isinstance(result, Skipped))
    return Reading(
        features=stack([photo.name for photo, _ in usable], [result for _, result in usable]),
        skipped=skipped,
        paths={photo.name: photo.path for photo in photos},
        photos=len(photos),
        decode_seconds=sum(decode for _, decode, _ in results),
        sift_seconds=sum(sift for _, _, sift in results),
    )


def stack(names: Sequence[str], photos: Sequence[PhotoFeatures]) -> Features:
    """Puts the features of photos side by side, padded with zeros."""
    capacity = max((len(photo.descriptors) for photo in photos), default=0)
    keypoints = np.zeros((len(photos), capacity, 4), np.float32)
    descriptors = np.zeros((len(photos), capacity, 128), np.uint8)
    for row, photo in enumerate(photos):
        keypoints[row, : len(photo.keypoints)] = photo.keypoints
        descriptors[row, : len(photo.descriptors)] = photo.descriptors
    sizes = np.array([len(photo.descriptors) for photo in photos], np.int32)
    searched = np.array([photo.searched_size for photo in photos], np.float64).reshape(-1, 2)
    image_sizes = np.array([photo.image_size for photo in photos], np.int32).reshape(-1, 2)
    return Features(
        names=tuple(names),
        keypoints=keypoints,
        descriptors=descriptors,
        sizes=sizes,
        diagonals=np.hypot(searched[:, 0], searched[:, 1]).astype(np.float32),
        image_sizes=image_sizes,
        scales=np.where(image_sizes > 0, image_sizes / searched, 1.0).astype(np.float32),
    )


def _read(photo: Photo, count: int) -> tuple[PhotoFeatures | Skipped, float, float]:
    """Features or the reason why there are none; seconds of decoding and of SIFT."""
    started = time.perf_counter()
    try:
        picture = read_picture(photo.path, LONG_SIDE)
    except UnusablePhoto as reason:
        return Skipped(photo.name, str(reason)), time.perf_counter() - started, 0.0
    decoded = time.perf_counter()
    features = extract(picture, count)
    seconds = decoded - started, time.perf_counter() - decoded
    if len(features.descriptors) < 2:
        found = "a single feature" if len(features.descriptors) else "no feature"
        return Skipped(photo.name, f"{found} found, matching needs two: blank, or too dark or blurred"), *seconds
    return features, *seconds


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Photos run in parallel, so OpenCV need not; its setting, one of the whole process, is put back."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _shown(results: Iterator[Result], total: int, progress: bool) -> Iterator[Result]:
    from tqdm import tqdm

    return iter(tqdm(results, "features", total, unit="photo", disable=not progress, leave=False))
