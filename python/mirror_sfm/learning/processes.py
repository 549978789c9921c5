"""Processes that train together: each looks at its part of a batch, all of them know the vectors of the whole.

Started by `torchrun`, which says in the environment who is who; one process alone needs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from mirror_sfm.errors import UsageError


@dataclass(frozen=True)
class Processes:
    """Who this process is.

    Attributes:
        rank, size: it is number `rank` of `size`.
        device: it computes on.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes, prints and validates."""
        return self.rank == 0

    def gathered(self, part: Tensor) -> Tensor:
        """[K, b, ...] of each process -> [K, size b, ...] of all, without gradient; the same bits everywhere."""
        if self.size == 1:
            return part.detach()
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.size)]
        distributed.all_gather(parts, part.detach().contiguous())
        return torch.cat(parts, dim=1)

    def own(self, whole: Tensor) -> Tensor:
        """The part of this process of what `gathered` gave."""
        return whole.tensor_split(self.size, dim=1)[self.rank]

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Every process gets the sum of all gradients, in one message."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Joins the processes that `torchrun` started; gloo between CPUs, nccl between GPUs.

    Raises:
        UsageError: a GPU is asked for, and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("running: device: cuda, but torch finds no GPU here; choose cpu or auto")
    size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
    if size == 1:
        yield Processes(0, 1, chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), size, chosen)
    finally:
        distributed.destroy_process_group()
