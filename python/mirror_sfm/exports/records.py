"""What is known about pairs: every scored one as arrays, every chosen one as a line of JSON, the run as a summary."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mirror_sfm.evidence import partner_ranks
from mirror_sfm.graph import REASONS
from mirror_sfm.photos import shown

if TYPE_CHECKING:
    from mirror_sfm.pairs import PairOptions
    from mirror_sfm.view_graph import ViewGraph


def score_arrays(graph: ViewGraph) -> dict[str, Any]:
    """Every scored pair, not only the chosen ones.

    names [N] str; i, j [P] int32, indices into names, i < j; evidence [P] float32, NaN where geometry was not examined;
    score, probability [P] float32; witness_<name> [P] float32, the factor in (0, 1] that each witness gave.
    """
    candidates = graph.candidates
    evidence = np.full(len(candidates), np.nan, np.float32)
    evidence[graph.evidence.pairs] = graph.evidence.weight
    witnesses = {f"witness_{name}": factor for name, factor in sorted(graph.witnesses.items())}
    return {
        "names": np.array(graph.names, np.str_),
        "i": candidates.i,
        "j": candidates.j,
        "evidence": evidence,
        "score": graph.scores,
        "probability": graph.probabilities,
        **witnesses,
    }


def jsonl_text(graph: ViewGraph) -> str:
    """A JSON object per chosen pair, most needed first; see docs/formats.md."""
    return "".join(json_text(record) + "\n" for record in _records(graph))


def _records(graph: ViewGraph) -> Iterator[dict[str, Any]]:
    candidates, evidence = graph.candidates, graph.evidence
    verified = np.full(len(candidates), -1, np.int64)
    verified[evidence.pairs] = np.arange(len(evidence.pairs))
    matches = np.diff(evidence.offsets)
    ranks = partner_ranks(dataclasses.replace(candidates, coarse=graph.scores))
    for place, (row, reason) in enumerate(zip(graph.chosen.tolist(), graph.reasons.tolist(), strict=True), start=1):
        examined = int(verified[row])
        yield {
            "image1": graph.names[candidates.i[row]],
            "image2": graph.names[candidates.j[row]],
            "rank": place,
            "score": _rounded(graph.scores[row]),
            "probability": _rounded(graph.probabilities[row]),
            "evidence": _rounded(evidence.weight[examined]) if examined >= 0 else None,
            "matches": int(matches[examined]) if examined >= 0 else None,
            "mutual_ranks": [int(rank[row]) + 1 for rank in ranks],
            "witnesses": {name: _rounded(factor[row]) for name, factor in sorted(graph.witnesses.items())},
            "reason": REASONS[reason],
            "bridge": REASONS[reason] == "bridge",
        }


def _rounded(value: np.floating) -> float | None:
    """Six significant digits; None for what is not finite, which JSON cannot say."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def json_text(value: Any) -> str:
    """On one line, in UTF-8 where names are, with escapes where they are not."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False)
    return text


def summary_text(graph: ViewGraph, options: PairOptions, files: Sequence[str] = ()) -> str:
    """What was done, which photos were left out and why, which files were written, and how long each stage took, as
    JSON."""
    from mirror_sfm import __version__

    degrees = graph.degrees
    reasons = np.bincount(graph.reasons, minlength=len(REASONS)).tolist()
    summary = {
        "version": __version__,
        "photos": graph.photos,
        "usable": len(graph.names),
        "skipped": [{"name": shown(photo.name), "reason": photo.reason} for photo in graph.skipped],
        "pairs": len(graph.chosen),
        "pairs_by_reason": dict(zip(REASONS, reasons, strict=True)),
        "bridges_beyond_budget": [[shown(name) for name in pair] for pair in beyond_budget(graph, options)],
        "pairs_scored": len(graph.candidates),
        "pairs_verified": len(graph.evidence.pairs),
        "expected_matchable": _rounded(graph.probabilities[graph.chosen].sum(dtype=np.float64)),
        "components": len(np.unique(graph.components)),
        "fewest_pairs_of_a_photo": int(degrees.min()) if len(degrees) else 0,
        "isolated": [
            {
                "name": shown(photo.name),
                "best_rejected": None if photo.neighbour is None else shown(photo.neighbour),
                "probability": _rounded(np.float64(photo.probability)),
                "why": photo.why,
            }
            for photo in graph.isolated
        ],
        "witnesses": sorted(graph.witnesses),
        "files": list(files),
        "options": _options(options),
        "seconds": {stage: round(seconds, 4) for stage, seconds in graph.seconds.items()},
    }
    return json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def beyond_budget(graph: ViewGraph, options: PairOptions) -> list[tuple[str, str]]:
    """The pairs that the budget had no room for, handed out because nothing else connects their photos."""
    return graph.pairs[options.limits(len(graph.names)).pairs :]


def _options(options: PairOptions) -> dict[str, Any]:
    """What decides about the result."""
    held = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    results_only = {name: value for name, value in held.items() if name not in ("threads", "progress")}
    return {n: shown(os.fspath(v)) if isinstance(v, os.PathLike) else v for n, v in results_only.items()}
