"""GoogLeNet (Szegedy et al., CVPR 2015) with batch norm, without its classifiers. Parameter names are torchvision's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mirror_sfm.towers.tower import SIGNED, Tower

# Channels in; out of the 1 x 1 branch; of the two 3 x 3 branches, narrow and wide; of the pooled branch.
_INCEPTIONS = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNet(Tower):
    """Layers `inception5b` and `inception4e`, the end and the map before the last halving.

    torchvision's weights come from TensorFlow: they saw photos in [-1, 1]. torchvision takes ImageNet's normalisation
    and undoes it (`transform_input`); here the photos are brought to [-1, 1] in the first place.
    """

    layers = {"inception5b": (1024, 32), "inception4e": (832, 16)}  # noqa: RUF012
    classifier = ("fc.", "aux1.", "aux2.")

    def __init__(self, layer: str | None = None) -> None:
        super().__init__(layer, SIGNED)
        self.conv1 = _Convolution(3, 64, 7, stride=2)
        self.conv2 = _Convolution(64, 64, 1)
        self.conv3 = _Convolution(64, 192, 3)
        for name, channels in _INCEPTIONS.items():
            self.add_module(name, _Inception(*channels))

    def forward(self, photos: Tensor) -> Tensor:
        x = _halved(self.conv1(photos), 3)
        x = _halved(self.conv3(self.conv2(x)), 3)
        for name in _INCEPTIONS:
            if name == "inception4a":
                x = _halved(x, 3)
            if name == "inception5a":
                x = _halved(x, 2)
            x = self.get_submodule(name)(x)
            if name == self.layer:
                break
        return x


class _Convolution(nn.Module):
    def __init__(self, channels: int, wide: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, wide, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(wide, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Inception(nn.Module):
    """Four branches side by side. The third is 5 x 5 in the paper, 3 x 3 in the weights that exist."""

    def __init__(self, channels: int, one: int, narrow: int, three: int, narrower: int, five: int, pooled: int) -> None:
        super().__init__()
        self.branch1 = _Convolution(channels, one, 1)
        self.branch2 = nn.Sequential(_Convolution(channels, narrow, 1), _Convolution(narrow, three, 3))
        self.branch3 = nn.Sequential(_Convolution(channels, narrower, 1), _Convolution(narrower, five, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _Convolution(channels, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


def _halved(x: Tensor, kernel: int) -> Tensor:
    return F.max_pool2d(x, kernel, stride=2, ceil_mode=True)
