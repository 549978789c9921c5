"""How good the pairs of a labelled scene are. A scene is a folder with `images/` and a table of labels.

Average precision is the trapezoidal one of the Oxford buildings benchmark, with the query itself left out.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.budget import Limits, pair_budget
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.graph import components, select
from mirror_sfm.pairs import PairOptions, score_pairs
from mirror_sfm.photos import shown
from mirror_sfm.view_graph import ScoredPairs

PER_PHOTO = (5, 10, 20, 50)  # budgets to report on, pairs per photo
LEAST_OVERLAP = 0.25  # of either photo's surface seen in the other
LEAST_SHARED_POINTS = 20


@dataclass(frozen=True)
class Labels:
    """Which pairs of a scene belong together.

    Attributes:
        names: of the N photos, sorted.
        positive: [N, N] bool, symmetric, diagonal False.
        source: file name of the table.
    """

    names: tuple[str, ...]
    positive: NDArray[np.bool_]
    source: str


@dataclass(frozen=True)
class AtBudget:
    """Pairs at a budget of N x per_photo / 2.

    Attributes:
        per_photo: the budget.
        precision: of the best scores: positives among them / the most there could be, min(budget, all positives).
        recall: of the best scores: positives among them / all positives.
        chosen_precision, chosen_recall: the same for the pairs handed out, which also connect and cover.
        components: parts into which the photos with a positive fall under the positives handed out.
    """

    per_photo: int
    precision: float
    recall: float
    chosen_precision: float
    chosen_recall: float
    components: int


@dataclass(frozen=True)
class Report:
    """Quality of one scene. `mean_average_precision` is over the photos that have a positive."""

    scene: str
    photos: int
    positives: int
    mean_average_precision: float
    at: tuple[AtBudget, ...]
    labels: str
    seconds: dict[str, float]


def evaluate(scene: str | os.PathLike[str], options: PairOptions | None = None) -> tuple[Report, ScoredPairs]:
    """Runs `score_pairs` on SCENE/images and compares with the labels in SCENE.

    Raises:
        UsageError: no such scene.
        MirrorError: labels are missing, malformed, or name photos that are not there.
    """
    folder = Path(scene)
    if not (folder / "images").is_dir():
        raise UsageError(f"{shown(str(folder))} is not a scene: it has no folder images/")
    table = label_table(folder)  # before the work starts
    scored = score_pairs(folder / "images", options)
    labels = read_labels(table, [*scored.names, *(photo.name for photo in scored.skipped)])
    return measure(folder.resolve().name, scored, labels), scored


def measure(scene: str, scored: ScoredPairs, labels: Labels) -> Report:
    """Compares scores and choice with labels. Photos that could not be used count: their positives are missed."""
    place = {name: row for row, name in enumerate(labels.names)}
    row = np.array([place[name] for name in scored.names], np.int64)
    i, j = row[scored.candidates.i], row[scored.candidates.j]
    scores = np.full(labels.positive.shape, -np.inf, np.float32)
    scores[i, j] = scores[j, i] = scored.scores
    hit = labels.positive[i, j]
    every = int(labels.positive.sum()) // 2
    by_score = np.argsort(-scored.scores, kind="stable")

    def at(per_photo: int) -> AtBudget:
        budget = pair_budget(len(labels.names), per_photo)
        chosen, _ = select(scored.candidates, scored.scores, scored.probabilities, scored.evidence, Limits(budget))
        best, handed_out = int(hit[by_score[:budget]].sum()), int(hit[chosen].sum())
        most = max(1, min(budget, every))
        true = chosen[hit[chosen]]
        label = components(len(labels.names), i[true], j[true])
        parts = len(np.unique(label[labels.positive.any(axis=1)]))
        return AtBudget(
            per_photo=per_photo,
            precision=best / most,
            recall=best / max(1, every),
            chosen_precision=handed_out / most,
            chosen_recall=handed_out / max(1, every),
            components=parts,
        )

    return Report(
        scene=scene,
        photos=len(labels.names),
        positives=every,
        mean_average_precision=mean_average_precision(scores, labels.positive),
        at=tuple(at(per_photo) for per_photo in PER_PHOTO),
        labels=labels.source,
        seconds=scored.seconds,
    )


def mean_average_precision(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    """Mean over the rows with a positive; each row ranks the other photos by falling score, ties by lowest index.

    Args:
        scores: [N, N], -inf where a pair was not scored: it is not in the list, and not found counts nothing.
        positive: [N, N] bool; the diagonal does not count.
    """
    values = []
    for query in range(len(scores)):
        wanted = set(np.flatnonzero(positive[query]).tolist()) - {query}
        if wanted:
            order = np.argsort(-scores[query], kind="stable")
            ranked = order[(order != query) & np.isfinite(scores[query][order])]
            values.append(average_precision(ranked.tolist(), wanted))
    return float(np.mean(values)) if values else float("nan")


def average_precision(ranked: Sequence[int], positives: Collection[int], junk: Collection[int] = ()) -> float:
    """Area under precision over recall by trapezoids, from (recall 0, precision 1).

    Junk takes no place in the list. Positives that are not in the list count as never found.
    """
    positives, junk = set(positives) - set(junk), set(junk)
    if not positives:
        raise ValueError("average_precision: positives must not be empty")
    area, hits, before = 0.0, 0, 1.0
    for place, item in enumerate((item for item in ranked if item not in junk), start=1):
        found = item in positives
        hits += found
        precision = hits / place
        area += found * (before + precision) / 2
        before = precision
    return area / len(positives)


def label_table(scene: Path) -> Path:
    """The table of labels: geometric overlap where there is one, else shared points of a model.

    Raises:
        MirrorError: there is none.
    """
    tables = ("pairs_overlap.csv", "overlap.csv", "pairs_covis.csv")
    for name in tables:
        if (scene / name).is_file():
            return scene / name
    raise MirrorError(f"{shown(str(scene))} has no labels: expected one of {', '.join(tables)}")


def read_labels(table: Path, names: Sequence[str]) -> Labels:
    """Reads a table of labels.

    `pairs_covis.csv` lists image_a, image_b and shared_points: positive from 20 on. The others list two names and the
    overlap seen from each: positive where the smaller is at least 0.25. Pairs not listed are negative.

    Args:
        table: the file.
        names: of all photos. Tables may leave out the suffix.

    Raises:
        MirrorError: a column, a number or a photo is wrong; the message has the line.
    """
    ordered = tuple(sorted(names))
    place = {os.path.splitext(name)[0]: row for row, name in enumerate(ordered)}
    place |= {name: row for row, name in enumerate(ordered)}
    positive = np.zeros((len(ordered), len(ordered)), bool)
    for line, first, second, wanted in _label_rows(table):
        for name in (first, second):
            if name not in place:
                raise MirrorError(f"{table.name}, line {line}: no photo is called {shown(name)}")
        a, b = place[first], place[second]
        if a == b:
            raise MirrorError(f"{table.name}, line {line}: {shown(first)} is paired with itself")
        positive[a, b] = positive[b, a] = wanted
    return Labels(ordered, positive, table.name)


def _label_rows(table: Path) -> Iterator[tuple[int, str, str, bool]]:
    """Line number, two names, whether they belong together."""
    covisibility = table.name == "pairs_covis.csv"
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if covisibility and not {"image_a", "image_b", "shared_points"} <= set(header):
                raise MirrorError(f"{table.name}: expected columns image_a, image_b, shared_points, got {header}")
            if not covisibility and len(header) < 4:
                raise MirrorError(f"{table.name}: expected columns for two names and two overlaps, got {header}")
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise MirrorError(
                        f"{table.name}, line {reader.line_num}: expected {len(header)} values, got {len(row)}"
                    )
                named = dict(zip(header, row, strict=True))
                first, second = (named["image_a"], named["image_b"]) if covisibility else row[:2]
                if covisibility:
                    wanted = _number(named["shared_points"]) >= LEAST_SHARED_POINTS
                else:
                    wanted = min(_number(row[2]), _number(row[3])) >= LEAST_OVERLAP
                yield reader.line_num, first, second, wanted
    except (csv.Error, UnicodeDecodeError) as error:
        raise MirrorError(f"{table.name} is not a table of comma-separated values in UTF-8: {error}") from error
    except ValueError as error:
        raise MirrorError(f"{table.name}, line {reader.line_num}: {error}") from error


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"expected a number, got {text}")
    return value
