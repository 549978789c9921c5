"""Work in processes: one that fails, crashes or is killed costs its own task."""

import os
import signal
import time

import pytest

from mirror_sfm.dataset.running import attempt, run, run_on_ray
from mirror_sfm.errors import MirrorError, UsageError


def work(task: object) -> object:
    if task == "bad":
        raise UsageError("no such thing")
    if task == "disk":
        raise OSError(28, "No space left on device", "/full")
    if task == "bug":
        return 1 // 0
    if task == "memory":
        raise MemoryError
    if task == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "gone":
        os._exit(3)
    return task


REASONS = {
    "bad": "no such thing",
    "disk": "/full: No space left on device",
    "bug": "internal error, see above: ZeroDivisionError",
    "memory": "out of memory",
    "killed": "its process ended (signal 9",
    "gone": "its process ended (exit code 3)",
}


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_task_that_fails_does_not_stop_the_others(jobs: int, capfd: pytest.CaptureFixture[str]) -> None:
    tasks = ["bad", 7, "disk", "bug", (1, 2), "memory", 8] if jobs == 1 else ["killed", "bug", 7, "gone"]
    found = dict(run(work, tasks, jobs))
    assert sorted(found) == list(range(len(tasks)))
    for place, task in enumerate(tasks):
        if task in REASONS:
            assert found[place].failure.startswith(REASONS[task]) and found[place].result is None
        else:
            assert found[place].result == task and found[place].failure is None
    assert "ZeroDivisionError" in capfd.readouterr().err  # an error of ours shows where it is


def test_who_stops_listening_ends_the_jobs() -> None:
    started = time.monotonic()
    outcomes = run(sleep, [0, 60, 60], jobs=3)
    assert next(outcomes)[0] == 0
    outcomes.close()
    assert time.monotonic() - started < 30


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_keyboard_interrupts_are_no_failures() -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted, None)


def test_ray_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MirrorError, match=r"--ray needs one more package: pip install 'mirror-sfm\[ray\]'"):
        next(run_on_ray(work, [1], 1))


@pytest.mark.slow
def test_ray_does_the_same() -> None:
    ray = pytest.importorskip("ray")
    tasks = ["bad", 7, "killed", 8]
    try:
        found = dict(run_on_ray(work, tasks, 1))
    finally:
        ray.shutdown()
    assert [found[k].result for k in range(4)] == [None, 7, None, 8]
    assert found[0].failure == "no such thing" and found[2].failure.startswith("its process ended")
