"""`mirror-sfm demo`: a rendered scene to try things on."""

from __future__ import annotations

from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import Threads, errors_in_one_line, make_folder, shown
from mirror_sfm.errors import MirrorError


class SceneKind(str, Enum):
    """`mirror_sfm.synthetic.KINDS`, which would take a while to import."""

    village = "village"
    terrain = "terrain"
    interior = "interior"
    object = "object"


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the scene.")],
    kind: Annotated[SceneKind, typer.Option(help="What to render.")] = SceneKind.village,
    photos: Annotated[int, typer.Option(min=1, help="How many.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Of the scene and of the camera's way.")] = 0,
    threads: Threads = None,
) -> None:
    """Render a scene to try things on: photos, cameras, surface, and how much each pair overlaps.

    \b
        mirror-sfm demo scene
        mirror-sfm pairs scene/images -o out --report
        mirror-sfm evaluate scene
    """
    with errors_in_one_line():
        from mirror_sfm.synthetic import RenderOptions, make_scene

        make_folder(out)
        try:
            scene = make_scene(kind.value, out, photos, seed, RenderOptions(threads=threads))
        except OSError as error:
            raise MirrorError(f"cannot write the scene into {shown(out)}: {error.strerror or error}") from error
        typer.echo(f"{photos} rendered photos -> {shown(scene)}")
        if find_spec("pycolmap") is None:
            typer.echo('no COLMAP model was written: pip install "mirror-sfm[colmap]"', err=True)
