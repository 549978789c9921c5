"""What a torch user could write instead of region_max_pool and masked_max_pool. All give the same numbers.

torchvision's roi_pool is missing: its wheel does not import next to the CPU build of torch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Scale = tuple[int, int]  # side of the boxes, step between them


def scales(side: int, steps: tuple[int, ...]) -> list[Scale]:
    """The square boxes of R-MAC: per scale s, s x s boxes."""
    sides = [side if s == 1 else 2 * (side // (s + 1)) for s in steps]
    return [(k, 1 if s == 1 else (side - k) // (s - 1)) for s, k in zip(steps, sides, strict=True)]


def boxes_of(side: int, steps: tuple[int, ...]) -> Tensor:
    found = []
    for s, (k, step) in zip(steps, scales(side, steps), strict=True):
        found += [(i * step, j * step, k, k) for i in range(s) for j in range(s)]
    return torch.tensor(found)


def max_pool2d(maps: Tensor, listed: list[Scale]) -> Tensor:
    return torch.cat([F.max_pool2d(maps, k, step).flatten(2) for k, step in listed], 2).transpose(1, 2)


def copied_to_channels_last(maps: Tensor, listed: list[Scale]) -> Tensor:
    return max_pool2d(maps.contiguous(memory_format=torch.channels_last), listed)


def separable(maps: Tensor, listed: list[Scale]) -> Tensor:
    """Along the rows, then along the columns."""
    rows = [F.max_pool2d(maps, (1, k), (1, step)) for k, step in listed]
    both = [F.max_pool2d(r, (k, 1), (step, 1)).flatten(2) for r, (k, step) in zip(rows, listed, strict=True)]
    return torch.cat(both, 2).transpose(1, 2)


def slices(maps: Tensor, boxes: list[list[int]]) -> Tensor:
    return torch.stack([maps[:, :, r : r + h, c : c + w].amax((2, 3)) for r, c, h, w in boxes], 1)


def where_amax(maps: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask[:, None], maps, torch.tensor(-torch.inf)).amax((2, 3))


def fill_amax(maps: Tensor, mask: Tensor) -> Tensor:
    return maps.masked_fill(~mask[:, None], -torch.inf).amax((2, 3))


def fill_max(maps: Tensor, mask: Tensor) -> Tensor:
    return maps.masked_fill(~mask[:, None], -torch.inf).flatten(2).max(2).values


def fill_pool(maps: Tensor, mask: Tensor) -> Tensor:
    return F.adaptive_max_pool2d(maps.masked_fill(~mask[:, None], -torch.inf), 1).flatten(1)


def multiply_pool(maps: Tensor, mask: Tensor) -> Tensor:
    """Right only because the maps are nowhere negative."""
    return F.max_pool2d(maps * mask[:, None], maps.shape[2:]).flatten(1)


def boolean_index(maps: Tensor, mask: Tensor) -> Tensor:
    return torch.stack([image[:, kept].amax(1) for image, kept in zip(maps, mask, strict=True)])


def with_gradient(pool: Callable[[Tensor], Tensor], maps: Tensor, grad: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    leaf = maps.detach().requires_grad_()

    def run() -> tuple[Tensor, Tensor]:
        leaf.grad = None
        pooled = pool(leaf)
        pooled.backward(grad)
        return pooled.detach(), leaf.grad

    return run
