"""The view graph as lines and dots: parts side by side, or photos where GPS puts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.graph import REASONS
from mirror_sfm.report.findings import LIKELY, Findings
from mirror_sfm.report.layout import Points, order, pair_lengths, place
from mirror_sfm.view_graph import ViewGraph

WIDTH = 1000.0
MARGIN = 28.0
GAP = 1.6  # between parts, in lengths of a sure pair
TALLEST = 0.66  # height of a drawing over its width, at most
LONGEST = 110.0  # pixels of a sure pair, at most
EARTH = 6_371_008.8  # mean radius, metres


@dataclass(frozen=True)
class Label:
    """A word beside the drawing; x, y is the middle of its base line."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """What an SVG of width `WIDTH` shows.

    Attributes:
        height: of the drawing.
        dots: [N, 2] where the photos are; NaN where a photo is not shown.
        radius: of a dot.
        lines: path data by class: unlikely, likely, second, bridge, joint; drawn in this order.
        labels: names of parts.
        scale: length of the scale bar and its text; a graph has none.
    """

    height: float
    dots: Points
    radius: float
    lines: dict[str, str]
    labels: tuple[Label, ...] = ()
    scale: tuple[float, str] | None = None


@dataclass(frozen=True)
class Arrangement:
    """Positions [N, 2] of the photos in the drawing of the graph, and their order [N] in the matrix."""

    points: Points
    order: list[int]


def arrange(graph: ViewGraph, findings: Findings) -> Arrangement:
    """Places every part by itself; parts follow each other by size."""
    photos = len(graph.names)
    i, j = graph.candidates.i[graph.chosen], graph.candidates.j[graph.chosen]
    probability = graph.probabilities[graph.chosen]
    points, ordered = np.zeros((photos, 2)), []
    by_part = np.argsort(findings.part, kind="stable")
    pairs_by_part = np.argsort(findings.part[i], kind="stable")
    ends = np.cumsum(findings.part_sizes)
    pair_ends = np.cumsum(np.bincount(findings.part[i], minlength=len(ends)))
    number = np.zeros(photos, np.int64)
    for part, (end, pair_end) in enumerate(zip(ends.tolist(), pair_ends.tolist(), strict=True)):
        members = by_part[end - findings.part_sizes[part] : end]
        rows = pairs_by_part[(pair_ends[part - 1] if part else 0) : pair_end]
        number[members] = np.arange(len(members))
        a, b, sure = number[i[rows]], number[j[rows]], probability[rows]
        points[members] = place(len(members), a, b, pair_lengths(sure))
        ordered.extend(members[order(len(members), a, b, sure)].tolist())
    return Arrangement(points, ordered)


def draw_graph(graph: ViewGraph, findings: Findings, arrangement: Arrangement) -> Drawing:
    """Parts in rows, largest first; single photos last."""
    points = arrangement.points.copy()
    boxes = np.zeros((len(findings.part_sizes), 2))
    for axis in (0, 1):
        low, high = np.full(len(boxes), np.inf), np.full(len(boxes), -np.inf)
        np.minimum.at(low, findings.part, points[:, axis])
        np.maximum.at(high, findings.part, points[:, axis])
        boxes[:, axis] = high - low + GAP
        points[:, axis] += (GAP / 2 - low)[findings.part]
    corners, whole, scale = _packed(boxes)
    points += corners[findings.part]
    left = (WIDTH - whole[0] * scale) / 2
    dots = points * scale + (left, MARGIN)
    labels = tuple(
        Label(left + (x + width / 2) * scale, MARGIN + y * scale + 4, f"part {part + 1}: {size} photos")
        for part, ((x, y), (width, _), size) in enumerate(
            zip(corners.tolist(), boxes.tolist(), findings.part_sizes.tolist(), strict=True)
        )
        if size > 1 and findings.parts > 1
    )
    return Drawing(whole[1] * scale + 2 * MARGIN, dots, _radius(dots), _lines(graph, findings, dots), labels)


def _packed(boxes: Points) -> tuple[Points, Points, float]:
    """Boxes [n, 2] in rows, as wide as lets them be largest: upper left corners, size of the whole, pixels per unit."""
    best = (np.zeros_like(boxes), np.ones(2), 0.0)
    for width in np.linspace(boxes[:, 0].max(initial=1.0), boxes[:, 0].sum() + 1, 24).tolist():
        corners = _shelves(boxes, width)
        whole = (corners + boxes).max(axis=0, initial=1.0)
        scale = float(min((WIDTH - 2 * MARGIN) / whole[0], TALLEST * WIDTH / whole[1], LONGEST))
        best = max(best, (corners, whole, scale), key=lambda packing: packing[2])
    return best


def _shelves(boxes: Points, width: float) -> Points:
    """Upper left corners of boxes [n, 2] set side by side in rows of a width."""
    corners, x, y, height = np.zeros_like(boxes), 0.0, 0.0, 0.0
    for box, (wide, high) in enumerate(boxes.tolist()):
        if x > 0 and x + wide > width * 1.0001:
            x, y, height = 0.0, y + height, 0.0
        corners[box] = x, y
        x, height = x + wide, max(height, high)
    return corners


def draw_map(graph: ViewGraph, findings: Findings, metres: Points) -> Drawing | None:
    """Photos at their GPS position, north up; None where fewer than two photos have one.

    Args:
        metres: [N, 2] east and north, NaN where unknown. Photos that lie far away from all others (a receiver
            without a fix) are not shown.
    """
    known = np.isfinite(metres).all(axis=1)
    if known.sum() < 2:
        return None
    off = np.sqrt(((metres - np.median(metres[known], axis=0)) ** 2).sum(1))
    metres = np.where((off > 20 * np.median(off[known]) + 50)[:, None], np.nan, metres)
    low, high = np.nanmin(metres, axis=0), np.nanmax(metres, axis=0)
    extent = np.maximum(high - low, 1.0)
    pixels = min((WIDTH - 2 * MARGIN) / extent[0], (TALLEST * WIDTH - 2 * MARGIN) / extent[1])
    left = (WIDTH - extent[0] * pixels) / 2
    dots = np.stack(((metres[:, 0] - low[0]) * pixels + left, (high[1] - metres[:, 1]) * pixels + MARGIN), 1)
    length = round_length(180 / pixels)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    height = extent[1] * pixels + 2 * MARGIN + 24
    return Drawing(height, dots, _radius(dots), _lines(graph, findings, dots), scale=(length * pixels, text))


def local_metres(positions: Points) -> Points:
    """Metres east and north [N, 2] of the middle of the positions (latitude, longitude in degrees)."""
    if not np.isfinite(positions).any():
        return np.full((len(positions), 2), np.nan)
    latitude, longitude = np.deg2rad(positions).T
    middle = np.nanmedian(latitude)
    # Longitudes relative to one of them, so that the date line cuts nothing.
    first = longitude[np.isfinite(longitude)][0]
    east = np.remainder(longitude - first + np.pi, 2 * np.pi) - np.pi
    return EARTH * np.stack((east * np.cos(middle), latitude - middle), 1)


def round_length(most: float) -> float:
    """The largest of 1, 2, 5, 10, ... that is not more than `most`."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(step * power for step in (1, 2, 5) if step * power <= most))


def _radius(dots: Points) -> float:
    return float(np.clip(90 / np.sqrt(max(1, len(dots))), 2.2, 7.0))


def _lines(graph: ViewGraph, findings: Findings, dots: Points) -> dict[str, str]:
    i, j = graph.candidates.i[graph.chosen], graph.candidates.j[graph.chosen]
    tree, second = (graph.reasons == REASONS.index(reason) for reason in ("bridge", "second tree"))
    likely = graph.probabilities[graph.chosen] >= LIKELY
    joint = np.zeros(len(i), bool)
    joint[findings.weak_joints] = True
    classes = {
        "unlikely": ~tree & ~second & ~likely,
        "likely": ~tree & ~second & likely,
        "second": second,
        "bridge": tree & ~joint,
        "joint": joint,
    }
    return {name: _path(dots[i[rows]], dots[j[rows]]) for name, rows in classes.items()}


def _path(start: NDArray[np.floating], end: NDArray[np.floating]) -> str:
    both = np.concatenate((start, end), 1)
    both = both[np.isfinite(both).all(axis=1)]
    return "".join(f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for a, b, c, d in both.tolist())
