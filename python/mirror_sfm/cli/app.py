"""The command line's root: what is true for every command."""

from __future__ import annotations

import logging
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
    _log_to_stderr()
    if version:
        typer.echo(f"mirror-sfm {__version__}")
        raise typer.Exit()


def _log_to_stderr() -> None:
    """What the library has to say, a line each: which weights, what was left out."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("mirror-sfm: %(message)s"))
    logger = logging.getLogger("mirror_sfm")
    logger.setLevel(logging.INFO)
    logger.handlers = [handler]
    logger.propagate = False


def main() -> None:
    """Entry point of `mirror-sfm`."""
    app(prog_name="mirror-sfm")
