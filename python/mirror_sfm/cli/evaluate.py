"""`mirror-sfm evaluate`: pairs of labelled scenes against their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import (
    CoarseCount,
    FeatureCount,
    Priors,
    Threads,
    Tower,
    Verify,
    Weights,
    WhatCounts,
    chosen_priors,
    errors_in_one_line,
    pair_options,
    tell_skipped,
)

if TYPE_CHECKING:
    from mirror_sfm.evaluation import Report


@app.command()
def evaluate(
    scenes: Annotated[list[Path], typer.Argument(metavar="SCENE...", help="Folders with images/ and labels.")],
    verify: Verify = 50,
    features: FeatureCount = 512,
    coarse_features: CoarseCount = 128,
    evidence: WhatCounts = None,
    tower: Tower = None,
    weights: Weights = None,
    prior: Priors = None,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one report per scene.")] = False,
) -> None:
    """Compare the pairs of labelled scenes with their labels: mean average precision, precision, recall, components.

    \b
    A table of several scenes:     mirror-sfm evaluate scenes/*
    Does a network help here?      mirror-sfm evaluate scene --tower mobilenet_v2 --weights FILE
    """
    with errors_in_one_line():
        from mirror_sfm.evaluation import evaluate as evaluate_scene

        options = pair_options(
            verify=verify,
            features=features,
            coarse_features=coarse_features,
            evidence=evidence,
            tower=tower,
            weights=weights,
            priors=chosen_priors(prior),
            threads=threads,
        )
        reports = []
        for scene in scenes:
            report, graph = evaluate_scene(scene, options)
            tell_skipped(graph.skipped)
            reports.append(report)
        typer.echo(report_json(reports) if as_json else report_table(reports))


def report_json(reports: Sequence[Report]) -> str:
    """Reports as a JSON list."""
    import json
    from dataclasses import asdict

    return json.dumps([asdict(report) for report in reports], indent=2)


def report_table(reports: Sequence[Report]) -> str:
    """Reports as text: a line per scene and, for several, their mean. P and R: of the best scores; parts: of the true
    pairs handed out."""
    budgets = [at.per_photo for at in reports[0].at]
    head = f"{'scene':24s} {'photos':>6s} {'mAP':>6s}" + "".join(
        f"  {f'P{k}':>5s} {f'R{k}':>5s} {'parts':>5s}" for k in budgets
    )
    lines = [head]
    for report in reports:
        cells = "".join(f"  {at.precision:5.3f} {at.recall:5.3f} {at.components:5d}" for at in report.at)
        lines.append(f"{report.scene:24s} {report.photos:6d} {report.mean_average_precision:6.3f}{cells}")
    if len(reports) > 1:
        mean = sum(report.mean_average_precision for report in reports) / len(reports)
        cells = ""
        for at in zip(*(report.at for report in reports), strict=True):
            precision, recall = sum(a.precision for a in at) / len(at), sum(a.recall for a in at) / len(at)
            cells += f"  {precision:5.3f} {recall:5.3f} {'':5s}"
        lines.append(f"{'mean':24s} {'':6s} {mean:6.3f}{cells}".rstrip())
    return "\n".join(lines)
