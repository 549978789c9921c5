"""The report: what it says, what is in the file, and what a browser makes of it."""

import base64
import dataclasses
import hashlib
import html.parser
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import chromium
import numpy as np
import pytest
from PIL import Image
from view_graphs import flight

from mirror_sfm.graph import REASONS, components
from mirror_sfm.pairs import PairOptions
from mirror_sfm.photos import Skipped, shown
from mirror_sfm.report import drawing, findings, layout, tables, thumbnails, write_report
from mirror_sfm.view_graph import ViewGraph

HOSTILE = (
    "a<script>window.hacked=1</script>.jpg",
    "b\"onerror='window.hacked=1'.jpg",
    "c & d &lt;b&gt;.jpg",
    "e\nnew line\t.jpg",
    "f\u202egpj.exe.jpg",
    "g </script><!-- <script>.jpg",
    "h\udcff\udcfe.jpg",
    "i 😀 {{ names }} {% raw %}.jpg",
    "j <img src=x onerror=window.hacked=1>.jpg",
    "k\u2028${window.hacked=1}`.jpg",
)
VOID = {"meta", "input", "path", "circle", "br", "img"}


class Outline(html.parser.HTMLParser):
    """Elements, attributes and text of a page; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def text(self) -> str:
        return " ".join(part for tag, parts in self.texts.items() if tag not in ("script", "style") for part in parts)


def report(path: Path, graph: ViewGraph, threads: int = 2) -> str:
    write_report(path, graph, PairOptions(threads=threads))
    return path.read_bytes().decode()


def data_of(page: str, name: str = "data") -> dict:
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)[1])


def unpack(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["data"]), f"<{packed['type']}").astype(np.int64)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A few photos of noise: nothing is harder to compress."""
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    for k in range(4):
        Image.fromarray(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)).save(folder / f"{k}.jpg", quality=90)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def graph(files: list[Path]) -> ViewGraph:
    """40 photos in two areas, the last two alone, two skipped."""
    names = tuple(f"area/{k:02d}.jpg" for k in range(40))
    paths = {name: files[k % len(files)] for k, name in enumerate(names)}
    skipped = (Skipped("dark.jpg", "no feature found"), Skipped("torn.jpg", "the file is empty"))
    return flight(40, per_image=6, names=names, paths=paths, skipped=skipped, parts=2, alone=2)


@pytest.fixture(scope="module")
def hostile(files: list[Path]) -> ViewGraph:
    paths = {name: files[k % len(files)] for k, name in enumerate(HOSTILE)}
    skipped = (Skipped("z<script>window.hacked=1</script>\n.jpg", "cannot be decoded: <b>\"'&\x1b[31m"),)
    return flight(len(HOSTILE), per_image=4, names=HOSTILE, paths=paths, skipped=skipped)


# -- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3, 5])
def test_same_bytes_whatever_the_threads(graph: ViewGraph, tmp_path: Path, threads: int) -> None:
    assert report(tmp_path / "report.html", graph, threads) == report(tmp_path / "report.html", graph)


def test_page_is_whole_and_reaches_nothing_outside(graph: ViewGraph, tmp_path: Path) -> None:
    page = report(tmp_path / "report.html", graph)
    outline = Outline(page)
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in outline.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        assert not {"src", "srcset", "style", "action"} & set(attributes), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        if tag == "a":
            assert attributes["href"][1:] in ids and attributes["href"][0] == "#"
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|url\(|@import", page)


def test_policy_names_exactly_the_script_and_the_style(graph: ViewGraph, tmp_path: Path) -> None:
    outline = Outline(report(tmp_path / "report.html", graph))
    policy = next(attributes["content"] for tag, attributes in outline.elements if "http-equiv" in attributes)
    script, style = outline.texts["script"][-1], "".join(outline.texts["style"])
    for kind, text in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy


def test_hostile_names_are_text(hostile: ViewGraph, tmp_path: Path) -> None:
    page = report(tmp_path / "report.html", hostile)
    outline = Outline(page)
    assert [tag for tag, _ in outline.elements].count("script") == 3
    assert not any(tag == "img" for tag, _ in outline.elements)
    for name in HOSTILE:
        assert shown(name) in outline.text()
        assert shown(name).isprintable()
    assert data_of(page)["names"] == [shown(name) for name in HOSTILE]
    assert "z<script>window.hacked=1</script>\\n.jpg" in outline.text()


def test_older_report_survives_a_failure(graph: ViewGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("older")
    monkeypatch.setattr("mirror_sfm.report.page.page", lambda *_: "\udcff")  # cannot be encoded
    with pytest.raises(UnicodeEncodeError):
        report(path, graph)
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("photos", [0, 1, 2, 3])
def test_few_photos(tmp_path: Path, photos: int) -> None:
    few = flight(photos, skipped=(Skipped("x.jpg", "the file is empty"),))
    outline = Outline(report(tmp_path / "report.html", few))
    assert "the file is empty" in outline.text()
    assert [tag for tag, _ in outline.elements].count("circle") == photos
    said = {0: "None of the 1 photo can", 1: "A single photo", 2: "2 of 3 photos", 3: "3 of 4 photos"}[photos]
    assert said in outline.text()


# -- what it says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_cut_pairs_are_those_that_tear_the_graph(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photos = int(rng.integers(1, 14))
    i, j = np.triu_indices(photos, 1)
    kept = rng.random(len(i)) < rng.choice([0.15, 0.25, 0.4])
    i, j = i[kept], j[kept]
    parts = len(set(components(photos, i, j)))
    torn = [row for row in range(len(i)) if len(set(components(photos, np.delete(i, row), np.delete(j, row)))) > parts]
    assert findings.cut_pairs(photos, i, j).tolist() == torn


def test_findings(graph: ViewGraph) -> None:
    found = findings.find(graph)
    assert found.part_sizes.tolist() == sorted(found.part_sizes, reverse=True) and found.part_sizes.sum() == 40
    assert found.parts == 2 and found.alone.tolist() == [38, 39] and found.attention()[:2] == [38, 39]
    assert found.partners.sum() == 2 * len(graph.chosen)
    chosen = graph.probabilities[graph.chosen].astype(np.float64)
    assert found.expected.sum() == pytest.approx(2 * chosen.sum())
    assert found.recall == pytest.approx(chosen.sum() / graph.probabilities.sum(dtype=np.float64))
    for part in range(2):
        assert len(set(np.asarray(graph.components)[found.part == part])) == 1


def test_words_name_what_needs_a_look(graph: ViewGraph, tmp_path: Path) -> None:
    said = findings.summary(graph, findings.find(graph))
    assert said.startswith("40 of 42 photos can be used, and 120 pairs of them are worth matching")
    assert "fall into 2 parts that nothing joins, and 2 photos found no partner." in said
    titles = {item.title: item for item in findings.advice(graph, findings.find(graph))}
    assert titles["2 isolated photos"].photos == (38, 39)
    assert len(titles["2 parts"].photos) == 2
    page = report(tmp_path / "report.html", graph)
    assert page.index('id="photo-38"') < page.index('id="photo-39"') < page.index('id="photo-0"')
    assert "no feature found" in page and "the file is empty" in page


def test_isolated_photos_have_a_sentence(graph: ViewGraph) -> None:
    said = findings.why_alone(graph, findings.find(graph))
    assert said == {photo: "Isolated: there is no other photo to compare it with." for photo in (38, 39)}
    bare = dataclasses.replace(graph, chosen=graph.chosen[:0], reasons=graph.reasons[:0])
    said = findings.why_alone(bare, findings.find(bare))
    of_first = np.flatnonzero(graph.candidates.i == 0)
    best = of_first[graph.probabilities[of_first].argmax()]
    assert len(said) == 40 and said[0].endswith(f" Its nearest neighbour is {graph.names[graph.candidates.j[best]]}.")


def test_a_graph_that_hangs_on_one_pair_says_so() -> None:
    whole = flight(12, per_image=30)
    left = np.isin(whole.candidates.i[whole.chosen], range(6)) == np.isin(whole.candidates.j[whole.chosen], range(6))
    one = np.flatnonzero(~left)[:1]
    kept = np.sort(np.concatenate((np.flatnonzero(left), one)))
    torn = dataclasses.replace(whole, chosen=whole.chosen[kept], reasons=whole.reasons[kept])
    found = findings.find(torn)
    assert found.cuts.tolist() == np.searchsorted(kept, one).tolist()
    row = whole.chosen[one[0]]
    item = next(item for item in findings.advice(torn, found) if item.title == "1 single joint")
    assert item.pairs == ((int(whole.candidates.i[row]), int(whole.candidates.j[row])),)


def test_no_advice_where_all_is_well() -> None:
    well = flight(9, per_image=40)
    sure = dataclasses.replace(well, probabilities=np.ones_like(well.probabilities))
    assert findings.advice(sure, findings.find(sure)) == []
    assert "about 100\u00a0%" in findings.summary(sure, findings.find(sure))


def test_commands_quote_paths_and_name_the_folder(tmp_path: Path) -> None:
    names = ("sub/a.jpg", "sub/b.jpg")
    folder = Path("/photos of 'my' trip")
    graph = flight(2, names=names, paths={name: folder / name for name in names})
    lines = [line for command in findings.commands(graph, tmp_path / "out put") for line in command.lines]
    assert lines[0].startswith("mirror-sfm reconstruct '/photos of '\"'\"'my'\"'\"' trip' -o ")
    assert all("'" in line for line in lines)
    assert "PHOTOS" in findings.commands(flight(2), tmp_path)[0].lines[0]


# -- drawings ---------------------------------------------------------------------------------------------------------


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


# -- pictures and numbers ---------------------------------------------------------------------------------------------


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


# -- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    if not chromium.find_chromium():
        pytest.skip("no Chromium in PATH (Debian: apt-get install chromium)")
    with chromium.browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="module")
def written(graph: ViewGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    report(path, graph)
    return path


@pytest.fixture
def opened(page: chromium.Page, written: Path) -> chromium.Page:
    page.problems.clear()
    page.open(written)
    return page


def colours(png: bytes) -> int:
    return len(Image.open(io.BytesIO(png)).convert("RGB").getcolors(1 << 24))


SELECTED = "document.querySelector('[aria-selected=true]').dataset.photo"
PRESSED = "[...document.querySelectorAll('.pair')].findIndex(b => b.ariaPressed === 'true')"
FOCUS = "document.activeElement.tagName.toLowerCase()"


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (400, False)])
def test_it_opens_without_a_word_from_the_console(page: chromium.Page, written: Path, width: int, dark: bool) -> None:
    page.problems.clear()
    page.open(written, width, 900, dark)
    page.press("j", "j")
    page.until("document.querySelector('.list img')?.complete && document.querySelector('.stage canvas')?.width > 300")
    assert page.problems == []
    assert page.run("document.documentElement.scrollWidth") <= width
    background = Image.open(io.BytesIO(page.picture())).convert("L").getpixel((2, 2))
    assert background < 60 if dark else background > 200
    page.run("document.querySelector('.card').scrollIntoView({behavior: 'instant'})")
    assert colours(page.picture()) > 5000
    painted = "(() => {{ const c = document.querySelector('{}'); return new Set(new Uint32Array("
    painted += "c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size; }})()"
    assert page.run(painted.format(".field canvas")) > 20
    assert page.run(painted.format(".stage canvas")) > 500


def test_keys_walk_through_photos_and_pairs(opened: chromium.Page, graph: ViewGraph) -> None:
    attention = findings.find(graph).attention()
    assert opened.run(SELECTED) == str(attention[0])
    opened.press("j", "j", "j", "k")
    assert opened.run(SELECTED) == str(attention[2])
    assert opened.run("document.querySelector('.card h3').textContent") == graph.names[attention[2]]
    assert opened.run(PRESSED) == 0
    opened.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert opened.run(PRESSED) == 1
    assert opened.run("document.querySelector('#said').textContent").startswith(f"{graph.names[attention[2]]} and ")
    opened.press("k", "k", "k", "k")
    assert opened.run(SELECTED) == str(attention[0])
    assert opened.problems == []


def test_search(opened: chromium.Page) -> None:
    opened.press("/")
    assert opened.run(FOCUS) == "input"
    opened.write("AREA/1")
    assert opened.run("document.querySelectorAll('.list li').length") == 10
    assert opened.run("document.querySelector('.count').textContent") == "10 of 40 photos"
    opened.press("Enter")
    assert opened.run(FOCUS) == "ol"
    opened.press("ArrowDown", "ArrowDown", "ArrowUp", "End")
    assert opened.run("document.querySelector('.list li:last-child').ariaSelected") == "true"
    opened.press("Escape")
    assert opened.run("document.querySelectorAll('.list li').length") == 40
    opened.press("/")
    opened.write("no such photo")
    assert opened.run("document.querySelectorAll('.list li').length") == 0
    opened.press("j", "Escape", "j")
    assert opened.run("document.querySelectorAll('.list li').length") == 40
    assert opened.problems == []


def test_keys_in_the_graph(opened: chromium.Page, graph: ViewGraph) -> None:
    found = findings.find(graph)
    dots = drawing.draw_graph(graph, found, drawing.arrange(graph, found)).dots
    opened.run("document.querySelector('.network svg').focus()")
    opened.press("j", "j", "j")
    photo = int(opened.run(SELECTED))
    here = "Number(document.querySelector('circle.here').dataset.photo)"
    assert opened.run(here) == photo
    opened.press("ArrowRight")
    moved = opened.run(here)
    assert moved != photo and dots[moved, 0] > dots[photo, 0]
    assert opened.run("document.querySelector('#tip p').textContent") == graph.names[moved]
    opened.press("Enter")
    assert opened.run(SELECTED) == str(moved) and opened.run(FOCUS) == "ol"
    assert opened.problems == []


def test_keys_in_the_matrix(opened: chromium.Page, graph: ViewGraph) -> None:
    order = drawing.arrange(graph, findings.find(graph)).order
    opened.run("document.querySelector('.field canvas').focus()")
    opened.press("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight")
    names = "[...document.querySelectorAll('#cell strong')].map(n => n.textContent)"
    assert opened.run(names) == [graph.names[order[2]], graph.names[order[3]]]
    wanted = {frozenset((order[2], order[3]))}
    known = {frozenset(p) for p in zip(graph.candidates.i.tolist(), graph.candidates.j.tolist(), strict=True)}
    assert wanted <= known
    row = next(
        k for k, (a, b) in enumerate(zip(graph.candidates.i, graph.candidates.j, strict=True)) if {a, b} in wanted
    )
    assert f"probability {round(100 * float(graph.probabilities[row]))} %" in opened.run(
        "document.querySelector('#cell').textContent"
    )
    opened.press("Enter")
    assert opened.run(SELECTED) == str(order[2])
    opened.run("document.querySelector('[data-order=name]').click()")
    assert opened.run(names) == [graph.names[2], graph.names[3]]
    assert opened.problems == []


def test_focus_is_seen_and_everything_has_a_name(opened: chromium.Page) -> None:
    for _ in range(12):
        opened.press("Tab")
        outline = opened.run(
            "(() => { const a = document.activeElement; return [a, a.parentElement]"
            ".map(e => getComputedStyle(e).outlineStyle).join() })()"
        )
        assert "solid" in outline, opened.run("document.activeElement.outerHTML.slice(0, 200)")
    opened.send("Accessibility.enable")
    nodes = opened.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "listbox", "option", "searchbox", "combobox", "application", "image"}
    for node in nodes:
        if node.get("role", {}).get("value") in roles and not node.get("ignored"):
            assert node.get("name", {}).get("value"), node


def test_a_match_is_drawn_where_it_is(page: chromium.Page, tmp_path: Path) -> None:
    """One match, no photo files: its dots are the only ones."""
    graph = flight(2, matches=1)
    features = dataclasses.replace(graph.features, image_sizes=np.array([[400, 300], [400, 300]], np.int32))
    scales = np.ones((2, 2), np.float32)
    keypoints = features.keypoints.copy()
    keypoints[0, 5, :2], keypoints[1, 7, :2] = (
        (99.5, 149.5),
        (199.5, 74.5),
    )  # a quarter and a half, a half and a quarter
    evidence = dataclasses.replace(
        graph.evidence, features=np.array([[5, 7]], np.int32), offsets=np.array([0, 1], np.int64)
    )
    features = dataclasses.replace(features, keypoints=keypoints, scales=scales)
    report(tmp_path / "report.html", dataclasses.replace(graph, features=features, evidence=evidence))
    page.open(tmp_path / "report.html")
    page.until("document.querySelector('.stage canvas')?.width > 300")
    found = page.run(
        "(() => { const c = document.querySelector('.stage canvas'), [w, h] = [c.width, c.height];"
        "const d = c.getContext('2d').getImageData(0, 0, w, h).data, hits = [];"
        "for (let k = 0; k < w * h; k++) if (d[4*k] > 220 && d[4*k+1] < 110 && d[4*k+2] < 40 && d[4*k+3] > 250)"
        " hits.push([k % w / w, Math.floor(k / w) / h]); return hits; })()"
    )
    points = np.array(found)
    left, right = (points[side].mean(0) for side in (points[:, 0] < 0.5, points[:, 0] > 0.5))
    shown_first = page.run("document.querySelector('.card h3').textContent")
    assert shown_first == graph.names[0]
    assert left == pytest.approx((0.125, 0.5), abs=0.02)
    assert right == pytest.approx((0.75, 0.25), abs=0.02)


def test_witnesses_are_heard(page: chromium.Page, graph: ViewGraph, tmp_path: Path) -> None:
    heard = dataclasses.replace(graph, witnesses={"gps": np.full(len(graph.candidates), 0.25, np.float32)})
    report(tmp_path / "report.html", heard)
    page.open(tmp_path / "report.html")
    page.press("j", "j")
    assert "gps × 0.25" in page.run("document.querySelector('.card figcaption').textContent")


def test_hostile_names_stay_text(page: chromium.Page, hostile: ViewGraph, tmp_path: Path) -> None:
    page.problems.clear()
    report(tmp_path / "report.html", hostile)
    page.open(tmp_path / "report.html")
    scripts = page.run("document.scripts.length")
    for _ in HOSTILE:
        page.press("j", "ArrowRight", "ArrowRight")
    page.run("document.querySelector('.field canvas').focus()")
    page.press(*["ArrowDown", "ArrowRight"] * 4)
    page.run("document.querySelector('.network svg').focus()")
    page.press("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown")
    assert page.run("[...document.querySelectorAll('.list .name')].map(n => n.textContent).sort()") == sorted(
        shown(name) for name in HOSTILE
    )
    assert page.run("window.hacked") is None and page.run("document.scripts.length") == scripts
    assert page.problems == []


def test_no_other_script_could_run(opened: chromium.Page) -> None:
    opened.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.hacked = 1';"
        " document.body.append(s); })()"
    )
    assert opened.run("window.hacked") is None
    opened.until("true")
    assert any("Content Security Policy" in problem for problem in opened.problems)


def test_it_reads_without_script_and_prints(page: chromium.Page, written: Path) -> None:
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(written)
        assert colours(page.picture()) > 20
    finally:
        page.send("Emulation.setScriptExecutionDisabled", value=False)
    page.open(written)
    page.until("document.querySelector('.stage canvas')?.width > 300 || document.querySelector('.single')?.complete")
    printed = page.printed()
    assert printed.startswith(b"%PDF") and len(printed) > 20_000


def test_a_thousand_photos(page: chromium.Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many bytes of thumbnails and of matches as there may be."""
    names = tuple(f"{k:04d}.jpg" for k in range(1000))
    thousand = flight(1000, per_image=20, matches=400, names=names, parts=3, alone=3, features=512)
    (tmp_path / "plain.ppm").write_bytes(b"P6 256 192 255 " + bytes(256 * 192 * 3))
    jpeg = thumbnails.make_thumbnails([tmp_path / "plain.ppm"], 1)[0].jpeg
    full = thumbnails.Thumbnail(jpeg.ljust(thumbnails.ALL_BYTES // 1000, b"\0"), 1, "")
    monkeypatch.setattr("mirror_sfm.report.page.make_thumbnails", lambda *_: [full] * 1000)
    path = tmp_path / "report.html"
    report(path, thousand)
    assert path.stat().st_size < 30_000_000
    page.problems.clear()
    page.open(path)
    page.until("document.querySelector('.list img')?.complete")
    assert page.run("document.querySelectorAll('.list img').length") < 60
    page.press("/")
    page.write("0999")
    page.press("Enter")
    assert page.run(SELECTED) == "999"
    page.press("Escape", "End")
    page.until("document.querySelector('[aria-selected=true] img')?.complete")
    assert page.problems == []
