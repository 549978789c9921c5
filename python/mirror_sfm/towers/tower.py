"""What all towers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mirror_sfm.errors import UsageError


@dataclass(frozen=True)
class Normalisation:
    """What the weights were trained on: (rgb - mean) / std, with rgb in 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SIGNED = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # [-1, 1]


class Tower(nn.Module):
    """A fully convolutional network: photos [B, 3, H, W] in, feature map [B, channels, about H/stride, W/stride] out.

    Parameters are named as torchvision names them, all of them whatever the layer, so its checkpoints load by key.

    Attributes:
        layers: the maps a tower can give: name -> (channels, stride). The first is the default.
        classifier: prefixes of keys in a checkpoint that the tower knows and has no use for.
        layer, channels, stride: of the map it gives.
        margin: how many cells the map is smaller than the photo divided by the stride.
        normalisation: of the photos; belongs to the weights.
    """

    layers: Mapping[str, tuple[int, int]] = {}
    classifier: tuple[str, ...] = ()

    def __init__(self, layer: str | None = None, normalisation: Normalisation = IMAGENET) -> None:
        super().__init__()
        self.layer = next(iter(self.layers)) if layer is None else layer
        if self.layer not in self.layers:
            raise UsageError(f"no layer {self.layer!r}; expected one of {', '.join(self.layers)}")
        self.channels, self.stride = self.layers[self.layer]
        self.normalisation = normalisation
        self.margin = 0

    def forward(self, photos: Tensor) -> Tensor:
        raise NotImplementedError
