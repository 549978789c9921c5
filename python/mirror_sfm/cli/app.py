"""The command line's root: what is true for every command."""

from __future__ import annotations

from typing import Annotated

import typer

from mirror_sfm import __version__

app = typer.Typer(
    help="Which photos overlap? Photos in, pairs out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _start(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"mirror-sfm {__version__}")
        raise typer.Exit()


def main() -> None:
    """Entry point of `mirror-sfm`."""
    app(prog_name="mirror-sfm")
