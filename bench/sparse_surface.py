"""Are surfaces made from points, or from depth maps, good enough to say which photos overlap?

    python bench/sparse_surface.py [SCENE...] [--json FILE]

Points: the pixel overlap on the surface must separate pairs with 20 common points or more from pairs with none (pairs
that the table does not list; in building_herzjesu25 every pair has some: fewer than 10). Common points and surface
come from the same model, so this shows that a surface adds nothing false, not that the model is right. Where a true
surface is at hand, overlap is compared with what is listed, and with what the true mesh gives in the same photos.

Every scene runs in a process of its own, whose peak memory is reported; seconds are processor seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mirror_sfm.overlap.measured import Overlap
from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap
from mirror_sfm.overlap.statistics import spearman
from mirror_sfm.overlap.truth import compare, read_truth
from mirror_sfm.scenes.meshes import read_mesh
from mirror_sfm.scenes.reading import read_scene
from mirror_sfm.scenes.scene import Mesh, Scene
from mirror_sfm.surface.depth import surface_from_depth
from mirror_sfm.surface.sparse import surface_from_points

DATA = Path(os.environ.get("MIRROR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
LEAST_AUC = 0.95
LEAST_SHARED, FEW = 20, 10
FINE = 2048  # raster for true meshes, whose triangles are smaller than the pixels of a smaller one
MEASURES = ("pixels", "triangles", "areas")


@dataclass(frozen=True)
class Case:
    """A scene, what its surface is made from, and what is known of the truth.

    Attributes:
        scene: folder in the data folder.
        source: "points" or "depth".
        judged: whether the bar of separation holds for it.
        listed: table of overlap.
        mesh: the true surface.
        scale: values of a depth map per unit of the world, where the scene does not say.
    """

    scene: str
    source: str = "points"
    judged: bool = False
    listed: str = ""
    mesh: str = ""
    scale: float | None = None

    @property
    def name(self) -> str:
        return self.scene.split("/")[1]


CASES = (
    Case("scenes/drone_caliterra", judged=True),
    Case("scenes/object_maryrose", judged=True),
    Case("scenes/building_herzjesu25", judged=True),
    Case("scenes/drone_brighton", listed="pairs_overlap.csv", mesh="meshes/brighton_terrain_1860k.ply"),
    Case("scenes/drone_garfield"),
    Case("training/outdoor_rock"),
    Case("training/outdoor_statue57"),
    Case("training/object_conch"),
    Case("training/object_ethiopian_head"),
    Case("training/object_skull"),
    Case("training/object_gold_cape"),
    Case("scenes/aerial_dem4", "depth", listed="overlap.csv", mesh="scenes/aerial_dem4/mesh.ply", scale=10),
    Case("scenes/indoor_livingroom", "depth", listed="overlap.csv", mesh="training/indoor_livingroom_211/mesh.ply"),
    Case("scenes/indoor_redkitchen", "depth", listed="pairs_overlap.csv", mesh="meshes/redkitchen_tsdf_12mm.ply"),
)


def measured(case: Case) -> dict[str, Any]:
    """One row."""
    folder = DATA / case.scene
    model = folder / "sfm" if case.source == "points" else None
    scene = replace(read_scene(folder, model=model, depth_scale=case.scale), mesh=None)
    make: Callable[[Scene], Mesh] = surface_from_points if case.source == "points" else surface_from_depth
    mesh, surface_seconds = timed(lambda: make(scene))
    options = OverlapOptions(threads=1)
    overlap, overlap_seconds = timed(lambda: measure_overlap(replace(scene, mesh=mesh), options))
    row: dict[str, Any] = {
        "scene": case.name,
        "from": case.source,
        "photos": len(scene.views),
        "points": len(scene.tracks.points) if case.source == "points" and scene.tracks else None,
        "faces": len(mesh.faces),
        "surface_seconds": round(surface_seconds, 2),
        "overlap_seconds": round(overlap_seconds, 2),
        "overlap_seconds_per_photo": round(overlap_seconds / len(scene.views), 3),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "covered": round(float(overlap.covered.mean() / 255), 4) if overlap.covered is not None else None,
    }
    if case.source == "points":
        row["separation"] = separation(overlap, folder / "pairs_covis.csv")
    if case.listed:
        found = compare(overlap, read_truth(folder / case.listed, overlap.names))
        row["listed"] = errors(found.spearman, found.median_error, found.bias)
    if case.mesh:
        row["true_mesh"] = against_mesh(scene, overlap, DATA / case.mesh, folder)
    return row


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    return work(), time.process_time() - start


def separation(overlap: Overlap, table: Path) -> dict[str, Any]:
    """Area under the curve of each measure: pairs with 20 common points against those with none."""
    place = {name: row for row, name in enumerate(overlap.names)}
    shared = np.zeros((len(place),) * 2, int)
    with open(table, newline="") as file:
        for line in csv.DictReader(file):
            shared[place[line["image_a"]], place[line["image_b"]]] = int(line["shared_points"])
    shared = np.maximum(shared, shared.T)[np.triu_indices(len(place), 1)]
    many, none = shared >= LEAST_SHARED, shared == 0
    negatives = "none" if none.any() else f"fewer than {FEW}"
    none = none if none.any() else shared < FEW
    areas = {measure: round(area(upper(overlap, measure), many, none), 4) for measure in MEASURES}
    return {"positives": int(many.sum()), "negatives": int(none.sum()), "negatives_have": negatives, "auc": areas}


def upper(overlap: Overlap, measure: str) -> np.ndarray:
    """Overlap, geometric mean of both directions, of all pairs i < j."""
    full = overlap.matrix(measure)
    return np.sqrt(full * full.T)[np.triu_indices(len(full), 1)]


def area(values: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    """Under the ROC curve: the chance that a positive has more than a negative; ties count half."""
    high, low = values[positive], np.sort(values[negative])
    below, upto = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    return float((below + upto).mean() / 2 / len(low))


def against_mesh(scene: Scene, overlap: Overlap, mesh: Path, folder: Path) -> dict[str, Any]:
    """Pixel overlap on the made surface against that on the true one, in the same views."""
    aligned = folder / "cameras_aligned.json"  # the model has a frame of its own, the mesh that of these
    views = read_scene(folder, cameras=aligned).views if aligned.exists() else scene.views
    options = OverlapOptions(threads=1, masks=False, long_side=FINE)
    true = measure_overlap(replace(scene, views=views, tracks=None, mesh=read_mesh(mesh)), options)
    assert true.names == overlap.names
    off = ~np.eye(len(true.names), dtype=bool)
    made, right = overlap.matrix("pixels")[off], true.matrix("pixels")[off]
    return errors(spearman(made, right), float(np.median(abs(made - right))), float((made - right).mean()))


def errors(correlation: float | None, median: float, bias: float) -> dict[str, float | None]:
    rounded = None if correlation is None else round(correlation, 4)
    return {"spearman": rounded, "median_error": round(median, 4), "bias": round(bias, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cases = [case for case in CASES if not arguments.scenes or case.name in arguments.scenes]
    rows = []
    for case in cases:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
            rows.append(alone.submit(measured, case).result())
        print(json.dumps(rows[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    judged = {case.name for case in CASES if case.judged}
    low = [row["scene"] for row in rows if row["scene"] in judged and row["separation"]["auc"]["pixels"] < LEAST_AUC]
    if low:
        raise SystemExit(f"below an area of {LEAST_AUC}: {', '.join(low)}")


if __name__ == "__main__":
    main()
