"""Contenders on one workload, in one process, in turns. See README.md: the measuring contract."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from peak import peak_gops


@dataclass(frozen=True)
class Contender:
    """`role`: "ours", "peer" (same result), "published" (the paper's formulation), "approximate" (a weaker result)."""

    name: str
    run: Callable[[], Any]
    role: str = "peer"
    prepare: Callable[[], Any] | None = None  # before every run, not timed
    peak: str = ""  # the kind of peak that bounds it, where it is not the contest's


@dataclass
class Times:
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)  # processors that other programs kept busy meanwhile


def busy_seconds() -> float:
    """Processor time that this machine has spent on anything since it started."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _wait, irq, soft, *_ = (int(x) for x in file.readline().split()[1:9])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def timed(run: Callable[[], Any], times: Times) -> Any:
    others, cpu, wall = busy_seconds(), time.process_time(), time.perf_counter()
    result = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    times.wall.append(wall)
    times.cpu.append(cpu)
    times.foreign.append(max(0.0, busy_seconds() - others - cpu) / wall)
    return result


class Contest:
    """All contenders once per round, forwards and backwards in turn, so that a drifting machine drifts for all."""

    def __init__(self, contenders: Sequence[Contender], peak: str, threads: int, budget: float) -> None:
        self.contenders, self.peak, self.threads, self.budget = contenders, peak, threads, budget
        self.times = {contender.name: Times() for contender in contenders}
        self.peaks: dict[str, list[float]] = {kind: [] for kind in (peak, *(c.peak for c in contenders)) if kind}
        self.rounds_done = 0

    def warm_up(self, check: Callable[[dict[str, Any]], None]) -> None:
        """Runs everybody once and lets `check` compare what they return."""
        results = {}
        for contender in self.contenders:
            if contender.prepare:
                contender.prepare()
            results[contender.name] = contender.run()
        check(results)

    def round(self) -> None:
        """A slow contender sits out when its time is used up, but never before it has run three times."""
        for kind, measured in self.peaks.items():
            measured.append(peak_gops(kind, self.threads))
        for contender in self.contenders[:: -1 if self.rounds_done % 2 else 1]:
            times = self.times[contender.name]
            if len(times.wall) >= 3 and sum(times.wall) > self.budget:
                continue
            if contender.prepare:
                contender.prepare()
            gc.collect()
            timed(contender.run, times)
        self.rounds_done += 1

    def report(self, operations: float) -> dict[str, Any]:
        """What is kept: medians, spread, and the whole task's multiplications and additions per second.

        One thread is judged by its processor time, which other programs hardly change; several by the wall clock.
        """
        peaks = {kind: statistics.median(measured) for kind, measured in self.peaks.items()}
        rows = {}
        for contender in self.contenders:
            times = self.times[contender.name]
            wall, cpu = statistics.median(times.wall), statistics.median(times.cpu)
            seconds = cpu if self.threads == 1 else wall
            gops = operations / seconds / 1e9
            limit = peaks.get(contender.peak or self.peak)
            rows[contender.name] = {
                "role": contender.role,
                "seconds": seconds,
                "wall_s": [min(times.wall), wall, max(times.wall)],
                "cpu_s": [min(times.cpu), cpu, max(times.cpu)],
                "runs": len(times.wall),
                "gops": gops,
                "of_peak": gops / limit if limit else None,
                "foreign_load": round(statistics.median(times.foreign), 3),
            }
        return {"threads": self.threads, "peaks_gops": peaks, "contenders": rows}
