"""What other programs read in their files: by the program itself where it can be installed, else by its rules."""

import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from made_graph import NAMES, made_graph

from mirror_sfm import exports, hloc
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.exports import References, write_results
from mirror_sfm.exports.matched import MAX_RATIO, matches_of_chosen
from mirror_sfm.graph import REASONS
from mirror_sfm.pairs import PairOptions, find_pairs
from mirror_sfm.view_graph import ViewGraph


def export(folder: Path, graph: ViewGraph, *formats: str, **references: Any) -> Path:
    write_results(folder, graph, PairOptions(), formats, references=References(**references))
    return folder


def as_sets(pairs: list[tuple[str, str]]) -> set[frozenset[str]]:
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    return {frozenset(pair) for pair in pairs}


# ---- JSON lines ------------------------------------------------------------------------------------------------------


def test_a_line_of_json_per_pair(tmp_path: Path) -> None:
    graph = made_graph()
    lines = (export(tmp_path, graph, "jsonl") / "pairs.jsonl").read_text().splitlines()
    records = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [(record["image1"], record["image2"]) for record in records] == graph.pairs
    assert [record["rank"] for record in records] == list(range(1, 11))
    verified = {int(row): k for k, row in enumerate(graph.evidence.pairs)}
    assert 0 < len(verified) < len(records)
    for record, row, reason in zip(records, graph.chosen.tolist(), graph.reasons.tolist(), strict=True):
        assert record["score"] == pytest.approx(graph.scores[row], rel=1e-5)
        assert record["probability"] == pytest.approx(graph.probabilities[row], rel=1e-5)
        assert record["witnesses"] == {"gps": pytest.approx(graph.witnesses["gps"][row], rel=1e-5)}
        assert record["reason"] == REASONS[reason] and record["bridge"] == (reason == 0)
        if row in verified:
            assert record["evidence"] == pytest.approx(graph.evidence.weight[verified[row]], rel=1e-5)
            assert record["matches"] == np.diff(graph.evidence.offsets)[verified[row]]
        else:
            assert record["evidence"] is None and record["matches"] is None


def test_mutual_ranks_are_places_among_partners_by_score(tmp_path: Path) -> None:
    graph = made_graph()
    score = np.full((5, 5), -1.0)
    score[graph.candidates.i, graph.candidates.j] = score[graph.candidates.j, graph.candidates.i] = graph.scores
    for line in (export(tmp_path, graph, "jsonl") / "pairs.jsonl").read_text().splitlines():
        record = json.loads(line)
        i, j = NAMES.index(record["image1"]), NAMES.index(record["image2"])
        assert record["mutual_ranks"] == [1 + (score[i] > score[i, j]).sum(), 1 + (score[j] > score[i, j]).sum()]


def test_any_name_survives_json(tmp_path: Path) -> None:
    names = ("\udcff.jpg", "a\nb.jpg", 'quo"te.jpg', "\u2028.jpg", "ü 漢.jpg")
    assert not any(exports.unsafe_name(name, ("jsonl",)) for name in names[1:])
    text = exports.jsonl_text(made_graph(names))
    lines = text.encode().split(b"\n")[:-1]
    assert {json.loads(line)["image1"] for line in lines} | {json.loads(line)["image2"] for line in lines} == set(names)
    assert "ü 漢.jpg" in text


# ---- kapture ---------------------------------------------------------------------------------------------------------


def test_kapture_reads_the_same_pairs_and_scores(tmp_path: Path) -> None:
    graph = made_graph()
    text = (export(tmp_path, graph, "kapture") / "kapture-pairs.csv").read_text()
    assert text.startswith("# query_image, map_image, score\n")
    # kapture: lines of '#' are comments, fields are separated by commas and stripped; pair files have three.
    table = [[field.strip() for field in line.split(",")] for line in text.splitlines() if not line.startswith("#")]
    assert [(first, second) for first, second, _ in table] == graph.pairs
    np.testing.assert_allclose([float(row[2]) for row in table], graph.probabilities[graph.chosen], rtol=1e-5)
    reader = pytest.importorskip("kapture.io.csv")
    with open(tmp_path / "kapture-pairs.csv") as file:
        assert reader.table_from_file(file) == table


def test_without_probabilities_nothing_is_not_a_number(tmp_path: Path) -> None:
    graph = made_graph()
    graph.probabilities[:] = np.nan
    export(tmp_path, graph, "kapture", "jsonl")
    for name in ("summary.json", "pairs.jsonl", "kapture-pairs.csv"):
        assert not re.search(r"\bnan\b", (tmp_path / name).read_text(), re.IGNORECASE)
    last = (tmp_path / "kapture-pairs.csv").read_text().splitlines()[1].split(", ")[2]
    assert float(last) == pytest.approx(graph.scores.max(), rel=1e-5)


# ---- AliceVision -----------------------------------------------------------------------------------------------------


def image_matches(path: Path) -> set[frozenset[int]]:
    """By AliceVision's rules: a view, then its partners; no pair of a view with itself."""
    pairs = []
    for line in path.read_text().splitlines():
        view, *partners = (int(word) for word in line.split())
        assert partners and view not in partners
        pairs += [frozenset((view, partner)) for partner in partners]
    assert len(set(pairs)) == len(pairs)
    return set(pairs)


def test_alicevision_with_its_own_views(tmp_path: Path) -> None:
    names = ("a.jpg", "b c/ü漢.jpg", "d/a.jpg", "e.jpg")
    graph = made_graph(names, paths={name: tmp_path / "photos" / name for name in names})
    ids = {"b c/ü漢.jpg": 1934821, "a.jpg": 4294967295, "d/a.jpg": 7, "e.jpg": 12}
    views = [{"viewId": str(ids[name]), "path": str(tmp_path / "photos" / name)} for name in ids]
    other = {"viewId": "99", "path": "/elsewhere/a.jpg"}
    (tmp_path / "cameraInit.sfm").write_text(json.dumps({"version": ["1", "2", "4"], "views": [*views, other]}))
    export(tmp_path, graph, "alicevision", sfm=tmp_path / "cameraInit.sfm")
    expected = {frozenset((ids[first], ids[second])) for first, second in graph.pairs}
    assert image_matches(tmp_path / "imageMatches.txt") == expected
    assert not (tmp_path / "views.sfm").exists()


def test_alicevision_without_a_scene_gets_one(tmp_path: Path) -> None:
    graph = made_graph(("a b.jpg", *NAMES), paths={name: tmp_path / name for name in ("a b.jpg", *NAMES)})
    export(tmp_path, graph, "alicevision")
    views = json.loads((tmp_path / "views.sfm").read_text())["views"]
    names = {int(view["viewId"]): Path(view["path"]).relative_to(tmp_path.absolute()).as_posix() for view in views}
    read = [tuple(names[view] for view in pair) for pair in image_matches(tmp_path / "imageMatches.txt")]
    assert as_sets(read) == as_sets(graph.pairs)
    assert {(view["width"], view["height"]) for view in views} == {("1280", "960")}
    text = (tmp_path / "imageMatches.txt").read_text()
    (tmp_path / "views.sfm").rename(tmp_path / "given.sfm")
    export(tmp_path, graph, "alicevision", sfm=tmp_path / "given.sfm")  # it is a scene that we read, too
    assert (tmp_path / "imageMatches.txt").read_text() == text


# ---- openMVG ---------------------------------------------------------------------------------------------------------


def sfm_data(numbers: dict[str, int], local: bool = True) -> str:
    views = []
    for name, number in numbers.items():
        folder, _, file = name.rpartition("/")
        data = {"local_path": folder if local else "", "filename": file, "width": 1280, "id_view": number}
        views.append({"key": number, "value": {"polymorphic_id": 1073741824, "ptr_wrapper": {"id": 2, "data": data}}})
    return json.dumps({"sfm_data_version": "0.3", "root_path": "/photos", "views": views})


def openmvg_pairs(path: Path) -> list[frozenset[int]]:
    """By openMVG's rules: an index, then indices of partners."""
    pairs = []
    for line in path.read_text().splitlines():
        assert re.fullmatch(r"\d+( \d+)+", line)
        first, *others = (int(word) for word in line.split())
        pairs += [frozenset((first, other)) for other in others]
    return pairs


def test_openmvg_with_its_own_indices(tmp_path: Path) -> None:
    graph = made_graph()
    numbers = {name: 10 - place for place, name in enumerate(NAMES)} | {"h.jpg": 0}
    (tmp_path / "sfm_data.json").write_text(sfm_data(numbers))
    export(tmp_path, graph, "openmvg", sfm_data=tmp_path / "sfm_data.json")
    found = openmvg_pairs(tmp_path / "openmvg-pairs.txt")
    assert set(found) == {frozenset((numbers[first], numbers[second])) for first, second in graph.pairs}
    assert len(found) == len(graph.pairs)


def test_openmvg_without_a_scene_gets_a_list_of_indices(tmp_path: Path) -> None:
    graph = made_graph(("a b.jpg", *NAMES))
    export(tmp_path, graph, "openmvg")
    lines = (line.split(" ", 1) for line in (tmp_path / "openmvg-views.txt").read_text().splitlines())
    names = {int(number): json.loads(name) for number, name in lines}
    assert names == dict(enumerate(graph.names))
    read = [tuple(names[view] for view in pair) for pair in openmvg_pairs(tmp_path / "openmvg-pairs.txt")]
    assert as_sets(read) == as_sets(graph.pairs)


BAD_SCENES = {
    "not JSON": "{",
    "a list": "[]",
    "no views": "{}",
    "views of text": '{"views": ["a"]}',
    "no path": '{"views": [{"viewId": "1", "value": {"ptr_wrapper": {"data": {}}}}]}',
    "deep": "[" * 100000,
    "another photo": sfm_data({"x.jpg": 1}),
    "negative": sfm_data({name: -1 - place for place, name in enumerate(NAMES)}),
    "twice": sfm_data(dict.fromkeys(NAMES, 3)),
    "a number for views": '{"views": 1e999}',
    "a long number": sfm_data(dict.fromkeys(NAMES, 1)).replace('"id_view": 1', f'"id_view": "{"9" * 5000}"'),
}


@pytest.mark.parametrize("what", BAD_SCENES)
@pytest.mark.parametrize("name", ["alicevision", "openmvg"])
def test_scenes_that_are_no_use_are_named(tmp_path: Path, name: str, what: str) -> None:
    scene = tmp_path / "scene.json"
    scene.write_text(BAD_SCENES[what])
    with pytest.raises(MirrorError, match=r"scene\.json") as caught:
        export(tmp_path, made_graph(), name, **{"alicevision": {"sfm": scene}, "openmvg": {"sfm_data": scene}}[name])
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == [scene]


def test_a_scene_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such file.*none\.sfm"):
        export(tmp_path, made_graph(), "alicevision", sfm=tmp_path / "none.sfm")


def test_two_photos_of_one_name_are_told_apart_by_their_folders_or_refused(tmp_path: Path) -> None:
    graph = made_graph(("a.jpg", "x/a.jpg", "y/a.jpg"))
    numbers = {"x/a.jpg": 1, "y/a.jpg": 2, "a.jpg": 3}
    (tmp_path / "flat.json").write_text(sfm_data(numbers, local=False))
    with pytest.raises(MirrorError, match="several views"):
        export(tmp_path, graph, "openmvg", sfm_data=tmp_path / "flat.json")


# ---- hloc ------------------------------------------------------------------------------------------------------------


def hloc_pairs(path: Path) -> dict[str, list[str]]:
    """hloc's rules for retrieval pairs: two words a line, grouped by the first."""
    grouped: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n"):
        query, reference = line.split()
        grouped.setdefault(query, []).append(reference)
    return grouped


def hloc_matches(file: h5py.File, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    """hloc's rules for matches: '/' in names becomes '-', either photo may come first, -1 is no match."""
    forth = "/".join((first.replace("/", "-"), second.replace("/", "-")))
    back = "/".join((second.replace("/", "-"), first.replace("/", "-")))
    group = file[forth] if forth in file else file[back]
    found, scores = group["matches0"][()], group["matching_scores0"][()]
    rows = np.flatnonzero(found != -1)
    pairs = np.stack((rows, found[rows]), 1)
    return (pairs if forth in file else pairs[:, ::-1]), scores[rows]


def test_hloc_goes_on_from_our_files(tmp_path: Path) -> None:
    graph = made_graph()
    export(tmp_path, graph, "hloc-h5")
    read = [(query, other) for query, others in hloc_pairs(tmp_path / "hloc-pairs.txt").items() for other in others]
    assert as_sets(read) == as_sets(graph.pairs)
    expected = {(graph.names[pair.i], graph.names[pair.j]): pair for pair in matches_of_chosen(graph, 1)}
    assert sum(len(pair.features) for pair in expected.values()) > 50
    with h5py.File(tmp_path / "hloc-features.h5") as features, h5py.File(tmp_path / "hloc-matches.h5") as matches:
        for row, name in enumerate(graph.names):
            held, size = features[name], int(graph.features.sizes[row])
            assert held["keypoints"].shape == (size, 2) and held["keypoints"].dtype == np.float32
            np.testing.assert_allclose(held["keypoints"][()] + 0.5, graph.features.sensor_xy(row), atol=1e-3)
            assert held["descriptors"].shape == (128, size) and held["keypoints"].attrs["uncertainty"] == 2
            np.testing.assert_allclose(np.linalg.norm(held["descriptors"][()], axis=0), 1, atol=1e-5)
            assert held["image_size"][()].tolist() == [1280, 960]
        for first, second in read:
            found, scores = hloc_matches(matches, first, second)
            pair = expected[first, second]
            assert np.array_equal(found, pair.features) and (found[:, 1] < graph.features.sizes[pair.j]).all()
            np.testing.assert_allclose(scores, 1 - pair.ratios, atol=1e-3)
            assert (scores > 1 - MAX_RATIO - 1e-3).all()


def test_we_read_our_own_features_back(tmp_path: Path) -> None:
    graph = made_graph()
    export(tmp_path, graph, "hloc-h5")
    read = hloc.read_features(tmp_path / "hloc-features.h5", 512).features
    assert read.names == tuple(sorted(graph.names)) and sorted(read.sizes) == sorted(graph.features.sizes)
    for name in graph.names:
        row, own = read.names.index(name), graph.names.index(name)
        size = int(read.sizes[row])
        order = np.argsort(-graph.features.keypoints[own, :size, 2], kind="stable")
        np.testing.assert_allclose(read.sensor_xy(row), graph.features.sensor_xy(own)[order], atol=1e-3)
        difference = read.descriptors[row, :size].astype(int) - graph.features.descriptors[own, order]
        assert np.abs(difference).max() <= 8  # unit length again: 7 bits cut the largest components


def test_more_features_than_16_bits_can_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(tmp_path, made_graph(), "hloc-h5")
    with h5py.File(tmp_path / "hloc-matches.h5") as matches:
        assert matches["a.jpg/c.png/matches0"].dtype == np.int16
    monkeypatch.setattr("mirror_sfm.exports.hloc._MOST_IN_16_BITS", 39)
    export(tmp_path, made_graph(), "hloc-h5")
    with h5py.File(tmp_path / "hloc-matches.h5") as matches:
        assert matches["a.jpg/c.png/matches0"].dtype == np.int32


def test_pairs_that_hloc_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match=r"cannot tell the pairs.*a-b\.jpg.*rename"):
        export(tmp_path, made_graph(("a-b.jpg", "a/b.jpg", "c.jpg")), "hloc-h5")


# ---- all at once -----------------------------------------------------------------------------------------------------


def test_the_features_pairs_came_from_are_never_written_over(tmp_path: Path) -> None:
    export(tmp_path, made_graph(), "hloc-h5")
    before = (tmp_path / "hloc-features.h5").read_bytes()
    with pytest.raises(UsageError, match="would be written over"):
        export(tmp_path, made_graph(), "hloc-h5", hloc_features=tmp_path / "hloc-features.h5")
    assert (tmp_path / "hloc-features.h5").read_bytes() == before


@pytest.mark.parametrize("names", [(), ("a.jpg",), ("a.jpg", "b.jpg")])
def test_few_photos(tmp_path: Path, names: tuple[str, ...]) -> None:
    export(tmp_path, made_graph(names), *(name for name in exports.formats() if name != "colmap"))
    assert (tmp_path / "pairs.txt").read_text() == ("a.jpg b.jpg\n" if len(names) == 2 else "")
    with h5py.File(tmp_path / "hloc-features.h5") as features:
        assert list(features) == list(names)


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    held = []
    for place, threads in enumerate((1, 3)):
        folder = tmp_path / str(place)
        folder.mkdir()
        write_results(
            folder, made_graph(), PairOptions(threads=threads), [f for f in exports.formats() if f != "colmap"]
        )
        held.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert held[0] == held[1] and len(held[0]) == 12


def test_only_names_that_nothing_can_carry_are_left_out_where_any_name_will_do(strip: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("0.jpg", "1 b.jpg", "2,c.jpg", "3\udcff.jpg"):
        (photos / name).write_bytes((strip / f"{name[0]}.jpg").read_bytes())
    options = PairOptions(any_name=True)
    graph = find_pairs(photos, options)
    assert graph.names == ("0.jpg", "1 b.jpg", "2,c.jpg")
    assert [(photo.name, "rename" in photo.reason) for photo in graph.skipped] == [("3\udcff.jpg", True)]
    write_results(tmp_path, graph, options, ("jsonl", "alicevision", "openmvg"))
    assert "1 b.jpg" in (tmp_path / "pairs.jsonl").read_text()
