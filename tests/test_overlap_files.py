"""Overlap on disk, and listed overlap read from tables."""

import csv
import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evaluation import read_labels
from mirror_sfm.overlap.files import load_overlap, save_overlap, write_table
from mirror_sfm.overlap.measured import Overlap
from mirror_sfm.overlap.truth import compare, read_truth


@pytest.fixture
def overlap() -> Overlap:
    rng = np.random.default_rng(1)
    masks = rng.integers(0, 256, (3, 2, 56, 56), dtype=np.uint8)
    masks[1] = 0
    return Overlap(
        ("a.jpg", "b/ü.jpg", "c,d.jpg", "e.jpg"),
        np.array([[0, 1], [0, 2], [1, 3]], np.int32),
        {name: rng.uniform(0, 1, (3, 2)) for name in ("tracks", "triangles", "areas", "pixels")},
        {name: rng.uniform(1, 9, 4) for name in ("tracks", "triangles", "areas", "pixels")},
        masks,
        rng.integers(0, 256, (4, 56, 56), dtype=np.uint8),
        "mesh",
    )


def same(a: Overlap, b: Overlap) -> bool:
    arrays = [(a.pairs, b.pairs), (a.masks, b.masks), (a.covered, b.covered)]
    arrays += [(part[name], other[name]) for part, other in ((a.halves, b.halves), (a.seen, b.seen)) for name in part]
    alike = all((x is None and y is None) or (x.dtype == y.dtype and np.array_equal(x, y)) for x, y in arrays)
    return alike and (a.names, a.surface, list(a.halves)) == (b.names, b.surface, list(b.halves))


def test_what_is_written_is_read(overlap: Overlap, tmp_path: Path) -> None:
    empty = Overlap((), np.zeros((0, 2), np.int32), {}, {})
    for k, case in enumerate((overlap, overlap.without_masks(), empty)):
        save_overlap(tmp_path / f"{k}.npz", case)
        assert same(load_overlap(tmp_path / f"{k}.npz"), case)
    save_overlap(tmp_path / "again.npz", overlap)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "0.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.npz", "1.npz", "2.npz", "again.npz"]


def test_damaged_files_are_named(overlap: Overlap, tmp_path: Path) -> None:
    """Every byte matters: a changed archive is either refused or, where nothing looks at the byte, the same."""
    path = tmp_path / "overlap.npz"
    save_overlap(path, overlap)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for k in range(150):
        content = bytearray(whole)
        if k % 3:
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        else:
            del content[rng.integers(len(content)) :]
        path.write_bytes(content)
        try:
            assert same(load_overlap(path), overlap)
        except MirrorError as error:
            assert "overlap.npz" in str(error) and "\n" not in str(error)
    newer = bytearray(whole)
    newer[whole.index(b"PK\1\2") + 6] = 250  # the version of zip that is needed
    for content in (b"", b"PK", np.random.default_rng(0).bytes(500), newer):
        path.write_bytes(content)
        with pytest.raises(MirrorError, match=r"overlap\.npz"):
            load_overlap(path)
    with pytest.raises(UsageError, match="No such file"):
        load_overlap(tmp_path / "absent.npz")


@pytest.mark.parametrize(
    "wrong",
    [
        {"pairs": np.array([[0, 1], [0, 2], [1, 4]], np.int32)},
        {"pairs": np.array([[0, 2], [0, 1], [1, 3]], np.int32)},
        {"pairs": np.array([[0, 1], [2, 0], [1, 3]], np.int32)},
        {"pairs": np.zeros((2, 2), np.int32)},
        {"names": ("b", "a", "c", "d")},
        {"names": ("a", "a", "c", "d")},
        {"halves": {"tracks": np.full((3, 2), 1.5)}},
        {"halves": {"tracks": np.full((3, 2), np.nan)}},
        {"halves": {"tracks": np.zeros((2, 2))}},
        {"seen": {"tracks": np.full(4, -1.0)}},
        {"covered": np.zeros((3, 56, 56), np.uint8)},
        {"surface": "moon"},
    ],
)
def test_what_contradicts_itself_is_refused(overlap: Overlap, tmp_path: Path, wrong: dict) -> None:
    changed = dataclasses.replace(overlap, **{"halves": {"tracks": np.zeros((3, 2))}, "masks": None, **wrong})
    save_overlap(tmp_path / "x.npz", changed)
    with pytest.raises(MirrorError, match=r"x\.npz is not a whole file of overlap"):
        load_overlap(tmp_path / "x.npz")


def test_another_version_is_refused_by_its_number(overlap: Overlap, tmp_path: Path) -> None:
    save_overlap(tmp_path / "x.npz", overlap)
    with np.load(tmp_path / "x.npz") as archive:
        arrays = dict(archive)
    arrays["about"] = np.frombuffer(arrays["about"].tobytes().replace(b'"version": 1', b'"version": 7'), np.uint8)
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(MirrorError, match="has version 7 of the format, expected 1"):
        load_overlap(tmp_path / "x.npz")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive, archive.open("about.npy", "w") as file:
        np.lib.format.write_array(file, np.array([{}], object), allow_pickle=True)
    with pytest.raises(MirrorError, match=r"x\.npz"):
        load_overlap(tmp_path / "x.npz")


def test_the_table_is_one_that_evaluate_reads(overlap: Overlap, tmp_path: Path) -> None:
    write_table(tmp_path / "overlap.csv", overlap, "pixels")
    rows = list(csv.DictReader((tmp_path / "overlap.csv").open(encoding="utf-8")))
    assert [(row["image_a"], row["image_b"]) for row in rows] == [
        ("a.jpg", "b/ü.jpg"), ("a.jpg", "c,d.jpg"), ("b/ü.jpg", "e.jpg")
    ]  # fmt: skip
    assert float(rows[2]["overlap_b_to_a"]) == pytest.approx(overlap.halves["pixels"][2, 1], abs=1e-6)
    assert float(rows[1]["tracks_a_to_b"]) == pytest.approx(overlap.halves["tracks"][1, 0], abs=1e-6)
    assert {row["label"] for row in rows} <= {"none", "weak", "strong"}
    assert read_labels(tmp_path / "overlap.csv", overlap.names).positive.shape == (4, 4)
    truth = read_truth(tmp_path / "overlap.csv", overlap.names)
    assert compare(overlap, truth).median_error < 1e-6


@pytest.mark.parametrize(
    "header", ["image_a,image_b,overlap_a_to_b,overlap_b_to_a,overlap_min", "a,b,overlap_a_in_b,overlap_b_in_a,x"]
)
def test_listed_overlap_is_compared_in_both_directions(overlap: Overlap, tmp_path: Path, header: str) -> None:
    """Names without their suffix, pairs in any order, pairs that share nothing."""
    table = tmp_path / "truth.csv"
    halves = overlap.halves["pixels"]
    rows = [
        f"b/ü,a,{halves[0, 1]},{halves[0, 0]},1",
        f"e.jpg,b/ü.jpg,{halves[2, 1]},{halves[2, 0]},1",
        "a,e,0.5,0.25,1",
    ]
    table.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    found = compare(overlap, read_truth(table, overlap.names))
    assert found.pairs == 3 and found.median_error < 1e-12 and found.mean_error == pytest.approx(0.125)
    assert found.bias == pytest.approx(-0.125)
    worst = found.worst[0]
    assert (worst.a, worst.b, worst.listed, worst.measured) == ("a.jpg", "e.jpg", (0.5, 0.25), (0.0, 0.0))
    with pytest.raises(UsageError, match="no overlap in leagues"):
        compare(overlap, read_truth(table, overlap.names), "leagues")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: expected columns image_a, image_b or a, b"),
        ("a,b,c,d\n", "line 1: expected columns overlap_a_to_b"),
        ("a,b,overlap_a_in_b,overlap_b_in_a\n", "lists no pair"),
        ("a,b,overlap_a_in_b,overlap_b_in_a\na,x,0,0\n", "line 2: no photo of the scene is called x"),
        ("a,b,overlap_a_in_b,overlap_b_in_a\na,a,0,0\n", "line 2: expected every pair of two photos once"),
        ("a,b,overlap_a_in_b,overlap_b_in_a\na,e,0,0\ne,a,0,0\n", "line 3: expected every pair of two photos once"),
        ("a,b,overlap_a_in_b,overlap_b_in_a\na,e,0\n", "line 2: expected 4 values, found 3"),
        ("a,b,overlap_a_in_b,overlap_b_in_a\na,e,0,1.2\n", "line 2: expected an overlap from 0 to 1, found '1.2'"),
        ("a,b,overlap_a_in_b,overlap_b_in_a\na,e,nan,1\n", "line 2: expected an overlap from 0 to 1, found 'nan'"),
        ('a,b,overlap_a_in_b,overlap_b_in_a\n"a,e,0,0\n', "is not a table of comma-separated values"),
    ],
)
def test_wrong_tables_are_refused_with_their_line(overlap: Overlap, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(MirrorError, match=r"truth\.csv") as error:
        read_truth(tmp_path / "truth.csv", overlap.names)
    assert said in str(error.value) and "\n" not in str(error.value)
    (tmp_path / "truth.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MirrorError, match=r"truth\.csv is not a table"):
        read_truth(tmp_path / "truth.csv", overlap.names)
    with pytest.raises(UsageError, match=r"cannot read .*absent\.csv"):
        read_truth(tmp_path / "absent.csv", overlap.names)
