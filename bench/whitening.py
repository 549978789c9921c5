"""What PCA-whitening does to rankings where it is fitted on the very collection that is searched.

python bench/whitening.py WEIGHTS SCENE... : mean average precision of PR-MAC (35 regions, mean of both directions) with
regional vectors as they are, whitened as published (shrinkage 0), and with the shrinkage that "auto" chooses; for each
labelled scene whole, and for parts of it that belong together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import mirror_ext.numpy as ops
from mirror_sfm.colour import upright_rgb
from mirror_sfm.descriptors.aggregation import region_vectors
from mirror_sfm.descriptors.grids import region_grid
from mirror_sfm.descriptors.whitening import PcaWhitening, unit
from mirror_sfm.evaluation import label_table, mean_average_precision, read_labels
from mirror_sfm.towers import load_tower

LONG_SIDE = 512
PARTS, REPEATS = (8, 12, 24, 48), 3
COLUMNS = {"as they are": None, "shrinkage 0": 0.0, "0.5": 0.5, "0.9": 0.9, "auto": "auto"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("scenes", type=Path, nargs="+")
    parser.add_argument("--dim", type=int, default=None)
    arguments = parser.parse_args()
    tower = load_tower("mobilenet_v2", arguments.weights).tower
    print("| collection | photos |", " | ".join(COLUMNS), "| worst of auto, against as they are |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    scenes = [looked_at(tower, scene) for scene in arguments.scenes]
    for name, (vectors, positive) in zip(arguments.scenes, scenes, strict=True):
        row(name.name, [(vectors, positive)], arguments.dim)
    for photos in PARTS:
        parts = [part for scene in scenes if len(scene[0]) * 0.8 > photos for part in parts_of(*scene, photos)]
        row(f"{len(parts)} parts", parts, arguments.dim)
    row("all in one", [together(scenes)], arguments.dim)


Case = tuple[NDArray[np.float32], NDArray[np.bool_]]  # regional maxima [N, R, C], which photos belong together [N, N]


def looked_at(tower: torch.nn.Module, scene: Path) -> Case:
    """A scene's regional maxima."""
    files = sorted((scene / "images").iterdir())
    labels = read_labels(label_table(scene), [file.name for file in files])
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (tower.normalisation.mean, tower.normalisation.std))
    maxima = []
    for name in labels.names:
        rgb = torch.from_numpy(upright_rgb((scene / "images" / name).read_bytes(), LONG_SIDE)).permute(2, 0, 1) / 255
        with torch.inference_mode():
            seen = tower(((rgb - mean) / std)[None])
            maxima.append(region_vectors(seen, region_grid(*seen.shape[2:]))[0].numpy())
    return np.stack(maxima), labels.positive


def parts_of(vectors: NDArray[np.float32], positive: NDArray[np.bool_], photos: int) -> list[Case]:
    """A few photos with most of what belongs to them, filled up with others."""
    rng = np.random.default_rng(photos)
    parts = []
    for centre in rng.choice(len(vectors), REPEATS, replace=False):
        nearness = positive[centre] + rng.random(len(vectors))
        nearness[centre] = 2
        rows = np.sort(np.argsort(-nearness)[:photos])
        parts.append((vectors[rows], positive[np.ix_(rows, rows)]))
    return [part for part in parts if part[1].any()]


def together(scenes: list[Case]) -> Case:
    """One collection of all scenes."""
    sizes = np.cumsum([0, *(len(vectors) for vectors, _ in scenes)])
    positive = np.zeros((sizes[-1], sizes[-1]), bool)
    for start, stop, (_, own) in zip(sizes[:-1], sizes[1:], scenes, strict=True):
        positive[start:stop, start:stop] = own
    return np.concatenate([vectors for vectors, _ in scenes]), positive


def row(name: str, cases: list[Case], dim: int | None) -> None:
    """One line of the table: means over the cases."""
    values = np.array([[precision(*case, dim, shrinkage) for shrinkage in COLUMNS.values()] for case in cases])
    photos = np.mean([len(vectors) for vectors, _ in cases])
    worst = (values[:, -1] - values[:, 0]).min()
    print(
        f"| {name} | {photos:.0f} |",
        " | ".join(f"{v:.3f}" for v in values.mean(axis=0)),
        f"| {worst:+.3f} |",
        flush=True,
    )


def precision(
    vectors: NDArray[np.float32], positive: NDArray[np.bool_], dim: int | None, shrinkage: float | str | None
) -> float:
    """Mean average precision of PR-MAC."""
    regions = unit(vectors)
    if shrinkage is not None:
        regions = PcaWhitening.fit(vectors, dim, shrinkage).apply(vectors)  # type: ignore[arg-type]
    scores = ops.pr_mac(np.ascontiguousarray(regions))
    return mean_average_precision((scores + scores.T) / 2, positive)


if __name__ == "__main__":
    main()
