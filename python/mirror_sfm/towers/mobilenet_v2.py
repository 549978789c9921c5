"""MobileNetV2 (Sandler et al., CVPR 2018) without its classifier. Parameter names are torchvision's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mirror_sfm.towers.tower import IMAGENET, SIGNED, Tower

# Blocks: expansion, channels, repeats, stride of the first.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_LAST_HALVING = 14  # features.14 halves the map for the fifth time


class MobileNetV2(Tower):
    """Layers are named after torchvision's modules.

    Args:
        layer: `expansion14`, the widened map before the last halving (features.14.conv.0); `features18`, the end;
            `features18_dilated`, the end with the last halving left out and the filters after it spread by two
            (à trous): four times as many cells, each of which sees what it saw.
        folded: batch norm is part of the convolutions: they have a bias, and nothing follows them. Padding is then
            TensorFlow's SAME, which puts an odd pixel at the bottom right, and the input is in [-1, 1].
    """

    layers = {"expansion14": (576, 16), "features18": (1280, 32), "features18_dilated": (1280, 16)}  # noqa: RUF012
    classifier = ("classifier.",)

    def __init__(self, layer: str | None = None, folded: bool = False) -> None:
        super().__init__(layer, SIGNED if folded else IMAGENET)
        made = _Maker(folded)
        blocks: list[nn.Module] = [made.activated(3, 32, 3, stride=2)]
        channels, spread = 32, 1
        for expansion, wide, repeats, first in _STAGES:
            for repeat in range(repeats):
                stride = first if repeat == 0 else 1
                if len(blocks) == _LAST_HALVING and self.layer == "features18_dilated":
                    blocks.append(_Block(made, channels, wide, expansion, 1, spread))
                    spread = stride
                else:
                    blocks.append(_Block(made, channels, wide, expansion, stride, spread))
                channels = wide
        blocks.append(made.activated(channels, 1280, 1))
        self.features = nn.Sequential(*blocks)

    def forward(self, photos: Tensor) -> Tensor:
        if self.layer != "expansion14":
            return self.features(photos)
        widen = self.features.get_submodule(f"{_LAST_HALVING}.conv.0")
        return widen(self.features[:_LAST_HALVING](photos))


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow without activation; added to its input where that fits."""

    def __init__(self, made: _Maker, channels: int, wide: int, expansion: int, stride: int, spread: int) -> None:
        super().__init__()
        hidden = channels * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [made.activated(channels, hidden, 1)]
        layers.append(made.activated(hidden, hidden, 3, stride, hidden, spread))
        layers += [made.convolution(hidden, wide, 1), made.norm(wide)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and channels == wide

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class _Maker:
    """Layers in the flavour of the weights."""

    def __init__(self, folded: bool) -> None:
        self.folded = folded

    def convolution(
        self, channels: int, wide: int, kernel: int, stride: int = 1, groups: int = 1, spread: int = 1
    ) -> nn.Conv2d:
        kind = _SameConv2d if self.folded and stride > 1 else nn.Conv2d
        return kind(channels, wide, kernel, stride, (kernel - 1) // 2 * spread, spread, groups, bias=self.folded)

    def norm(self, channels: int) -> nn.Module:
        return nn.Identity() if self.folded else nn.BatchNorm2d(channels)

    def activated(
        self, channels: int, wide: int, kernel: int, stride: int = 1, groups: int = 1, spread: int = 1
    ) -> nn.Sequential:
        convolution = self.convolution(channels, wide, kernel, stride, groups, spread)
        return nn.Sequential(convolution, self.norm(wide), nn.ReLU6(inplace=True))


class _SameConv2d(nn.Conv2d):
    """Padded so that the result has ceil(size / stride) cells; the larger half of an odd total comes last."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):  # F.pad begins with the last axis
            size, step, reach = x.shape[2 + axis], self.stride[axis], self.kernel_size[axis]
            total = max((-(-size // step) - 1) * step + reach - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
