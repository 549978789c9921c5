"""`mirror-sfm reconstruct`: photos in, cameras and points out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import (
    Budget,
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
    chosen_priors,
    errors_in_one_line,
    make_folder,
    pair_options,
    shown,
    somebody_watches,
    tell_skipped,
)
from mirror_sfm.errors import MirrorError, UsageError

if TYPE_CHECKING:
    from mirror_sfm.reconstruction import ReconstructionReport

Names = Optional[list[str]]  # noqa: UP045


@app.command()
def reconstruct(
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of photos; folders inside it count too.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the results.")],
    include: Annotated[Names, typer.Option(metavar="PATTERN", help="Only photos whose names match.")] = None,
    exclude: Annotated[Names, typer.Option(metavar="PATTERN", help="Not the photos whose names match.")] = None,
    list_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--list", metavar="FILE", help="Only the photos named here, one a line."),
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
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="CSV", help="Positions: name, latitude, longitude, or name, x, y."),
    ] = None,
    verify: Verify = 50,
    max_ratio: Annotated[float, typer.Option("--max-ratio", help="Of matches, as in `mirror-sfm match`.")] = 0.8,
    exact: Annotated[bool, typer.Option("--exact", help="Match as `mirror-sfm match --exact` does.")] = False,
    single_camera: Annotated[bool, typer.Option("--single-camera", help="One camera took all photos.")] = False,
    camera_per_folder: Annotated[
        bool, typer.Option("--camera-per-folder", help="One camera took the photos of a folder.")
    ] = False,
    camera_model: Annotated[
        str, typer.Option("--camera-model", metavar="MODEL", help="COLMAP's name: OPENCV, OPENCV_FISHEYE, ...")
    ] = "SIMPLE_RADIAL",
    global_mapper: Annotated[bool, typer.Option("--global", help="Map globally instead of photo by photo.")] = False,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json.")] = False,
) -> None:
    """Reconstruct cameras and points: SIFT, pairs, matches, geometry and mapping, through COLMAP.

    Stopped at any moment and run again, it goes on where it was; photos and options that changed are noticed.

    \b
        mirror-sfm reconstruct photos -o project
        colmap gui --database_path project/database.db --image_path photos --import_path project/sparse/0
    """
    with errors_in_one_line():
        from mirror_sfm.reconstruction import ReconstructOptions, summary_text, why_no_model
        from mirror_sfm.reconstruction import reconstruct as reconstruct_photos

        if not photos.is_dir():
            raise UsageError(f"no such folder of photos: {shown(photos)}")
        make_folder(out)
        pairs = pair_options(
            per_image=per_image,
            budget=budget,
            min_prob=min_prob,
            recall=recall,
            min_pairs=min_pairs,
            verify=verify,
            evidence=evidence,
            tower=tower,
            weights=weights,
            priors=chosen_priors(prior),
            gps=gps,
        )
        options = ReconstructOptions(
            pairs=pairs,
            max_ratio=max_ratio,
            exact=exact,
            camera_sharing=_sharing(single_camera, camera_per_folder),
            camera_model=camera_model,
            mapper="global" if global_mapper else "incremental",
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
            list_file=list_file,
            threads=threads,
            progress=somebody_watches(),
        )
        report = reconstruct_photos(photos, out, options)
        tell_skipped(report.skipped)
        if not report.models:
            raise MirrorError(f"no model of {shown(photos)}: {why_no_model(report)}")
        for name in report.unregistered:
            typer.echo(f"not registered: {shown(name)}", err=True)
        typer.echo(summary_text(report, options) if as_json else report_lines(report), nl=not as_json)


def _sharing(single: bool, folder: bool) -> str:
    if single and folder:
        raise UsageError("--single-camera and --camera-per-folder contradict each other: give one")
    return "single" if single else "folder" if folder else "auto"


def report_lines(report: ReconstructionReport) -> str:
    """A line per model."""
    usable = report.photos - len(report.skipped)
    return "\n".join(
        f"{len(model.registered)} of {usable} photos, {model.points} points, {model.observations} observations, "
        f"track length {model.track_length:.2f}, error {model.reprojection_error:.2f} px -> {shown(model.folder)}"
        for model in report.models
    )
