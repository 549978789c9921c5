"""`mirror-sfm dataset`: training sets from scenes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import errors_in_one_line, make_folder, shown, somebody_watches
from mirror_sfm.errors import UsageError

# Optional[...] and not `| None`: typer evaluates these at run time.
Place = Optional[Path]  # noqa: UP045

dataset_app = typer.Typer(
    help="Training sets: build one from scenes, look at one.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(dataset_app, name="dataset")


@dataset_app.command()
def build(
    scenes: Annotated[list[Path], typer.Argument(metavar="SCENE...", help="Folders of scenes.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DATASET", help="Folder of the data set.")],
    jobs: Annotated[int, typer.Option(min=1, help="Scenes at once, each in a process of its own.")] = 1,
    ray: Annotated[bool, typer.Option("--ray", help="Run on a Ray cluster; paths must mean the same on it.")] = False,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Of every scene. Default: the processors, divided by --jobs.", show_default=False),
    ] = None,
    size: Annotated[int, typer.Option(min=1, max=16384, help="Side of the stored photos, in pixels.")] = 448,
    long_side: Annotated[int, typer.Option(min=1, max=16384, help="Pixels of the long side of a drawn photo.")] = 1024,
    min_pixels: Annotated[int, typer.Option(min=1, help="A triangle is seen from so many pixels on.")] = 1,
    cull: Annotated[bool, typer.Option("--cull", help="Triangles are seen from their front only.")] = False,
    depth_tolerance: Annotated[float, typer.Option(help="Depth may differ by this share of itself.")] = 0.01,
    fuse: Annotated[bool, typer.Option("--fuse", help="Make a surface of depth maps first.")] = False,
    t_sfm: Annotated[float, typer.Option(min=0, help="Common-track ratio from which pairs overlap wholly.")] = 0.2,
    strong: Annotated[tuple[float, float], typer.Option(metavar="LOW HIGH", help="Strong partners.")] = (0.5, 1.0),
    weak: Annotated[tuple[float, float], typer.Option(metavar="LOW HIGH", help="Weak partners.")] = (0.05, 0.2),
    average: Annotated[str, typer.Option(metavar="HOW", help="geometric, arithmetic, min or max.")] = "geometric",
    weight: Annotated[
        str, typer.Option(metavar="WHAT", help="Labels count triangles, areas, pixels, or auto.")
    ] = "auto",
    holdout: Annotated[float, typer.Option(metavar="SHARE", help="Of every scene's photos, put aside.")] = 0.0,
    name: Annotated[str, typer.Option(metavar="NAME", help="Of a single scene, in the data set.")] = "",
    images: Annotated[Place, typer.Option(metavar="FOLDER", help="Of a single scene: its photos.")] = None,
    model: Annotated[Place, typer.Option(metavar="FOLDER", help="Of a single scene: its COLMAP model.")] = None,
    mesh: Annotated[Place, typer.Option(metavar="FILE", help="Of a single scene: its surface.")] = None,
    depth: Annotated[Place, typer.Option(metavar="FOLDER", help="Of a single scene: its depth maps.")] = None,
    cameras: Annotated[Place, typer.Option(metavar="FILE", help="Of a single scene: its cameras.")] = None,
    depth_camera: Annotated[
        Place, typer.Option(metavar="FILE", help="Of a single scene: 3 x 3 intrinsics of its depth maps.")
    ] = None,
    depth_scale: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(metavar="S", help="Of a single scene: values of its depth maps per unit of the world."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a training set: photos, overlap of every pair, labels and masks, from reconstructions or from photos alone.

    \b
    Scenes with all they need in them:   mirror-sfm dataset build scenes/* -o dataset --jobs 4
    One whose mesh is elsewhere:         mirror-sfm dataset build scene --mesh mesh.ply -o dataset
    Stopped at any moment and run again, it goes on where it was.
    """
    with errors_in_one_line():
        from mirror_sfm.dataset.build import RunOptions, build_dataset, summary_of
        from mirror_sfm.dataset.sources import SceneOptions, SceneSource
        from mirror_sfm.overlap.measured import LabelOptions

        places = {"images": images, "model": model, "mesh": mesh, "depth": depth, "cameras": cameras}
        given: dict[str, Any] = places | {"depth_camera": depth_camera, "depth_scale": depth_scale, "name": name}
        given = {option: value for option, value in given.items() if value not in (None, "")}
        if given and len(scenes) > 1:
            option = next(iter(given)).replace("_", "-")
            raise UsageError(f"--{option} says something of one scene, got {len(scenes)}; add that one in its own run")
        labels = LabelOptions(t_sfm=t_sfm, strong=strong, weak=weak, average=average)
        options = SceneOptions(
            size=size,
            long_side=long_side,
            min_pixels=min_pixels,
            cull=cull,
            depth_tolerance=depth_tolerance,
            fuse=fuse,
            labels=labels,
            weight=weight,
            holdout=holdout,
        )
        running = RunOptions(jobs=jobs, threads=threads, ray=ray, progress=somebody_watches())
        make_folder(out)
        report = build_dataset([SceneSource(scene, **given) for scene in scenes], out, options, running)
        for scene, made in report.made.items():
            for photo in made.about["skipped"]:
                typer.echo(f"skipped {shown(scene)} {shown(photo['name'])}: {photo['reason']}", err=True)
        if as_json:
            import json

            typer.echo(json.dumps(summary_of(report), indent=2))
        else:
            for scene, made in report.made.items():
                typer.echo(line_of(scene, made.about))
        for scene, reason in report.failed.items():
            typer.echo(f"failed {shown(scene)}: {reason}", err=True)
        if report.failed:
            raise typer.Exit(1)


@dataset_app.command()
def show(
    folder: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of a data set.", show_default=False)],
    pictures: Annotated[Place, typer.Option(metavar="FOLDER", help="Write triplets with their masks here.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what a data set holds, a line per scene; every file is checked."""
    with errors_in_one_line():
        import json

        from mirror_sfm.dataset.format import counts_of, open_dataset

        dataset = open_dataset(folder)
        if pictures is not None:
            from mirror_sfm.dataset.pictures import write_pictures

            make_folder(pictures)
            write_pictures(dataset, pictures, count)
        if as_json:
            scenes = {scene.name: counts_of(scene.about) for scene in dataset}
            typer.echo(json.dumps({"settings": dataset.settings, "scenes": scenes}, indent=2))
            return
        for scene in dataset:
            typer.echo(line_of(scene.name, scene.about))


def line_of(name: str, about: Mapping[str, Any]) -> str:
    """A scene in one line."""
    from mirror_sfm.dataset.format import counts_of

    counts = counts_of(about)
    aside = f", {counts['held_out']} held out" if counts["held_out"] else ""
    return (
        f"{shown(name)}: {counts['registered']} of {counts['photos']} photos registered, {counts['used']} used{aside}; "
        f"surface: {counts['surface']}; pairs: {counts['strong']} strong, {counts['weak']} weak, "
        f"{counts['neither']} neither; {counts['anchors']} anchors"
    )
