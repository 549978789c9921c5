"""Steps of the weights: which optimiser, how fast at which step, and the average of the weights over the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mirror_sfm.errors import UsageError

KINDS = ("sgd", "adamw")
SCHEDULES = ("decay", "cosine", "constant")


@dataclass(frozen=True)
class OptimiserOptions:
    """How weights move.

    Attributes:
        kind: "sgd" or "adamw".
        lr: learning rate, before the schedule.
        schedule: "decay", lr gamma^(step / every); "cosine", from lr to 0 over all steps; "constant".
        gamma, every, staircase: of "decay"; staircase rounds step / every down.
        warmup: steps over which the rate grows linearly from lr / warmup.
        momentum: of sgd.
        betas: of adamw.
        weight_decay: L2 of sgd, decoupled in adamw.
        decay_all: also biases and the scales of batch norm decay.
        clip: longest gradient of all weights together; longer ones are shortened to it. None: none is.
    """

    kind: str = "sgd"
    lr: float = 0.002
    schedule: str = "decay"
    gamma: float = 0.9
    every: int = 10_000
    staircase: bool = False
    warmup: int = 0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    decay_all: bool = True
    clip: float | None = None

    def __post_init__(self) -> None:
        for name, chosen, choice in (("kind", self.kind, KINDS), ("schedule", self.schedule, SCHEDULES)):
            if chosen not in choice:
                raise UsageError(f"optimiser: {name}: expected one of {', '.join(choice)}, got {chosen!r}")
        for name, least in (("lr", 0), ("weight_decay", 0), ("every", 1), ("warmup", 0)):
            if not getattr(self, name) >= least:
                raise UsageError(f"optimiser: {name} must be at least {least}, got {getattr(self, name)}")
        for name, value in (("gamma", self.gamma), ("momentum", self.momentum), *(("betas", b) for b in self.betas)):
            if not 0 <= value <= 1 or (value == 1 and name != "gamma"):
                raise UsageError(f"optimiser: {name} must be within 0..1, got {value}")
        if self.clip is not None and not self.clip > 0:
            raise UsageError(f"optimiser: clip must be above 0, got {self.clip}")


def learning_rate(step: int, options: OptimiserOptions, steps: int) -> float:
    """Rate of a step, counted from 0, of so many steps."""
    rate = options.lr * min(1.0, (step + 1) / max(1, options.warmup))
    if options.schedule == "cosine":
        done = max(0, step - options.warmup) / max(1, steps - options.warmup)
        return rate * (1 + math.cos(math.pi * min(1.0, done))) / 2
    if options.schedule == "decay":
        times = step // options.every if options.staircase else step / options.every
        return rate * options.gamma**times
    return rate


def optimiser_of(tower: nn.Module, options: OptimiserOptions) -> torch.optim.Optimizer:
    """An optimiser of all parameters that have a gradient; its rate is to be set before each step (`set_rate`)."""
    trained = [parameter for parameter in tower.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if options.decay_all or parameter.dim() > 1]
    others = [parameter for parameter in trained if not options.decay_all and parameter.dim() <= 1]
    groups = [
        {"params": parameters, "weight_decay": decay}
        for parameters, decay in ((decayed, options.weight_decay), (others, 0.0))
        if parameters
    ]
    if options.kind == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum)
    return torch.optim.AdamW(groups, lr=options.lr, betas=options.betas)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def average_of(tower: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential average of the weights, which `update_parameters` moves; None where `decay` is 0."""
    if decay == 0:
        return None
    return AveragedModel(tower, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
