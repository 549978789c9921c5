"""Files for other programs. The only place that knows formats of pairs. See docs/formats.md.

All files of a run are written beside their places and moved there when the last is complete: an interrupted or failed
run leaves earlier results as they were.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.exports.files import all_or_none, complete_file
from mirror_sfm.exports.names import ANY_NAME, unsafe_name
from mirror_sfm.exports.records import beyond_budget, jsonl_text, score_arrays, summary_text
from mirror_sfm.exports.tables import (
    alicevision_text,
    alicevision_views,
    kapture_text,
    openmvg_text,
    openmvg_views,
    own_listing,
    own_sfm,
    pairs_text,
)
from mirror_sfm.photos import shown

if TYPE_CHECKING:
    from mirror_sfm.overlap.measured import Overlap
    from mirror_sfm.pairs import PairOptions
    from mirror_sfm.view_graph import ViewGraph

__all__ = [
    "References",
    "beyond_budget",
    "carries_any_name",
    "complete_file",
    "formats",
    "jsonl_text",
    "pairs_text",
    "score_arrays",
    "summary_text",
    "unsafe_name",
    "write_results",
]


@dataclass(frozen=True)
class References:
    """Files of other programs that results refer to.

    Attributes:
        database: COLMAP database that the features came from; `colmap` writes a copy of it.
        hloc_features: hloc's file that they came from; it is never written over.
        sfm: AliceVision's scene with the view ids to use; without, a scene is written beside the pairs.
        sfm_data: openMVG's scene with the view indices to use; without, a list of indices is written beside the pairs.
        verify: `colmap` examines the geometry of the matches too.
    """

    database: Path | None = None
    hloc_features: Path | None = None
    sfm: Path | None = None
    sfm_data: Path | None = None
    verify: bool = True


@dataclass(frozen=True)
class _Job:
    graph: ViewGraph
    references: References
    threads: int | None
    place: Callable[[str], Path]

    def text(self, name: str, text: str) -> None:
        self.place(name).write_bytes(text.encode())


def formats() -> tuple[str, ...]:
    """The formats that `write_results` knows."""
    return tuple(_WRITERS)


def carries_any_name(name: str) -> bool:
    """Whether a format can carry names with spaces and the like."""
    return name in ANY_NAME


def write_results(
    folder: Path,
    graph: ViewGraph,
    options: PairOptions,
    formats: Sequence[str] = ("pairs",),
    scores: bool = True,
    references: References | None = None,
    report: bool = False,
    overlap: Overlap | None = None,
) -> None:
    """Writes the chosen pairs in some formats, summary.json and, with `scores`, scores.npz, with `report`, report.html:
    all of them or none.

    What an earlier run wrote in other formats is removed, because it would not belong to the pairs beside it; but not
    databases and features, which may have been worked on since.

    Args:
        overlap: of the photos on a surface, for the report.

    Raises:
        UsageError: an unknown format, a format with matches but no features, a file of `references` that is not there.
        MirrorError: a format cannot carry a name, a file of `references` is no use, or the files cannot be written.
    """
    unknown = sorted(set(formats) - set(_WRITERS))
    if unknown:
        raise UsageError(f"unknown export format {shown(unknown[0])}; known are {', '.join(_WRITERS)}")
    references = references or References()
    _check_names(graph, formats)
    _check_features(graph, formats)
    _keep_sources(folder, references)
    outdated, written = _small_files_of_earlier_run(folder), list[str]()
    with all_or_none(folder) as place:

        def listed(name: str) -> Path:
            written.append(name)
            return place(name)

        job = _Job(graph, references, options.threads, listed)
        for name in dict.fromkeys(formats):
            _WRITERS[name](job)
        if scores:
            with open(listed("scores.npz"), "wb") as file:
                np.savez(file, **score_arrays(graph))
        if report:
            from mirror_sfm.report import write_report

            write_report(listed("report.html"), graph, options, options.progress, "pairs" in formats, overlap)
        place("summary.json").write_bytes(summary_text(graph, options, [*written, "summary.json"]).encode())
    for name in outdated - set(written):
        (folder / name).unlink(missing_ok=True)


def _small_files_of_earlier_run(folder: Path) -> set[str]:
    try:
        listed = json.loads((folder / "summary.json").read_bytes())["files"]
        return {name for name in (*_TEXTS, "scores.npz", "report.html") if name in listed}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # no earlier run, or not one of ours
        return set()


def _check_names(graph: ViewGraph, formats: Sequence[str]) -> None:
    for name in graph.names:
        if reason := unsafe_name(name, formats):
            others = " or ".join(
                f"--export {other}" for other in ("colmap", "jsonl") if not unsafe_name(name, (other,))
            )
            remedy = f", or use {others}" if others else ""
            raise MirrorError(f"cannot write the pairs: {shown(name)}: {reason}{remedy}")


def _check_features(graph: ViewGraph, formats: Sequence[str]) -> None:
    matched = [name for name in formats if name in ("colmap", "hloc-h5")]
    if matched and graph.names and not graph.features.sizes.any():
        raise UsageError(f"{matched[0]} holds matches of local features, and a network alone has none; export pairs")


def _keep_sources(folder: Path, references: References) -> None:
    """A file that the features came from is never written over."""
    for source in (references.database, references.hloc_features, references.sfm, references.sfm_data):
        for name in _FILES:
            target = folder / name
            if source is not None and target.exists() and source.exists() and os.path.samefile(target, source):
                raise UsageError(f"{shown(str(source))} would be written over; choose another folder for the results")


def _pairs(job: _Job) -> None:
    job.text("pairs.txt", pairs_text(job.graph))


def _jsonl(job: _Job) -> None:
    job.text("pairs.jsonl", jsonl_text(job.graph))


def _hloc(job: _Job) -> None:
    from mirror_sfm.exports import hloc

    job.text("hloc-pairs.txt", pairs_text(job.graph))
    hloc.write_features(job.place("hloc-features.h5"), job.graph)
    hloc.write_matches(job.place("hloc-matches.h5"), job.graph, job.threads)


def _colmap(job: _Job) -> None:
    from mirror_sfm.exports import colmap

    source, verify = job.references.database, job.references.verify
    colmap.write_database(job.place("colmap.db"), job.graph, source, verify, job.threads)


def _kapture(job: _Job) -> None:
    job.text("kapture-pairs.csv", kapture_text(job.graph))


def _alicevision(job: _Job) -> None:
    if job.references.sfm is not None:
        views = alicevision_views(job.references.sfm, job.graph)
    else:
        text, views = own_sfm(job.graph)
        job.text("views.sfm", text)
    job.text("imageMatches.txt", alicevision_text(job.graph, views))


def _openmvg(job: _Job) -> None:
    if job.references.sfm_data is not None:
        views = openmvg_views(job.references.sfm_data, job.graph)
    else:
        text, views = own_listing(job.graph)
        job.text("openmvg-views.txt", text)
    job.text("openmvg-pairs.txt", openmvg_text(job.graph, views))


_WRITERS: dict[str, Callable[[_Job], None]] = {
    "pairs": _pairs,
    "jsonl": _jsonl,
    "hloc-h5": _hloc,
    "colmap": _colmap,
    "kapture": _kapture,
    "alicevision": _alicevision,
    "openmvg": _openmvg,
}
_TEXTS = (
    "pairs.txt",
    "pairs.jsonl",
    "hloc-pairs.txt",
    "kapture-pairs.csv",
    "imageMatches.txt",
    "views.sfm",
    "openmvg-pairs.txt",
    "openmvg-views.txt",
)
_FILES = (*_TEXTS, "scores.npz", "report.html", "summary.json", "colmap.db", "hloc-features.h5", "hloc-matches.h5")
