"""Fits P(matchable) on labelled scenes and says how far it can be trusted on a scene it has not seen.

    python bench/calibrate.py            # the table of docs/probability.md; fails when other constants are in use
    python bench/calibrate.py --keep     # also writes bench/results/calibration.json and docs/reliability.svg

Every scene is left out once, with all that was made of it. Its expected calibration error (ECE) is the mean gap, over
ten bins of equally many pairs, between what was promised and what was true. What is fitted on:

- the scenes whose labels are complete, each weighing the same; half as much each scene's every second photo and every
  fourth, because sparse collections look different;
- twenty collections of strangers: one photo of each place, nothing overlaps;
- pairs across places in one large collection of all scenes.

One scene is left out altogether: the background of object_ethiopian_head stands still, so that every pair can be
matched, but its labels are about the object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from mirror_sfm import calibration
from mirror_sfm.calibration import inputs, logistic
from mirror_sfm.diffusion import diffuse
from mirror_sfm.evaluation import label_table, read_labels
from mirror_sfm.evidence import choose, score_coarsely, verify
from mirror_sfm.features import Features
from mirror_sfm.pairs import PairOptions
from mirror_sfm.sources import PhotoFolder
from mirror_sfm.threads import processors

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("MIRROR_DATA", HERE.parents[1] / "shared" / "data"))
COMPLETE = (
    "scenes/drone_caliterra",
    "scenes/drone_garfield",
    "scenes/drone_brighton",
    "scenes/aerial_dem4",
    "scenes/building_herzjesu25",
    "scenes/object_maryrose",
    "scenes/indoor_redkitchen",
    "scenes/indoor_livingroom",
    "training/outdoor_rock",
    "training/outdoor_statue57",
    "training/object_conch",
    "training/object_gold_cape",
    "training/object_skull",
)
PLACES_ONLY = ("scenes/internet_sacrecoeur", "scenes/object_banana", "scenes/indoor_chair", "scenes/street_lund")
BINS = 10
RECALLS = (0.8, 0.9, 0.95)
OPTIONS = PairOptions()


@dataclass(frozen=True)
class Pairs:
    """Pairs of one collection.

    Attributes:
        scene: what leaves the fit together; two names where a pair has one photo in each.
        whole: it is a scene as it is, and is reported.
        weight: of all its pairs together.
        inputs: [P, 3], what the log odds are linear in.
        true: [P] bool.
    """

    scene: np.ndarray
    whole: bool
    weight: float
    inputs: np.ndarray
    true: np.ndarray


def score(features: Features, threads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photos i, j and inputs of all candidate pairs."""
    candidates = score_coarsely(features, OPTIONS.coarse_features, threads)
    evidence = verify(features, candidates, choose(candidates, OPTIONS.verify), threads)
    return candidates.i, candidates.j, inputs(candidates, evidence, diffuse(candidates, evidence, threads))


def collections(threads: int) -> list[Pairs]:
    made: list[Pairs] = []
    photos: dict[str, Features] = {}
    for scene in (*COMPLETE, *PLACES_ONLY):
        photos[scene] = PhotoFolder(DATA / scene / "images").read(OPTIONS.features, threads).features
    for scene in COMPLETE:
        names = photos[scene].names
        positive = read_labels(label_table(DATA / scene), names).positive
        for step in (1, 2, 4):
            rows = np.arange(0, len(names), step)
            if step == 1 or len(rows) >= 4:
                i, j, x = score(photos[scene].take(rows), threads)
                owner = np.full((len(i), 2), scene)
                made.append(Pairs(owner, step == 1, 1.0 if step == 1 else 0.5, x, positive[rows[i], rows[j]]))
    rng = np.random.default_rng(0)
    for _ in range(20):
        one_each = [features.take(rng.integers(len(features.names), size=1)) for features in photos.values()]
        i, _, x = score(joined(one_each), threads)
        made.append(Pairs(np.full((len(i), 2), "strangers"), False, 1 / 20, x, np.zeros(len(i), bool)))
    place = np.repeat(COMPLETE, [len(photos[scene].names) for scene in COMPLETE])
    i, j, x = score(joined([photos[scene] for scene in COMPLETE]), threads)
    across = place[i] != place[j]
    owner = np.stack((place[i], place[j]), 1)[across]
    made.append(Pairs(owner, False, 4.0, x[across], np.zeros(len(owner), bool)))
    return made


def joined(parts: list[Features]) -> Features:
    arrays = ("keypoints", "descriptors", "sizes", "diagonals", "image_sizes", "scales")
    together = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    return Features(names=tuple(f"{k}" for k in range(len(together["sizes"]))), **together)


def fit(made: list[Pairs], without: str | None = None) -> np.ndarray:
    """Logistic regression with factors that are not negative; a trace of ridge makes it unique."""
    kept = [(part, (part.scene != without).all(axis=1)) for part in made]
    kept = [(part, rows) for part, rows in kept if rows.any()]
    x = np.concatenate([part.inputs[rows] for part, rows in kept])
    sign = np.concatenate([np.where(part.true[rows], 1.0, -1.0) for part, rows in kept])
    weight = np.concatenate([np.full(rows.sum(), part.weight / rows.sum()) for part, rows in kept])
    weight /= weight.sum()

    def loss(factors: np.ndarray) -> tuple[float, np.ndarray]:
        odds = sign * (x @ factors)
        slope = -(weight * sign * np.exp(-np.logaddexp(0, odds))) @ x
        return weight @ np.logaddexp(0, -odds) + 1e-5 * factors @ factors, slope + 2e-5 * factors

    bounds = [(None, None), (0, None), (0, None)]
    return minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13}).x


def reliability(promised: np.ndarray, true: np.ndarray, weight: np.ndarray) -> list[dict[str, float]]:
    """Ten bins of equal weight by rising probability: their weight, what was promised and what was true."""
    order = np.argsort(promised, kind="stable")
    promised, true, weight = promised[order], true[order], weight[order] / weight.sum()
    bins = np.minimum((np.cumsum(weight) - weight / 2) * BINS, BINS - 1).astype(int)
    rows = [bins == k for k in range(BINS) if (bins == k).any()]
    mean = [(weight[row].sum(), *(np.average(a[row], weights=weight[row]) for a in (promised, true))) for row in rows]
    return [dict(zip(("weight", "promised", "true"), map(float, values), strict=True)) for values in mean]


def calibration_error(bins: list[dict[str, float]]) -> float:
    return sum(row["weight"] * abs(row["promised"] - row["true"]) for row in bins)


def reached(promised: np.ndarray, true: np.ndarray, wanted: float) -> tuple[float, float]:
    """Recall of the shortest list that promises `wanted`, and its share of all pairs."""
    order = np.argsort(-promised, kind="stable")
    length = 1 + np.searchsorted(np.cumsum(promised[order]), wanted * promised.sum())
    return float(true[order[:length]].sum() / max(1, true.sum())), length / len(true)


def draw(bins: list[dict[str, float]], scenes: dict[str, list[dict[str, float]]], file: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "reliability", "font.family": "sans-serif", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4.4, 4.2), layout="constrained")
    axes.plot((0, 1), (0, 1), color="0.6", linewidth=0.8, linestyle="--")
    for own in scenes.values():
        axes.plot([b["promised"] for b in own], [b["true"] for b in own], color="0.8", linewidth=0.8)
    axes.plot([b["promised"] for b in bins], [b["true"] for b in bins], color="#1f5fa8", marker="o", markersize=4)
    axes.set(xlabel="promised: mean P(matchable)", ylabel="true: share of matching pairs", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("each scene left out once: all (blue), each (grey)", fontsize=9)
    axes.set_aspect("equal")
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="write the results and the diagram")
    parser.add_argument("--threads", type=int, default=processors())
    arguments = parser.parse_args()
    made = collections(arguments.threads)
    promised = {}
    scenes: dict[str, dict] = {}
    for part in (part for part in made if part.whole):
        scene = str(part.scene[0, 0])
        promised[scene] = logistic(part.inputs @ fit(made, scene))
        bins = reliability(promised[scene], part.true, np.ones(len(part.true)))
        recalls = {str(wanted): reached(promised[scene], part.true, wanted) for wanted in RECALLS}
        scenes[scene] = {"pairs": len(part.true), "true": float(part.true.mean()), "bins": bins, "recall": recalls}
        scenes[scene] |= {"promised": float(promised[scene].mean()), "ece": calibration_error(bins)}
    whole = [part for part in made if part.whole]
    weight = np.concatenate([np.full(len(part.true), 1 / len(part.true)) for part in whole])
    together = reliability(np.concatenate(list(promised.values())), np.concatenate([p.true for p in whole]), weight)
    blind = fit(made, "strangers")
    strangers = np.concatenate([logistic(p.inputs @ blind) for p in made if (p.scene == "strangers").all()])
    factors = [round(float(factor), 3) for factor in fit(made)]
    result = {
        "factors": factors,
        "ece": calibration_error(together),
        "mean_scene_ece": float(np.mean([row["ece"] for row in scenes.values()])),
        "bins": together,
        "strangers": {"pairs": len(strangers), "mean": float(strangers.mean()), "largest": float(strangers.max())},
        "scenes": scenes,
    }
    print("| scene | pairs | true | promised | ECE | " + " | ".join(f"recall {100 * r:.0f} %" for r in RECALLS) + " |")
    print("|---" * (5 + len(RECALLS)) + "|")
    for scene, row in scenes.items():
        recalls = " | ".join(f"{found:.2f} of {share:.2f}" for found, share in row["recall"].values())
        print(
            f"| {Path(scene).name} | {row['pairs']} | {row['true']:.2f} | {row['promised']:.2f} |"
            f" {row['ece']:.3f} | {recalls} |"
        )
    print(f"all scenes alike: ECE {result['ece']:.3f}; mean over scenes {result['mean_scene_ece']:.3f}")
    print(f"strangers: mean {strangers.mean():.4f}, largest {strangers.max():.3f} of {len(strangers)} pairs")
    print(f"BIAS, SUPPORT, WEIGHT = {', '.join(map(str, factors))}")
    if arguments.keep:
        (HERE / "results" / "calibration.json").write_text(json.dumps(result, indent=1) + "\n")
        draw(together, {name: row["bins"] for name, row in scenes.items()}, HERE.parent / "docs" / "reliability.svg")
    used = [calibration.BIAS, calibration.SUPPORT, calibration.WEIGHT]
    if factors != used:
        sys.exit(f"calibration.py has {used}")


if __name__ == "__main__":
    main()
