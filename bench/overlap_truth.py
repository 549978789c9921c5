"""Measured overlap against listed overlap of real scenes, and what it costs.

    python bench/overlap_truth.py [--case NAME ...] [--threads N] [--keep]

Lists were made elsewhere: for both directions of every pair, the share of a photo's pixels whose surface point the
other sees. Ours should rank them alike (Spearman >= 0.98) and differ by 0.02 at the median. The same scene measured in
other ways says where the rest comes from: triangles smaller than a pixel, a narrower or wider tolerance of depth, a
mesh in place of depth. Every case runs in a process of its own. `--keep` writes bench/results/overlap_truth.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import zlib  # noqa: F401  before pycolmap
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from mirror_sfm.overlap.files import save_overlap
from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap
from mirror_sfm.overlap.statistics import mesh_statistics, overlap_statistics
from mirror_sfm.overlap.truth import compare, read_truth
from mirror_sfm.scenes.reading import read_scene
from mirror_sfm.scenes.scene import Scene
from mirror_sfm.threads import processors

DATA = Path(os.environ.get("MIRROR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
RESULTS = Path(__file__).resolve().parent / "results" / "overlap_truth.json"
SPEARMAN, MEDIAN_ERROR = 0.98, 0.02  # what is asked for


@dataclass(frozen=True)
class Case:
    """A scene measured in one way.

    Attributes:
        scene: folder of DATA/scenes.
        read: gives the scene.
        table: of listed overlap.
        options: what is not as usual.
        asked: whether the target is for this way of measuring.
    """

    scene: str
    read: Callable[[Path], Scene]
    table: str
    options: dict[str, Any]
    asked: bool = False


def _brighton(folder: Path) -> Scene:
    mesh = DATA / "meshes" / "brighton_terrain_1860k.ply"
    return read_scene(folder, cameras=folder / "cameras_aligned.json", mesh=mesh)


def _kitchen(folder: Path) -> Scene:
    """Photos with the intrinsics of the depth sensor, 585 px, as the list was made."""
    return read_scene(folder, mesh=DATA / "meshes" / "redkitchen_tsdf_12mm.ply")


def _depth_alone(folder: Path) -> Scene:
    return replace(read_scene(folder), mesh=None)


def _dem4_depth(folder: Path) -> Scene:
    return replace(read_scene(folder, depth_scale=10), mesh=None)


def _cases() -> dict[str, Case]:
    brighton, kitchen, living = "drone_brighton", "indoor_redkitchen", "indoor_livingroom"
    cases = {
        "brighton": Case(brighton, _brighton, "pairs_overlap.csv", {}, asked=True),
        "brighton, never finer": Case(brighton, _brighton, "pairs_overlap.csv", {"finest": 1}),
        "brighton, 4 x finer": Case(brighton, _brighton, "pairs_overlap.csv", {"long_side": 4096, "finest": 1}),
        "dem4": Case("aerial_dem4", read_scene, "overlap.csv", {}, asked=True),
        "dem4, 4 x finer": Case("aerial_dem4", read_scene, "overlap.csv", {"long_side": 4096}),
        "dem4, depth": Case("aerial_dem4", _dem4_depth, "overlap.csv", {}),
        "kitchen": Case(kitchen, _kitchen, "pairs_overlap.csv", {}, asked=True),
        "kitchen, also where not sensed": Case(kitchen, _kitchen, "pairs_overlap.csv", {"sensed": False}),
        "livingroom": Case(living, _depth_alone, "overlap.csv", {}, asked=True),
    }
    for percent in (1, 2, 3, 5, 10):
        tolerance = {"depth_tolerance": percent / 100}
        if percent > 1:
            cases[f"livingroom, {percent} % depth"] = Case(living, _depth_alone, "overlap.csv", tolerance)
        cases[f"kitchen, {percent} % depth"] = Case(kitchen, _depth_alone, "pairs_overlap.csv", tolerance)
    return cases


CASES = _cases()


def run(name: str, threads: int) -> dict[str, Any]:
    """One case in this process."""
    case = CASES[name]
    folder = DATA / "scenes" / case.scene
    scene = case.read(folder)
    read_mb = _peak_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    overlap = measure_overlap(scene, OverlapOptions(threads=threads, **case.options))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak_mb = _peak_mb()
    truth = read_truth(folder / case.table, overlap.names)
    found = {measure: compare(overlap, truth, measure, worst=3) for measure in overlap.halves if measure != "tracks"}
    statistics = overlap_statistics(overlap)
    with tempfile.TemporaryDirectory() as folder_of_file:
        save_overlap(Path(folder_of_file) / "overlap.npz", overlap)
        file_mb = (Path(folder_of_file) / "overlap.npz").stat().st_size / 2**20
    row: dict[str, Any] = {
        "case": name,
        "scene": case.scene,
        "photos": len(scene.views),
        "pairs": len(truth.pairs),
        "asked": case.asked,
        "surface": overlap.surface,
        "options": case.options,
        "faces": len(scene.mesh.faces) if scene.mesh else 0,
        "threads": threads,
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "cpu_ms_per_photo": round(1000 * cpu / max(1, len(scene.views)), 1),
        "mb_read": round(read_mb),
        "peak_mb": round(peak_mb),
        "file_mb": round(file_mb, 2),
        "labels": {
            "strong": statistics.strong,
            "weak": statistics.weak,
            "without_positive": statistics.without_positive,
        },
        "spearman_of_measures": statistics.spearman,
    }
    for measure, errors in found.items():
        row[measure] = {
            "spearman": errors.spearman,
            "median_error": errors.median_error,
            "mean_error": errors.mean_error,
            "p95_error": errors.p95_error,
            "bias": errors.bias,
            "worst": [[pair.a, pair.b, pair.listed, pair.measured] for pair in errors.worst],
        }
    if scene.mesh is not None:
        row["mesh"] = vars(mesh_statistics(scene.mesh))
    return row


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def line(row: dict[str, Any]) -> str:
    """A case on one line."""
    errors = row["pixels"]
    met = errors["spearman"] >= SPEARMAN and errors["median_error"] <= MEDIAN_ERROR
    verdict = ("met" if met else "MISSED") if row["asked"] else ""
    return (
        f"{row['case']:24s} {row['photos']:4d} {errors['spearman']:8.4f} {errors['median_error']:7.4f} "
        f"{errors['mean_error']:7.4f} {errors['p95_error']:7.4f} {errors['bias']:+8.4f} {row['cpu_s']:7.1f} "
        f"{row['cpu_ms_per_photo']:8.0f} {row['peak_mb']:6d}  {verdict}"
    )


def keep(rows: list[dict[str, Any]]) -> None:
    """Puts the rows in place of earlier ones of the same case."""
    before = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    every = {row["case"]: row for row in before} | {row["case"]: row for row in rows}
    ordered = [every[name] for name in CASES if name in every]
    about = {"machine": platform.machine(), "processors": os.cpu_count(), "date": date.today().isoformat()}
    RESULTS.write_text(json.dumps(about | {"rows": ordered}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # one case, in this process
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(run(arguments.case[0], arguments.threads)))
        return
    head = ("spearman", "median", "mean", "p95", "bias", "cpu s", "ms/photo", "MB")
    print(f"{'case':24s} {'n':>4s} {head[0]:>8s} " + " ".join(f"{h:>7s}" for h in head[1:4]), end=" ")
    print(f"{head[4]:>8s} {head[5]:>7s} {head[6]:>8s} {head[7]:>6s}")
    for name in arguments.case:
        command = [sys.executable, __file__, "--alone", "--case", name, "--threads", str(arguments.threads)]
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        print(line(row), flush=True)
        if arguments.keep:
            keep([row])


if __name__ == "__main__":
    main()
