"""Which pairs? Ours against what else people use: the same photos, the same features, the same budget.

    python bench/compare.py [SCENE...] [--tree FILE] [--weights FILE] [--work FOLDER] [--json FILE]

Everybody starts from one COLMAP database of SIFT features (`--features`, the same for all), and hands out N k / 2 pairs
for k pairs per photo: ours by its own choice; lists that rank each photo's partners by their better mutual rank, then
by score. A pair's matches do not depend on the list it is in, so all lists are matched and mapped as in
`reconstruct.py`, each pair once. Seconds are processor seconds of ranking and choosing, features given.

The vocabulary tree has to come from other scenes: `--tree` names it, and `bench/vocabulary.py` makes one. The global
descriptor is the maximum of a network's map (`--weights`, MobileNetV2), ranked by cosine as hloc does.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib  # noqa: F401  before pycolmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import retrieval_peers as peers
from reconstruct import DATA, Pair, Scene

from mirror_sfm.evaluation import label_table, mean_average_precision, read_labels
from mirror_sfm.pairs import PairOptions, choose_pairs, pair_budget, score_pairs
from mirror_sfm.sources import ColmapDatabase

SCENES = ("building_herzjesu25", "drone_garfield", "object_maryrose", "drone_caliterra", "indoor_redkitchen")
BUDGETS = (3, 5, 10, 20)
Chooser = Callable[[int], list[Pair]]
OPTIONS = PairOptions(any_name=True, threads=1)


def prepared(name: str, work: Path, features: int) -> Scene:
    """A scene whose database has at most so many features a photo."""
    root = work / f"features_{features}"
    folder = root / name
    database = folder / "all.db"
    if not database.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / "partial.db"
        partial.unlink(missing_ok=True)
        pycolmap.Database.open(partial).close()
        options = pycolmap.FeatureExtractionOptions()
        options.sift.max_num_features, options.num_threads = features, 1
        pycolmap.extract_features(
            partial, DATA / "scenes" / name / "images", extraction_options=options, device=pycolmap.Device.cpu
        )
        partial.rename(database)
    return Scene(name, root)


def by_rank(names: list[str], scores: np.ndarray) -> Chooser:
    """Pairs by the better of their two ranks, then by score."""
    count = len(names)
    scores = np.array(scores, np.float64)
    np.fill_diagonal(scores, -np.inf)
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    i, j = np.triu_indices(count, 1)
    order = np.lexsort((-np.maximum(scores[i, j], scores[j, i]), np.minimum(ranks[i, j], ranks[j, i])))
    listed = [(names[i[row]], names[j[row]]) for row in order]
    return lambda k: listed[: pair_budget(count, k)]


def ours(scene: Scene) -> tuple[np.ndarray, Chooser]:
    scored = score_pairs(ColmapDatabase(scene.database, scene.photos), OPTIONS)
    scores = np.full((len(scored.names),) * 2, -np.inf)
    i, j = scored.candidates.i, scored.candidates.j
    scores[i, j] = scores[j, i] = scored.scores

    def choose(k: int) -> list[Pair]:
        return choose_pairs(scored, PairOptions(any_name=True, per_image=k)).pairs

    return scores, choose


def methods(
    scene: Scene, tree: Path | None, weights: Path | None
) -> dict[str, Callable[[], tuple[np.ndarray, Chooser]]]:
    names = scene.names

    def ranked(score: Callable[[], np.ndarray]) -> Callable[[], tuple[np.ndarray, Chooser]]:
        def run() -> tuple[np.ndarray, Chooser]:
            scores = score()
            return scores, by_rank(names, scores)

        return run

    found = {"ours": lambda: ours(scene)}
    if tree is not None:
        found["COLMAP vocabulary tree"] = ranked(lambda: peers.vocabulary_tree(scene.database, tree))
    if weights is not None:
        paths = {name: scene.photos / name for name in names}
        found["MobileNetV2 MAC, top k"] = ranked(lambda: peers.global_descriptor(names, paths, weights))
    found["RootSIFT-VLAD"] = ranked(lambda: peers.vlad(scene.database))
    found["ASMK*"] = ranked(lambda: peers.asmk(scene.database))
    found["COLMAP sequential"] = ranked(lambda: peers.sequential(len(names)))
    return found


def scene_rows(name: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    scene = prepared(name, arguments.work, arguments.features)
    positive = read_labels(label_table(DATA / "scenes" / name), scene.names).positive
    i, j = np.triu_indices(len(scene.names), 1)
    rows = []
    for method, run in methods(scene, arguments.tree, arguments.weights).items():
        started = time.process_time()
        scores, choose = run()
        first = choose(10)
        seconds = time.process_time() - started
        place = {photo: row for row, photo in enumerate(scene.names)}
        hits = sum(positive[place[a], place[b]] for a, b in first)
        quality = {
            "map": mean_average_precision(scores.astype(np.float32), positive),
            "p10": hits / min(len(first), int(positive[i, j].sum())),
            "choosing_seconds": round(seconds, 2),
        }
        for k in BUDGETS:
            rows.append(
                {"method": method, "per_image": k} | scene.measured(f"{method}, {k} per photo", choose(k)) | quality
            )
            print(f"{name} {method} {k}: {rows[-1]['registered']}", flush=True)
    rows.append({"method": "COLMAP exhaustive"} | scene.measured("exhaustive", scene.every_pair()))
    return rows


def model(row: dict[str, Any]) -> str:
    """Three cells: registered photos, observations, share of pairs with a verified geometry."""
    return f" {row['registered']} | {row.get('observations', 0)} | {row['verified_pairs'] / row['pairs']:.0%} |"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, a line per scene and method: registered photos and observations at every budget."""
    head = "".join(f" reg. {k} | obs. {k} | verified {k} |" for k in BUDGETS)
    lines = [f"| scene | method | mAP | P10 |{head} seconds |", "|---|---|" + "---|" * (3 + 3 * len(BUDGETS))]
    for scene in dict.fromkeys(row["scene"] for row in rows):
        own = [row for row in rows if row["scene"] == scene]
        for method in dict.fromkeys(row["method"] for row in own):
            at = {row.get("per_image"): row for row in own if row["method"] == method}
            if None in at:
                cells = " |" * 3 * (len(BUDGETS) - 1)
                lines.append(f"| {scene} | exhaustive, {at[None]['pairs']} pairs | | |{cells}{model(at[None])} |")
                continue
            of_any = at[BUDGETS[0]]
            quality = f"{of_any['map']:.3f} | {of_any['p10']:.3f}"
            cells = "".join(model(at[k]) for k in BUDGETS)
            lines.append(f"| {scene} | {method} | {quality} |{cells} {of_any['choosing_seconds']:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=f"default: {', '.join(SCENES)}")
    parser.add_argument("--features", type=int, default=2048, help="per photo, the same for everybody")
    parser.add_argument("--tree", type=Path, help="vocabulary tree of other scenes")
    parser.add_argument("--weights", type=Path, help="of MobileNetV2")
    parser.add_argument("--work", type=Path, default=Path("out/bench_compare"), help="databases and records")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results") / "compare.json")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in arguments.scenes or SCENES:
        rows += scene_rows(name, arguments)
        arguments.json.write_text(json.dumps({"features": arguments.features, "rows": rows}, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
