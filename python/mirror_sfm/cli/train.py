"""`mirror-sfm train`: a tower from a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mirror_sfm.cli.app import app
from mirror_sfm.cli.common import errors_in_one_line, make_folder, shown, somebody_watches
from mirror_sfm.errors import UsageError


@app.command()
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="What to train, on what.", show_default=False)],
    changes: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="KEY=VALUE", help="Instead of what the file says, such as optimiser.lr=0.01."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the whole configuration and stop.")] = False,
) -> None:
    """Train a tower on graded overlap. Stopped at any moment and run again, it goes on where it was.

    \b
    A run:             mirror-sfm train run.yaml
    With another seed: mirror-sfm train run.yaml --set seed=1 --set out=run1
    On two processors: torchrun --nproc-per-node 2 -m mirror_sfm train run.yaml
    """
    with errors_in_one_line():
        _expect_libraries()
        from mirror_sfm.learning.config import plain, read_config

        options = read_config(config, changes or ())
        if show:
            import yaml

            typer.echo(yaml.safe_dump(plain(options), sort_keys=False), nl=False)
            return
        from mirror_sfm.learning.training import train as train_tower

        make_folder(Path(options.out))
        done = train_tower(options, somebody_watches())
        if done.rank:  # the first of several processes says it
            return
        found = (
            f"; mAP {done.first:.4f} before, {done.last:.4f} now, {done.best:.4f} at best"
            if done.last is not None
            else ""
        )
        typer.echo(f"{shown(Path(options.out))}: {done.steps} steps{found}")


def _expect_libraries() -> None:
    """One line instead of an ImportError deep inside."""
    try:
        import pydantic  # noqa: F401
        import safetensors  # noqa: F401
        import torch  # noqa: F401
        import yaml  # noqa: F401
    except ImportError as error:
        raise UsageError(f"training needs {error.name}: pip install 'mirror-sfm[torch,train]'") from error
