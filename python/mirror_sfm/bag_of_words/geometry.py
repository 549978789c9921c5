"""Weak geometric consistency (Jégou, Douze, Schmid, ECCV 2008): true matches turn and grow alike.

Between two photos of one thing the matched key points turn by about one angle and grow by about one factor. For every
photo the matches vote for both, in two histograms; the photo's score is the lesser of the two maxima:

    s = min(max_a A[a], max_b B[b])

A change near the edge of two bins splits its votes. So `smooth` neighbours on either side count with a bin; angles are
a circle, scales are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.bag_of_words.index import sums
from mirror_sfm.errors import UsageError

OCTAVES = 8  # greater changes of scale count as this one


@dataclass(frozen=True)
class GeometryOptions:
    """The two histograms.

    Attributes:
        orientation_bins: of 360 / orientation_bins degrees; the first begins at 0.
        scale_bin: width in octaves; the middle one is centred on an unchanged scale.
        smooth: neighbours on either side that count with a bin.
    """

    orientation_bins: int = 16
    scale_bin: float = 0.5
    smooth: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.orientation_bins <= 360:
            raise UsageError(f"orientation_bins must be between 1 and 360, got {self.orientation_bins}")
        if not 1 / 16 <= self.scale_bin <= OCTAVES:
            raise UsageError(f"scale_bin must be between 1/16 and {OCTAVES} octaves, got {self.scale_bin}")
        most = (self.orientation_bins - 1) // 2
        if not 0 <= self.smooth <= most:
            raise UsageError(f"smooth must be between 0 and {most}: more would count a bin twice; got {self.smooth}")

    @property
    def scale_side(self) -> int:
        """Bins on either side of the middle one."""
        return math.floor(OCTAVES / self.scale_bin + 0.5)


def histograms(
    photo: NDArray[Any],
    degrees: NDArray[Any],
    octaves: NDArray[Any],
    weight: NDArray[np.float64],
    photos: int,
    options: GeometryOptions,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The votes of matches, photo by photo.

    Args:
        photo: [m] integers, 0..photos - 1, whom the match is with.
        degrees: [m] how far the key point turned, any multiple of 360 more or less.
        octaves: [m] log2 of how much it grew.
        weight: [m] of the match.
        photos: how many.
        options: the bins.

    Returns:
        [photos, orientation_bins], and [photos, 2 scale_side + 1] whose middle column is the unchanged scale.
    """
    bins, side = options.orientation_bins, options.scale_side
    turned = np.floor(np.mod(degrees, 360) / (360 / bins)).astype(np.int64) % bins
    grown = np.clip(np.floor(octaves / options.scale_bin + 0.5), -side, side).astype(np.int64) + side
    votes = [
        sums(photo * width + bin_, weight, photos * width).reshape(photos, width)
        for bin_, width in ((turned, bins), (grown, 2 * side + 1))
    ]
    return votes[0], votes[1]


def agreement(
    orientation: NDArray[np.float64], scale: NDArray[np.float64], options: GeometryOptions
) -> NDArray[np.float64]:
    """[photos]: the lesser of the maxima of both histograms (of `histograms`), neighbours counted."""
    reach = range(-options.smooth, options.smooth + 1)
    around = sum(np.roll(orientation, shift, axis=1) for shift in reach)
    padded = np.pad(scale, ((0, 0), (options.smooth, options.smooth)))
    beside = sum(padded[:, options.smooth + shift :][:, : scale.shape[1]] for shift in reach)
    return np.minimum(np.max(around, axis=1), np.max(beside, axis=1))
