"""What is written down of a run: a line of JSON per event, curves for TensorBoard, and a bar for who watches."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from mirror_sfm.exports.files import complete_file

LOG = "log.jsonl"
_log = logging.getLogger("mirror_sfm")


class Journal:
    """Use it as a context manager.

    Args:
        out: folder.
        start: step the run goes on from; what an earlier run wrote of later steps is taken back.
        steps: of the whole run.
        tensorboard: write curves too, where TensorBoard is installed.
        progress: show a bar on stderr; else milestones are logged as lines.
        quiet: write nothing at all; for all processes but the first.
    """

    def __init__(
        self, out: Path, start: int, steps: int, tensorboard: bool, progress: bool, quiet: bool = False
    ) -> None:
        self.start, self.steps, self.quiet, self.progress = start, steps, quiet, progress and not quiet
        self.began = time.monotonic()
        self.bar = tqdm(total=steps, initial=start, desc="train", unit="step", disable=not self.progress)
        self.curves: Any = None
        if quiet:
            return
        keep_until(out / LOG, start)
        self.file = open(out / LOG, "a", encoding="utf-8")  # noqa: SIM115  closed by __exit__
        if tensorboard:
            self.curves = _curves(out / "tensorboard", start)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        if not self.quiet:
            self.file.close()
        if self.curves is not None:
            self.curves.close()

    def advance(self, loss: float) -> None:
        """One more step is done."""
        self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        self.bar.update()

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """A line, and a point of every curve."""
        if self.quiet:
            return
        seconds = round(time.monotonic() - self.began, 3)
        self.file.write(json.dumps({"step": step, **values, "seconds": seconds}) + "\n")
        self.file.flush()
        if self.curves is not None:
            for name, value in values.items():
                for key, number in value.items() if isinstance(value, Mapping) else [("", value)]:
                    self.curves.add_scalar(f"{name}/{key}" if key else name, number, step)

    def milestone(self, step: int, what: str) -> None:
        """Something to read while it runs, with the time that is left."""
        if self.quiet:
            return
        done = step - self.start
        left = (time.monotonic() - self.began) / done * (self.steps - step) if done else None
        line = f"step {step} of {self.steps}: {what}" + (f"; {tqdm.format_interval(left)} left" if left else "")
        if self.progress:
            self.bar.write(f"mirror-sfm: {line}", file=sys.stderr)
        else:
            _log.info("%s", line)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Lines of a journal; a last line that was not finished is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def keep_until(path: Path, step: int) -> None:
    """Takes back what was written of later steps: these are done again."""
    if not path.is_file():
        return
    with open(path, "rb") as file:
        lines = [line for line in file if line.endswith(b"\n") and _step(line) <= step]
    with complete_file(path) as file:
        file.writelines(lines if step else [])


def _step(line: bytes) -> float:
    """Of a line; one that a power cut spoiled counts as later than any."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _curves(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        _log.info("no curves for TensorBoard, which is not installed (%s); numbers are in %s", error, LOG)
        return None
    return SummaryWriter(str(folder), purge_step=start + 1)
