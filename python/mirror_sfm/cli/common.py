"""What all commands share: options, one-line errors, names safe to print."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, cast

import typer

from mirror_sfm.errors import MirrorError, UsageError

if TYPE_CHECKING:
    from mirror_sfm.pairs import PairOptions
    from mirror_sfm.photos import Skipped
    from mirror_sfm.sources import ColmapDatabase, HlocFeatures, PhotoFolder
    from mirror_sfm.view_graph import ViewGraph

# Optional[...] and not `| None`: typer evaluates these at run time.
PerImage = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--per-image",
        min=1,
        help="Pairs per photo: N photos get N x this / 2 pairs. [default: 20, or what --budget or --recall say]",
        show_default=False,
    ),
]
Budget = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--budget", min=1, help="Pairs in all, at most; only those that connect the photos may exceed it."),
]
LeastProbability = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        "--min-prob", min=0, max=1, help="No pair less likely to match than this. [default: 0.02]", show_default=False
    ),
]
Recall = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--recall", min=0, max=1, help="The fewest pairs expected to hold this share of those that match."),
]
LeastPairs = Annotated[int, typer.Option("--min-pairs", min=0, help="Pairs of every photo that has so many.")]
Verify = Annotated[int, typer.Option("--verify", min=1, help="Pairs per photo examined with geometry.")]
FeatureCount = Annotated[int, typer.Option("--features", min=2, max=32768, help="Features per photo used for that.")]
CoarseCount = Annotated[
    int, typer.Option("--coarse-features", min=2, max=32768, help="Features per photo used to find those pairs.")
]
WhatCounts = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--evidence", metavar="WHAT", help="local features, a network alone, or both (as soon as there is a tower)."
    ),
]
Tower = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--tower", metavar="NAME", help="Network, such as mobilenet_v2 or timm:NAME."),
]
Weights = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--weights", metavar="FILE", help="Its weights, safetensors or pth; or random."),
]
Priors = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--prior", metavar="NAME", help="gps, time, order or none: what else to believe. [default: gps]"),
]
Threads = Annotated[Optional[int], typer.Option("--threads", min=1, help="Default: every processor.")]  # noqa: UP045


def pair_options(**values: Any) -> PairOptions:
    """Options of the job, with progress where somebody can see it; None is the default."""
    from mirror_sfm.pairs import PairOptions

    given = {name: value for name, value in values.items() if value is not None}
    return PairOptions(progress=somebody_watches(), **given)


def somebody_watches() -> bool:
    """Whether stderr is a terminal; a job without a terminal may have no stderr at all."""
    return sys.stderr is not None and sys.stderr.isatty()


def choose_source(
    images: Path | None, database: Path | None, hloc_features: Path | None, **folder: Any
) -> PhotoFolder | ColmapDatabase | HlocFeatures:
    """Where the features come from: one of three. `folder` holds what only a folder of photos can be asked for."""
    from mirror_sfm.sources import ColmapDatabase, HlocFeatures, PhotoFolder

    if images is not None and not images.is_dir():
        raise UsageError(f"no such folder of photos: {shown(images)}")
    if database is None and hloc_features is None:
        if images is None:
            raise UsageError("nothing to read: give a folder of photos, --database FILE or --hloc-features FILE")
        return PhotoFolder(images, **folder)
    if database is not None and hloc_features is not None:
        raise UsageError("--database and --hloc-features are two sources of features: give one")
    for option, value in folder.items():
        if value and option != "cache":
            name = {"list_file": "list"}.get(option, option)
            raise UsageError(f"--{name} chooses among photos of a folder; it does nothing with features from a file")
    cache = folder.get("cache")
    if database is not None:
        return ColmapDatabase(database, images, cache)
    return HlocFeatures(cast(Path, hloc_features), images, cache)


def chosen_priors(names: list[str] | None) -> tuple[str, ...] | None:
    """None where nothing was said; "none" turns them off."""
    names = names or []
    if "none" in names and len(names) > 1:
        raise UsageError(f"--prior none goes with no other prior, got {' '.join(names)}")
    return () if names == ["none"] else tuple(names) or None


def make_folder(folder: Path) -> None:
    """Before the work, not after it: an hour of matching should not end at a folder that cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {shown(folder)}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write into the folder {shown(folder)}: it is read-only; choose another")


def tell_isolated(graph: ViewGraph) -> None:
    """A line per photo that no pair holds."""
    for photo in graph.isolated:
        neighbour = f"; its best neighbour is {shown(photo.neighbour)}" if photo.neighbour is not None else ""
        typer.echo(f"isolated {shown(photo.name)}: {photo.why}{neighbour}", err=True)


def tell_skipped(skipped: Iterable[Skipped]) -> None:
    """A line per photo that was left out."""
    for photo in skipped:
        typer.echo(f"skipped {shown(photo.name)}: {photo.reason}", err=True)


def shown(name: Path | str) -> str:
    """A name on one line of valid UTF-8."""
    from mirror_sfm.photos import shown as one_line

    return one_line(str(name))


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """What a user can cause ends as one line on stderr and an exit code."""
    import warnings

    warnings.filterwarnings("ignore", module=r"PIL\.")  # damage that matters is reported with the photo
    try:
        yield
    except MirrorError as error:
        typer.echo(f"mirror-sfm: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        what = f"{shown(error.filename)}: " if error.filename else ""
        typer.echo(f"mirror-sfm: {what}{error.strerror or error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("mirror-sfm: interrupted; no partial file was left", err=True)
        raise typer.Exit(130) from None
