"""The report in a browser."""

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import chromium
import numpy as np
import pytest
from PIL import Image
from report_pages import HOSTILE, hostile_names, noise, report, two_areas
from view_graphs import flight

from mirror_sfm.photos import shown
from mirror_sfm.report import drawing, findings, thumbnails
from mirror_sfm.view_graph import ViewGraph


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ViewGraph:
    return two_areas(noise(tmp_path_factory.mktemp("noise")))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> ViewGraph:
    return hostile_names(noise(tmp_path_factory.mktemp("noise")))


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
