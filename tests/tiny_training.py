"""A small tower, a small data set that can be learned, and a run on both. As a script it trains: CONFIG.yaml."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from made_dataset import write_index, write_scene
from torch import Tensor, nn

from mirror_sfm.learning.config import read_config
from mirror_sfm.learning.training import Trained, train
from mirror_sfm.overlap.measured import MASK_SIDE
from mirror_sfm.towers import TOWERS, Tower

SIZE = 56
PAIRS = [(0, 1, 0.7), (0, 2, 0.1), (0, 4, 0.15), (1, 2, 0.5), (1, 3, 0.2), (2, 3, 0.6), (2, 5, 0.02), (4, 5, 0.9)]


class Tiny(Tower):
    """Three convolutions: maps of 7 x 7 cells for images of 56 x 56."""

    layers = {"last": (24, 8)}  # noqa: RUF012

    def __init__(self, layer: str | None = None) -> None:
        super().__init__(layer)
        blocks: list[nn.Module] = []
        for channels, wide in ((3, 8), (8, 16), (16, 24)):
            blocks += [nn.Conv2d(channels, wide, 3, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*blocks)

    def forward(self, photos: Tensor) -> Tensor:
        return self.features(photos)


def add_tiny_tower() -> None:
    TOWERS["tiny"] = Tiny


def write_dataset(folder: Path, scenes: str = "abcdef") -> None:
    """Photos of a scene share a pattern; photo 5 is held out, its partner is 4."""
    rng = np.random.default_rng(0)
    for name in scenes:
        pattern = np.kron(rng.integers(0, 256, (7, 7, 3)), np.ones((8, 8, 1)))
        photos = np.clip(pattern[None] + rng.integers(-60, 61, (6, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
        masks = rng.integers(0, 256, (7, 2, MASK_SIDE, MASK_SIDE), np.uint8)
        write_scene(folder, name, photos, PAIRS, masks if name != "b" else None, held_out=(5,))
    write_index(folder, SIZE, list(scenes))


def write_config(path: Path, data: Path, out: Path, **changes: Any) -> Path:
    """A configuration; sections are mappings."""
    values: dict[str, Any] = {
        "data": str(data),
        "out": str(out),
        "steps": 6,
        "tower": {"name": "tiny"},
        "batches": {"columns": 4, "size": SIZE, "crop": 0.8},
        "optimiser": {"lr": 0.01},
        "validation": {"every": 3},
        "running": {"device": "cpu", "log_every": 1, "checkpoint_every": 2, "tensorboard": False, "ema": 0.9},
    }
    for key, value in changes.items():
        values[key] = values.get(key, {}) | value if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(values))
    return path


def run(config: Path, *changes: str) -> Trained:
    """On one thread, as a loaded machine needs it."""
    add_tiny_tower()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train(read_config(config, changes))
    finally:
        torch.set_num_threads(before)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    run(Path(sys.argv[1]), *sys.argv[2:])
