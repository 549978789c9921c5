"""Time and memory of making scenes of a data set, from the labelled scenes.

    python bench/dataset.py DATA [--scenes NAME ...] [--threads N] [--keep]

DATA is the folder that holds scenes/, training/ and meshes/. Every scene is made in a process of its own, from nothing;
seconds are by stage (that of overlap includes the surface), CPU seconds and peak memory of the process. `--keep` writes
bench/results/dataset.json.
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
from datetime import date
from pathlib import Path

from mirror_sfm.dataset.format import counts_of
from mirror_sfm.dataset.making import WORK, Task, make_scene
from mirror_sfm.dataset.sources import SceneOptions, SceneSource
from mirror_sfm.threads import processors

RESULTS = Path(__file__).resolve().parent / "results" / "dataset.json"
KITCHEN = {"mesh": "meshes/redkitchen_tsdf_12mm.ply"}
COLOUR_CAMERA = "525 0 320\n0 525 240\n0 0 1\n"  # of the kitchen's photos; the file beside them is of the depth sensor
# What a scene is made of beyond its folder, relative to DATA.
SCENES: dict[str, dict[str, str]] = {
    "scenes/building_herzjesu25": {},
    "scenes/drone_brighton": {
        "mesh": "meshes/brighton_terrain_1860k.ply",
        "cameras": "scenes/drone_brighton/cameras_aligned.json",
    },
    "scenes/drone_caliterra": {},
    "scenes/drone_garfield": {},
    "scenes/aerial_dem4": {},
    "scenes/object_maryrose": {},
    "scenes/indoor_livingroom": {},
    "scenes/indoor_redkitchen": KITCHEN | {"cameras": COLOUR_CAMERA},
    "training/indoor_livingroom_211": {},
    "training/indoor_redkitchen_446": KITCHEN,
    "training/object_conch": {},
    "training/object_ethiopian_head": {},
    "training/object_gold_cape": {},
    "training/object_skull": {},
    "training/outdoor_rock": {},
    "training/outdoor_statue57": {},
}


def measured(data: Path, scene: str, threads: int) -> dict[str, object]:
    """One scene, in this process."""
    with tempfile.TemporaryDirectory() as out, tempfile.NamedTemporaryFile("w", suffix=".txt") as matrix:
        matrix.write(COLOUR_CAMERA)
        matrix.flush()
        places = SCENES[scene].items()
        given = {option: Path(matrix.name) if place == COLOUR_CAMERA else data / place for option, place in places}
        started, worked = time.perf_counter(), time.process_time()
        made = make_scene(Task(SceneSource(data / scene, **given), Path(out), SceneOptions(), threads))
        wall, cpu = time.perf_counter() - started, time.process_time() - worked
        files = [path for path in Path(out, made.about["name"]).iterdir() if WORK not in path.parts]
        size = sum(path.stat().st_size for path in files)
    return {
        "scene": scene,
        **counts_of(made.about),
        "threads": threads,
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "stages_s": made.seconds,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "disk_mb": round(size / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--scenes", nargs="+", default=list(SCENES))
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # one scene, in this process
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(measured(arguments.data, arguments.scenes[0], arguments.threads)))
        return
    rows = {row["scene"]: row for row in json.loads(RESULTS.read_text())["rows"]} if RESULTS.exists() else {}
    for scene in arguments.scenes:
        command = [sys.executable, __file__, str(arguments.data), "--alone", "--scenes", scene]
        command += ["--threads", str(arguments.threads)]
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        rows[scene] = row
        print(
            f"{scene}: {row['used']} photos, {row['surface']}, {row['strong']} strong, {row['weak']} weak, "
            f"{row['anchors']} anchors; {row['wall_s']} s, CPU {row['cpu_s']} s, {row['peak_mb']} MB",
            flush=True,
        )
        if arguments.keep:
            about = {"machine": platform.machine(), "processors": os.cpu_count(), "date": date.today().isoformat()}
            RESULTS.write_text(json.dumps(about | {"rows": [rows[name] for name in sorted(rows)]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
