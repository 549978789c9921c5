"""One vector per feature map, or one per region of it.

Maps are float tensors [B, C, H, W], after ReLU where nothing else is said; vectors have norm 1 (a map of zeros gives a
zero vector) unless they are called raw. All are differentiable. Sources are in `docs/descriptors.md`.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import mirror_ext
from mirror_sfm.descriptors.arguments import expect_choice, expect_shape, fail
from mirror_sfm.descriptors.whitening import unit

POOLS = ("max", "avg", "l2")
RMAC_ORDERS = ("rmac_tolias", "rmac_sum", "rmac_cirtorch")
Boxes: TypeAlias = NDArray[np.int64] | Tensor  # [R, 4] row, column, height, width, as region_grid gives them


class Whitens(Protocol):
    """What a whitening does: vectors [..., C] -> unit vectors [..., d]."""

    def apply(self, vectors: Tensor) -> Tensor: ...


# ---- the whole map ---------------------------------------------------------------------------------------------------


def mac(features: Tensor) -> Tensor:
    """Maximum activations of convolutions, [B, C]: f_c = max_p F_c[p] (Razavian et al. 2014; Tolias et al. 2016)."""
    return unit(expect_maps("mac", features).amax(dim=(2, 3)))


def spoc(features: Tensor, centre_prior: bool = False) -> Tensor:
    """Sum-pooled convolutional features, [B, C]: f_c = sum_p w[p] F_c[p] (Babenko, Lempitsky, ICCV 2015).

    w = 1; with `centre_prior` w[p] = exp(-|p - p0|^2 / (2 sigma^2)), p0 the centre of the map and sigma a third of the
    distance from it to the closest border. The prior suits photos of one object, not overlap: hence off.
    """
    _, _, height, width = expect_maps("spoc", features).shape
    if not centre_prior:
        return unit(features.sum(dim=(2, 3)))
    sigma = min(height, width) / 6
    y, x = (torch.arange(n, dtype=features.dtype, device=features.device) + 0.5 - n / 2 for n in (height, width))
    weight = torch.exp(-(y[:, None] ** 2 + x**2) / (2 * sigma**2))
    return unit((features * weight).sum(dim=(2, 3)))


def crow(features: Tensor) -> Tensor:
    """Cross-dimensional weighting, [B, C]: f_c = I_c sum_p S[p] F_c[p] (Kalantidis, Mellina, Osindero, ECCVW 2016).

    S[p] = sqrt(s[p] / |s|), s[p] = sum_c F_c[p]; I_c = log(sum_h q_h / q_c), q_c the share of positive cells, 0 where
    there are none. Both weights count as constants for the gradient.
    """
    constant = expect_maps("crow", features).detach()
    strength = constant.sum(dim=1, keepdim=True).clamp_min(0)
    spatial = unit(strength.flatten(1)).view_as(strength).sqrt()
    positive = (constant > 0).to(features.dtype).mean(dim=(2, 3))
    channel = torch.log(positive.sum(dim=1, keepdim=True) / positive)
    channel = torch.where(positive > 0, channel, torch.zeros_like(channel))
    return unit(channel * (features * spatial).sum(dim=(2, 3)))


def gem(features: Tensor, p: float | Tensor = 3.0, eps: float = 1e-6) -> Tensor:
    """Generalised mean, [B, C]: f_c = mean_p(max(F_c[p], eps)^p)^(1/p) (Radenovic, Tolias, Chum, PAMI 2019).

    p = 1 is the mean, p -> infinity the maximum. `p` may be a tensor that is learned, one number or one per channel.
    """
    clamped = expect_maps("gem", features).clamp_min(eps)
    exponent = torch.as_tensor(p, dtype=features.dtype, device=features.device)
    if bool((exponent <= 0).any()):
        fail("gem", "p", "positive numbers", exponent.min().item())
    scale = clamped.amax(dim=(2, 3), keepdim=True).detach()  # the mean does not leave the range of the type then
    mean = (clamped / scale).pow(exponent.reshape(-1, 1, 1)).mean(dim=(2, 3))
    return unit(mean.pow(1 / exponent) * scale[..., 0, 0])


# ---- regions ---------------------------------------------------------------------------------------------------------


def region_vectors(features: Tensor, boxes: Boxes, pool: str = "max") -> Tensor:
    """Raw vectors of regions, [B, R, C].

    Args:
        features: [B, C, H, W].
        boxes: [R, 4] row, column, height, width, inside the map.
        pool: "max"; "avg", the mean; "l2", the root of the mean square.
    """
    expect_choice("region_vectors", "pool", pool, POOLS)
    boxes = _inside("region_vectors", boxes, expect_maps("region_vectors", features))
    if pool == "max":
        return cast(Tensor, mirror_ext.region_max_pool(features, boxes.to(features.device)))
    means = _region_mean(features if pool == "avg" else features.square(), boxes)
    if pool == "avg":
        return means
    positive = means > 0  # the root of zero has no gradient: none is passed there
    return torch.where(positive, torch.where(positive, means, 1.0).sqrt(), 0.0)


def pr_mac_vectors(features: Tensor, boxes: Boxes, whitening: Whitens | None = None, pool: str = "max") -> Tensor:
    """Regional vectors for `mirror_ext.pr_mac`, [B, R, d]: region max -> L2 -> whiten -> L2.

    T. Shen et al., *Matchable Image Retrieval by Learning from Surface Reconstruction*, ACCV 2018. `whitening` is
    fitted on regional vectors; None leaves it out.
    """
    regions = unit(region_vectors(features, boxes, pool))
    return regions if whitening is None else whitening.apply(regions)


def rmac(
    features: Tensor,
    boxes: Boxes,
    whitening: Whitens | None = None,
    order: str = "rmac_tolias",
    add_global: bool = False,
) -> Tensor:
    """Regional maximum activations, one vector per map, [B, d], in one of the three published orders.

    rmac_tolias    region max -> L2 -> whiten -> L2 -> sum -> L2    (Tolias et al.; whitening of regional vectors)
    rmac_sum       region max -> sum -> L2 -> whiten -> L2          (program of Shen et al.; of image vectors)
    rmac_cirtorch  region max -> L2 -> sum -> L2 -> whiten -> L2    (program of Radenovic et al.; of image vectors)

    Args:
        features: [B, C, H, W].
        boxes: [R, 4].
        whitening: None leaves it out.
        order: see above.
        add_global: the whole map is one more region, as in the program of Radenovic et al.
    """
    expect_choice("rmac", "order", order, RMAC_ORDERS)
    raw = region_vectors(features, boxes)
    if add_global:
        raw = torch.cat([raw, features.amax(dim=(2, 3))[:, None]], dim=1)
    return rmac_from_regions(raw, whitening, order)


def rmac_from_regions(raw: Tensor, whitening: Whitens | None = None, order: str = "rmac_tolias") -> Tensor:
    """`rmac` of raw regional vectors [B, R, C]."""
    expect_choice("rmac", "order", order, RMAC_ORDERS)
    expect_shape("rmac", "raw", raw, "B", "R", "C")
    if order == "rmac_tolias":
        regions = unit(raw) if whitening is None else whitening.apply(raw)
        return unit(regions.sum(dim=1))
    summed = (raw if order == "rmac_sum" else unit(raw)).sum(dim=1)
    return unit(summed) if whitening is None else whitening.apply(summed)


def expect_maps(function: str, features: Tensor) -> Tensor:
    """The maps, once they are known to be maps with at least one cell."""
    if not isinstance(features, Tensor) or not features.is_floating_point():
        got = features.dtype if isinstance(features, Tensor) else type(features).__name__
        fail(function, "features", "a tensor of floating point numbers", got)
    if features.dim() != 4 or 0 in features.shape[1:]:
        fail(function, "features", "[B, C, H, W] with C, H, W >= 1", list(features.shape))
    return features


def _inside(function: str, boxes: Boxes, features: Tensor) -> Tensor:
    """The boxes as a tensor on the CPU, once they are known to lie in the maps."""
    boxes = torch.as_tensor(boxes)
    expect_shape(function, "boxes", boxes, "R", 4)
    if boxes.is_floating_point() or boxes.is_complex():
        fail(function, "boxes", "integers", boxes.dtype)
    boxes = boxes.to("cpu", torch.int64)
    start, size, limit = boxes[:, :2], boxes[:, 2:], torch.tensor(features.shape[2:])
    if len(boxes) == 0 or bool((start < 0).any() | (size < 1).any() | (start + size > limit).any()):
        where = "at least one box of one cell or more, inside the map"
        fail(function, "boxes", where, f"{boxes.tolist()} for a map of {limit.tolist()}")
    return boxes


def _region_mean(features: Tensor, boxes: Tensor) -> Tensor:
    crops = [features[:, :, r : r + h, c : c + w] for r, c, h, w in boxes.tolist()]
    return torch.stack([crop.mean(dim=(2, 3)) for crop in crops], dim=1)
