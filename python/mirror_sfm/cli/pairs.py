"""`mirror-sfm pairs`: photos in, pairs out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import (
    Budget,
    CoarseCount,
    FeatureCount,
    LeastPairs,
    LeastProbability,
    PerImage,
    Priors,
    Recall,
    Threads,
    Tower,
    Verify,
    Weights,
    WhatCounts,
    choose_source,
    chosen_priors,
    errors_in_one_line,
    make_folder,
    pair_options,
    shown,
    somebody_watches,
    tell_isolated,
    tell_skipped,
)
from mirror_sfm.errors import MirrorError, UsageError

if TYPE_CHECKING:
    from mirror_sfm.overlap.measured import Overlap
    from mirror_sfm.pairs import PairOptions
    from mirror_sfm.view_graph import ViewGraph

# Optional[...] and not `| None`: typer evaluates these at run time.
Images = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Argument(metavar="[IMAGES]", help="Folder of photos; folders inside it count too.", show_default=False),
]
File = Optional[Path]  # noqa: UP045
Names = Optional[list[str]]  # noqa: UP045
MATCHED_FEATURES = 8192  # of a photo, as COLMAP finds them


@app.command()
def pairs(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the results.")],
    images: Images = None,
    database: Annotated[
        File, typer.Option(metavar="FILE", help="Take the features of this COLMAP database; no photo is decoded.")
    ] = None,
    hloc_features: Annotated[
        File, typer.Option(metavar="FILE", help="Take the local features of this hloc file.")
    ] = None,
    include: Annotated[
        Names, typer.Option(metavar="PATTERN", help="Only photos whose names match, '**/*.jpg'.")
    ] = None,
    exclude: Annotated[Names, typer.Option(metavar="PATTERN", help="Not the photos whose names match.")] = None,
    list_file: Annotated[
        File, typer.Option("--list", metavar="FILE", help="Only the photos named here, one a line.")
    ] = None,
    masks: Annotated[
        File, typer.Option(metavar="FOLDER", help="Masks as COLMAP takes them, NAME.png; black is left out.")
    ] = None,
    per_image: PerImage = None,
    budget: Budget = None,
    min_prob: LeastProbability = None,
    recall: Recall = None,
    min_pairs: LeastPairs = 2,
    evidence: WhatCounts = None,
    tower: Tower = None,
    weights: Weights = None,
    prior: Priors = None,
    gps: Annotated[
        File, typer.Option(metavar="CSV", help="Positions: name, latitude, longitude, or name, x, y.")
    ] = None,
    export: Annotated[
        Names,
        typer.Option(
            metavar="FORMAT", help="pairs, jsonl, colmap, hloc-h5, kapture, alicevision, openmvg. [default: pairs]"
        ),
    ] = None,
    sfm: Annotated[File, typer.Option(metavar="FILE", help="AliceVision scene whose view ids to use.")] = None,
    sfm_data: Annotated[File, typer.Option(metavar="FILE", help="openMVG sfm_data.json whose indices to use.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Write report.html: all of it to look at.")] = False,
    model: Annotated[
        File, typer.Option(metavar="FOLDER", help="With --report: a COLMAP model of the photos, for --mesh.")
    ] = None,
    mesh: Annotated[
        File, typer.Option(metavar="FILE", help="With --report: a surface; the page shows who sees which part of it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many pairs, and how long matching them takes.")
    ] = False,
    verify: Verify = 50,
    features: FeatureCount = 512,
    coarse_features: CoarseCount = 128,
    threads: Threads = None,
    scores: Annotated[bool, typer.Option(help="Write scores.npz: every scored pair.")] = True,
    cache: Annotated[bool, typer.Option(help="Keep features in OUT/.cache for the next run.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Find the pairs of photos worth matching and write them as COLMAP and hloc read them.

    \b
    The whole job:                 mirror-sfm pairs photos -o out
    Features already in COLMAP:    mirror-sfm pairs --database project.db -o out
    How many are enough?           mirror-sfm pairs photos -o out --recall 0.95 --dry-run
    All of it to look at:          mirror-sfm pairs photos -o out --report
    Straight into a database:      mirror-sfm pairs photos -o out --export colmap
    """
    with errors_in_one_line():
        from mirror_sfm.exports import References, carries_any_name, write_results
        from mirror_sfm.pairs import find_pairs

        surface = seen_surface(images, model, mesh, report, threads)
        formats = known_formats(export or ["pairs"], alone=evidence == "network")
        source = choose_source(
            images,
            database,
            hloc_features,
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
            list_file=list_file,
            masks=masks,
            cache=out / ".cache" if cache else None,
        )
        options = pair_options(
            per_image=per_image,
            budget=budget,
            min_prob=min_prob,
            recall=recall,
            min_pairs=min_pairs,
            verify=verify,
            features=features,
            coarse_features=coarse_features,
            evidence=evidence,
            tower=tower,
            weights=weights,
            priors=chosen_priors(prior),
            gps=gps,
            any_name=all(carries_any_name(name) for name in formats),
            threads=threads,
        )
        if cache or not dry_run:
            make_folder(out)
        graph = find_pairs(source, options)
        tell_skipped(graph.skipped)
        tell_isolated(graph)
        if not dry_run:
            references = References(database, hloc_features, sfm, sfm_data)
            overlap = surface() if surface else None
            write_results(out, graph, options, formats, scores, references, report and bool(graph.names), overlap)
        if not graph.names:
            where = shown(database or hloc_features or images or "")
            raise MirrorError(f"no usable photo in {where}: {_what_was_found(graph.photos, database or hloc_features)}")
        if dry_run:
            typer.echo(forecast(graph, options, as_json))
            return
        target = out / ("pairs.txt" if "pairs" in formats else "")
        line = f"{headline(graph, options)} -> {shown(target)} ({sum(graph.seconds.values()):.1f} s)"
        typer.echo((out / "summary.json").read_text("utf-8") if as_json else line, nl=not as_json)


def seen_surface(
    images: Path | None, model: Path | None, mesh: Path | None, report: bool, threads: int | None
) -> Callable[[], Overlap] | None:
    """Reads the reconstruction that the report shall show, now; gives what measures overlap on it, later."""
    if model is None and mesh is None:
        return None
    if model is None or mesh is None:
        raise UsageError("--model and --mesh go together: cameras, and the surface they see")
    if not report:
        raise UsageError("--model and --mesh are for the report; say --report too")
    from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap
    from mirror_sfm.scenes.reading import read_scene

    scene = read_scene(model, images=images, model=model, mesh=mesh)
    return lambda: measure_overlap(scene, OverlapOptions(threads=threads, progress=somebody_watches()))


def headline(graph: ViewGraph, options: PairOptions) -> str:
    """The result on one line."""
    from mirror_sfm.exports import beyond_budget

    parts, bridges = len(set(graph.components.tolist())), len(beyond_budget(graph, options))
    split = f" in {parts} unconnected parts" if parts > 1 else ""
    more = f" ({bridges} beyond the budget: they alone connect their photos)" if bridges else ""
    pairs = "1 pair" if len(graph.chosen) == 1 else f"{len(graph.chosen)} pairs"
    return f"{len(graph.names)} of {graph.photos} photos, {pairs}{more}{split}"


def forecast(graph: ViewGraph, options: PairOptions, as_json: bool) -> str:
    """How many pairs, how good, and how long matching them would take here."""
    import json

    from mirror_sfm.budget import by_criterion, expected_recall, seconds_per_pair
    from mirror_sfm.threads import processors

    threads = options.threads or processors()
    seconds = seconds_per_pair(MATCHED_FEATURES, threads) * len(graph.chosen)
    share = expected_recall(graph.probabilities, graph.chosen)
    limits = options.limits(len(graph.names))
    alone = by_criterion(len(graph.names), graph.probabilities, options.per_image, options.budget, limits)
    if as_json:
        told = {
            "photos": len(graph.names),
            "pairs": len(graph.chosen),
            "pairs_by_limit": alone,
            "all_pairs": len(graph.names) * (len(graph.names) - 1) // 2,
            "expected_recall": None if share != share else round(share, 4),
            "components": len(set(graph.components.tolist())),
            "matching_seconds": round(seconds, 4),
            "features": MATCHED_FEATURES,
            "threads": threads,
        }
        return json.dumps(told, indent=2)
    recall = "" if share != share else f", with {share:.1%} of those that match, as far as can be told"
    work = f"{MATCHED_FEATURES} features a photo, {threads} threads, geometry aside"
    each = ", ".join(f"{name.replace('_', '-')} {count}" for name, count in alone.items())
    return (
        f"{headline(graph, options)}{recall}\n"
        f"each limit alone would allow: {each}\n"
        f"matching them takes about {seconds:.2g} s here: {work}"
    )


def known_formats(names: list[str], alone: bool) -> tuple[str, ...]:
    """The formats asked for, each once. `alone`: a network alone decides, so that there are no features to write."""
    from mirror_sfm.exports import formats

    for name in names:
        if name not in formats():
            raise UsageError(f"--export must be one of {', '.join(formats())}, got {shown(name)}")
        if alone and name in ("colmap", "hloc-h5"):
            raise UsageError(f"--export {name} writes local features, and --evidence network looks at none")
    return tuple(dict.fromkeys(names))


def _what_was_found(photos: int, file: Path | None) -> str:
    from mirror_sfm.photos import PHOTO_SUFFIXES

    if photos:
        return f"{photos} found, all skipped"
    if file is not None:
        return "it lists none; extract features first"
    return f"no file there or below ends in {' '.join(sorted(PHOTO_SUFFIXES))}"
