"""`mirror_sfm.match` against COLMAP's own matcher: the same database, the same pairs.

    python bench/match.py DATABASE... [--pairs N] [--json FILE]

One thread each, processor seconds per pair, in turns, the least of the rounds: other programs only add to it. COLMAP's
matcher is its default on the CPU (an index per photo, made once and kept), without geometry; ours is all of `match`
without geometry: reading, matching, writing. Then the geometry of both is examined by the same estimator from the same
seed and its inliers are counted. Pairs: N spread over all pairs of a database, photo by photo; default: all pairs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import tempfile
import time
import zlib  # noqa: F401  before pycolmap
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from mirror_sfm.matching import MatchOptions, match

Pair = tuple[str, str]


def colmap_match(database: Path, pairs: list[Pair]) -> None:
    listed = database.with_suffix(".txt")
    listed.write_text("".join(f"{a} {b}\n" for a, b in pairs))
    options = pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False, skip_geometric_verification=True)
    pycolmap.match_image_pairs(database, options, pycolmap.ImportedPairingOptions(match_list_path=listed))


def our_match(database: Path, pairs: list[Pair]) -> None:
    match(database, pairs, MatchOptions(verify=False, threads=1))


def our_exact_match(database: Path, pairs: list[Pair]) -> None:
    match(database, pairs, MatchOptions(exact=True, verify=False, threads=1))


CONTENDERS = {"mirror": our_match, "mirror, exact": our_exact_match, "COLMAP, default index": colmap_match}


def measured(database: Path, count: int | None, rounds: int) -> dict[str, Any]:
    """Times and inliers of one database."""
    pycolmap.logging.minloglevel = 2
    with pycolmap.Database.open(database) as opened:
        ids = {image.name: image.image_id for image in opened.read_all_images()}
        features = [opened.num_keypoints_for_image(image) for image in ids.values()]
    pairs = list(itertools.combinations(sorted(ids), 2))
    pairs = pairs if count is None else [pairs[n] for n in np.linspace(0, len(pairs) - 1, count).astype(int)]
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    inliers: dict[str, np.ndarray] = {}
    matches: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for name, run in list(CONTENDERS.items())[:: -1 if turn % 2 else 1]:
                copy = Path(shutil.copy(database, Path(folder) / "copy.db"))
                started = time.process_time()
                run(copy, pairs)
                times[name].append(time.process_time() - started)
                if turn == 0:
                    matches[name] = matched(copy)
                    inliers[name] = verified(copy, [(ids[a], ids[b]) for a, b in pairs])
    theirs = inliers["COLMAP, default index"]
    return {
        "database": database.stem,
        "photos": len(ids),
        "features": round(float(np.mean(features))),
        "pairs": len(pairs),
        "isa": os.environ.get("MIRROR_ISA", "best"),
        "contenders": {
            name: {
                "ms_per_pair": round(1000 * min(seconds) / len(pairs), 2),
                "ms_of_rounds": [round(1000 * s / len(pairs), 2) for s in seconds],
                "matches": matches[name],
                "inliers": int(inliers[name].sum()),
                "verified_pairs": int((inliers[name] > 0).sum()),
                "pairs_with_fewer_inliers_than_colmap": int((inliers[name] < theirs).sum()),
            }
            for name, seconds in times.items()
        },
    }


def matched(database: Path) -> int:
    """How many matches it holds."""
    with pycolmap.Database.open(database) as opened:
        return int(opened.num_matches())


def verified(database: Path, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Inliers of every pair, by COLMAP's verification with a fixed seed."""
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = 0
    verifier = pycolmap.GeometricVerifierOptions(num_threads=1)
    pycolmap.geometric_verification(database, verifier, pycolmap.ExistingMatchedPairingOptions(), options)
    with pycolmap.Database.open(database) as opened:
        found = dict(zip(*opened.read_two_view_geometry_num_inliers(), strict=True))
    return np.array([found.get(pycolmap.image_pair_to_pair_id(*pair), 0) for pair in pairs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("databases", nargs="+", type=Path)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results") / "match.json")
    arguments = parser.parse_args()
    reports = []
    for database in arguments.databases:
        reports.append(measured(database, arguments.pairs, arguments.rounds))
        print(json.dumps(reports[-1]), flush=True)
        arguments.json.write_text(json.dumps(reports, indent=1) + "\n")


if __name__ == "__main__":
    main()
