"""`mirror-sfm match`: matches and two-view geometry into a COLMAP database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import Threads, errors_in_one_line, shown, somebody_watches

if TYPE_CHECKING:
    from mirror_sfm.matching import MatchReport


@app.command()
def match(
    database: Annotated[Path, typer.Option("--database", metavar="FILE", help="COLMAP database with SIFT features.")],
    pairs: Annotated[Path, typer.Option("--pairs", metavar="FILE", help="Two names a line, as `pairs` writes them.")],
    max_ratio: Annotated[
        float, typer.Option("--max-ratio", help="Keep matches whose ratio, averaged over both photos, is below.")
    ] = 0.8,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare all features at full length: slower, hardly other matches.")
    ] = False,
    verify: Annotated[bool, typer.Option(help="Examine the geometry of every pair; mapping needs it.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Match pairs again that were matched before.")] = False,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Match pairs of photos and write the matches into a COLMAP database.

    Pairs that the database has matches of are left alone: a run that was stopped goes on where it was.

    \b
        mirror-sfm pairs --database project.db -o pairs
        mirror-sfm match --database project.db --pairs pairs/pairs.txt
        colmap mapper --database_path project.db --image_path photos --output_path sparse
    """
    with errors_in_one_line():
        from mirror_sfm.matching import MatchOptions
        from mirror_sfm.matching import match as match_pairs

        options = MatchOptions(
            max_ratio=max_ratio,
            exact=exact,
            verify=verify,
            overwrite=overwrite,
            threads=threads,
            progress=somebody_watches(),
        )
        report = match_pairs(database, pairs, options)
        tell_problems(report)
        typer.echo(report_json(report) if as_json else f"{report_line(report)} -> {shown(database)}")


def tell_problems(report: MatchReport) -> None:
    """A line per thing that a user may not expect."""
    for name in report.featureless:
        typer.echo(f"no features: {shown(name)}", err=True)
    for name, count in report.dropped.items():
        typer.echo(f"{shown(name)}: {count} features left out (not finite, zero, or more than 32,768)", err=True)
    if report.self_pairs or report.repeated:
        typer.echo(f"left out: {report.repeated} repeated pairs, {report.self_pairs} of a photo with itself", err=True)


def report_line(report: MatchReport) -> str:
    """The report on one line."""
    before = report.pairs - report.matched
    seconds = sum(report.seconds.values())
    return (
        f"{report.matched} pairs matched{f', {before} before' if before else ''}: {report.matches} matches, "
        f"{report.inliers} verified in {report.verified} pairs ({seconds:.1f} s)"
    )


def report_json(report: MatchReport) -> str:
    """The report as a JSON object."""
    import json
    from dataclasses import asdict

    return json.dumps(asdict(report), indent=2, ensure_ascii=False)
