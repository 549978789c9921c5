"""Max pooling of feature maps over boxes and masks."""

from typing import Any

import torch
from torch import Tensor

from ._library import expect_tensors  # loads the ops


def region_max_pool(features: Tensor, boxes: Tensor, *, return_argmax: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    """Takes the maximum of every box of every map: the regional vectors of R-MAC and PR-MAC.

    Boxes share work where they overlap: the map is read once. NCHW and channels_last maps are read where they lie, at
    about the same speed; any other strides work too. A NaN counts as larger than every number, as in torch; a zero
    comes out as +0. Differentiable once: the gradient of a box goes to its first maximum in row-major order.

    Args:
        features: [B, C, H, W] float32, float64, bfloat16 or float16.
        boxes: [R, 4] int64 or int32: row, column, height, width, in cells; inside the map, height and width >= 1. On
            CUDA the values are not checked.
        return_argmax: also returns where each maximum is.

    Returns:
        [B, R, C] of the features' type; with `return_argmax` also [B, R, C] int32: row * W + column.

    Raises:
        ValueError: a wrong type, shape or device, a box that is empty or leaves the map.

    Source: Tolias, Sicre, Jégou, Particular object retrieval with integral max-pooling of CNN activations, ICLR 2016.
    """
    expect_tensors("region_max_pool", features=features, boxes=boxes)
    pooled, argmax = torch.ops.mirror.region_max_pool(features, boxes, return_argmax or _tracked(features))
    return (pooled, argmax) if return_argmax else pooled


def masked_max_pool(features: Tensor, mask: Tensor, *, return_argmax: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    """Takes the maximum over those cells of every map that its mask keeps, for all channels.

    ``pooled[b, c] = max over cells p with mask[b, p] of features[b, c, p]``. A mask that keeps nothing gives the
    channel's minimum, so that ``max_p (F[p] - min F) mask[p] + min F`` holds for every mask of 0 and 1. NaN, zero,
    layouts and gradient as in `region_max_pool`; cells that the mask drops are never looked at, NaN or not.

    Args:
        features: [B, C, H, W] float32, float64, bfloat16 or float16, at least one cell.
        mask: [B, H, W] bool or uint8; every cell that is not 0 is kept.
        return_argmax: also returns where each maximum is.

    Returns:
        [B, C] of the features' type; with `return_argmax` also [B, C] int32: row * W + column.

    Raises:
        ValueError: a wrong type, shape or device.

    Source: masked pooling of Shen et al., Matchable Image Retrieval by Learning from Surface Reconstruction, ACCV 2018.
    """
    expect_tensors("masked_max_pool", features=features, mask=mask)
    pooled, argmax = torch.ops.mirror.masked_max_pool(features, mask, return_argmax or _tracked(features))
    return (pooled, argmax) if return_argmax else pooled


def _tracked(features: Tensor) -> bool:
    return torch.is_grad_enabled() and features.requires_grad


@torch.library.register_fake("mirror::region_max_pool")
def _(features, boxes, with_argmax):
    images, channels = features.shape[:2]
    return (
        features.new_empty((images, boxes.shape[0], channels)),
        features.new_empty((images, boxes.shape[0], channels if with_argmax else 0), dtype=torch.int32),
    )


@torch.library.register_fake("mirror::masked_max_pool")
def _(features, mask, with_argmax):
    images, channels = features.shape[:2]
    return (
        features.new_empty((images, channels)),
        features.new_empty((images, channels if with_argmax else 0), dtype=torch.int32),
    )


@torch.library.register_fake("mirror::max_pool_backward")
def _(grad, features, argmax):
    images, channels, height, width = features.shape
    if channels > 1 and features.stride(1) == 1:
        return grad.new_empty((images, height, width, channels)).permute(0, 3, 1, 2)
    return grad.new_empty((images, channels, height, width))


def _save(ctx: Any, inputs: tuple, output: tuple) -> None:
    features, _, with_argmax = inputs
    if not with_argmax:
        raise RuntimeError("max pooling: with_argmax: expected True where a gradient is asked for, got False")
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(features, output[1])


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple:
    features, argmax = ctx.saved_tensors
    # bfloat16 and float16 are storage: gradients are summed in float32.
    working = torch.float64 if grad.dtype == torch.float64 else torch.float32
    regions = (grad.shape[0], 1, grad.shape[1]) if grad.dim() == 2 else grad.shape
    found = torch.ops.mirror.max_pool_backward(grad.to(working).reshape(regions), features, argmax.reshape(regions))
    return found.to(grad.dtype), None, None


torch.library.register_autograd("mirror::region_max_pool", _backward, setup_context=_save)
torch.library.register_autograd("mirror::masked_max_pool", _backward, setup_context=_save)


def _no_second_derivative(ctx: Any, *grads: Any) -> None:
    raise NotImplementedError("max pooling: it can be differentiated once, not twice")


torch.library.register_autograd("mirror::max_pool_backward", _no_second_derivative)
