"""Surfaces of real scenes tell pairs with common points from pairs without, and overlap as the truth has it."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

pytest.importorskip("pycolmap")

from mirror_sfm.overlap.measured import Overlap
from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap
from mirror_sfm.overlap.truth import compare, read_truth
from mirror_sfm.scenes.reading import read_scene
from mirror_sfm.surface.depth import surface_from_depth
from mirror_sfm.surface.sparse import surface_from_points

OPTIONS = OverlapOptions(masks=False, threads=1)


def on_points(folder: Path, options: OverlapOptions = OPTIONS) -> Overlap:
    scene = read_scene(folder, model=folder / "sfm")
    return measure_overlap(replace(scene, mesh=surface_from_points(scene)), options)


def separation(overlap: Overlap, table: Path) -> float:
    """Area under the curve of pixel overlap: pairs with 20 common points or more against pairs with none."""
    place = {name: row for row, name in enumerate(overlap.names)}
    shared = np.zeros((len(place),) * 2, int)
    with open(table, newline="") as file:
        for line in csv.DictReader(file):
            shared[place[line["image_a"]], place[line["image_b"]]] = int(line["shared_points"])
    shared = np.maximum(shared, shared.T)
    full = overlap.matrix("pixels")
    both, pairs = np.sqrt(full * full.T), np.triu(np.ones_like(shared, bool), 1)
    many, none = both[pairs & (shared >= 20)], both[pairs & (shared == 0)]
    assert len(many) > 20 and len(none) > 20
    return float(mannwhitneyu(many, none).statistic) / (len(many) * len(none))


def test_drone_from_points(data: Path) -> None:
    folder = data / "scenes" / "drone_brighton"
    overlap = on_points(folder)
    assert separation(overlap, folder / "pairs_covis.csv") >= 0.99
    found = compare(overlap, read_truth(folder / "pairs_overlap.csv", overlap.names))
    assert found.spearman is not None and found.spearman >= 0.98
    assert found.median_error <= 0.02


def test_object_from_points(data: Path) -> None:
    folder = data / "scenes" / "object_maryrose"
    assert separation(on_points(folder, replace(OPTIONS, long_side=400)), folder / "pairs_covis.csv") >= 0.95


def test_hills_from_depth(data: Path) -> None:
    folder = data / "scenes" / "aerial_dem4"
    scene = replace(read_scene(folder, depth_scale=10), mesh=None)
    overlap = measure_overlap(replace(scene, mesh=surface_from_depth(scene)), OPTIONS)
    assert compare(overlap, read_truth(folder / "overlap.csv", overlap.names)).median_error <= 0.01
