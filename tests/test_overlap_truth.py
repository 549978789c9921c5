"""Real scenes whose overlap somebody else listed. All of them, whole: bench/overlap_truth.py."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap
from mirror_sfm.overlap.truth import Comparison, compare, read_truth
from mirror_sfm.scenes.reading import read_scene
from mirror_sfm.scenes.scene import Scene


def some(scene: Scene, step: int) -> Scene:
    """Every step-th view."""
    views = scene.views[::step]
    return replace(
        scene, views=views, tracks=None, depths={v.name: scene.depths[v.name] for v in views if scene.depths}
    )


def errors(scene: Scene, table: Path, folder: Path, **options: float) -> Comparison:
    """Of the pairs of the views that are there."""
    overlap = measure_overlap(scene, OverlapOptions(masks=False, **options))
    stems = {name.rsplit(".", 1)[0] for name in overlap.names}
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    kept = [row for row in rows if {name.rsplit(".", 1)[0] for name in row[:2]} <= stems]
    with (folder / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *kept])
    return compare(overlap, read_truth(folder / "truth.csv", overlap.names))


def test_survey_photos_over_a_terrain(data: Path, tmp_path: Path) -> None:
    folder = data / "scenes" / "aerial_dem4"
    found = errors(read_scene(folder), folder / "overlap.csv", tmp_path)
    assert found.pairs == 6 and found.spearman > 0.995 and found.median_error < 0.005


def test_drone_photos_over_triangles_smaller_than_a_pixel(data: Path, tmp_path: Path) -> None:
    folder = data / "scenes" / "drone_brighton"
    mesh = data / "meshes" / "brighton_terrain_1860k.ply"
    scene = some(read_scene(folder, cameras=folder / "cameras_aligned.json", mesh=mesh), 3)
    found = errors(scene, folder / "pairs_overlap.csv", tmp_path)
    assert found.pairs == 15 and found.spearman > 0.98 and found.median_error < 0.02


def test_handheld_photos_in_a_room(data: Path, tmp_path: Path) -> None:
    """The list takes what the depth sensor did not see for hidden; the mesh knows better."""
    folder = data / "scenes" / "indoor_redkitchen"
    scene = some(read_scene(folder, mesh=data / "meshes" / "redkitchen_tsdf_12mm.ply"), 6)
    found = errors(scene, folder / "pairs_overlap.csv", tmp_path)
    assert found.pairs == 136 and found.spearman > 0.98 and found.median_error < 0.04


@pytest.mark.parametrize(("tolerance", "most"), [(0.01, 0.03), (0.03, 0.01)])
def test_depth_maps_of_a_room(data: Path, tmp_path: Path, tolerance: float, most: float) -> None:
    folder = data / "scenes" / "indoor_livingroom"
    scene = some(replace(read_scene(folder), mesh=None), 4)
    found = errors(scene, folder / "overlap.csv", tmp_path, depth_tolerance=tolerance)
    assert found.pairs == 36 and found.spearman > 0.96 and found.median_error < most
