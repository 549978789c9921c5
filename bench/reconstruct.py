"""Chosen pairs against exhaustive matching: the same features, the same matches, the same mapper, fewer pairs.

    python bench/reconstruct.py [SCENE...] [--work FOLDER] [--json FILE]

A pair's matches do not depend on the list it is in, so every pair is matched once: each list is mapped from a copy of
the database that holds its pairs alone. Mapping runs with one thread and fixed seeds, which makes it repeatable. Times
are processor seconds; a list's matching (geometry included) is counted at the mean of all pairs matched so far.
Everything is kept in FOLDER: a run that was stopped goes on, a second run takes seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mirror_sfm.colmap.extraction import CameraOptions, extract
from mirror_sfm.colmap.mapping import map_photos
from mirror_sfm.colmap.matches import open_matches
from mirror_sfm.errors import MirrorError
from mirror_sfm.folder import find_photos
from mirror_sfm.matching import MatchOptions, match
from mirror_sfm.pairs import PairOptions, choose_pairs, score_pairs
from mirror_sfm.sources import ColmapDatabase
from mirror_sfm.view_graph import ScoredPairs

DATA = Path(os.environ.get("MIRROR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
# Shares of all pairs that must suffice, and whether 20 pairs per photo are compared too.
SCENES = {
    "internet_sacrecoeur": (0.5, False),
    "indoor_chair": (0.5, False),
    "street_lund": (0.5, False),
    "building_herzjesu25": (0.25, True),
    "object_maryrose": (0.08, True),
    "drone_caliterra": (0.08, True),
}
POINTS = 0.97  # of exhaustive matching's, with 20 pairs per photo
Pair = tuple[str, str]


class Scene:
    """One scene: its database of features, and the pairs matched so far."""

    def __init__(self, name: str, work: Path) -> None:
        self.name, self.folder = name, work / name
        self.photos = DATA / "scenes" / name / "images"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.database = self.folder / "all.db"
        self.names = [photo.name for photo in find_photos(self.photos)]
        if not self.database.exists():
            partial = self.folder / "partial.db"
            partial.unlink(missing_ok=True)
            extract(partial, self.photos, self.names, CameraOptions(), threads=1, progress=False)
            partial.rename(self.database)

    def every_pair(self) -> list[Pair]:
        return [(a, b) for place, a in enumerate(self.names) for b in self.names[place + 1 :]]

    def measured(self, label: str, pairs: list[Pair]) -> dict[str, Any]:
        """Matches and maps a list of pairs; from the folder where that was done before."""
        record = self.folder / f"{label}.json"
        if record.exists():
            return dict(json.loads(record.read_text()))
        seconds = self.match(pairs)
        possible = len(self.names) * (len(self.names) - 1) // 2
        row = {"scene": self.name, "list": label, "photos": len(self.names), "pairs": len(pairs)}
        row |= {"share": round(len(pairs) / possible, 4), **self.map(pairs), "match_seconds": seconds}
        record.write_text(json.dumps(row) + "\n")
        return row

    def match(self, pairs: list[Pair]) -> float:
        """Processor seconds of all of these pairs: of those matched now, and in proportion of those matched before."""
        started = time.process_time()
        report = match(self.database, pairs, MatchOptions(threads=1))
        log = self.folder / "match_times.json"
        done = json.loads(log.read_text()) if log.exists() else {"pairs": 0, "seconds": 0.0}
        if report.matched:
            done = {"pairs": done["pairs"] + report.matched, "seconds": done["seconds"] + time.process_time() - started}
            log.write_text(json.dumps(done))
        return round(done["seconds"] / max(1, done["pairs"]) * len(pairs), 2)

    def map(self, pairs: list[Pair]) -> dict[str, Any]:
        database, sparse = self.folder / "list.db", self.folder / "sparse"
        for old in self.folder.glob("list.db*"):
            old.unlink()
        shutil.rmtree(sparse, ignore_errors=True)
        sparse.mkdir()
        shutil.copy(self.database, database)
        with open_matches(database) as opened:
            ids = opened.ids
            kept = {(min(pair), max(pair)) for pair in ((ids[a], ids[b]) for a, b in pairs)}
            opened.keep_only(kept)
            verified = sum(count > 0 for count in opened.counts()[1].values())
        started = time.process_time()
        models = map_photos(database, self.photos, sparse, "incremental", 1, len(self.names), False)
        seconds = round(time.process_time() - started, 2)
        best = {key: value for key, value in asdict(models[0]).items() if key != "folder"} if models else {}
        best["registered"] = len(best.get("registered", ()))
        in_any = len({name for model in models for name in model.registered})
        others = {"models": len(models), "registered_in_any": in_any, "verified_pairs": verified}
        return {**best, **others, "mapping_seconds": seconds}


def chosen(scored: ScoredPairs, per_image: int) -> list[Pair]:
    return choose_pairs(scored, PairOptions(per_image=per_image, any_name=True)).pairs


def scene_rows(name: str, work: Path) -> list[dict[str, Any]]:
    """The lists of a scene, the longest last."""
    share, twenty = SCENES[name]
    scene = Scene(name, work)
    started = time.process_time()
    scored = score_pairs(ColmapDatabase(scene.database, scene.photos), PairOptions(any_name=True, threads=1))
    choosing = round(time.process_time() - started, 2)
    photos = len(scene.names)
    per_image = int(share * (photos - 1))  # photos * per_image / 2 pairs are at most the share
    lists = {f"chosen, {per_image} per photo": chosen(scored, per_image)}
    if twenty:
        lists["chosen, 20 per photo"] = chosen(scored, 20)
    lists["exhaustive"] = scene.every_pair()
    rows = []
    for label, pairs in lists.items():
        rows.append(scene.measured(label, pairs) | {"choosing_seconds": choosing if label != "exhaustive" else 0.0})
        print(line(rows[-1]), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    model = f"{row['registered']:3d} of {row['photos']:3d} {row.get('points', 0):7d} points"
    model += f" {row.get('observations', 0):8d} obs {row.get('reprojection_error', 0):5.2f} px"
    times = f"match {row['match_seconds']:6.1f} s, map {row['mapping_seconds']:6.1f} s"
    pairs = f"{row['pairs']:5d} pairs {row['share']:6.1%} {row['verified_pairs']:5d} verified"
    return f"{row['scene']:20s} {row['list']:22s} {pairs} {model}, {times}"


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """Won or lost, list by list."""
    found = []
    for row in rows:
        whole = next((r for r in rows if r["scene"] == row["scene"] and r["list"] == "exhaustive"), None)
        if whole is None or row is whole:
            continue
        won = row["registered"] >= whole["registered"]
        said = f"registered {row['registered']} against {whole['registered']}"
        if row["list"].endswith(" 20 per photo"):
            ratio = row["points"] / whole["points"]
            won, said = won and ratio >= POINTS, f"{said}, points {ratio:.1%}"
        found.append(f"{'won ' if won else 'LOST'} {row['scene']}, {row['list']}: {said}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=f"of {', '.join(SCENES)}; default: all")
    parser.add_argument("--work", type=Path, default=Path("out/bench_reconstruct"), help="databases and records")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results") / "reconstruct.json")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.scenes if name not in SCENES]:
        parser.error(f"no such scene: {' '.join(unknown)}")
    rows: list[dict[str, Any]] = []
    try:
        for name in arguments.scenes or SCENES:
            rows += scene_rows(name, arguments.work)
            told = {"rows": rows, "verdicts": verdicts(rows)}
            arguments.json.write_text(json.dumps(told, indent=1) + "\n")
    except MirrorError as error:
        sys.exit(str(error))
    print("\n".join(verdicts(rows)))


if __name__ == "__main__":
    main()
