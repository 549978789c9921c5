"""Towers: convolutional networks whose feature maps describe photos. Everything here needs torch.

A tower is chosen by name and gets its weights from a file. Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import shown
from mirror_sfm.towers.checkpoint import load_into, read_checkpoint
from mirror_sfm.towers.folded import is_folded, with_tower_names
from mirror_sfm.towers.googlenet import GoogLeNet
from mirror_sfm.towers.mobilenet_v2 import MobileNetV2
from mirror_sfm.towers.resnet import ResNet50, ResNet101
from mirror_sfm.towers.timm import TimmTower
from mirror_sfm.towers.tower import IMAGENET, SIGNED, Normalisation, Tower
from mirror_sfm.towers.vgg import VGG16

__all__ = ["IMAGENET", "RANDOM", "SIGNED", "TOWERS", "LoadedTower", "Normalisation", "Tower", "load_tower"]

TOWERS: dict[str, Callable[..., Tower]] = {
    "mobilenet_v2": MobileNetV2,
    "vgg16": VGG16,
    "googlenet": GoogLeNet,
    "resnet50": ResNet50,
    "resnet101": ResNet101,
}
RANDOM = "random"  # weights asked for by this name
_TIMM = "timm:"
_log = logging.getLogger("mirror_sfm")


@dataclass(frozen=True)
class LoadedTower:
    """A tower ready to look at photos.

    Attributes:
        tower: in eval mode, without gradients, channels last.
        name: as asked for.
        sha256: of the file of weights; of the weights themselves where they are random.
    """

    tower: Tower
    name: str
    sha256: str


def load_tower(name: str, weights: str | os.PathLike[str], layer: str | None = None) -> LoadedTower:
    """Builds a tower and gives it its weights.

    Args:
        name: one of `TOWERS`, or `timm:NAME`.
        weights: a file: safetensors or `torch.save`, with torchvision's keys (timm's for a timm tower), or MobileNetV2
            with batch norm folded. "random": none, the same random numbers every time.
        layer: one of the tower's `layers`; None: its first.

    Raises:
        UsageError: no such tower, layer or file.
        MirrorError: the file is damaged or belongs to another network.
    """
    build = _builder(name, layer)
    if weights == RANDOM:
        tower = _random(build)
        sha256 = _digest(tower)
    else:
        checkpoint = read_checkpoint(weights)
        if is_folded(checkpoint):
            if name != "mobilenet_v2":
                raise MirrorError(f"the weights {shown(str(weights))} are of mobilenet_v2, not of {shown(name)}")
            checkpoint, build = with_tower_names(checkpoint), partial(build, folded=True)
        with torch.device("meta"):
            tower = build()
        load_into(tower.model if isinstance(tower, TimmTower) else tower, checkpoint, tower.classifier)
        sha256 = checkpoint.sha256
    _log.info("tower %s, layer %s, weights %s, sha256 %s", name, tower.layer, shown(str(weights)), sha256)
    tower = tower.eval().requires_grad_(False)
    tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LoadedTower(tower, name, sha256)


def _builder(name: str, layer: str | None) -> Callable[..., Tower]:
    if name in TOWERS:
        return partial(TOWERS[name], layer)
    if name.startswith(_TIMM):
        if layer is not None:
            raise UsageError(f"{shown(name)} has no choice of layers")
        return partial(TimmTower, name.removeprefix(_TIMM))
    raise UsageError(f"no tower is called {shown(name)}; expected {', '.join(TOWERS)}, or timm:NAME")


def _random(build: Callable[..., Tower], seed: int = 0) -> Tower:
    """He's initialisation, which keeps the size of activations through many layers; torch's state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tower = build()
        for module in tower.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return tower


def _digest(tower: Tower) -> str:
    whole = hashlib.sha256()
    for key, tensor in tower.state_dict().items():
        whole.update(key.encode())
        whole.update(tensor.contiguous().numpy().tobytes())
    return whole.hexdigest()
