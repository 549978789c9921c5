"""Local features of photos: SIFT, largest first, as 7-bit integers. spec: docs/late_interaction.md, 1-2."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.masks import counted
from mirror_sfm.photos import Picture, Skipped

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
        scale: pixels of the file per pixel of `keypoints`, in x and y; None: what the two sizes say.
        large: how many there are in the photo at half its size (see `extract`); 0 where nobody counted.
    """

    keypoints: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    searched_size: tuple[int, int]
    image_size: tuple[int, int]
    scale: tuple[float, float] | None = None
    large: int = 0


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


def extract(picture: Picture, count: int, mask: NDArray[np.bool_] | None = None) -> PhotoFeatures:
    """The `count` SIFT features of largest scale. Large ones, not strong ones, carry the overlap of distant photos.

    SIFT searches a photo at twice its size first, which takes four fifths of its time and finds the smallest features.
    The search of the photo at half its size begins one octave later, so it finds the same features without those; only
    a photo that has fewer than `count` of them is searched whole.

    Args:
        picture: the photo.
        count: how many.
        mask: [height, width] in any size, True where the photo counts; features elsewhere do not.
    """
    import cv2

    height, width = picture.grey.shape
    half = cv2.resize(picture.grey, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    keypoints, descriptors, large = _sift(half, 2, picture, count, mask)
    if large < count:
        keypoints, descriptors, _ = _sift(picture.grey, 1, picture, count, mask)
    return PhotoFeatures(keypoints, descriptors, (width, height), picture.size, picture.scale, large)


def _sift(
    grey: NDArray[Any], shrunk: int, picture: Picture, count: int, mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.uint8], int]:
    """The `count` largest key points, in pixels of the picture, their descriptors, and how many there were of any size.

    Equal scales are ordered by strength, then by position and angle, so the order never depends on the detector's.

    Args:
        grey: what is searched: the picture, `shrunk` times smaller.
    """
    import cv2

    found, sift = cv2.SIFT.create(contrastThreshold=CONTRAST).detectAndCompute(grey, None)
    if sift is None:
        return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8), 0
    rows = np.array([(*point.pt, point.size, point.angle, point.response) for point in found], np.float32)
    x, y, size, angle, response = rows.T
    order = np.lexsort((angle, y, x, -response, -size))
    # From 0 to 1 across the picture. OpenCV doubles the picture first, which moves its pixel x to 2x + 0.5, and takes
    # what it finds there at 2x + 0.5 for x + 0.25: a known bias (its switch for it changes the features).
    places = (rows[order, :2] - 0.25 + 0.5) / (grey.shape[1], grey.shape[0])
    if mask is not None:
        sides = np.array(picture.scale) * picture.grey.shape[::-1] / picture.size  # of the picture, in photos
        seen = counted(mask, *(places * sides).T)
        order, places = order[seen], places[seen]
    largest = order[:count]
    keypoints = np.empty((len(largest), 4), np.float32)
    keypoints[:, :2] = places[:count] * picture.grey.shape[::-1] - 0.5
    keypoints[:, 2] = size[largest] * shrunk
    keypoints[:, 3] = angle[largest]
    return keypoints, seven_bits(sift[largest]), len(order)


def seven_bits(sift: NDArray[Any]) -> NDArray[np.uint8]:
    """RootSIFT in 7 bits: min(127, round(256 sqrt(d / |d|_1))). [n, 128] of OpenCV's SIFT to [n, 128] uint8.

    Products of two such numbers never saturate sums of pairs in 16 bits, so that all instruction sets agree exactly.
    """
    total = np.maximum(sift.sum(axis=1, keepdims=True), 1e-9)
    return np.minimum(127, np.round(256 * np.sqrt(sift / total))).astype(np.uint8)


def featureless(names: Sequence[str]) -> Features:
    """Photos whose features nobody looked at."""
    none = PhotoFeatures(np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8), (1, 1), (0, 0))
    return stack(names, [none] * len(names))


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
    scales = np.where(image_sizes > 0, image_sizes / searched, 1.0)
    for row, photo in enumerate(photos):
        scales[row] = photo.scale or scales[row]
    return Features(
        names=tuple(names),
        keypoints=keypoints,
        descriptors=descriptors,
        sizes=sizes,
        diagonals=np.hypot(searched[:, 0], searched[:, 1]).astype(np.float32),
        image_sizes=image_sizes,
        scales=scales.astype(np.float32),
    )
