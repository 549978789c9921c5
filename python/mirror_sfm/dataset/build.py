"""Many scenes, one data set: scenes in, DATASET out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mirror_sfm.dataset.format import INDEX, counts_of, json_bytes, open_scene, read_index
from mirror_sfm.dataset.making import WORK, Made, Task, make_scene
from mirror_sfm.dataset.parts import alone
from mirror_sfm.dataset.running import Outcome, run, run_on_ray
from mirror_sfm.dataset.sources import SceneOptions, SceneSource
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.exports import complete_file
from mirror_sfm.photos import shown
from mirror_sfm.threads import processors

_log = logging.getLogger("mirror_sfm")


@dataclass(frozen=True)
class RunOptions:
    """How the work is done; none of it changes a byte of the result.

    Attributes:
        jobs: scenes at once, each in a process of its own.
        threads: of every scene; None: the processors, divided among the jobs; one each on Ray.
        ray: run on a Ray cluster, which decides how many scenes are made at once.
        progress: show bars on stderr.
    """

    jobs: int = 1
    threads: int | None = None
    ray: bool = False
    progress: bool = False

    def __post_init__(self) -> None:
        if self.jobs < 1 or (self.threads is not None and self.threads < 1):
            raise UsageError(f"jobs and threads must be at least 1, got {self.jobs} and {self.threads}")

    @property
    def threads_each(self) -> int:
        """Of one scene."""
        return self.threads or (1 if self.ray else max(1, processors() // self.jobs))


@dataclass(frozen=True)
class BuildReport:
    """What came out.

    Attributes:
        made: by name, scenes of this run, whether there was something left to do or not.
        failed: by name, a line that says why there is no scene.
        kept: names of scenes that the data set had before and that were not asked for in this run.
    """

    made: dict[str, Made]
    failed: dict[str, str]
    kept: tuple[str, ...]


def build_dataset(
    sources: Sequence[SceneSource],
    out: Path,
    options: SceneOptions | None = None,
    running: RunOptions | None = None,
) -> BuildReport:
    """Builds a data set, or adds scenes to one.

    Run again, it goes on where it was stopped, and does again what depends on files or options that changed. A scene
    that fails is left out; the others are not lost.

    Raises:
        UsageError: two scenes have one name, or the data set has other scenes that were built with other settings.
        MirrorError: the data set cannot be written.
    """
    options, running = options or SceneOptions(), running or RunOptions()
    settings = json.loads(json.dumps(options.settings()))  # as they come back: lists, not tuples
    sources = sorted(sources, key=lambda source: source.name)
    _distinct(sources)
    names = {source.name for source in sources}
    _other_scenes(out, settings, names)
    out.mkdir(parents=True, exist_ok=True)
    bars = running.progress and running.jobs == 1 and not running.ray
    tasks = [Task(source, out.resolve(), options, running.threads_each, bars) for source in sources]
    outcomes: list[Outcome[Made] | None] = [None] * len(tasks)
    watched = running.progress and not bars
    for place, outcome in tqdm(_outcomes(tasks, running), "scenes", len(tasks), disable=not watched, unit="scene"):
        outcomes[place] = outcome
        _log.debug("%s: %s", sources[place].name, outcome.failure or "done")
    done = {source.name: outcome for source, outcome in zip(sources, outcomes, strict=True) if outcome is not None}
    made = {name: outcome.result for name, outcome in done.items() if outcome.result is not None}
    failed = {name: outcome.failure for name, outcome in done.items() if outcome.failure is not None}
    with alone(out / WORK / ".index"):  # read again: other runs may have added scenes meanwhile
        kept = tuple(name for name in _other_scenes(out, settings, names) if _whole(out / name, options.size))
        if made or kept:
            with complete_file(out / INDEX) as file:
                file.write(json_bytes({"settings": settings, "scenes": sorted({*made, *kept})}))
    return BuildReport(made, failed, kept)


def _outcomes(tasks: Sequence[Task], running: RunOptions) -> Iterator[tuple[int, Outcome[Made]]]:
    if running.ray:
        return run_on_ray(make_scene, tasks, running.threads_each)
    return run(make_scene, tasks, running.jobs)


def _distinct(sources: Sequence[SceneSource]) -> None:
    for first, second in pairwise(sources):
        if first.name == second.name:
            raise UsageError(
                f"two scenes are called {shown(first.name)}: {shown(str(first.path))} and {shown(str(second.path))}; "
                "rename one folder, or add one of them in a run of its own with --name"
            )


def _other_scenes(out: Path, settings: dict[str, Any], asked: set[str]) -> tuple[str, ...]:
    """Names of the scenes that are listed and stay as they are. Where the settings change there can be none, and the
    index goes before the first scene changes."""
    if not (out / INDEX).is_file():
        return ()
    try:
        before, names = read_index(out)
    except MirrorError as error:
        raise MirrorError(f"{error}, into another folder or after deleting {INDEX}") from error
    others = [name for name in names if name not in asked]
    if before == settings:
        return tuple(others)
    if others:
        name, was, now = _difference(before, settings)
        raise UsageError(
            f"{shown(str(out))} was built with {name} {was}, now {now} is asked for: name all its scenes "
            f"({shown(', '.join(others[:5]))} too), or choose another folder"
        )
    (out / INDEX).unlink()
    return ()


def _difference(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, Any, Any]:
    """The first setting that differs, and its values."""
    flat = [{**settings, **settings.get("labels", {})} for settings in (before, after)]
    names = [name for name in sorted(flat[1]) if name != "labels" and flat[0].get(name) != flat[1][name]]
    name = names[0] if names else "labels"
    return name, flat[0].get(name), flat[1].get(name)


def _whole(folder: Path, size: int) -> bool:
    try:
        open_scene(folder, size)
    except MirrorError as error:
        _log.warning("%s is left out: %s", shown(folder.name), error)
        return False
    return True


def summary_of(report: BuildReport) -> dict[str, Any]:
    """The report as JSON has it."""
    scenes = {
        name: counts_of(made.about) | {"skipped": made.about["skipped"], "seconds": made.seconds}
        for name, made in report.made.items()
    }
    return {"scenes": scenes, "failed": report.failed, "kept": list(report.kept)}
