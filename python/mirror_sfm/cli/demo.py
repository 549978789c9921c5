"""`mirror-sfm demo`: a rendered scene to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import errors_in_one_line, make_folder, shown
from mirror_sfm.errors import MirrorError


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the scene.")],
    photos: Annotated[int, typer.Option(min=1, help="How many.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Of the landscape and the flight.")] = 0,
) -> None:
    """Render a small scene to try things on: photos, their cameras, and how much each pair overlaps.

    \b
        mirror-sfm demo scene
        mirror-sfm pairs scene/images -o out --report
        mirror-sfm evaluate scene
    """
    with errors_in_one_line():
        from mirror_sfm.demo_scene import make_demo_scene

        make_folder(out)
        try:
            scene = make_demo_scene(out, photos, seed)
        except OSError as error:
            raise MirrorError(f"cannot write the scene into {shown(out)}: {error.strerror or error}") from error
        typer.echo(f"{photos} rendered photos -> {shown(scene)}")
