"""Max pooling over the regions of R-MAC and under masks, forward and with gradient.

Operations: bytes of the maps, so that Gop/s are GB/s. "limit": one read of the maps; with gradient one read and one
write of as much into memory that is there already.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import peers
import pooling_peers as torch_pools
import pytest
import torch
from contest import Contender
from torch import Tensor

import mirror_ext

STEPS = (1, 3, 5)
REPEATS = 3
GRADIENT = pytest.mark.parametrize("gradient", [False, True], ids=["forward", "backward"])
MASKED = {
    "where_amax": "torch where + amax",
    "fill_amax": "torch masked_fill + amax",
    "fill_max": "torch masked_fill + max",
    "fill_pool": "torch masked_fill + adaptive_max_pool2d",
    "multiply_pool": "torch multiply + max_pool2d",
    "boolean_index": "torch boolean index per image",
}


def feature_maps(images: int, channels: int, side: int) -> Tensor:
    """After a ReLU, as a network gives them."""
    return torch.relu(torch.randn(images, channels, side, side, generator=torch.Generator().manual_seed(0)))


def agree(results: dict[str, Any]) -> None:
    """The same maxima; gradients (whose ties go elsewhere) have the same sums."""
    ours = results["mirror"]
    for name, found in results.items():
        if name.startswith("one read"):
            continue
        if isinstance(ours, tuple):
            torch.testing.assert_close(found[1].sum((2, 3)), ours[1].sum((2, 3)), rtol=1e-4, atol=1e-4, msg=name)
            assert torch.equal(found[0], ours[0]), name
        else:
            assert torch.equal(found, ours), name


def repeated(run: Callable[[], Any]) -> Callable[[], Any]:
    """REPEATS times, because once is too short to time well; the last result."""

    def runs() -> Any:
        for _ in range(REPEATS - 1):
            run()
        return run()

    return runs


def pools(
    contest: Callable, case: str, threads: int, gradient: bool, maps: Tensor, shape: tuple[int, ...], entries: list
) -> None:
    """`entries`: name, pool, maps, role."""
    size = REPEATS * maps.numel() * maps.element_size()
    if gradient:
        grad = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        runs = [(name, torch_pools.with_gradient(pool, given, grad), role) for name, pool, given, role in entries]
        runs.append(("one read and write of the maps", partial(torch.empty_like(maps).copy_, maps), "limit"))
        case, size = case + ", forward + backward", 2 * size
    else:
        runs = [(name, partial(pool, given), role) for name, pool, given, role in entries]
        runs.append(("one read of the maps", maps.amax, "limit"))
        case += ", forward"
    contenders = [Contender(name, repeated(run), role) for name, run, role in runs]
    contest("pooling", case, contenders, operations=size, peak="", threads=threads, check=agree)


@GRADIENT
def bench_regions(contest: Callable, threads: int, gradient: bool) -> None:
    peers.use_threads(threads)
    maps = feature_maps(8, 512, 28)
    last = maps.contiguous(memory_format=torch.channels_last)
    boxes, scales = torch_pools.boxes_of(28, STEPS), torch_pools.scales(28, STEPS)
    listed = boxes.tolist()
    ours = partial(mirror_ext.region_max_pool, boxes=boxes)
    entries = [
        ("mirror", ours, maps, "ours"),
        ("mirror channels_last", ours, last, "ours"),
        ("torch max_pool2d per scale, NCHW", partial(torch_pools.max_pool2d, listed=scales), maps, "peer"),
        ("torch max_pool2d per scale, channels_last", partial(torch_pools.max_pool2d, listed=scales), last, "peer"),
        ("torch copy + max_pool2d", partial(torch_pools.copied_to_channels_last, listed=scales), maps, "peer"),
        ("torch separable max_pool2d", partial(torch_pools.separable, listed=scales), maps, "peer"),
        ("torch a slice per box + amax", partial(torch_pools.slices, boxes=listed), maps, "peer"),
    ]
    pools(contest, "regions, 35 of 8 x 512 x 28 x 28", threads, gradient, maps, (8, len(boxes), 512), entries)


@GRADIENT
@pytest.mark.parametrize("side", [28, 7])
def bench_masks(contest: Callable, threads: int, full: bool, side: int, gradient: bool) -> None:
    peers.use_threads(threads)
    channels = 1024 if full or side == 7 else 256
    maps = feature_maps(96, channels, side)
    last = maps.contiguous(memory_format=torch.channels_last)
    mask = torch.rand(96, side, side, generator=torch.Generator().manual_seed(2)) < 0.4
    mask[:, 0, 0] = True
    bound = {name: partial(getattr(torch_pools, name), mask=mask) for name in MASKED}
    ours = partial(mirror_ext.masked_max_pool, mask=mask)
    entries = [("mirror", ours, maps, "ours"), ("mirror channels_last", ours, last, "ours")]
    for name, label in MASKED.items():
        if not (gradient and name == "boolean_index"):  # it takes minutes
            entries.append((label, bound[name], maps, "peer"))
    entries.append(("torch masked_fill + amax, channels_last", bound["fill_amax"], last, "peer"))
    pools(contest, f"masks of 96 x {channels} x {side} x {side}", threads, gradient, maps, (96, channels), entries)
