"""The same photo at several sizes: what is large in one photo may be small in another.

Shen et al. halve the photo while its longer side stays at 224 or more, three sizes at most (896 -> 448 -> 224), and
take the same region grid at each. Regional vectors are put side by side, vectors of whole photos are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mirror_sfm.descriptors.aggregation import expect_maps
from mirror_sfm.descriptors.arguments import fail
from mirror_sfm.descriptors.whitening import unit

SMALLEST_SIDE = 224
MOST_SCALES = 3


def halvings(height: int, width: int) -> tuple[float, ...]:
    """The scales of a photo: 1, 1/2, 1/4 as long as its longer side keeps 224 pixels; always 1."""
    scales = [1.0]
    while len(scales) < MOST_SCALES and max(height, width) * scales[-1] / 2 >= SMALLEST_SIDE:
        scales.append(scales[-1] / 2)
    return tuple(scales)


def pyramid(photos: Tensor, scales: Sequence[float] | None = None) -> list[Tensor]:
    """Photos [B, 3, H, W] at every scale, sides rounded, at least one pixel; None: `halvings` of their size.

    Bilinear with anti-aliasing; scale 1 gives the photos themselves.
    """
    expect_maps("pyramid", photos)
    height, width = photos.shape[2:]
    scales = halvings(height, width) if scales is None else scales
    if not scales or min(scales) <= 0:
        fail("pyramid", "scales", "positive numbers, at least one", list(scales))
    sizes = [(max(1, round(height * s)), max(1, round(width * s))) for s in scales]
    return [
        photos
        if size == (height, width)
        else F.interpolate(photos, size, mode="bilinear", align_corners=False, antialias=True)
        for size in sizes
    ]


def multi_scale_regions(
    photos: Tensor, extract: Callable[[Tensor], Tensor], scales: Sequence[float] | None = None
) -> Tensor:
    """Regional vectors of all scales, [B, S R, C], scale by scale in the order given.

    Args:
        photos: [B, 3, H, W].
        extract: photos of one size -> regional vectors [B, R, C]. It computes the grid of each map by itself.
        scales: None: `halvings`.
    """
    return torch.cat([extract(scaled) for scaled in pyramid(photos, scales)], dim=1)


def multi_scale_vectors(
    photos: Tensor, extract: Callable[[Tensor], Tensor], scales: Sequence[float] | None = None
) -> Tensor:
    """One vector per photo, [B, C]: L2 of the mean over scales of the normalised vectors that `extract` gives."""
    return unit(torch.stack([unit(extract(scaled)) for scaled in pyramid(photos, scales)]).mean(dim=0))
