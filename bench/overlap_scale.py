"""Time and memory of measuring who sees what: surveys of up to 1,000 photos over terrain of up to 10 million triangles.

    python bench/overlap_scale.py [--size PHOTOS FACES ...] [--threads N] [--keep]

The terrain is a sum of waves, its faces in a random order, as programs for dense reconstruction write them. Photos fly
over it in strips, with 80 % overlap along and 60 % across. Every size runs in a process of its own, whose peak memory
includes the mesh. `--keep` writes bench/results/overlap_scale.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from conftest import cpu_name, machine

from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap
from mirror_sfm.scenes.cameras import Camera, View
from mirror_sfm.scenes.scene import Mesh, Scene

RESULTS = Path(__file__).resolve().parent / "results" / "overlap_scale.json"
SIZES = ((100, 1_000_000), (1000, 1_000_000), (1000, 10_000_000))
WIDTH, HEIGHT, FOCAL, ALTITUDE = 1024, 768, 900.0, 100.0


def survey(photos: int) -> tuple[View, ...]:
    """Photos that look straight down, in serpentine strips of about sqrt(photos)."""
    along, across = 0.2 * WIDTH / FOCAL * ALTITUDE, 0.4 * HEIGHT / FOCAL * ALTITUDE
    strip = max(1, round((photos * across / along) ** 0.5))
    camera = Camera("PINHOLE", (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2), WIDTH, HEIGHT)
    down = np.diag([1.0, -1.0, -1.0])
    views = []
    for k in range(photos):
        row, column = divmod(k, strip)
        column = strip - 1 - column if row % 2 else column
        centre = np.array([(column + 0.5) * along, (row + 0.5) * across, ALTITUDE])
        views.append(View(f"{k:05d}.jpg", camera, np.concatenate([down, -(down @ centre)[:, None]], axis=1)))
    return tuple(views)


def terrain(views: tuple[View, ...], faces: int) -> Mesh:
    """Hills under the survey and half a photo around it."""
    centres = np.array([view.centre for view in views])[:, :2]
    margin = 0.5 * WIDTH / FOCAL * ALTITUDE
    low, high = centres.min(0) - margin, centres.max(0) + margin
    columns = max(1, round((faces / 2 * (high - low)[0] / (high - low)[1]) ** 0.5))
    rows = max(1, round(faces / 2 / columns))
    x, y = np.meshgrid(np.linspace(low[0], high[0], columns + 1), np.linspace(low[1], high[1], rows + 1))
    z = 6 * np.sin(x / 23) * np.cos(y / 31) + 2 * np.sin(x / 5 + y / 7) + 0.3 * np.sin(1.7 * x) * np.sin(1.9 * y)
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    lower = np.stack([corner, corner + 1, corner + columns + 2], 1)
    upper = np.stack([corner, corner + columns + 2, corner + columns + 1], 1)
    every = np.random.default_rng(0).permutation(np.concatenate([lower, upper]).astype(np.int32))
    return Mesh(np.stack([x.ravel(), y.ravel(), z.ravel()], 1), every)


def measure(photos: int, faces: int, threads: int) -> dict[str, float | int]:
    views = survey(photos)
    mesh = terrain(views, faces)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, busy = time.perf_counter(), time.process_time()
    overlap = measure_overlap(Scene("survey", views, mesh=mesh), OverlapOptions(threads=threads))
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    return {
        "photos": photos,
        "faces": len(mesh.faces),
        "threads": threads,
        "pairs": len(overlap.pairs),
        "seconds": round(wall, 2),
        "processor_seconds": round(busy, 2),
        "milliseconds_per_view": round(1e3 * wall / photos, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "mesh_alone_mb": before // 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=2, type=int, action="append", metavar=("PHOTOS", "FACES"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--alone", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        print(json.dumps(measure(*args.alone, args.threads)))
        return
    results = []
    for photos, faces in args.size or SIZES:
        command = [sys.executable, __file__, "--alone", str(photos), str(faces), "--threads", str(args.threads)]
        results.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(results[-1], flush=True)
    if args.keep:
        RESULTS.write_text(json.dumps({"machine": machine(cpu_name()), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
