"""Bags of visual words beside our default: mAP and precision on labelled scenes.

    python bench/bag_of_words.py [SCENE...] [--features N...] [--work FOLDER] [--json FILE]

Words come from the scenes that nobody is measured on (`compare.py`'s are left out). Features are ours, `--features` of
each photo. P10 is the share of true pairs among the first 10 per photo: of a ranking, pairs by the better of their two
ranks, then by score; of our default, those it hands out. Seconds are processor seconds of ranking, features given.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mirror_sfm.bag_of_words.geometry import GeometryOptions
from mirror_sfm.bag_of_words.hamming import HammingEmbedding, HammingOptions
from mirror_sfm.bag_of_words.retrieval import BagOptions, descriptors_of, score_photos
from mirror_sfm.bag_of_words.training import VocabularyOptions, make_vocabulary
from mirror_sfm.bag_of_words.vocabulary import Vocabulary
from mirror_sfm.budget import pair_budget
from mirror_sfm.cache import Cache
from mirror_sfm.evaluation import label_table, mean_average_precision, measure, read_labels
from mirror_sfm.features import Features
from mirror_sfm.folder import find_photos
from mirror_sfm.pairs import PairOptions, score_pairs
from mirror_sfm.reading import read_features
from mirror_sfm.sources import PhotoFolder

DATA = Path(os.environ.get("MIRROR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SCENES = ("object_maryrose", "drone_caliterra")
# Measured here or in compare.py, and a sequence of which such a scene is a part.
LEFT_OUT = (
    "building_herzjesu25",
    "drone_garfield",
    "object_maryrose",
    "drone_caliterra",
    "indoor_redkitchen",
    "indoor_redkitchen_446",
)
TRAINING_PHOTOS, TRAINING_FEATURES = 160, 2048
VOCABULARIES = {
    "tree 16^4": VocabularyOptions(branching=16, depth=4, threads=1),
    "tree 16^3": VocabularyOptions(branching=16, depth=3, threads=1),
    "flat 1024": VocabularyOptions(branching=1024, depth=1, threads=1),
}
Words = tuple[Vocabulary, HammingEmbedding]


def training_features(work: Path) -> Features:
    """Of photos evenly spread over all other scenes."""
    folders = [folder for kind in ("scenes", "training") for folder in sorted((DATA / kind).iterdir())]
    every = [photo for folder in folders if folder.name not in LEFT_OUT for photo in find_photos(folder / "images")]
    count = min(TRAINING_PHOTOS, len(every))
    chosen = [every[k * len(every) // count] for k in range(count)]
    return read_features(chosen, TRAINING_FEATURES, threads=1, cache=Cache(work / "features")).features


def vocabularies(work: Path) -> dict[str, Words]:
    """Each with its embedding; kept in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    found, rows = {}, None
    for name, options in VOCABULARIES.items():
        words, embedding = work / f"{name}.npz", work / f"{name} hamming.npz"
        if not embedding.exists():
            rows = descriptors_of(training_features(work)) if rows is None else rows
            started = time.process_time()
            made = make_vocabulary(rows, options)
            made.save(words)
            HammingEmbedding.fit(made, rows).save(embedding)
            spent = time.process_time() - started
            print(f"{name}: {len(made.words)} words of {len(rows)} descriptors, {spent:.0f} s", flush=True)
        held = Vocabulary.load(words)
        found[name] = held, HammingEmbedding.load(embedding, held)
    return found


def methods(held: dict[str, Words]) -> dict[str, Callable[[Features], np.ndarray]]:
    def of(words: Vocabulary, embedding: HammingEmbedding, **options: Any) -> Callable[[Features], np.ndarray]:
        return lambda features: score_photos(features, words, BagOptions(threads=1, **options), embedding)

    hamming, geometry = HammingOptions(), GeometryOptions()
    kinds: dict[str, dict[str, Any]] = {
        "tf-idf, all nodes, L1": {},
        "tf-idf, words, L1": {"inner_nodes": False},
        "tf-idf, words, L2": {"inner_nodes": False, "norm": "l2"},
        "HE": {"hamming": hamming},
        "HE, shared votes": {"hamming": hamming, "share_votes": True},
        "WGC": {"geometry": geometry},
        "HE + WGC": {"hamming": hamming, "geometry": geometry},
        "HE + WGC, shared votes": {"hamming": hamming, "geometry": geometry, "share_votes": True},
    }
    return {
        f"{name}: {kind}": of(*both, **kinds[kind])
        for name, both in held.items()
        for kind in kinds
        if both[0].depth > 1 or "all nodes" not in kind  # a flat list has no others
    }


def precision(scores: np.ndarray, positive: np.ndarray, per_photo: int) -> float:
    count = len(scores)
    scores = scores.astype(np.float64)
    np.fill_diagonal(scores, -np.inf)
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    i, j = np.triu_indices(count, 1)
    order = np.lexsort((-np.maximum(scores[i, j], scores[j, i]), np.minimum(ranks[i, j], ranks[j, i])))
    first = order[: pair_budget(count, per_photo)]
    return float(positive[i[first], j[first]].sum() / min(len(first), positive[i, j].sum()))


def scene_rows(name: str, arguments: argparse.Namespace, held: dict[str, Words]) -> list[dict[str, Any]]:
    folder = DATA / "scenes" / name
    rows: list[dict[str, Any]] = []

    def add(method: str, features: int, quality: float, p10: float, seconds: float) -> None:
        row = {"scene": name, "method": method, "features": features, "map": round(quality, 4)}
        rows.append(row | {"p10": round(p10, 4), "seconds": round(seconds, 2)})
        print(f"| {name} | {method} | {features} | {quality:.3f} | {p10:.3f} | {seconds:.1f} |", flush=True)

    cache, photos = Cache(arguments.work / "features"), find_photos(folder / "images")
    read_features(photos, PairOptions.features, threads=1, cache=cache)
    started = time.process_time()
    scored = score_pairs(PhotoFolder(folder / "images", cache=cache.folder), PairOptions(threads=1))
    spent = time.process_time() - started
    report = measure(name, scored, read_labels(label_table(folder), scored.names))
    at = {budget.per_photo: budget for budget in report.at}[10]
    add("ours", PairOptions.features, report.mean_average_precision, at.chosen_precision, spent)
    for count in arguments.features:
        features = read_features(photos, count, threads=1, cache=cache).features
        positive = read_labels(label_table(folder), features.names).positive
        for method, run in methods(held).items():
            started = time.process_time()
            scores = run(features)
            spent = time.process_time() - started
            add(method, count, mean_average_precision(scores, positive), precision(scores, positive, 10), spent)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", default=SCENES)
    parser.add_argument("--features", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--work", type=Path, default=Path("out/bench_bag_of_words"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    held = vocabularies(arguments.work)
    rows = [row for name in arguments.scenes for row in scene_rows(name, arguments, held)]
    if arguments.json:
        words = {kind: len(words.words) for kind, (words, _) in held.items()}
        arguments.json.write_text(json.dumps({"words": words, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
