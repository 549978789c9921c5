"""Drawings, thumbnails and numbers of the report."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_pages import Outline, data_of, noise, report, two_areas, unpack
from view_graphs import flight

from mirror_sfm.graph import REASONS
from mirror_sfm.report import drawing, findings, layout, tables, thumbnails
from mirror_sfm.view_graph import ViewGraph


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ViewGraph:
    return two_areas(noise(tmp_path_factory.mktemp("noise")))


def test_layout_keeps_distances_of_the_graph() -> None:
    """A grid of 8 x 5: what is near in the graph is near in the drawing."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(8), np.arange(5)))
    apart = np.abs(x[:, None] - x) + np.abs(y[:, None] - y)
    i, j = np.nonzero(np.triu(apart == 1))
    points = layout.place(40, i, j, np.ones(len(i)))
    drawn = np.sqrt(((points[:, None] - points) ** 2).sum(-1))
    upper = np.triu_indices(40, 1)
    assert np.corrcoef(apart[upper], drawn[upper])[0, 1] > 0.96
    assert np.ptp(points[:, 0]) > np.ptp(points[:, 1])
    assert (drawn[upper] > 0.3).all()


def test_order_follows_a_chain_whatever_its_numbering() -> None:
    numbers = np.random.default_rng(0).permutation(30)
    i, j = np.sort(np.stack((numbers[:-1], numbers[1:])), axis=0)
    found = layout.order(30, i, j, np.ones(29))
    assert found in (numbers.tolist(), numbers[::-1].tolist()) and found[0] < found[-1]


def test_photos_of_one_place_do_not_hide_each_other() -> None:
    i, j = np.triu_indices(12, 1)
    points = layout.place(12, i, j, np.ones(len(i)))
    assert len(np.unique(np.round(points, 2), axis=0)) == 12


def test_parts_do_not_overlap(graph: ViewGraph) -> None:
    found = findings.find(graph)
    arrangement = drawing.arrange(graph, found)
    drawn = drawing.draw_graph(graph, found, arrangement)
    assert sorted(arrangement.order) == list(range(40))
    boxes = [
        (drawn.dots[found.part == part].min(0), drawn.dots[found.part == part].max(0))
        for part in range(len(found.part_sizes))
    ]
    for a, (low, high) in enumerate(boxes):
        assert (low > 0).all() and high[0] < drawing.WIDTH and high[1] < drawn.height
        for other_low, other_high in boxes[:a]:
            assert (low > other_high).any() or (high < other_low).any()
    assert sum(path.count("M") for path in drawn.lines.values()) == len(graph.chosen)


def test_map_is_in_metres_north_up_and_leaves_out_strays() -> None:
    graph = flight(12)
    found = findings.find(graph)
    degrees = np.stack((47 + np.arange(12) * 1e-4, 8 + np.arange(12) * 2e-4), 1)
    degrees[10], degrees[11] = (np.nan, np.nan), (12.0, 100.0)
    metres = drawing.local_metres(degrees)
    north = np.diff(metres[:10, 1])
    assert north == pytest.approx(11.12, abs=0.01)
    assert np.diff(metres[:10, 0]) == pytest.approx(2 * 11.12 * np.cos(np.deg2rad(47.0005)), abs=0.02)
    drawn = drawing.draw_map(graph, found, metres)
    assert drawn is not None and np.isnan(drawn.dots[:, 0]).tolist() == [False] * 10 + [True] * 2
    assert (np.diff(drawn.dots[:10, 0]) > 0).all() and (np.diff(drawn.dots[:10, 1]) < 0).all()
    pixels = np.diff(drawn.dots[:2], axis=0)[0]
    length, text = drawn.scale
    assert float(text.split()[0]) / length == pytest.approx(north[0] / -pixels[1], rel=1e-3)
    assert drawing.draw_map(graph, found, np.full((12, 2), np.nan)) is None


def test_date_line_cuts_no_map() -> None:
    metres = drawing.local_metres(np.array([[0.0, 179.999], [0.0, -179.999]]))
    assert np.abs(np.diff(metres[:, 0])) == pytest.approx(222.4, abs=0.1)


@pytest.mark.parametrize(("most", "length"), [(1.0, 1.0), (4.9, 2.0), (5.0, 5.0), (99.0, 50.0), (0.3, 0.2)])
def test_scale_bars_are_round(most: float, length: float) -> None:
    assert drawing.round_length(most) == pytest.approx(length)


def test_map_from_exif(tmp_path: Path) -> None:
    names = ("a.jpg", "b.jpg", "c.jpg")
    for k, name in enumerate(names[:2]):
        exif = Image.Exif()
        exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 0.0, 36.0 * k), 3: "E", 4: (8.0, 0.0, 0.0)})
        Image.new("RGB", (64, 48), "grey").save(tmp_path / name, exif=exif)
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "c.jpg")
    graph = flight(3, names=names, paths={name: tmp_path / name for name in names})
    outline = Outline(report(tmp_path / "report.html", graph))
    assert "map" in [attributes.get("id") for _, attributes in outline.elements]
    assert "1 photo is not shown: without GPS" in outline.text()
    assert [tag for tag, _ in outline.elements].count("circle") == 3 + 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_thumbnails_stand_upright_and_points_turn_with_them(tmp_path: Path, orientation: int) -> None:
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[60:80, 300:320] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (made,) = thumbnails.make_thumbnails([tmp_path / "a.jpg"], 1)
    thumbnail = Image.open(io.BytesIO(made.jpeg))
    assert made.orientation == orientation and (thumbnail.width > thumbnail.height) == (orientation < 5)
    grey = np.asarray(thumbnail.convert("L"), np.float64)
    y, x = (np.average(axis, weights=grey**2) + 0.5 for axis in np.indices(grey.shape))
    ((u, v),) = thumbnails.upright(np.array([[310 / 400, 70 / 300]]), orientation)
    assert (u * thumbnail.width, v * thumbnail.height) == pytest.approx((x, y), abs=1.0)


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGBA", (50, 40), (255, 0, 0, 128)),
        Image.new("P", (50, 40)),
        Image.new("CMYK", (50, 40)),
        Image.new("1", (50, 40)),
        Image.fromarray(np.arange(2000, dtype=np.uint16).reshape(40, 50)),
        Image.fromarray(np.linspace(0, 1, 2000, dtype=np.float32).reshape(40, 50)),
    ],
    ids=lambda image: image.mode,
)
def test_every_kind_of_image_has_a_thumbnail(tmp_path: Path, image: Image.Image) -> None:
    image.save(tmp_path / "a.tif")
    (made,) = thumbnails.make_thumbnails([tmp_path / "a.tif"], 1)
    assert not made.missing
    assert Image.open(io.BytesIO(made.jpeg)).size == (50, 40)


def test_photos_that_are_gone_say_so(tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    paths = {"a.jpg": tmp_path / "gone.jpg", "b.jpg": tmp_path / "torn.jpg"}
    graph = flight(3, names=("a.jpg", "b.jpg", "c.jpg"), paths=paths)
    missing = data_of(report(tmp_path / "report.html", graph))["missing"]
    assert missing["0"] == "a broken link, or not a regular file"
    assert "damaged" in missing["1"] or "cannot be" in missing["1"]
    assert missing["2"] == "the source has no photo files"


@pytest.mark.parametrize("photos", [1, 30, 300, 1000, 10_000])
def test_thumbnails_of_noise_stay_within_their_bytes(photos: int, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (768, 1024, 3), dtype=np.uint8))
    file = io.BytesIO()
    noise.save(file, "PNG", compress_level=1)
    monkeypatch.setattr(thumbnails, "read_file", lambda _: file.getvalue())
    made = thumbnails._thumbnail(Path("a.png"), thumbnails.side_for(photos), thumbnails.ALL_BYTES // photos)
    assert len(made.jpeg) * photos <= thumbnails.ALL_BYTES
    assert max(Image.open(io.BytesIO(made.jpeg)).size) == thumbnails.side_for(photos)


@pytest.mark.parametrize("largest", [0, 255, 256, 65535, 65536, 2**32 - 1])
def test_packed_numbers_come_back(largest: int) -> None:
    values = np.array([0, largest // 2, largest], np.int64)
    assert unpack(tables.packed(values)).tolist() == values.tolist()
    assert unpack(tables.packed(values[:0])).tolist() == []


def test_drawn_matches_are_the_good_ones(graph: ViewGraph) -> None:
    pairs = tables.shown_pairs(graph)
    table = {name: unpack(packed) for name, packed in tables.match_table(graph, pairs, np.ones(40, int)).items()}
    starts = np.cumsum(table["points"]) - table["points"]
    begin = np.cumsum(table["drawn"]) - table["drawn"]
    xy = np.stack((table["x"], table["y"]), 1) / 65535 * (4000, 3000)
    place = {row: k for k, row in enumerate(graph.evidence.pairs.tolist())}
    for k, row in enumerate(pairs.rows.tolist()):
        v = place[row]
        expected = graph.evidence.features[graph.evidence.offsets[v] : graph.evidence.offsets[v + 1]]
        assert table["found"][k] == table["drawn"][k] == len(expected)
        part = slice(begin[k], begin[k] + table["drawn"][k])
        for side, photo in enumerate((graph.candidates.i[row], graph.candidates.j[row])):
            points = xy[starts[photo] + table["first" if side == 0 else "second"][part]]
            assert np.abs(points - graph.features.sensor_xy(photo)[expected[:, side]]).max(initial=0) < 0.1


def test_points_stay_inside_where_nobody_knows_the_size(graph: ViewGraph) -> None:
    unknown = dataclasses.replace(graph.features, image_sizes=np.zeros((40, 2), np.int32))
    bare = dataclasses.replace(graph, features=unknown)
    table = tables.match_table(bare, tables.shown_pairs(bare), np.ones(40, int))
    assert 60_000 < unpack(table["x"]).max() <= 65535 and 60_000 < unpack(table["y"]).max() <= 65535


def test_too_many_matches_are_thinned_out(graph: ViewGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MATCH_BYTES", 4000)
    pairs = tables.shown_pairs(graph)
    table = {name: unpack(packed) for name, packed in tables.match_table(graph, pairs, np.ones(40, int)).items()}
    assert 0 < table["drawn"].sum() <= 1000 and len(table["first"]) == table["drawn"].sum()
    assert table["found"].max() > table["drawn"].max()


def test_neighbours_that_were_not_chosen(graph: ViewGraph) -> None:
    pairs = tables.shown_pairs(graph)
    chosen = set(graph.chosen.tolist())
    assert pairs.rows[: len(chosen)].tolist() == graph.chosen.tolist()
    others = set(pairs.rows[len(chosen) :].tolist())
    assert not chosen & others and (pairs.reasons[len(chosen) :] == len(REASONS)).all()
    for photo in range(40):
        ends = (graph.candidates.i == photo) | (graph.candidates.j == photo)
        rest = [row for row in np.flatnonzero(ends).tolist() if row not in chosen]
        best = sorted(rest, key=lambda row: -graph.probabilities[row])[: tables.REJECTED]
        assert set(best) <= others


def test_matrix_cells(graph: ViewGraph) -> None:
    table = {name: unpack(packed) for name, packed in tables.cell_table(graph).items()}
    i = np.repeat(np.arange(40), table["counts"])
    dense = np.zeros((40, 40))
    dense[i, table["partner"]] = table["probability"] / 255
    expected = np.zeros((40, 40))
    expected[graph.candidates.i, graph.candidates.j] = graph.probabilities
    assert np.abs(dense - expected).max() <= 0.5 / 255 + 1e-9
