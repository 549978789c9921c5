"""Learned descriptors as 7-bit integers: any length and any sign in, the 128 numbers 0..127 of the kernel out.

The kernel ranks neighbours by dot product, which for vectors of equal length is the order of their distances. Both stay
as they are when vectors are turned. When all components are raised by 64, to make them positive, a dot product grows by
64 (sum a + sum b) + 128 64^2: the order stays only where every vector has the same sum. Hence

    y = 64 + s H' U' x,      x a unit vector of D components

U [D, m] keeps m = min(D, 127) axes: all of them, or, for D > 127, the strongest of this collection (eigenvectors of
sum x x'; about the origin and not about the mean, because dot products are what counts). H [m, 128] holds rows of the
Hadamard matrix of order 128, all but its row of ones: they are orthonormal, so that distances are kept, they sum to
zero, and they spread each axis evenly over all components, so that few bits suffice. Rounding keeps the sum at zero
(largest remainders). One scale s serves the whole collection and is as large as 7 bits allow.

Descriptors of 128 components that are never negative (RootSIFT) need none of this: y = min(127, round(256 x)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.features import PhotoFeatures, Reading, stack
from mirror_sfm.photos import Skipped

LENGTH = 128  # components the kernel takes
_AXES = LENGTH - 1  # dimensions of the vectors of 128 components that sum to zero
_UNIT = 1 << 14  # a unit vector's length as integers: products and sums of those are exact in float64
_FINE = 1 << 24  # the same for a rotation
_REACH = 62  # largest component after scaling: 63 after the correction of the sum, and 64 + 63 = 127
_SHRUNK = 0.001  # share of the descriptors whose largest component would go beyond: those are shortened


@dataclass(frozen=True)
class Found:
    """Features of one photo as a source has them, largest first.

    Attributes:
        name: of the photo.
        keypoints: [n, 4] float32: x, y (pixels of the photo, first centre at 0, 0), scale, angle (degrees).
        descriptors: [n, 128] uint8, as the kernel takes them, or [n, D] int16 of `unit_integers`.
        size: (width, height) of the photo; (0, 0) where it is not known.
    """

    name: str
    keypoints: NDArray[np.float32]
    descriptors: NDArray[np.uint8] | NDArray[np.int16]
    size: tuple[int, int]


def reading(found: Sequence[Found], skipped: Sequence[Skipped]) -> Reading:
    """What a source gives, from features whose descriptors are all of one kind. Sorted by name."""
    found = sorted(found, key=lambda photo: photo.name)
    whole: list[NDArray[np.uint8]] = [photo.descriptors for photo in found]  # type: ignore[misc]
    if found and found[0].descriptors.dtype == np.int16:
        whole = seven_bits_of([photo.descriptors for photo in found])  # type: ignore[misc]
    photos = [
        PhotoFeatures(photo.keypoints, descriptors, _searched(photo), photo.size, (1.0, 1.0))
        for photo, descriptors in zip(found, whole, strict=True)
    ]
    return Reading(
        features=stack([photo.name for photo in found], photos),
        skipped=tuple(sorted(skipped, key=lambda photo: photo.name)),
        paths={},
        photos=len(found) + len(skipped),
    )


def _searched(photo: Found) -> tuple[int, int]:
    """Size of the photo, or of the part of it where features were found."""
    if photo.size != (0, 0):
        return photo.size
    width, height = np.clip(photo.keypoints[:, :2].max(axis=0, initial=0), 0, 1 << 20) + 1
    return int(width), int(height)


def unit_integers(descriptors: NDArray[np.floating]) -> NDArray[np.int16]:
    """Descriptors [n, D], finite and not zero, scaled to length 1 and rounded to multiples of 2^-14."""
    wide = descriptors.astype(np.float64)
    wide /= np.abs(wide).max(axis=1, keepdims=True)  # squares of the smallest and largest floats stay in range
    return np.rint(wide * (_UNIT / np.linalg.norm(wide, axis=1, keepdims=True))).astype(np.int16)


def seven_bits_of(photos: Sequence[NDArray[np.int16]]) -> list[NDArray[np.uint8]]:
    """Descriptors of a collection in the kernel's form.

    Args:
        photos: of each photo, [n, D] as `unit_integers` gives them; D is the same for all.

    Returns:
        [n, 128] uint8, 0..127, of each photo. The same for any order of the photos.
    """
    if not any(len(photo) for photo in photos):
        return [np.zeros((0, LENGTH), np.uint8) for _ in photos]
    length = photos[0].shape[1]
    if length == LENGTH and all(photo.min(initial=0) >= 0 for photo in photos):
        return [np.minimum(127, np.rint(photo / (_UNIT / 256))).astype(np.uint8) for photo in photos]
    turn = _turn(photos, length)
    turned = [_turned(photo, turn) for photo in photos]
    largest = np.sort(np.concatenate([np.abs(photo).max(axis=1) for photo in turned]))
    scale = _REACH / max(1, int(largest[int((len(largest) - 1) * (1 - _SHRUNK))]))
    return [_shifted(photo, scale) for photo in turned]


def _turn(photos: Sequence[NDArray[np.int16]], length: int) -> NDArray[np.float64]:
    """U H as integers, multiples of 2^-24: [D, 128]."""
    from scipy.linalg import hadamard

    spread = hadamard(LENGTH)[1:].astype(np.float64) / np.sqrt(LENGTH)
    if length <= _AXES:
        return np.rint(spread[:length] * _FINE)
    moment = np.zeros((length, length))
    for photo in photos:
        wide = photo.astype(np.float64)
        moment += wide.T @ wide  # whole numbers below 2^53: exact in any order
    _, axes = np.linalg.eigh(moment)  # rising
    axes = axes[:, : -_AXES - 1 : -1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)  # a sign is free: make it positive
    return np.rint((axes * np.sign(largest)) @ spread * _FINE)


def _turned(photo: NDArray[np.int16], turn: NDArray[np.float64]) -> NDArray[np.int16]:
    """[n, 128] of `unit_integers`, turned. What the weaker axes held is gone, so lengths are made equal again."""
    wide = photo.astype(np.float64) @ turn  # whole numbers below 2^53: exact in any order
    length = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    return np.rint(wide * (_UNIT / np.maximum(length, 1))).astype(np.int16)


def _shifted(photo: NDArray[np.int16], scale: float) -> NDArray[np.uint8]:
    """64 + whole numbers that sum to zero and are as near to scale x photo as such numbers can be."""
    wide = photo * scale
    wide *= np.minimum(1, _REACH / np.maximum(np.abs(wide).max(axis=1, keepdims=True), 1))
    whole = np.rint(wide).astype(np.int32)
    excess = whole.sum(axis=1, keepdims=True)
    # Components by how far rounding moved them up, most first; ties: lowest index. One key each, no two alike.
    key = np.rint((wide - whole) * (1 << 20)).astype(np.int32) * LENGTH + np.arange(LENGTH, dtype=np.int32)
    ranked = np.sort(key, axis=1)
    down = (excess > 0) & (key < np.take_along_axis(ranked, np.clip(excess, 0, LENGTH - 1), axis=1))
    up = (excess < 0) & (key >= np.take_along_axis(ranked, np.clip(LENGTH + excess, 0, LENGTH - 1), axis=1))
    return (64 + whole - down + up).astype(np.uint8)
