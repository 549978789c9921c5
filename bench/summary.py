"""Markdown tables from the JSON files in results/: every contender, and ours against the targets, won or lost.

python bench/summary.py [folder]
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Target:
    """`ours` must be at least `factor` times as fast as the fastest contender with `role` whose name holds `rival`.

    role "peak": at least `factor` of the processor's peak.
    """

    op: str
    level: str
    case: str  # how the case's name starts
    ours: str
    role: str
    factor: float
    rival: str = ""
    exact: bool = False  # `case` is the whole name


def targets() -> list[Target]:
    """What we set out to reach, per level of instructions."""
    k35, k5, rerank = ("all pairs, k = 35", "all pairs, k = 5", "re-rank")
    table = [
        Target("match_kernel", "avx2", "", "mirror", "peer", 1.6),
        Target("match_kernel", "avx512", "", "mirror", "peer", 4),
        Target("match_kernel", "amx", "", "mirror", "peer", 15),
        Target("match_kernel", "amx", "", "mirror", "peer", 100, "faiss"),
        Target("match_kernel", "amx", "", "mirror", "peer", 100, "COLMAP"),
        Target("pr_mac", "avx2", k35, "mirror", "published", 3.5),
        Target("pr_mac", "avx2", k35, "mirror", "peer", 1.5),
        Target("pr_mac", "avx2", k35, "mirror self-join", "published", 6),
        Target("pr_mac", "avx2", k35, "mirror self-join", "peer", 2.4),
        Target("pr_mac", "avx2", k35, "mirror", "peak", 0.85),
        Target("pr_mac", "avx2", k5, "mirror", "published", 10),
        Target("pr_mac", "avx2", k5, "mirror", "peer", 1.8),
        Target("pr_mac", "avx2", rerank, "mirror", "published", 3),
        Target("pr_mac", "avx2", rerank, "mirror", "peer", 2.5),
        Target("pr_mac", "avx512", k35, "mirror", "peer", 1.25),
        Target("pr_mac", "avx512", k35, "mirror self-join", "peer", 2.1),
        Target("pr_mac", "avx512", k35, "mirror", "peak", 0.75),
        Target("pr_mac", "amx", k35, "mirror bf16", "approximate", 6, "torch bf16"),
        Target("pr_mac", "amx", k35, "mirror bf16", "peer", 12),
        Target("pr_mac", "amx", k35, "mirror bf16", "peak", 0.5),
        Target("pr_mac", "amx", k35, "mirror bf16 self-join", "approximate", 10, "torch bf16"),
        Target("pr_mac", "amx", k35, "mirror bf16 self-join", "peer", 20),
        Target("pr_mac", "amx", k5, "mirror bf16", "approximate", 3.5, "torch bf16"),
    ]
    for level in ("avx2", "avx512", "amx"):
        table += pooling_targets(level) + overlap_targets(level)
    return table


def pooling_targets(level: str) -> list[Target]:
    """Over the usual spelling, over the strongest one, and against one read of the maps (1 / 1.7)."""
    regions = "regions, 35 of 8 x 512 x 28 x 28, forward"
    table = [
        Target("pooling", level, regions, "mirror", "peer", 8, "NCHW", exact=True),
        Target("pooling", level, regions, "mirror channels_last", "peer", 3, "per scale, channels_last", exact=True),
        Target("pooling", level, regions + " + backward", "mirror", "peer", 6, "NCHW"),
        Target("pooling", level, regions + " + backward", "mirror", "peer", 1.5),
        Target("pooling", level, regions + " + backward", "mirror channels_last", "peer", 1.5),
    ]
    for masks in ("masks of 96 x 256 x 28 x 28", "masks of 96 x 1024 x 28 x 28", "masks of 96 x 1024 x 7 x 7"):
        forward, backward = masks + ", forward", masks + ", forward + backward"
        table += [
            Target("pooling", level, forward, "mirror", "peer", 10, "where", exact=True),
            Target("pooling", level, forward, "mirror", "peer", 4, exact=True),
            Target("pooling", level, forward, "mirror", "limit", 1 / 1.7, exact=True),
            Target("pooling", level, backward, "mirror", "peer", 8, "where"),
            Target("pooling", level, backward, "mirror", "peer", 3.5),
        ]
    return table


def overlap_targets(level: str) -> list[Target]:
    """Shared triangles over scipy and over MKL; masks over torch, where a map meets many sets."""
    table = []
    for views in (200, 1000):
        shared = f"shared, {views} views"
        table += [
            Target("overlap", level, shared, "mirror", "peer", 40, "scipy"),
            Target("overlap", level, shared, "mirror", "peer", 12, "MKL"),
        ]
    return [*table, Target("overlap", level, "masks, 28 x 28, 64 pairs", "mirror", "peer", 10, "torch")]


# Seconds that the whole job may take.
JOB_LIMITS = {"drone_caliterra": 8.0, "start": 0.5}


def contests(folder: Path) -> list[dict[str, Any]]:
    """All contests of all files, each with the head of its file."""
    found = []
    for path in sorted(folder.glob("*.json")):
        head = json.loads(path.read_text())
        found += [{**head, **contest} for contest in head.pop("contests")]
    return found


def contest_table(contest: dict[str, Any]) -> str:
    rows = contest["contenders"]
    ours = rows["mirror"]["seconds"]
    peaks = ", ".join(f"{kind} {gops:.0f}" for kind, gops in contest["peaks_gops"].items())
    lines = [
        f"### {contest['op']}, {contest['level']}, {threads_of(contest)}: {contest['case']}\n",
        f"{contest['cpu']}, {contest['date']}; peaks in Gop/s: {peaks}\n",
        "| contender | wall ms (least..most) | processor ms | Gop/s | of peak | mirror is faster by | other load |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        label = name if row["role"] in ("ours", "peer") else f"{name} ({row['role']})"
        faster = "" if row["role"] == "ours" else f"{row['seconds'] / ours:.2f}x"
        share = f"{row['of_peak']:.0%}" if row["of_peak"] else ""
        least, median, most = (f"{seconds * 1e3:.1f}" for seconds in row["wall_s"])
        lines.append(
            f"| {label} | {median} ({least}..{most}) | {row['cpu_s'][1] * 1e3:.1f} | {row['gops']:.0f} "
            f"| {share} | {faster} | {row['foreign_load']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def job_table(jobs: list[dict[str, Any]]) -> str:
    lines = ["### The whole job\n", "| case | wall s | processor s | peak MB | by stage, s | other load |"]
    lines.append("|---|---|---|---|---|---|")
    for contest in jobs:
        job = contest["job"]
        stages = ", ".join(f"{k.removeprefix('stage ')} {v:.2f}" for k, v in job.items() if k.startswith("stage "))
        lines.append(
            f"| {contest['case']} | {job['wall_s']:.2f} | {job['cpu_s']:.2f} | {job['peak_mb']:.0f} | {stages} |"
        )
    return "\n".join(lines) + "\n"


def threads_of(contest: dict[str, Any]) -> str:
    return "1 thread" if contest["threads"] == 1 else f"{contest['threads']} threads"


def fits(target: Target, case: str) -> bool:
    return case.removesuffix(", full") == target.case if target.exact else case.startswith(target.case)


def verdict(target: Target, contest: dict[str, Any]) -> str:
    rows = contest["contenders"]
    ours = rows[target.ours]
    if target.role == "peak":
        reached, rival = ours["of_peak"], "the processor's peak"
    else:
        rivals = {n: row["seconds"] for n, row in rows.items() if row["role"] == target.role and target.rival in n}
        rival = min(rivals, key=rivals.__getitem__)
        reached = rivals[rival] / ours["seconds"]
    sign = "won" if reached >= target.factor else "**lost**"
    where = f"{contest['op']} {target.level}, {threads_of(contest)}, {contest['case']}"
    possible = ""
    if ours["of_peak"]:  # what a kernel at 100 % of the peak would reach; a self-join has half of the products to do
        possible = f"{reached / ours['of_peak'] * (2 if 'self-join' in target.ours else 1):.2f}"
    return f"| {where} | {target.ours} over {rival} | {target.factor:.3g} | {reached:.2f} | {sign} | {possible} |"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results"
    found = contests(folder)
    print("## Targets\n\n| where | what | target | reached | | at 100 % of peak |\n|---|---|---|---|---|---|")
    for target in targets():
        for contest in found:
            if (contest["op"], contest["level"]) == (target.op, target.level) and fits(target, contest["case"]):
                print(verdict(target, contest))
    for contest in found:
        if "job" in contest and (limit := JOB_LIMITS.get(contest["case"].split(",")[0])):
            reached = contest["job"]["wall_s"]
            sign = "won" if reached <= limit else "**lost**"
            print(f"| {contest['case']} | seconds, at most | {limit:g} | {reached:.2f} | {sign} | |")
    print("\n## All numbers\n")
    for contest in found:
        if "contenders" in contest:
            print(contest_table(contest))
    print(job_table([contest for contest in found if "job" in contest]))


if __name__ == "__main__":
    main()
