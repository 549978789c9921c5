"""Time and memory of pairing 100, 1,000 and 10,000 photos, from features to chosen pairs.

    python bench/scale.py [--photos N ...] [--tiny] [--keep]

Photos are made, not taken: they stand along closed loops of 500 and look at what passes by, so that each shares
features with its neighbours up to seven places away, and where a loop closes. Each photo sees its features with noise,
misses three in ten and has others of its own instead. `--tiny`: photos of 16 features, all alike, one in ten without
any. Every size runs in a process of its own, whose peak memory includes the features themselves. `--keep` writes
bench/results/scale.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

from mirror_sfm.budget import Limits, pair_budget
from mirror_sfm.calibration import probabilities
from mirror_sfm.diffusion import diffuse
from mirror_sfm.evidence import choose, score_coarsely, verify
from mirror_sfm.features import Features
from mirror_sfm.graph import components, select
from mirror_sfm.pairs import PairOptions
from mirror_sfm.threads import processors

RESULTS = Path(__file__).resolve().parent / "results" / "scale.json"
LOOP = 500  # photos of one closed loop
STEP = 64  # features between the views of one photo and the next
NOISE = 6  # of a descriptor's components, which go up to 127
OWN = 0.3  # share of a photo's features that no other photo has


def made(photos: int, count: int, seed: int = 0) -> Features:
    """Features of photos along loops."""
    rng = np.random.default_rng(seed)
    keypoints = np.empty((photos, count, 4), np.float32)
    descriptors = np.empty((photos, count, 128), np.uint8)
    for first in range(0, photos, LOOP):
        length = min(LOOP, photos - first)
        world, place = landmarks(rng, length * STEP)
        for photo in range(length):
            seen = (photo * STEP + np.arange(count)) % len(world)
            noisy = world[seen] + rng.integers(-NOISE, NOISE + 1, (count, 128), dtype=np.int16)
            points = place[seen]
            points[:, 0] = (640 / count) * np.arange(count) + rng.normal(0, 0.5, count)
            points[:, 1] += rng.normal(0, 0.5, count)
            own = rng.random(count) < OWN
            noisy[own], points[own] = landmarks(rng, int(own.sum()))
            largest = np.argsort(-points[:, 2], kind="stable")
            keypoints[first + photo] = points[largest]
            descriptors[first + photo] = np.clip(noisy, 0, 127)[largest]
    return features(keypoints, descriptors, np.full(photos, count, np.int32))


def landmarks(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors [count, 128] as RootSIFT makes them, and key points [count, 4]."""
    raw = rng.standard_gamma(0.6, (count, 128), dtype=np.float32)
    unit = np.sqrt(raw / np.maximum(raw.sum(1, keepdims=True), 1e-9))
    points = rng.uniform(0, (640, 480, 1, 360), (count, 4))
    points[:, 2] = 2 * (1 - points[:, 2]) ** -0.5  # few are large
    return np.minimum(127, np.round(256 * unit)).astype(np.int16), points.astype(np.float32)


def tiny(photos: int, count: int = 16) -> Features:
    """Photos that are all alike, one in ten of them empty."""
    descriptors, keypoints = landmarks(np.random.default_rng(0), count)
    sizes = np.where(np.arange(photos) % 10 == 9, 0, count).astype(np.int32)
    alike = np.broadcast_to(descriptors.astype(np.uint8), (photos, count, 128))
    return features(np.broadcast_to(keypoints, (photos, count, 4)), alike, sizes)


def features(keypoints: np.ndarray, descriptors: np.ndarray, sizes: np.ndarray) -> Features:
    photos = len(sizes)
    return Features(
        names=tuple(f"{k:06d}.jpg" for k in range(photos)),
        keypoints=np.ascontiguousarray(keypoints),
        descriptors=np.ascontiguousarray(descriptors),
        sizes=sizes,
        diagonals=np.full(photos, 800, np.float32),
        image_sizes=np.tile(np.array([[640, 480]], np.int32), (photos, 1)),
        scales=np.ones((photos, 2), np.float32),
    )


def run(photos: int, small: bool, threads: int) -> dict[str, object]:
    """The stages of `find_pairs` after the features."""
    options = PairOptions()
    row: dict[str, object] = {"photos": photos, "threads": threads, "tiny": small}
    given = tiny(photos) if small else made(photos, options.features)
    row["features_mb"] = (given.descriptors.nbytes + given.keypoints.nbytes) / 2**20
    seconds: dict[str, list[float]] = {}
    clock = [time.perf_counter(), time.process_time()]

    def done(stage: str) -> None:
        now = [time.perf_counter(), time.process_time()]
        seconds[stage] = [round(now[0] - clock[0], 3), round(now[1] - clock[1], 3)]
        clock[:] = now
        print(f"{photos} photos, {stage}: wall {seconds[stage][0]} s, cpu {seconds[stage][1]} s", file=sys.stderr)

    candidates = score_coarsely(given, options.coarse_features, threads)
    done("coarse")
    evidence = verify(given, candidates, choose(candidates, options.verify), threads)
    done("verify")
    scores = diffuse(candidates, evidence, threads)
    chance = probabilities(candidates, evidence, scores)
    done("diffusion")
    chosen, _ = select(candidates, scores, chance, evidence, Limits(pair_budget(photos, 20)))
    done("selection")
    i, j = candidates.i[chosen], candidates.j[chosen]
    row["candidates"], row["verified"], row["chosen"] = len(candidates), len(evidence.pairs), len(chosen)
    row["parts"] = int(components(photos, i, j).max(initial=-1)) + 1
    if not small:
        row["found"] = int(neighbours(i, j, photos).sum()) / min(len(chosen), pairs_in_view(photos))
    row["wall_s"] = {stage: wall for stage, (wall, _) in seconds.items()}
    row["cpu_s"] = {stage: cpu for stage, (_, cpu) in seconds.items()}
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


def neighbours(i: np.ndarray, j: np.ndarray, photos: int) -> np.ndarray:
    """Which pairs see something in common."""
    loop, length = i // LOOP, np.minimum(LOOP, photos - i // LOOP * LOOP)
    apart = np.abs(i - j)
    return (loop == j // LOOP) & (np.minimum(apart, length - apart) * STEP < PairOptions().features)


def pairs_in_view(photos: int) -> int:
    """How many pairs see something in common."""
    reach = -(-PairOptions().features // STEP) - 1
    lengths = [min(LOOP, photos - first) for first in range(0, photos, LOOP)]
    return sum(length * min(reach, (length - 1) // 2) for length in lengths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # one size, in this process
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(run(arguments.photos[0], arguments.tiny, arguments.threads)))
        return
    rows = []
    for photos in arguments.photos:
        command = [sys.executable, __file__, "--alone", "--photos", str(photos), "--threads", str(arguments.threads)]
        output = subprocess.run(command + ["--tiny"] * arguments.tiny, check=True, stdout=subprocess.PIPE).stdout
        row = json.loads(output)
        rows.append(row)
        shown = " | ".join(f"{stage} {seconds:.1f}" for stage, seconds in row["cpu_s"].items())
        wall = sum(row["wall_s"].values())
        print(
            f"{photos} photos: {row['chosen']} pairs, {wall:.1f} s, {row['peak_mb']:.0f} MB; cpu s: {shown}", flush=True
        )
        if arguments.keep:
            keep(rows)


def keep(rows: list[dict]) -> None:
    """Puts the rows in place of earlier ones of the same size and kind."""
    before = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    kind = {(row["photos"], row["tiny"]) for row in rows}
    every = [row for row in before if (row["photos"], row["tiny"]) not in kind] + rows
    every.sort(key=lambda row: (row["tiny"], row["photos"]))
    about = {"machine": platform.machine(), "processors": os.cpu_count(), "date": date.today().isoformat()}
    RESULTS.write_text(json.dumps(about | {"rows": every}, indent=1) + "\n")


if __name__ == "__main__":
    main()
