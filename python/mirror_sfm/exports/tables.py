"""Lists of pairs in text: for COLMAP and hloc, for kapture, for AliceVision, for openMVG."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.exports.names import unsafe_name
from mirror_sfm.exports.records import json_text
from mirror_sfm.photos import shown

if TYPE_CHECKING:
    from mirror_sfm.view_graph import ViewGraph


def pairs_text(graph: ViewGraph) -> str:
    """Pairs as COLMAP's matches importer and hloc read them: `name name` per line, most needed pair first.

    Raises:
        MirrorError: a name cannot be written (see `unsafe_name`).
    """
    for name in graph.names:
        if reason := unsafe_name(name):
            raise MirrorError(f"cannot write a pair list: {shown(name)}: {reason}")
    return "".join(f"{first} {second}\n" for first, second in graph.pairs)


def kapture_text(graph: ViewGraph) -> str:
    """Pairs as kapture's tools read them: a table of two names and a score, the probability that they match; the final
    score where there are no probabilities (a network alone)."""
    known = np.isfinite(graph.probabilities).all()
    chances = (graph.probabilities if known else graph.scores)[graph.chosen].tolist()
    lines = [f"{first}, {second}, {chance:.6g}\n" for (first, second), chance in zip(graph.pairs, chances, strict=True)]
    return "# query_image, map_image, score\n" + "".join(lines)


def alicevision_text(graph: ViewGraph, views: Mapping[str, int]) -> str:
    """AliceVision's imageMatches.txt: a view, then its partners that no earlier line has it with."""
    return "".join(f"{view} {' '.join(map(str, partners))}\n" for view, partners in _partners(graph, views))


def openmvg_text(graph: ViewGraph, views: Mapping[str, int]) -> str:
    """openMVG's list of pairs: two view indices a line."""
    return "".join(f"{view} {other}\n" for view, partners in _partners(graph, views) for other in partners)


def _partners(graph: ViewGraph, views: Mapping[str, int]) -> list[tuple[int, list[int]]]:
    """Larger partners of every view, both in rising order: these programs keep pairs as sets."""
    pairs = sorted(tuple(sorted((views[first], views[second]))) for first, second in graph.pairs)
    grouped: dict[int, list[int]] = {}
    for first, second in pairs:
        grouped.setdefault(first, []).append(second)
    return list(grouped.items())


def own_sfm(graph: ViewGraph) -> tuple[str, dict[str, int]]:
    """A scene of AliceVision's with views only, ids in the order of names from 1 on; ids by name."""
    views = {name: number for number, name in enumerate(graph.names, start=1)}
    listed = []
    for name, (width, height) in zip(graph.names, graph.features.image_sizes.tolist(), strict=True):
        view = {"viewId": str(views[name]), "poseId": str(views[name]), "path": _path(graph, name)}
        listed.append(view | ({"width": str(width), "height": str(height)} if width else {}))
    return json.dumps({"version": ["1", "2", "0"], "views": listed}, indent=1) + "\n", views


def own_listing(graph: ViewGraph) -> tuple[str, dict[str, int]]:
    """`index path` lines in the order of names from 0 on, as openMVG numbers a folder; indices by name."""
    views = {name: number for number, name in enumerate(graph.names)}
    return "".join(f"{number} {json_text(name)}\n" for name, number in views.items()), views


def alicevision_views(file: Path, graph: ViewGraph) -> dict[str, int]:
    """View ids by name, from a scene of AliceVision's (cameraInit.sfm).

    Raises:
        UsageError: no such file.
        MirrorError: no such scene, or it does not have every photo exactly once.
    """
    views = _json(file, "AliceVision's .sfm").get("views")
    if not isinstance(views, list):
        raise MirrorError(f"{shown(str(file))}: expected a list of views, as in AliceVision's cameraInit.sfm")
    return _by_name(file, graph, ((_member(file, v, "path"), _number(file, v, "viewId")) for v in views))


def openmvg_views(file: Path, graph: ViewGraph) -> dict[str, int]:
    """View indices by name, from openMVG's sfm_data.json. Errors as in `alicevision_views`."""
    views = _json(file, "openMVG's sfm_data.json").get("views")
    if not isinstance(views, list):
        raise MirrorError(f"{shown(str(file))}: expected a list of views, as in openMVG's sfm_data.json")
    data = [
        _member(file, _member(file, _member(file, v, "value", dict), "ptr_wrapper", dict), "data", dict) for v in views
    ]
    return _by_name(
        file,
        graph,
        ((f"{d.get('local_path') or ''}/{_member(file, d, 'filename')}", _number(file, d, "id_view")) for d in data),
    )


def _by_name(file: Path, graph: ViewGraph, views: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Finds every photo among the paths of views: the same file, or a path that ends in the photo's name."""
    by_tail: dict[str, list[tuple[PurePosixPath, int]]] = {}
    for path, number in views:
        parts = PurePosixPath(path.replace("\\", "/"))
        by_tail.setdefault(parts.name, []).append((parts, number))
    found = {}
    for name in graph.names:
        wanted = PurePosixPath(name).parts
        near = [(path, number) for path, number in by_tail.get(wanted[-1] if wanted else "", [])]
        numbers = {number for path, number in near if str(path) == _path(graph, name)} or {
            number for path, number in near if path.parts[-len(wanted) :] == wanted
        }
        if len(numbers) != 1:
            many = "has several views" if numbers else "has no view"
            raise MirrorError(f"{shown(str(file))} {many} of the photo {shown(name)}; make it from the same photos")
        found[name] = numbers.pop()
    if len(set(found.values())) < len(found):
        raise MirrorError(f"{shown(str(file))} gives two photos the same number; make it anew")
    return found


def _path(graph: ViewGraph, name: str) -> str:
    return str(graph.paths[name].absolute()) if name in graph.paths else name


def _json(file: Path, what: str) -> dict[str, Any]:
    if not file.is_file():
        raise UsageError(f"no such file: {shown(str(file))}; expected {what}")
    try:
        held = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise MirrorError(f"{shown(str(file))} is not JSON: {shown(str(error))}; expected {what}") from error
    except OSError as error:
        raise MirrorError(f"cannot read {shown(str(file))}: {error.strerror}") from error
    if not isinstance(held, dict):
        raise MirrorError(f"{shown(str(file))} is not {what}")
    return held


def _member(file: Path, holder: Any, key: str, kind: type = str) -> Any:
    value = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(value, kind):
        raise MirrorError(f"{shown(str(file))}: a view has no {key}")
    return value


def _number(file: Path, view: Any, key: str) -> int:
    """AliceVision writes ids as text, openMVG as numbers."""
    value = view.get(key) if isinstance(view, dict) else None
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= np.iinfo(np.uint32).max):
        raise MirrorError(f"{shown(str(file))}: a view has no {key}, or none that is a number of 32 bits")
    return int(text)
