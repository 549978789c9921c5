"""ResNet-50 and ResNet-101 (He et al., CVPR 2016) without their classifier. Parameter names are torchvision's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mirror_sfm.towers.tower import Tower


class ResNet(Tower):
    """Layers after ReLU.

    Args:
        blocks: bottlenecks in each of the four layers.
        layer: `layer4`; `layer4_dilated`, with the last halving left out and the filters after it spread by two (à
            trous): four times as many cells; `layer4_pool7`, the mean over 7 x 7 cells of layer4 that MIRorR's program
            extracts from; `layer3`.
    """

    layers = {  # noqa: RUF012
        "layer4": (2048, 32),
        "layer4_dilated": (2048, 16),
        "layer4_pool7": (2048, 32),
        "layer3": (1024, 16),
    }
    classifier = ("fc.",)

    def __init__(self, blocks: tuple[int, int, int, int], layer: str | None = None) -> None:
        super().__init__(layer)
        self.margin = 6 if self.layer == "layer4_pool7" else 0
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, blocks[0], stride=1)
        self.layer2 = _layer(256, 128, blocks[1], stride=2)
        self.layer3 = _layer(512, 256, blocks[2], stride=2)
        dilated = self.layer == "layer4_dilated"
        self.layer4 = _layer(1024, 512, blocks[3], stride=1 if dilated else 2, spread=2 if dilated else 1)

    def forward(self, photos: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(photos)), inplace=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = self.layer3(self.layer2(self.layer1(x)))
        if self.layer == "layer3":
            return x
        x = self.layer4(x)
        if self.layer == "layer4_pool7":
            x = F.avg_pool2d(x, (min(7, x.shape[2]), min(7, x.shape[3])), stride=1)
        return x


class ResNet50(ResNet):
    """Bottlenecks 3, 4, 6, 3. See `ResNet` for the layers."""

    def __init__(self, layer: str | None = None) -> None:
        super().__init__((3, 4, 6, 3), layer)


class ResNet101(ResNet):
    """Bottlenecks 3, 4, 23, 3. See `ResNet` for the layers."""

    def __init__(self, layer: str | None = None) -> None:
        super().__init__((3, 4, 23, 3), layer)


def _layer(channels: int, width: int, blocks: int, stride: int, spread: int = 1) -> nn.Sequential:
    """The first bottleneck stands where the halving was, so its own filter is not spread yet."""
    first = _Bottleneck(channels, width, stride, 1)
    return nn.Sequential(first, *(_Bottleneck(4 * width, width, 1, spread) for _ in range(blocks - 1)))


class _Bottleneck(nn.Module):
    """Narrow, filter, widen by four; added to the input, which is widened too where it has to be."""

    def __init__(self, channels: int, width: int, stride: int, spread: int) -> None:
        super().__init__()
        wide = 4 * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=spread, dilation=spread, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wide)
        self.downsample: nn.Sequential | None = None
        if channels != wide:  # the first of each layer
            self.downsample = nn.Sequential(nn.Conv2d(channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)
