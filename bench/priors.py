"""What positions, times and file order are worth: with, without, and falsified.

    python bench/priors.py [--json FILE]

Falsified: the positions of the scene's own photos in a random order, for all photos or for three in ten. mAP of the
scores, over the scenes whose photos carry positions; the other two priors over every labelled scene.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
from quality import BAR, DATA, OTHERS

from mirror_sfm.evaluation import label_table, mean_average_precision, read_labels
from mirror_sfm.pairs import PairOptions, score_pairs
from mirror_sfm.priors import PRIORS, Circumstances, distances, prior_factor, read_circumstances
from mirror_sfm.view_graph import ScoredPairs

WITHOUT = PairOptions(priors=())


def falsified(where: Circumstances, share: float) -> Circumstances:
    """The same with the values of some photos shuffled among them."""
    rng = np.random.default_rng(0)
    photos = rng.choice(len(where.order), round(share * len(where.order)), replace=False)
    shuffled = dataclasses.replace(
        where, positions=where.positions.copy(), times=where.times.copy(), order=where.order.copy()
    )
    for values in (shuffled.positions, shuffled.times, shuffled.order):
        values[photos] = values[rng.permutation(photos)]
    return shuffled


def quality(scored: ScoredPairs, positive: np.ndarray, factor: np.ndarray) -> float:
    matrix = np.full(positive.shape, -np.inf, np.float32)
    i, j = scored.candidates.i, scored.candidates.j
    matrix[i, j] = matrix[j, i] = scored.scores * factor
    return mean_average_precision(matrix, positive)


def rows(scene: Path) -> list[dict[str, object]]:
    scored = score_pairs(scene / "images", WITHOUT)
    positive = read_labels(label_table(scene), scored.names).positive
    where = read_circumstances(scored.names, scored.paths)
    found = []
    for prior in PRIORS:
        if not np.isfinite(distances(where, prior, scored.candidates)).any():
            continue
        row: dict[str, object] = {"scene": scene.name, "prior": prior, "without": quality(scored, positive, np.ones(1))}
        for name, some in (
            ("with", where),
            ("falsified_30", falsified(where, 0.3)),
            ("falsified", falsified(where, 1)),
        ):
            factor = prior_factor(scored.candidates, scored.evidence, distances(some, prior, scored.candidates))
            row[name] = quality(scored, positive, factor)
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    every = [row for name in (*(f"scenes/{name}" for name in BAR), *OTHERS) for row in rows(DATA / name)]
    columns = ("without", "with", "falsified_30", "falsified")
    print(f"{'prior':6s} {'scene':24s}" + "".join(f"{column:>14s}" for column in columns))
    for row in sorted(every, key=lambda row: PRIORS.index(row["prior"])):
        print(f"{row['prior']:6s} {row['scene']:24s}" + "".join(f"{row[column]:14.4f}" for column in columns))
    if arguments.json:
        arguments.json.write_text(json.dumps(every, indent=2) + "\n")


if __name__ == "__main__":
    main()
