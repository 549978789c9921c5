"""Vectors of a batch from its feature maps: of whole photos, and of what the partner sees too.

One forward pass serves all: an anchor's map is pooled whole, under the mask towards its strong partner, and under the
mask towards its weak partner. Masks are used on the grid of the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from mirror_ext import masked_max_pool, pr_mac, region_max_pool
from mirror_sfm.dataset.triplets import MASKS
from mirror_sfm.descriptors.grids import region_grid
from mirror_sfm.errors import UsageError
from mirror_sfm.learning.losses import CLAMP, Loss, LossOptions, MaskedPair, batch_loss, unit

KINDS = ("max", "avg", "gem")
WHOLE, ROWS = 3, 3 + len(MASKS)  # rows of `batch_vectors`: whole photos, then masked ones in the order of `MASKS`
KEPT = 0.5  # coverage from which a cell counts
SMALLEST = 1e-6  # of activations under a power


@dataclass(frozen=True)
class PoolingOptions:
    """How a map becomes a vector.

    Attributes:
        kind: "max", MAC; "avg", the mean over the cells (SPoC without its prior); "gem", their generalised mean.
        p: exponent of "gem".
        regions: scales of the region grid; with any, triplets compare photos by their regions, as PR-MAC does. Step s
            gives s x s regions. For "max". Masked pairs are compared by their vectors all the same.
    """

    kind: str = "max"
    p: float = 3.0
    regions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"pooling: kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        if not 0 < self.p <= 100:
            raise UsageError(f"pooling: p must be above 0 and at most 100, got {self.p}")
        if any(step < 1 for step in self.regions):
            raise UsageError(f"pooling: regions must be numbers from 1 on, got {list(self.regions)}")
        if self.regions and self.kind != "max":
            raise UsageError(f"pooling: regions need kind: max, got {self.kind!r}")


def binarised(coverage: Tensor) -> Tensor:
    """[..., s, s] coverage in 0..1 -> [..., s, s] bool: cells half covered or more.

    Where there is none, the cells with the most coverage; where nothing is covered, nothing (rule A11).
    """
    kept, most = coverage >= KEPT, coverage.amax(dim=(-2, -1), keepdim=True)
    fallback = (coverage == most) & (most > 0)
    return torch.where(kept.any(-1, keepdim=True).any(-2, keepdim=True), kept, fallback)


def pooled(maps: Tensor, mask: Tensor | None = None, options: PoolingOptions | None = None) -> Tensor:
    """[B, C, s, s] -> [B, C] over the cells a mask [B, s, s] bool keeps; raw, not of norm 1.

    A mask without a cell gives vectors that mean nothing, but finite ones.
    """
    options = options or PoolingOptions()
    if mask is None:
        mask = torch.ones_like(maps[:, 0], dtype=torch.bool)
    if options.kind == "max":
        return cast(Tensor, masked_max_pool(maps, mask))
    weight = mask[:, None].to(maps.dtype)
    cells = weight.sum(dim=(2, 3)).clamp_min(1)
    if options.kind == "avg":
        return (maps * weight).sum(dim=(2, 3)) / cells
    clamped = maps.clamp_min(SMALLEST)
    scale = clamped.amax(dim=(2, 3), keepdim=True).detach()  # powers stay in the range of the type
    mean = ((clamped / scale).pow(options.p) * weight).sum(dim=(2, 3)) / cells
    return mean.clamp_min(SMALLEST**options.p).pow(1 / options.p) * scale[..., 0, 0]


def regional(maps: Tensor, steps: Sequence[int]) -> Tensor:
    """[B, C, s, s] -> [B, R, C], the maximum of every region; raw."""
    boxes = torch.from_numpy(region_grid(maps.shape[2], maps.shape[3], steps))
    return cast(Tensor, region_max_pool(maps, boxes.to(maps.device)))


def regional_distances(regions: Tensor, squared: bool = False) -> Tensor:
    """[P, R, C] raw regions -> [P, P] distances: D^2 = 2 - s(a, b) - s(b, a).

    s(a, b) is PR-MAC, the mean over a's regions of the best cosine among b's. With one region D is the distance of
    unit vectors (1).
    """
    scores = cast(Tensor, pr_mac(unit(regions), symmetric=True))
    square = (2 - scores - scores.T).clamp_min(0)
    return square if squared else square.clamp_min(CLAMP).sqrt()


def batch_vectors(maps: Tensor, coverage: Tensor, options: PoolingOptions | None = None) -> Tensor:
    """All vectors a loss needs.

    Args:
        maps: [3, B, C, s, s] of anchors, strong and weak partners.
        coverage: [4, B, s, s] in the order of `MASKS`.
        options: see `PoolingOptions`.

    Returns:
        [7, B, C] float32, or float64 for such maps: rows 0 to 2 of whole photos, the others masked, as in `MASKS`.
        With R regions [7 + 3 R, B, C]: then come those of the anchors, strong and weak partners.

    Raises:
        ValueError: maps and masks are of different grids.
    """
    if maps.shape[3:] != coverage.shape[2:]:
        got = f"{list(maps.shape[3:])} and {list(coverage.shape[2:])}"
        raise ValueError(f"batch_vectors: expected maps and masks of one grid, got {got}")
    options = options or PoolingOptions()
    exact = maps if maps.dtype == torch.float64 else maps.float()
    whole = pooled(exact.flatten(0, 1), None, options).unflatten(0, (WHOLE, -1))
    masks = binarised(coverage)
    masked = [pooled(exact[of], mask, options) for (of, _), mask in zip(MASKS, masks, strict=True)]
    rows = [whole, torch.stack(masked)]
    if options.regions:
        regions = regional(exact.flatten(0, 1), options.regions)  # [3 B, R, C]
        rows.append(regions.unflatten(0, (WHOLE, -1)).transpose(1, 2).flatten(0, 1))
    return torch.cat(rows)


def loss_of(vectors: Tensor, has_mask: Tensor, negatives: Tensor, options: LossOptions) -> Loss:
    """The loss of a whole batch.

    Args:
        vectors: [7, B, C] of `batch_vectors`, or more rows.
        has_mask: [2, B] bool, whether the strong, the weak pair has masks.
        negatives: [B, 3B] bool.
        options: see `LossOptions`.
    """
    masked, regions, distances = vectors[WHOLE:ROWS], vectors[ROWS:], None
    if len(regions):
        photos = regions.unflatten(0, (WHOLE, -1)).transpose(1, 2).flatten(0, 1)  # [3 B, R, C]
        distances = regional_distances(photos, options.squared)
    strong = MaskedPair(masked[0], masked[1], has_mask[0])
    weak = MaskedPair(masked[2], masked[3], has_mask[1])
    return batch_loss(vectors[:WHOLE], strong, weak, options, negatives, distances)
