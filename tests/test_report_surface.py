"""Overlap on a surface, as the report packs and draws it."""

import dataclasses
import io
from pathlib import Path

import chromium
import numpy as np
import pytest
from PIL import Image
from report_pages import data_of, noise, two_areas, unpack
from view_graphs import flight

from mirror_sfm.errors import MirrorError
from mirror_sfm.overlap.measured import MASK_SIDE, Overlap
from mirror_sfm.pairs import PairOptions
from mirror_sfm.report import tables, write_report
from mirror_sfm.report.surface import surface_table
from mirror_sfm.view_graph import ViewGraph


def overlap_of(names: tuple[str, ...], pairs: list[tuple[int, int]]) -> Overlap:
    """The lower seventh of each photo shows no surface. i sees j in its upper right quarter, j sees i lower left."""
    masks = np.zeros((len(pairs), 2, MASK_SIDE, MASK_SIDE), np.uint8)
    masks[:, 0, :28, 28:] = 255
    masks[:, 1, 28:48, :28] = 255
    covered = np.zeros((len(names), MASK_SIDE, MASK_SIDE), np.uint8)
    covered[:, :48] = 255
    halves = {"pixels": np.tile([0.25, 0.64], (len(pairs), 1))}
    seen = {"pixels": np.ones(len(names))}
    return Overlap(names, np.array(pairs, np.int32).reshape(-1, 2), halves, seen, masks, covered, "mesh")


def masks_of(table: dict, row: int) -> np.ndarray:
    """[2, 56, 56] of the row-th mask."""
    size = MASK_SIDE * MASK_SIDE // 8
    bits = unpack(table["masks"]).astype(np.uint8).reshape(-1, size)[2 * row : 2 * row + 2]
    return np.unpackbits(bits, axis=1).reshape(2, MASK_SIDE, MASK_SIDE)


@pytest.fixture
def graph() -> ViewGraph:
    return flight(6, per_image=4)


def test_masks_and_shares_belong_to_the_photos_of_the_pair(graph: ViewGraph) -> None:
    """The reconstruction lists its photos in another order, one of ours is not among them."""
    names = (graph.names[3], graph.names[1], graph.names[0], "other.jpg")
    pairs = tables.shown_pairs(graph)
    table = surface_table(graph, pairs, overlap_of(names, [(0, 1), (1, 2)]), np.ones(6, np.int64))
    row = unpack(table["row"])
    ends = list(zip(graph.candidates.i[pairs.rows].tolist(), graph.candidates.j[pairs.rows].tolist(), strict=True))
    assert {ends[k] for k in np.flatnonzero(row)} == {(1, 3), (0, 1)}
    shares = unpack(table["shares"]).reshape(-1, 2)
    for photos in ((1, 3), (0, 1)):  # both are listed the other way round there
        k = ends.index(photos)
        first, second = masks_of(table, row[k] - 1)
        assert first[28:48, :28].all() and first.sum() == 20 * 28
        assert second[:28, 28:].all() and second.sum() == 28 * 28
        assert shares[k].tolist() == [6400, 2500]
    assert not shares[row == 0].any()
    counts, partner, value = (unpack(table[key]) for key in ("counts", "partner", "overlap"))
    assert counts.tolist() == [1, 1, 0, 0, 0, 0] and partner.tolist() == [1, 3] and set(value.tolist()) == {102}
    covered = np.unpackbits(unpack(table["covered"]).astype(np.uint8)).reshape(6, MASK_SIDE, MASK_SIDE)
    assert covered.sum((1, 2)).tolist() == [48 * 56, 48 * 56, 0, 48 * 56, 0, 0]


@pytest.mark.parametrize(
    ("orientation", "corner"),  # where the sensor's upper right is on the upright photo: row, column
    [(1, (0, 1)), (2, (0, 0)), (3, (1, 0)), (4, (1, 1)), (5, (1, 0)), (6, (1, 1)), (7, (0, 1)), (8, (0, 0))],
)
def test_masks_are_upright(graph: ViewGraph, orientation: int, corner: tuple[int, int]) -> None:
    pairs = tables.shown_pairs(graph)
    turns = np.full(6, orientation, np.int64)
    table = surface_table(graph, pairs, overlap_of(graph.names, [(0, 1)]), turns)
    first = masks_of(table, 0)[0].reshape(2, 28, 2, 28).mean((1, 3))
    expected = np.zeros((2, 2))
    expected[corner] = 1
    assert first.tolist() == expected.tolist()


def test_strangers_and_scenes_without_surface_are_refused(graph: ViewGraph) -> None:
    pairs, turns = tables.shown_pairs(graph), np.ones(6, np.int64)
    with pytest.raises(MirrorError, match=r"no photo is called as in the reconstruction \(there: other.jpg"):
        surface_table(graph, pairs, overlap_of(("other.jpg",), []), turns)
    bare = dataclasses.replace(overlap_of(graph.names, []), masks=None)
    with pytest.raises(MirrorError, match="give a mesh"):
        surface_table(graph, pairs, bare, turns)


def test_nothing_shared_is_no_error(graph: ViewGraph) -> None:
    table = surface_table(graph, tables.shown_pairs(graph), overlap_of(graph.names, []), np.ones(6, np.int64))
    assert not unpack(table["row"]).any() and not unpack(table["counts"]).any() and not len(unpack(table["overlap"]))


def yellow(png: bytes) -> float:
    """Share of a picture's pixels that are rather yellow."""
    red, green, blue = np.asarray(Image.open(io.BytesIO(png)).convert("RGB").resize((350, 225)), np.int64).T
    return float(((red > blue + 60) & (green > blue + 60)).mean())


def test_the_page_draws_it(tmp_path: Path) -> None:
    if not chromium.find_chromium():
        pytest.skip("no Chromium in PATH (Debian: apt-get install chromium)")
    for name in ("photos", "profile"):
        (tmp_path / name).mkdir()
    graph = two_areas(noise(tmp_path / "photos"))
    every = [(i, j) for i in range(40) for j in range(i + 1, 40)]
    path, plain = tmp_path / "report.html", tmp_path / "plain.html"
    write_report(path, graph, PairOptions(threads=2), overlap=overlap_of(graph.names, every))
    write_report(plain, graph, PairOptions(threads=2))
    assert data_of(plain.read_text("utf-8"))["surface"] is None
    with chromium.browser(tmp_path / "profile") as page:
        page.open(path)
        page.press("j", "j", "j")
        page.until("document.querySelector('.stage canvas')?.width > 300")
        page.run("document.querySelector('.card').scrollIntoView({behavior: 'instant'})")
        before = yellow(page.picture())
        page.press("o")
        page.until("[...document.querySelectorAll('figcaption .link')].some(b => b.textContent === 'Show matches')")
        assert yellow(page.picture()) > before + 0.02
        assert "of this photo, is seen" in page.run("document.querySelector('.card figcaption').textContent")
        page.run("document.querySelector('[data-shows=overlap]').click()")
        assert page.run("document.querySelector('#cell').textContent").count("overlap 40 %") == 1
        assert page.problems == []
        page.open(plain)
        page.press("j", "o")
        assert page.run("document.querySelector('[data-shows]')") is None and page.problems == []
