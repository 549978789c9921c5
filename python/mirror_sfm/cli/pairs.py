"""`mirror-sfm pairs`: photos in, pairs out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import (
    CoarseCount,
    FeatureCount,
    PerImage,
    Threads,
    Verify,
    choose_source,
    errors_in_one_line,
    make_folder,
    pair_options,
    shown,
    tell_skipped,
)
from mirror_sfm.errors import MirrorError, UsageError

# Optional[...] and not `| None`: typer evaluates these at run time.
Images = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Argument(metavar="[IMAGES]", help="Folder of photos; folders inside it count too.", show_default=False),
]
File = Optional[Path]  # noqa: UP045
Name = Optional[str]  # noqa: UP045
Names = Optional[list[str]]  # noqa: UP045


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
    per_image: PerImage = 20,
    evidence: Annotated[
        Name,
        typer.Option(metavar="WHAT", help="local features, a network alone, or both (as soon as there is a tower)."),
    ] = None,
    tower: Annotated[Name, typer.Option(metavar="NAME", help="Network, such as mobilenet_v2 or timm:NAME.")] = None,
    weights: Annotated[Name, typer.Option(metavar="FILE", help="Its weights, safetensors or pth; or random.")] = None,
    prior: Annotated[
        Names,
        typer.Option(metavar="NAME", help="gps, time, order or none: what else to believe. Default: gps, where there."),
    ] = None,
    gps: Annotated[
        File, typer.Option(metavar="CSV", help="Positions: name, latitude, longitude, or name, x, y.")
    ] = None,
    verify: Verify = 50,
    features: FeatureCount = 512,
    coarse_features: CoarseCount = 128,
    threads: Threads = None,
    scores: Annotated[bool, typer.Option(help="Write scores.npz: every scored pair.")] = True,
    cache: Annotated[bool, typer.Option(help="Keep features in OUT/.cache for the next run.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Find the pairs of photos worth matching and write them as COLMAP and hloc read them."""
    with errors_in_one_line():
        from mirror_sfm.exports import summary_text, write_results
        from mirror_sfm.pairs import find_pairs

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
            verify=verify,
            features=features,
            coarse_features=coarse_features,
            evidence=evidence,
            tower=tower,
            weights=weights,
            priors=chosen_priors(prior or []),
            gps=gps,
            threads=threads,
        )
        make_folder(out)
        graph = find_pairs(source, options)
        write_results(out, graph, options, scores=scores)
        tell_skipped(graph.skipped)
        if not graph.names:
            where = shown(database or hloc_features or images or "")
            raise MirrorError(f"no usable photo in {where}: {_what_was_found(graph.photos)}")
        parts = len(set(graph.components.tolist()))
        line = (
            f"{len(graph.names)} of {graph.photos} photos, {len(graph.chosen)} pairs"
            f"{f' in {parts} unconnected parts' if parts > 1 else ''} -> {shown(out / 'pairs.txt')}"
            f" ({sum(graph.seconds.values()):.1f} s)"
        )
        typer.echo(summary_text(graph, options) if as_json else line, nl=not as_json)


def chosen_priors(names: list[str]) -> tuple[str, ...] | None:
    """None where nothing was said; "none" turns them off."""
    if "none" in names and len(names) > 1:
        raise UsageError(f"--prior none goes with no other prior, got {' '.join(names)}")
    return () if names == ["none"] else tuple(names) or None


def _what_was_found(photos: int) -> str:
    from mirror_sfm.folder import PHOTO_SUFFIXES

    if photos:
        return f"{photos} found, all skipped"
    return f"no file there or below ends in {' '.join(sorted(PHOTO_SUFFIXES))}"
