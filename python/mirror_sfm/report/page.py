"""Puts the report together: one HTML file that needs nothing else, and cannot reach the network.

Names of photos are hostile until shown: they are cut to one line of printable text, escaped in the page's text, and in
its data (`<`, `>`, `&` and quotes of JSON as escapes). A Content-Security-Policy lets only our own script and style
run, by their hashes, so that nothing could act even if an escape were forgotten.
"""

from __future__ import annotations

import base64
import hashlib
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mirror_sfm.exports import complete_file
from mirror_sfm.graph import REASONS
from mirror_sfm.overlap.measured import Overlap
from mirror_sfm.photos import shown
from mirror_sfm.priors import read_circumstances
from mirror_sfm.report import tables
from mirror_sfm.report.drawing import WIDTH, Arrangement, arrange, draw_graph, draw_map, local_metres
from mirror_sfm.report.findings import Findings, advice, commands, find, summary, why_alone
from mirror_sfm.report.layout import Points
from mirror_sfm.report.surface import surface_table
from mirror_sfm.report.thumbnails import Thumbnail, make_thumbnails
from mirror_sfm.threads import processors
from mirror_sfm.view_graph import ViewGraph

if TYPE_CHECKING:
    from mirror_sfm.pairs import PairOptions

SCRIPTS = ("data.js", "photos.js", "surface.js", "matches.js", "networks.js", "matrix.js", "keys.js")


def write_report(
    path: str | os.PathLike[str],
    graph: ViewGraph,
    options: PairOptions,
    progress: bool = False,
    listed: bool = True,
    overlap: Overlap | None = None,
) -> None:
    """Writes the report as one HTML file that opens from disk, without network. Same graph and photos, same bytes.

    Args:
        path: of the file; it appears when complete. Its folder is where the commands of the page look for pairs.txt.
        graph: what `find_pairs` gave. Photos are read again for thumbnails where `graph.paths` knows them.
        options: threads count.
        progress: show a bar on stderr.
        listed: a pairs.txt is beside it; without, the page gives no commands that read one.
        overlap: of these photos on a surface; the page then shows it in the matrix and on every pair.
    """
    path = Path(path)
    thumbnails = make_thumbnails(
        [graph.paths.get(name) for name in graph.names], options.threads or processors(), progress
    )
    with complete_file(path) as file:
        file.write(page(graph, thumbnails, where(graph, options), path.parent, listed, overlap).encode())


def where(graph: ViewGraph, options: PairOptions) -> Points:
    """Metres [N, 2] east and north of the photos, from the table of positions or their EXIF; NaN where unknown."""
    known = read_circumstances(graph.names, graph.paths, options.gps)
    geographic = np.isfinite(known.degrees).any()
    return local_metres(known.degrees) if geographic else known.positions[:, :2]


def page(
    graph: ViewGraph,
    thumbnails: list[Thumbnail],
    positions: Points,
    out: Path,
    listed: bool = True,
    overlap: Overlap | None = None,
) -> str:
    """The HTML of the report. `positions`: [N, 2] metres east and north, NaN where unknown."""
    from jinja2 import Environment, StrictUndefined

    findings = find(graph)
    arrangement = arrange(graph, findings)
    style, script = _asset("report.css"), _script()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    drawn_map = draw_map(graph, findings, positions)
    return environment.from_string(_asset("report.html")).render(
        style=style,
        script=script,
        policy=_policy(style, script),
        summary=summary(graph, findings),
        figures=_figures(graph, findings),
        advice=advice(graph, findings),
        commands=commands(graph, out, listed),
        graph=draw_graph(graph, findings, arrangement),
        map=drawn_map,
        unmapped=0 if drawn_map is None else int(np.isnan(drawn_map.dots[:, 0]).sum()),
        width=WIDTH,
        names=[shown(name) for name in graph.names],
        findings=findings,
        skipped=[(shown(photo.name), shown(photo.reason)) for photo in graph.skipped],
        data=_data(graph, findings, arrangement, thumbnails, overlap),
        thumbnails=[base64.b64encode(photo.jpeg).decode() for photo in thumbnails],
    )


def _asset(name: str) -> str:
    return files("mirror_sfm.report").joinpath(name).read_text("utf-8")


def _script() -> str:
    """The scripts as one function."""
    return '(() => {\n"use strict";\n' + "\n".join(_asset(name) for name in SCRIPTS) + "})();\n"


def _policy(style: str, script: str) -> str:
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _figures(graph: ViewGraph, findings: Findings) -> list[tuple[str, str]]:
    """Numbers at a glance: value and what it counts."""
    figures = [
        (f"{len(graph.names):,}", "photos"),
        (f"{len(graph.chosen):,}", "pairs"),
        (f"{findings.parts:,}", "part" if findings.parts == 1 else "parts"),
        (f"{len(findings.weak_joints):,}", "weak joint" if len(findings.weak_joints) == 1 else "weak joints"),
        (f"{len(findings.alone):,}", "isolated"),
        (f"{len(graph.skipped):,}", "skipped"),
    ]
    return [*figures, (f"{100 * findings.recall:.0f} %", "expected recall")] if len(graph.chosen) else figures


def _data(
    graph: ViewGraph,
    findings: Findings,
    arrangement: Arrangement,
    thumbnails: list[Thumbnail],
    overlap: Overlap | None,
) -> dict[str, Any]:
    """What the script needs; see `tables` for the packed numbers."""
    pairs = tables.shown_pairs(graph)
    turns = np.array([photo.orientation for photo in thumbnails], np.int64)
    sizes = np.array([tables.sensor_size(graph, photo) for photo in range(len(graph.names))]).reshape(-1, 2)
    sideways = turns >= 5
    sizes[sideways] = sizes[sideways, ::-1]
    return {
        "names": [shown(name) for name in graph.names],
        "missing": {photo: made.missing for photo, made in enumerate(thumbnails) if made.missing},
        "widths": tables.packed(np.round(sizes[:, 0]).astype(np.int64)),
        "heights": tables.packed(np.round(sizes[:, 1]).astype(np.int64)),
        "part": tables.packed(findings.part),
        "attention": tables.packed(np.array(findings.attention(), np.int64)),
        "order": tables.packed(np.array(arrangement.order, np.int64)),
        "reasons": [*REASONS, "not chosen"],
        "isolated": why_alone(graph, findings),
        "fine": tables.FINE,
        "highest": tables.highest_score(graph),
        "notExamined": tables.NOT_EXAMINED,
        "pairs": tables.pair_table(graph, pairs),
        "matches": tables.match_table(graph, pairs, turns),
        "cells": tables.cell_table(graph),
        "surface": surface_table(graph, pairs, overlap, turns) if overlap is not None and graph.names else None,
    }
