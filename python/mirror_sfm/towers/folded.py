"""MobileNetV2 with batch norm folded into its convolutions: a file that describes its own layers.

The metadata of the file hold a graph: convolutions with kernel, stride, groups, channels, activation and the layer they
read, and sums. It is compared with the tower's own before a weight is used: files of another network, or of this one at
another width, are named.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from torch import nn

from mirror_sfm.errors import MirrorError
from mirror_sfm.photos import shown
from mirror_sfm.towers.checkpoint import Checkpoint
from mirror_sfm.towers.mobilenet_v2 import MobileNetV2


def is_folded(checkpoint: Checkpoint) -> bool:
    """Whether the file describes its layers."""
    return "graph" in checkpoint.metadata


def with_tower_names(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the keys of `MobileNetV2(folded=True)` in place of its own.

    Raises:
        MirrorError: the graph is not that of MobileNetV2, or cannot be read.
    """
    tower = MobileNetV2("features18", folded=True)
    names = {id(module): name for name, module in tower.named_modules()}
    try:
        layers = _without_names(json.loads(checkpoint.metadata["graph"]))
        keys = [node["name"] for node in json.loads(checkpoint.metadata["graph"]) if "kernel" in node]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _foreign(checkpoint, "its graph cannot be read") from error
    if layers != _layers(tower):
        raise _foreign(checkpoint, "its graph is another")
    convolutions = [names[id(module)] for module in tower.modules() if isinstance(module, nn.Conv2d)]
    renamed = {
        f"{own}.{kind}": f"{name}.{kind}"
        for own, name in zip(keys, convolutions, strict=True)
        for kind in ("weight", "bias")
    }
    tensors = {renamed.get(key, key): tensor for key, tensor in checkpoint.tensors.items()}
    return dataclasses.replace(checkpoint, tensors=tensors)


def _without_names(graph: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The nodes with places instead of names; place 0 is the photo."""
    place = {"input": 0} | {node["name"]: row for row, node in enumerate(graph, 1)}
    fields = ("kernel", "stride", "groups", "cout", "activation")
    return [
        ("convolution", place[node["input"]], *(node[field] for field in fields))
        if "kernel" in node
        else ("sum", *(place[name] for name in node["inputs"]))
        for node in graph
    ]


def _layers(tower: MobileNetV2) -> list[tuple[Any, ...]]:
    """The same list of the tower."""
    layers: list[tuple[Any, ...]] = []
    for block in tower.features:
        begin = len(layers)
        modules = [module for module in block.modules() if isinstance(module, (nn.Conv2d, nn.ReLU6))]
        for module, following in zip(modules, [*modules[1:], None], strict=True):
            if isinstance(module, nn.Conv2d):
                activation = "relu6" if isinstance(following, nn.ReLU6) else "none"
                shape = module.kernel_size[0], module.stride[0], module.groups, module.out_channels
                layers.append(("convolution", len(layers), *shape, activation))
        if getattr(block, "residual", False):
            layers.append(("sum", begin, len(layers)))
    return layers


def _foreign(checkpoint: Checkpoint, why: str) -> MirrorError:
    return MirrorError(
        f"the weights {shown(str(checkpoint.path))} describe another network than MobileNetV2: {why}; expected its"
        " layers with batch norm folded, or a torchvision checkpoint"
    )
