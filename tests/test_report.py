"""The report: the file, and what it says."""

import base64
import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from report_pages import HOSTILE, Outline, data_of, hostile_names, noise, report, two_areas
from view_graphs import flight

from mirror_sfm.graph import components
from mirror_sfm.photos import Skipped, shown
from mirror_sfm.report import findings
from mirror_sfm.view_graph import ViewGraph


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ViewGraph:
    return two_areas(noise(tmp_path_factory.mktemp("noise")))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> ViewGraph:
    return hostile_names(noise(tmp_path_factory.mktemp("noise")))


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
