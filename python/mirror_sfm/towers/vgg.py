"""VGG-16 (Simonyan and Zisserman, ICLR 2015) without its classifier. Parameter names are torchvision's."""

from __future__ import annotations

from torch import Tensor, nn

from mirror_sfm.towers.tower import Tower

_CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # a halving after each group


class VGG16(Tower):
    """Layers `conv5_3` (after ReLU), `conv5_3_linear` (before it: what NetVLAD takes), and `pool5`."""

    layers = {"conv5_3": (512, 16), "conv5_3_linear": (512, 16), "pool5": (512, 32)}  # noqa: RUF012
    classifier = ("classifier.",)

    def __init__(self, layer: str | None = None) -> None:
        super().__init__(layer)
        modules: list[nn.Module] = []
        channels = 3
        for group in _CHANNELS:
            for wide in group:
                modules += [nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU(inplace=True)]
                channels = wide
            modules.append(nn.MaxPool2d(2))
        last = {"pool5": 0, "conv5_3": 1, "conv5_3_linear": 2}[self.layer]
        self.features = nn.Sequential(*modules[: len(modules) - last])

    def forward(self, photos: Tensor) -> Tensor:
        return self.features(photos)
