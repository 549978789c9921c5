"""Pieces of work at once, in processes of their own or on a Ray cluster. One that fails does not stop the others."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import one_line, shown

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of one task: its result, or one line that says why there is none."""

    result: Result | None = None
    failure: str | None = None


def attempt(function: Callable[[Task], Result], task: Task) -> Outcome[Result]:
    """Does the work. An error of the input becomes its line; of an error of ours the traceback is printed as well."""
    try:
        return Outcome(result=function(task))
    except MirrorError as error:
        return Outcome(failure=str(error))
    except OSError as error:
        place = f"{shown(str(error.filename))}: " if error.filename else ""
        return Outcome(failure=f"{place}{error.strerror or one_line(str(error))}")
    except MemoryError:
        return Outcome(failure="out of memory; run again with fewer --jobs, or a smaller --long-side")
    except Exception as error:
        traceback.print_exc()
        return Outcome(failure=f"internal error, see above: {type(error).__name__}: {shown(one_line(str(error)))}")


def run(function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int) -> Iterator[tuple[int, Outcome[Result]]]:
    """Place and outcome of each task, as they end. One job is done in this process, several in a process per task,
    so that a crash, or memory that runs out, costs one task. They end with this process, however it ends."""
    if jobs == 1:
        for place, task in enumerate(tasks):
            yield place, attempt(function, task)
        return
    context = multiprocessing.get_context("spawn")
    waiting = list(enumerate(tasks))[::-1]
    running: dict[Any, tuple[int, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                place, task = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                level = logging.getLogger("mirror_sfm").getEffectiveLevel()
                process = context.Process(target=_work, args=(theirs, function, task, level), daemon=True)
                process.start()
                theirs.close()
                running[ours] = (place, process)
            for pipe in multiprocessing.connection.wait(list(running)):
                place, process = running.pop(pipe)
                yield place, _received(pipe, process)
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def run_on_ray(
    function: Callable[[Task], Result], tasks: Sequence[Task], processors: int
) -> Iterator[tuple[int, Outcome[Result]]]:
    """The same on Ray, which sees to it that each task has so many processors. Paths must mean the same everywhere.

    Raises:
        UsageError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise UsageError("--ray needs one more package: pip install 'mirror-sfm[ray]'") from None
    if not ray.is_initialized():
        ray.init(include_dashboard=False, configure_logging=False, log_to_driver=True)
    remote = ray.remote(num_cpus=processors)(attempt)
    running = {remote.remote(function, task): place for place, task in enumerate(tasks)}
    while running:
        (done,), _ = ray.wait(list(running), num_returns=1)
        place = running.pop(done)
        try:
            yield place, ray.get(done)
        except ray.exceptions.RayError as error:
            yield place, Outcome(failure=f"its process ended: {shown(one_line(str(error)))}")


def _work(pipe: Any, function: Callable[[Any], Any], task: Any, level: int) -> None:
    """In a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing to tidy: whatever is half done is done again
    tqdm.set_lock(threading.RLock())  # not one between processes, which nobody frees where this one is ended
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(format="mirror-sfm: %(message)s")
    logging.getLogger("mirror_sfm").setLevel(level)
    pipe.send(attempt(function, task))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _received(pipe: Any, process: Any) -> Outcome[Any]:
    try:
        outcome: Outcome[Any] = pipe.recv()
    except EOFError:  # it ended without a word
        process.join()
        code = process.exitcode
        why = f"signal {-code}; out of memory?" if code < 0 else f"exit code {code}"
        outcome = Outcome(failure=f"its process ended ({why}); run again with fewer --jobs")
    process.join()
    return outcome
