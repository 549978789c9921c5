"""The command line: a thin skin over `find_pairs` and `evaluate`.

Exit codes: 0 done, 1 nothing usable, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from mirror_sfm import __version__
from mirror_sfm.errors import MirrorError, UsageError

if TYPE_CHECKING:
    from mirror_sfm.evaluation import Report
    from mirror_sfm.pairs import PairGraph

app = typer.Typer(
    help="Which photos overlap? Photos in, pairs out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# Optional[...] and not `| None`: typer evaluates these at run time.
PerImage = Annotated[int, typer.Option("--per-image", min=1, help="Pairs per photo: N photos get N x this / 2 pairs.")]
Verify = Annotated[int, typer.Option("--verify", min=1, help="Pairs per photo examined with geometry.")]
FeatureCount = Annotated[int, typer.Option("--features", min=2, max=32768, help="Features per photo used for that.")]
CoarseCount = Annotated[
    int, typer.Option("--coarse-features", min=2, max=32768, help="Features per photo used to find those pairs.")
]
Threads = Annotated[Optional[int], typer.Option("--threads", min=1, help="Default: every processor.")]  # noqa: UP045


@app.command()
def pairs(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of photos; folders inside it count too.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the results.")],
    per_image: PerImage = 20,
    verify: Verify = 50,
    features: FeatureCount = 512,
    coarse_features: CoarseCount = 128,
    threads: Threads = None,
    scores: Annotated[bool, typer.Option(help="Write scores.npz: every scored pair.")] = True,
) -> None:
    """Find the pairs of photos worth matching and write them as COLMAP and hloc read them."""
    with _errors_in_one_line():
        from mirror_sfm.exports import write_results
        from mirror_sfm.pairs import find_pairs

        if not images.is_dir():
            raise UsageError(f"no such folder of photos: {_shown(images)}")
        _make_folder(out)
        options = _options(
            per_image=per_image, verify=verify, features=features, coarse_features=coarse_features, threads=threads
        )
        graph = find_pairs(images, options)
        write_results(out, graph, options, scores)
        _tell_skipped(graph)
        if not graph.names:
            raise MirrorError(f"no usable photo in {_shown(images)}: {_what_was_found(graph.photos)}")
        parts = len(set(graph.components.tolist()))
        typer.echo(
            f"{len(graph.names)} of {graph.photos} photos, {len(graph.chosen)} pairs"
            f"{f' in {parts} unconnected parts' if parts > 1 else ''} -> {_shown(out / 'pairs.txt')}"
            f" ({sum(graph.seconds.values()):.1f} s)"
        )


@app.command()
def evaluate(
    scenes: Annotated[list[Path], typer.Argument(metavar="SCENE...", help="Folders with images/ and labels.")],
    verify: Verify = 50,
    features: FeatureCount = 512,
    coarse_features: CoarseCount = 128,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one report per scene.")] = False,
) -> None:
    """Compare the pairs of labelled scenes with their labels: mean average precision, precision, recall, components."""
    with _errors_in_one_line():
        from mirror_sfm.evaluation import evaluate as evaluate_scene

        options = _options(verify=verify, features=features, coarse_features=coarse_features, threads=threads)
        reports = []
        for scene in scenes:
            report, graph = evaluate_scene(scene, options)
            _tell_skipped(graph)
            reports.append(report)
        typer.echo(report_json(reports) if as_json else report_table(reports))


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the scene.")],
    photos: Annotated[int, typer.Option(min=1, help="How many.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Of the landscape and the flight.")] = 0,
) -> None:
    """Render a small scene to try things on: photos, their cameras, and how much each pair overlaps."""
    with _errors_in_one_line():
        from mirror_sfm.demo_scene import make_demo_scene

        _make_folder(out)
        typer.echo(f"{photos} rendered photos -> {_shown(make_demo_scene(out, photos, seed))}")


@app.callback(invoke_without_command=True)
def _start(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"mirror-sfm {__version__}")
        raise typer.Exit()


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


def _options(**values: Any) -> Any:
    from mirror_sfm.pairs import PairOptions

    return PairOptions(progress=sys.stderr.isatty(), **values)


def _make_folder(folder: Path) -> None:
    """Before the work, not after it: an hour of matching should not end at a folder that cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {_shown(folder)}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write into the folder {_shown(folder)}")


def _what_was_found(photos: int) -> str:
    from mirror_sfm.photos import PHOTO_SUFFIXES

    if photos:
        return f"{photos} found, all skipped"
    return f"no file there or below ends in {' '.join(sorted(PHOTO_SUFFIXES))}"


def _tell_skipped(graph: PairGraph) -> None:
    for photo in graph.skipped:
        typer.echo(f"skipped {_shown(photo.name)}: {photo.reason}", err=True)


def _shown(name: Path | str) -> str:
    from mirror_sfm.photos import shown

    return shown(str(name))


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    import warnings

    warnings.filterwarnings("ignore", module=r"PIL\.")  # damage that matters is reported with the photo
    try:
        yield
    except MirrorError as error:
        typer.echo(f"mirror-sfm: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        typer.echo(f"mirror-sfm: {error.strerror}: {_shown(error.filename or '')}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("mirror-sfm: interrupted; no partial file was left", err=True)
        raise typer.Exit(130) from None


def main() -> None:
    """Entry point of `mirror-sfm`."""
    app(prog_name="mirror-sfm")
