"""`mirror-sfm pairs`: photos in, pairs out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import (
    CoarseCount,
    FeatureCount,
    PerImage,
    Threads,
    Verify,
    errors_in_one_line,
    make_folder,
    pair_options,
    shown,
    tell_skipped,
)
from mirror_sfm.errors import MirrorError, UsageError


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
    with errors_in_one_line():
        from mirror_sfm.exports import write_results
        from mirror_sfm.pairs import find_pairs

        if not images.is_dir():
            raise UsageError(f"no such folder of photos: {shown(images)}")
        make_folder(out)
        options = pair_options(
            per_image=per_image, verify=verify, features=features, coarse_features=coarse_features, threads=threads
        )
        graph = find_pairs(images, options)
        write_results(out, graph, options, scores)
        tell_skipped(graph.skipped)
        if not graph.names:
            raise MirrorError(f"no usable photo in {shown(images)}: {_what_was_found(graph.photos)}")
        parts = len(set(graph.components.tolist()))
        typer.echo(
            f"{len(graph.names)} of {graph.photos} photos, {len(graph.chosen)} pairs"
            f"{f' in {parts} unconnected parts' if parts > 1 else ''} -> {shown(out / 'pairs.txt')}"
            f" ({sum(graph.seconds.values()):.1f} s)"
        )


def _what_was_found(photos: int) -> str:
    from mirror_sfm.photos import PHOTO_SUFFIXES

    if photos:
        return f"{photos} found, all skipped"
    return f"no file there or below ends in {' '.join(sorted(PHOTO_SUFFIXES))}"
