"""Any convolutional network of timm, where that optional library is installed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mirror_sfm.errors import UsageError
from mirror_sfm.photos import shown
from mirror_sfm.towers.tower import Normalisation, Tower


class TimmTower(Tower):
    """The last feature map of a timm model. Nothing is downloaded: weights come from a file with timm's keys.

    Args:
        name: as in `timm.list_models()`.
    """

    def __init__(self, name: str) -> None:
        model = _created(name)
        reduction = model.feature_info[-1]["reduction"]
        self.layers = {"last": (model.num_features, reduction)}
        config = model.pretrained_cfg
        head = config.get("classifier") or ()
        self.classifier = tuple(f"{each}." for each in ((head,) if isinstance(head, str) else head))
        super().__init__(None, Normalisation(tuple(config["mean"]), tuple(config["std"])))
        self.model = model

    def forward(self, photos: Tensor) -> Tensor:
        return self.model.forward_features(photos)


def _created(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise UsageError(f"the tower timm:{shown(name)} needs timm: pip install timm ({error})") from error
    except RuntimeError as error:  # a torchvision of another build than torch fails this way
        raise UsageError(f"the tower timm:{shown(name)}: timm cannot be imported here ({error})") from error
    if not timm.is_model(name):
        raise UsageError(f"timm has no model {shown(name)}; its names: timm.list_models()")
    with torch.device("cpu"), torch.inference_mode(False):
        model = timm.create_model(name, pretrained=False, num_classes=0)
        try:
            shape = model.eval().forward_features(torch.zeros(1, 3, 256, 192)).shape
        except (AssertionError, RuntimeError) as error:
            raise UsageError(f"timm:{shown(name)} takes photos of one size only; choose another network") from error
    if len(shape) != 4 or shape[1] != model.num_features:
        raise UsageError(f"timm:{shown(name)} gives no feature map [B, C, H, W]; choose a convolutional network")
    return model
