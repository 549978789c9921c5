"""`mirror-sfm overlap`: who sees what in a reconstruction."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import Threads, errors_in_one_line, make_folder, somebody_watches
from mirror_sfm.errors import UsageError

if TYPE_CHECKING:
    from mirror_sfm.overlap.measured import LabelOptions, Overlap
    from mirror_sfm.overlap.options import OverlapOptions
    from mirror_sfm.scenes.scene import Scene

# Optional[...] and not `| None`: typer evaluates these at run time.
File = Optional[Path]  # noqa: UP045
Text = Optional[str]  # noqa: UP045
TwoNames = Optional[tuple[str, str]]  # noqa: UP045


@app.command()
def overlap(
    scene: Annotated[Path, typer.Argument(metavar="SCENE", help="Folder of a reconstruction.", show_default=False)],
    mesh: Annotated[File, typer.Option(metavar="FILE", help="Its surface.")] = None,
    model: Annotated[File, typer.Option(metavar="FOLDER", help="A COLMAP model of it.")] = None,
    images: Annotated[File, typer.Option(metavar="FOLDER", help="Its photos.")] = None,
    cameras: Annotated[File, typer.Option(metavar="FILE", help="Its cameras, JSON or 3 x 3 intrinsics.")] = None,
    depth: Annotated[File, typer.Option(metavar="FOLDER", help="Its depth maps, in place of a surface.")] = None,
    depth_camera: Annotated[
        Text,
        typer.Option(metavar="FX,FY,CX,CY", help="Of the depth maps, where they differ from the photos'; or a file."),
    ] = None,
    depth_scale: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(metavar="S", help="Values of a depth map per unit of the world, 1000 for millimetres."),
    ] = None,
    depth_tolerance: Annotated[
        float, typer.Option(metavar="R", help="How far depths of one point may differ, relative to depth.")
    ] = 0.01,
    sensed: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(
            help="With a mesh, only pixels with a reading of the depth map count. [default: of a sensor, yes]"
        ),
    ] = None,
    truth: Annotated[File, typer.Option(metavar="CSV", help="Listed overlap to compare with.")] = None,
    measure: Annotated[
        Text,
        typer.Option(metavar="WHAT", help="pixels, triangles, areas or tracks: for truth, matrix and table."),
    ] = None,
    pair: Annotated[TwoNames, typer.Option(metavar="A B", help="Draw these two photos side by side.")] = None,
    out: Annotated[File, typer.Option("-o", "--out", metavar="OUT", help="Folder for the results.")] = None,
    long_side: Annotated[int, typer.Option(min=1, max=16384, help="Pixels of the long side of a drawn photo.")] = 1024,
    finest: Annotated[int, typer.Option(min=1, max=64, help="Draw so many times finer where triangles are tiny.")] = 8,
    min_pixels: Annotated[int, typer.Option(min=1, help="A triangle is seen from so many pixels on.")] = 1,
    cull: Annotated[bool, typer.Option("--cull", help="Triangles are seen from their front only.")] = False,
    t_sfm: Annotated[float, typer.Option(min=0, help="Common-track ratio from which pairs overlap wholly.")] = 0.2,
    average: Annotated[str, typer.Option(metavar="HOW", help="geometric, arithmetic, min or max.")] = "geometric",
    weight: Annotated[str, typer.Option(metavar="WHAT", help="Labels count triangles, areas or pixels.")] = "triangles",
    masks: Annotated[bool, typer.Option(help="Write masks into overlap.npz.")] = True,
    list_pairs: Annotated[bool, typer.Option("--list/--no-list", help="Print every pair.")] = True,
    threads: Threads = None,
) -> None:
    """Measure which photos of a reconstruction show the same surface, and where on them it is. Prints JSON.

    \b
    From a model and its mesh:     mirror-sfm overlap scene --mesh mesh.ply -o out
    From depth maps:               mirror-sfm overlap scene --depth scene/depth --depth-scale 1000
    Against known overlap:         mirror-sfm overlap scene --mesh mesh.ply --truth overlap.csv --no-list
    Two photos side by side:       mirror-sfm overlap scene --mesh mesh.ply -o out --pair a.jpg b.jpg
    """
    with errors_in_one_line():
        import json

        from mirror_sfm.overlap.measured import LabelOptions
        from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap
        from mirror_sfm.overlap.truth import read_truth

        labels = LabelOptions(t_sfm=t_sfm, average=average, weight=weight)
        options = OverlapOptions(
            long_side=long_side,
            finest=finest,
            min_pixels=min_pixels,
            cull=cull,
            sensed=sensed,
            depth_tolerance=depth_tolerance,
            masks=masks and out is not None,
            labels=labels,
            threads=threads,
            progress=somebody_watches(),
        )
        if pair and out is None:
            raise UsageError("--pair draws pictures: say where to, -o OUT")
        if out is not None:
            make_folder(out)
        found = given_scene(
            scene, mesh=mesh, model=model, images=images, cameras=cameras, depth=depth, depth_scale=depth_scale,
            depth_camera=depth_camera,
        )  # fmt: skip
        names = [*(view.name for view in found.views), *found.unregistered]
        listed = read_truth(truth, sorted(names)) if truth is not None else None  # before the work starts
        measured = measure_overlap(found, options)
        chosen = chosen_measure(measured, measure)
        summary = summarised(found, measured, labels)
        if listed is not None:
            from mirror_sfm.overlap.truth import compare

            summary["truth"] = {"file": str(truth), "measure": chosen, **asdict(compare(measured, listed, chosen))}
        if out is not None:
            summary["files"] = written(out, found, measured, chosen, options, pair)
        if list_pairs:
            summary["pairs"] = listed_pairs(measured, labels)
        typer.echo(json.dumps(summary, indent=2))


def given_scene(folder: Path, depth_camera: str | None, **parts: Any) -> Scene:
    """Reads a scene; the camera of its depth maps is four numbers, for maps of their size, or a file."""
    from mirror_sfm.scenes.cameras import Pinhole
    from mirror_sfm.scenes.reading import read_scene
    from mirror_sfm.scenes.scene import DepthMap

    values = _numbers(depth_camera) if depth_camera is not None else None
    if parts["mesh"] is not None and parts["depth"] is not None:
        raise UsageError("--mesh and --depth are two surfaces: give one of them")
    scene = read_scene(folder, depth_camera=depth_camera if values is None else None, **parts)
    if parts["depth"] is not None:  # what is named counts, whatever else lies in the folder
        scene = replace(scene, mesh=None)
    if depth_camera is not None and not scene.depths:
        raise UsageError("--depth-camera is that of depth maps, and there are none; give --depth FOLDER")
    if values is None:
        return scene
    height, width = next(iter(scene.depths.values())).read().shape
    pinhole = Pinhole(width, height, *values)
    return replace(scene, depths={name: DepthMap(map_.read, pinhole) for name, map_ in scene.depths.items()})


def _numbers(text: str) -> tuple[float, float, float, float] | None:
    """fx, fy, cx, cy; None for what is the name of a file."""
    parts = text.split(",")
    if Path(text).exists() or len(parts) == 1:
        return None
    try:
        fx, fy, cx, cy = map(float, parts)
    except ValueError:
        fx = fy = cx = cy = 0
    if not (0 < fx < 1e9 and 0 < fy < 1e9 and abs(cx) < 1e9 and abs(cy) < 1e9):
        raise UsageError(f"--depth-camera: expected four numbers fx,fy,cx,cy with fx, fy above 0, got {text!r}")
    return fx, fy, cx, cy


def chosen_measure(overlap: Overlap, wanted: str | None) -> str:
    """The measure asked for; by default pixels, without a surface tracks."""
    from mirror_sfm.overlap.measured import MEASURES

    if wanted is None:
        return "pixels" if "pixels" in overlap.halves else "tracks"
    if wanted not in MEASURES:
        raise UsageError(f"--measure: expected one of {', '.join(MEASURES)}, got {wanted!r}")
    if wanted not in overlap.halves:
        raise UsageError(f"--measure {wanted}: this scene has only {', '.join(overlap.halves)}")
    return wanted


def summarised(scene: Scene, overlap: Overlap, labels: LabelOptions) -> dict[str, Any]:
    """What is known of all pairs together."""
    from mirror_sfm.overlap.statistics import mesh_statistics, overlap_statistics

    summary: dict[str, Any] = {"scene": scene.name, "surface": overlap.surface, "measures": list(overlap.halves)}
    statistics = overlap_statistics(overlap, labels)
    summary["statistics"] = {**asdict(statistics), "forced_tiny_share": round(statistics.forced_tiny_share, 6)}
    if scene.mesh is not None:
        summary["mesh"] = asdict(mesh_statistics(scene.mesh))
    return summary


def listed_pairs(overlap: Overlap, labels: LabelOptions) -> list[dict[str, Any]]:
    """Every pair that shares anything: both directions of every measure, combined overlap, label."""
    from mirror_sfm.overlap.files import LABELS

    combined, graded = overlap.combined(labels), overlap.labels(labels)
    return [
        {
            "a": overlap.names[i],
            "b": overlap.names[j],
            **{measure: [round(float(half), 6) for half in halves[k]] for measure, halves in overlap.halves.items()},
            "combined": round(float(combined[k]), 6),
            "label": LABELS[graded[k]],
        }
        for k, (i, j) in enumerate(overlap.pairs.tolist())
    ]


def written(
    out: Path, scene: Scene, overlap: Overlap, measure: str, options: OverlapOptions, pair: tuple[str, str] | None
) -> list[str]:
    """Writes overlap.npz, overlap.csv, overlap.png and the picture of a pair; gives their names."""
    from mirror_sfm.overlap.files import save_overlap, write_table
    from mirror_sfm.overlap.pictures import draw_matrix, draw_pairs, save_picture

    save_overlap(out / "overlap.npz", overlap)
    write_table(out / "overlap.csv", overlap, measure, options.labels)
    save_picture(out / "overlap.png", draw_matrix(overlap, measure))
    files = ["overlap.npz", "overlap.csv", "overlap.png"]
    if pair is not None:
        stems = (re.sub(r"[^\w.-]+", "-", Path(name).with_suffix("").as_posix())[-60:] for name in pair)
        files.append(f"pair_{'_'.join(stems)}.jpg")
        save_picture(out / files[-1], draw_pairs(scene, [pair], options)[0])
    return files
