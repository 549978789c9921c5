"""Vectors of a batch from its feature maps: of whole photos, and of what the partner sees too.

One forward pass serves all: an anchor's map is pooled whole, under the mask towards its strong partner, and under the
mask towards its weak partner. Masks are used on the grid of the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from mirror_ext import masked_max_pool
from mirror_sfm.dataset.triplets import MASKS
from mirror_sfm.errors import UsageError
from mirror_sfm.learning.losses import Loss, LossOptions, MaskedPair, batch_loss

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
    """

    kind: str = "max"
    p: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"pooling: kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        if not 0 < self.p <= 100:
            raise UsageError(f"pooling: p must be above 0 and at most 100, got {self.p}")


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


def batch_vectors(maps: Tensor, coverage: Tensor, options: PoolingOptions | None = None) -> Tensor:
    """All vectors a loss needs.

    Args:
        maps: [3, B, C, s, s] of anchors, strong and weak partners.
        coverage: [4, B, s, s] in the order of `MASKS`.
        options: see `PoolingOptions`.

    Returns:
        [7, B, C] float32, or float64 for such maps: rows 0 to 2 of whole photos, the others masked, as in `MASKS`.

    Raises:
        ValueError: maps and masks are of different grids.
    """
    if maps.shape[3:] != coverage.shape[2:]:
        got = f"{list(maps.shape[3:])} and {list(coverage.shape[2:])}"
        raise ValueError(f"batch_vectors: expected maps and masks of one grid, got {got}")
    exact = maps if maps.dtype == torch.float64 else maps.float()
    whole = pooled(exact.flatten(0, 1), None, options).unflatten(0, (WHOLE, -1))
    masks = binarised(coverage)
    masked = [pooled(exact[of], mask, options) for (of, _), mask in zip(MASKS, masks, strict=True)]
    return torch.cat([whole, torch.stack(masked)])


def loss_of(vectors: Tensor, has_mask: Tensor, negatives: Tensor, options: LossOptions) -> Loss:
    """The loss of a whole batch.

    Args:
        vectors: [7, B, C] of `batch_vectors`.
        has_mask: [2, B] bool, whether the strong, the weak pair has masks.
        negatives: [B, 3B] bool.
        options: see `LossOptions`.
    """
    masked = vectors[WHOLE:]
    strong = MaskedPair(masked[0], masked[1], has_mask[0])
    weak = MaskedPair(masked[2], masked[3], has_mask[1])
    return batch_loss(vectors[:WHOLE], strong, weak, options, negatives)
