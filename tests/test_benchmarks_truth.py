"""Ground truth in files: generated layouts of every set, read back; hostile ones refused in one line."""

import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from mutated import mutations
from scipy.io import savemat
from scipy.sparse import csr_array

from mirror_sfm.benchmarks import holidays
from mirror_sfm.benchmarks.ground_truth import read_ground_truth
from mirror_sfm.benchmarks.instre import read_instre
from mirror_sfm.benchmarks.matlab import read_matlab
from mirror_sfm.benchmarks.oxford import REVISITED_LISTS, read_oxford, read_revisited
from mirror_sfm.benchmarks.pickled import read_pickled
from mirror_sfm.benchmarks.protocol import measure
from mirror_sfm.errors import MirrorError, UsageError

# ---- Oxford and Paris ------------------------------------------------------------------------------------------------

PHOTOS = tuple(f"jpg/hall_{k:06d}.jpg" for k in range(8))
FILES = {
    "hall_1_query.txt": "oxc1_hall_000003 1.5 2 30.25 40\n",
    "hall_1_good.txt": "hall_000003\nhall_000001\n",
    "hall_1_ok.txt": "hall_000005\r\n\r\n",
    "hall_1_junk.txt": "hall_000000\nhall_000007\n",
    "hall_2_query.txt": "hall_000004 0 0 9 9\n",
    "hall_2_good.txt": "hall_000004\n",
    "hall_2_ok.txt": "",
    "hall_2_junk.txt": "",
    "readme.md": "not read",
}


def oxford(folder: Path, **changed: str) -> Path:
    for name, text in {**FILES, **{f"{key}.txt": text for key, text in changed.items()}}.items():
        (folder / name).write_text(text)
    return folder


def oxford_program(good, ok, junk, ranked) -> float:
    """What the set's own program computes, by names, in its order of operations."""
    wanted = set(good) | set(ok)
    last_recall, last_precision, area, hits, place = 0.0, 1.0, 0.0, 0, 0
    for name in ranked:
        if name in junk:
            continue
        place += 1
        if name in wanted:
            hits += 1
        recall, precision = hits / len(wanted), hits / place
        area += (recall - last_recall) * ((last_precision + precision) / 2)
        last_recall, last_precision = recall, precision
    return area


def test_oxford_from_its_files(tmp_path: Path) -> None:
    made = read_oxford(oxford(tmp_path), PHOTOS, "Oxford5k")
    first, second = made.queries
    assert (first.name, first.box) == ("hall_000003", (1.5, 2, 30.25, 40))
    assert (first.positives, first.junk) == ({1, 3, 5}, {0, 7})
    assert (second.name, second.positives, second.junk) == ("hall_000004", {4}, frozenset())


def test_oxford_is_what_its_own_program_computes(tmp_path: Path) -> None:
    made = read_oxford(oxford(tmp_path), PHOTOS)
    names = [f"hall_{k:06d}" for k in range(8)]
    lines = {key: FILES[f"hall_1_{key}.txt"].split() for key in ("good", "ok", "junk")}
    rng = np.random.default_rng(1)
    for _ in range(200):
        ranked = rng.permutation(8)[: rng.integers(1, 9)]
        value = measure(made, [ranked, ranked]).average_precision[0]
        assert value == pytest.approx(oxford_program(**lines, ranked=[names[k] for k in ranked]), abs=1e-12)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hall_1_good": "hall_000001\nhall_000009\n"}, r"hall_1_good.txt, line 2: no photo .* is called hall_000009"),
        ({"hall_1_junk": "hall_000001\n"}, r"hall_1_junk.txt, line 1: hall_000001 is good already"),
        ({"hall_1_query": "hall_000001 1 2 3\n"}, r"hall_1_query.txt, line 1: expected one line: photo x1 y1 x2 y2"),
        ({"hall_1_query": "hall_000001 1 2 3 4\nx\n"}, r"hall_1_query.txt, line 2: expected one line"),
        ({"hall_1_query": ""}, r"hall_1_query.txt, line 1: expected one line"),
        ({"hall_1_query": "hall_000001 1 2 3 inf\n"}, r"hall_1_query.txt, line 1: expected a finite number"),
        ({"hall_1_query": "hall_000001 5 2 3 4\n"}, r"hall_1_query.txt, line 1: expected a box .* with an area"),
        ({"hall_1_query": "oxc1_other 1 2 3 4\n"}, r"hall_1_query.txt, line 1: no photo .* is called other"),
    ],
)
def test_broken_oxford_files_name_the_line(tmp_path: Path, changed: dict[str, str], message: str) -> None:
    with pytest.raises(MirrorError, match=message) as caught:
        read_oxford(oxford(tmp_path, **changed), PHOTOS)
    assert "\n" not in str(caught.value)


def test_oxford_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected files"):
        read_oxford(tmp_path, PHOTOS)
    (oxford(tmp_path) / "hall_1_ok.txt").unlink()
    with pytest.raises(UsageError, match=r"hall_1_ok\.txt"):
        read_oxford(tmp_path, PHOTOS)
    with pytest.raises(UsageError, match="two are called a"):
        read_oxford(tmp_path, ["x/a.jpg", "y/a.png"])


# ---- files of ground truth -------------------------------------------------------------------------------------------

NAMES = [f"p{k}" for k in range(9)]
LEVELS = [
    {"bbx": [1.0, 2.0, 30.0, 40.5], "easy": [0, 4], "hard": [2], "junk": [8]},
    {"bbx": [0.0, 0.0, 5.0, 5.0], "easy": [], "hard": [7, 1], "junk": []},
]


def revisited_file(path: Path, protocol: int = 4, arrays: bool = False, levels: list = LEVELS) -> Path:
    def stored(values: list) -> object:
        return np.array(values, np.int64) if arrays else values

    if path.suffix == ".pkl":
        gnd = [{key: list(of) if key == "bbx" else stored(of) for key, of in level.items()} for level in levels]
        content = {"gnd": gnd, "imlist": NAMES, "qimlist": ["q0", "q1"]}
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        kind = [(key, object) for key in levels[0]]
        gnd = np.zeros((1, len(levels)), kind)
        for k, level in enumerate(levels):
            for key, of in level.items():
                gnd[0, k][key] = np.array([of], float) if key == "bbx" else np.array([of], float) + 1
        queries, names = np.array([["q0"], ["q1"]], object), np.array([NAMES], object)
        savemat(path, {"gnd": gnd, "imlist": names, "qimlist": queries, "other": np.eye(3)}, do_compression=arrays)
    return path


@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("file", ["gnd.mat", *(f"{k}.pkl" for k in range(pickle.HIGHEST_PROTOCOL + 1))])
def test_revisited_levels_of_every_file(tmp_path: Path, file: str, arrays: bool) -> None:
    protocol = int(file[0]) if file[0].isdigit() else 4
    levels = read_revisited(revisited_file(tmp_path / file, protocol, arrays), "set")
    assert [made.name for made in levels.values()] == ["set easy", "set medium", "set hard"]
    first = {level: made.queries[0] for level, made in levels.items()}
    assert {level: set(query.positives) for level, query in first.items()} == {
        "easy": {0, 4}, "medium": {0, 2, 4}, "hard": {2},
    }  # fmt: skip
    assert {level: set(query.junk) for level, query in first.items()} == {
        "easy": {2, 8}, "medium": {8}, "hard": {0, 4, 8},
    }  # fmt: skip
    assert (
        levels["hard"].photos == tuple(NAMES) and first["hard"].name == "q0" and first["hard"].box == (1, 2, 30, 40.5)
    )
    assert levels["easy"].queries[1].positives == frozenset()


def test_revisited_measures(tmp_path: Path) -> None:
    """Query 1 has nothing easy: it does not count. By hand: junk 8 and 2 leave, hits in places 1 and 3."""
    easy = read_revisited(revisited_file(tmp_path / "gnd.pkl"))["easy"]
    found = measure(easy, [[8, 0, 2, 5, 4, 1, 3, 6, 7], list(range(9))], REVISITED_LISTS)
    assert found.mean_average_precision == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert found.precision_at == {1: 1.0, 5: pytest.approx(2 / 3), 10: pytest.approx(2 / 3)}


def test_oxford_as_one_file_with_places_of_queries(tmp_path: Path) -> None:
    gnd = np.zeros((1, 1), [("ok", object), ("junk", object), ("bbx", object)])
    gnd[0, 0] = (np.array([[1, 3]]), np.zeros((0, 0)), np.array([[0, 0, 4, 4]]))
    path = tmp_path / "gnd_oxford5k.mat"
    savemat(path, {"gnd": gnd, "imlist": np.array([NAMES], object).T, "qidx": np.array([[3]])})
    made = read_oxford(path)
    assert made.name == "gnd_oxford5k" and made.queries[0].name == "p2"
    assert (made.queries[0].positives, made.queries[0].junk) == ({0, 2}, frozenset())


def instre_file(path: Path, box: list[float]) -> Path:
    gnd = np.zeros((1, 2), [("ok", object), ("bbx", object)])
    for k in range(2):
        gnd[0, k] = (np.array([[2 * k + 1], [2 * k + 2]], np.uint16), np.array([box], np.uint16))
    files = np.array([[f"INSTRE-S1/01/{k:03d}.jpg" for k in range(5)]], object)
    savemat(path, {"gnd": gnd, "imlist": files, "qimlist": np.array([["a.jpg", "b.jpg"]], object)})
    return path


def test_instre(tmp_path: Path) -> None:
    made = read_instre(instre_file(tmp_path / "gnd_instre.mat", [10, 20, 35, 60]))
    assert [set(query.positives) for query in made.queries] == [{0, 1}, {2, 3}]
    assert made.queries[0].box == (10, 20, 35, 60) and not made.queries[0].junk and len(made.photos) == 5
    sizes = read_instre(tmp_path / "gnd_instre.mat", boxes="sizes")
    assert sizes.queries[0].box == (10, 20, 45, 80)
    with pytest.raises(MirrorError, match=r"query 0 \(a.jpg\): expected a box x1 y1 x2 y2"):
        read_instre(instre_file(tmp_path / "gnd_instre.mat", [10, 20, 5, 60]))
    with pytest.raises(UsageError, match="boxes: expected one of corners, sizes"):
        read_instre(tmp_path / "gnd_instre.mat", boxes="xywh")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"easy": [0, 9]}, r"query 0 \(q0\), easy: expected places of 9 photos from 0 on, found 9"),
        ({"easy": [-1]}, "easy: expected places of 9 photos"),
        ({"easy": [0.5]}, "easy: expected places of 9 photos from 0 on, found 0.5"),
        ({"easy": [float("nan")]}, "easy: expected a list of finite numbers"),
        ({"easy": [1 << 70]}, "easy: expected a list of finite numbers"),
        ({"easy": "text"}, "easy: expected a list of finite numbers"),
        ({"easy": [8]}, "photo 8 is both to be found and junk"),
        ({"bbx": [1, 2, 3]}, "bbx: expected 4 numbers, found 3"),
        ({"bbx": [1, 2, 1, 3]}, "expected a box x1 y1 x2 y2 with an area"),
    ],
)
def test_ground_truth_that_cannot_be(tmp_path: Path, change: dict, message: str) -> None:
    path = revisited_file(tmp_path / "gnd.pkl", levels=[LEVELS[0] | change, LEVELS[1]])
    with pytest.raises(MirrorError, match=message) as caught:
        read_revisited(path)
    assert "\n" not in str(caught.value) and "gnd.pkl" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected imlist, qimlist and gnd"),
        ({"imlist": ["a", "a"], "qimlist": [], "gnd": []}, "imlist has a name twice"),
        ({"imlist": ["a", 1], "qimlist": [], "gnd": []}, "expected imlist to be a list of names"),
        ({"imlist": ["a"], "gnd": []}, "qidx: expected a list of finite numbers"),
        ({"imlist": ["a"], "qimlist": ["q"], "gnd": []}, "expected gnd of 1 queries"),
        ({"imlist": ["a"], "qimlist": ["q"], "gnd": [[]]}, "query 0 .*: expected labels and a box"),
        ({"imlist": ["a"], "qimlist": ["q"], "gnd": [{"ok": [0]}]}, "expected rows easy, found ok"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, content: object, message: str) -> None:
    (tmp_path / "gnd.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(MirrorError, match=message):
        read_revisited(tmp_path / "gnd.pkl")


def test_a_list_again_and_again_is_refused(tmp_path: Path) -> None:
    """References cost a file two bytes; followed, they would cost a product."""
    photos, rows = [str(k) for k in range(3000)], list(range(3000))
    content = {"imlist": photos, "qimlist": ["q"] * 3000, "gnd": [{"easy": rows}] * 3000}
    (tmp_path / "gnd.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(MirrorError, match="more rows than the file has bytes"):
        read_ground_truth(tmp_path / "gnd.pkl")


# ---- pickles ---------------------------------------------------------------------------------------------------------


class Runs:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("made by a pickle",)


def pickled(folder: Path, content: bytes) -> Path:
    (folder / "x.pkl").write_bytes(content)
    return folder / "x.pkl"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    value = {"a": [1, -1, 1 << 40, 2.5, None, True, "é"], "b": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), "c": {}}
    assert read_pickled(pickled(tmp_path, pickle.dumps(value, protocol))) == value
    array = np.arange(6, dtype=">i4").reshape(2, 3)
    shared = np.arange(3.0)
    found = read_pickled(pickled(tmp_path, pickle.dumps([array, array.T, shared, shared, np.float32(2.5)], protocol)))
    assert np.array_equal(found[0], array) and np.array_equal(found[1], array.T) and found[4] == 2.5
    assert np.array_equal(found[2], shared) and np.array_equal(found[3], shared)
    assert np.array_equal(read_pickled(pickled(tmp_path, pickle.dumps(array, protocol))), array)


def test_data_of_python_2(tmp_path: Path) -> None:
    """Text and bytes were one type: an array's numbers come as text."""
    kind = b"cnumpy\ndtype\nq\x03U\x02i2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85" + kind
    content = b"\x80\x02}(U\x02ok" + array + b"\x89U\x04\x01\x00\xff\xfftbX\x01\x00\x00\x00nL5L\nu."
    found = read_pickled(pickled(tmp_path, content))
    assert found["ok"].tolist() == [1, -1] and found["n"] == 5


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_runs_nothing(tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MirrorError, match=r"x\.pkl, byte \d+: .*found the name (posix|nt)\.mkdir") as caught:
        read_pickled(pickled(tmp_path, pickle.dumps([Runs()], protocol)))
    assert "\n" not in str(caught.value) and [path.name for path in tmp_path.iterdir()] == ["x.pkl"]


DEEP = b"]" + b"\x85" * 50_000  # a tuple in a tuple in a tuple: whoever hashes or prints it runs out of stack


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "pickle exhausted"),
        (b"\x80\x04", "pickle exhausted"),
        (b"garbage\n", "expected a pickle"),
        (b"(.", "1 values at the end"),
        (b"NN.", "2 values at the end"),
        (b"0.", "the instruction POP"),
        (b"a.", "IndexError"),
        (b"Na.", "IndexError"),
        (b"NNa.", "APPEND to something that is no list"),
        (b"h\x05.", "KeyError 5"),
        (b"}K\x01K\x02s.", "a dictionary whose keys are not text"),
        (b"}" + DEEP + b"Ns.", "a dictionary whose keys are not text"),
        (b"NR.", "IndexError"),
        (b"N)R.", "a call of something that is no function"),
        (b"N)b.", "an object that is no array"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "the name builtins.eval"),
        (b"cnumpy\nload\n.", "the name numpy.load"),
        (b"cnumpy\ndtype\n(S'O8'\ntR.", "an array of something else than numbers"),
        (b"cnumpy\ndtype\n" + DEEP + b"\x85R.", "an array of something else than numbers"),
        (b"cnumpy.core.multiarray\n_reconstruct\n)R.", "an array without numbers"),
        (b"NN\x93.", "a name that is not text"),
        (DEEP + b"N\x93.", "a name that is not text"),
        (b"\x8e" + b"\xff" * 8 + b"N.", "expected a pickle"),
        (b"Pname\n.", "the instruction PERSID"),
        (b"\x82\x01.", "the instruction EXT1"),
        (b"cnumpy\nndarray\n)\x81.", "the instruction NEWOBJ"),
        (b"(iposix\nsystem\n.", "the instruction INST"),
    ],
)
def test_hostile_pickles(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(MirrorError, match=message) as caught:
        read_pickled(pickled(tmp_path, content))
    assert "\n" not in str(caught.value) and "x.pkl, byte" in str(caught.value)


def test_a_pickle_that_makes_much_of_little(tmp_path: Path) -> None:
    head = b"cnumpy\ndtype\n(S'u1'\nK\x00K\x01tRq\x00" + b"T" + struct.pack("<i", 1 << 20) + bytes(1 << 20) + b"q\x01"
    call = b"cnumpy.core.multiarray\nscalar\n(h\x00h\x01tR"
    with pytest.raises(MirrorError, match="the same bytes again and again"):
        read_pickled(pickled(tmp_path, head + call * 1000 + b"."))
    with pytest.raises(MirrorError, match="more than 8 MB"):
        read_pickled(pickled(tmp_path, bytes((8 << 20) + 1)))


# ---- MATLAB ----------------------------------------------------------------------------------------------------------


def matlab_file(path: Path, *variables: bytes) -> Path:
    path.write_bytes(b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + b"".join(variables))
    return path


def test_more_is_announced_than_there_is(tmp_path: Path) -> None:
    sides = element(6, struct.pack("<II", 1, 0)) + element(5, struct.pack("<ii", 1 << 30, 1 << 30))
    file = matlab_file(tmp_path / "x.mat", element(14, sides + element(1, b"gnd") + bytes(5)))
    with pytest.raises(MirrorError, match="the data end in the middle, 0 bytes are left"):
        read_matlab(file, ["gnd"])


def element(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body


def cell(name: bytes, *inside: bytes) -> bytes:
    head = element(6, struct.pack("<II", 1, 0)) + element(5, struct.pack("<ii", 1, len(inside)))
    return element(14, head + element(1, name) + bytes(-len(name) % 8) + b"".join(inside))


def test_text_and_numbers_in_the_other_byte_order(tmp_path: Path) -> None:
    """As MATLAB writes characters: 16 bits each. A short body stands in the tag."""

    def other(kind: int, body: bytes) -> bytes:
        small = struct.pack(">HH", len(body), kind) + body.ljust(4, b"\0")
        return small if len(body) <= 4 else struct.pack(">II", kind, len(body)) + body + bytes(-len(body) % 8)

    def variable(kind: int, sides: tuple[int, int], name: bytes, data: bytes) -> bytes:
        head = other(6, struct.pack(">II", kind, 0)) + other(5, struct.pack(">ii", *sides)) + other(1, name)
        return other(14, head + data)

    text = variable(4, (1, 3), b"qimlist", other(4, "aé☃".encode("utf-16-be")))
    numbers = variable(6, (2, 2), b"gnd", other(3, struct.pack(">4h", 1, -2, 3, 400)))
    content = b"MATLAB 5.0".ljust(124) + struct.pack(">H", 0x0100) + b"MI" + numbers + text
    (tmp_path / "x.mat").write_bytes(content)
    found = read_matlab(tmp_path / "x.mat", ["qimlist", "gnd", "other"])
    assert found["qimlist"] == "aé☃" and found["gnd"].tolist() == [1, -2, 3, 400] and len(found) == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([[1j]]), "neither cells, structures, text nor real numbers"),
        (np.zeros((1, 3), [("a", object)])[:, :0], None),
        (np.array([[True, False]]), None),
        (csr_array(np.eye(3)), "neither cells, structures"),
    ],
)
def test_variables_of_other_classes(tmp_path: Path, value: object, message: str | None) -> None:
    savemat(tmp_path / "x.mat", {"gnd": value, "other": np.array([[1j]])})
    if message is None:
        assert len(read_matlab(tmp_path / "x.mat", ["gnd"])["gnd"]) == np.size(value)
    else:
        with pytest.raises(MirrorError, match=message):
            read_matlab(tmp_path / "x.mat", ["gnd"])
    assert read_matlab(tmp_path / "x.mat", ["nothing"]) == {}


def test_cells_in_cells_are_followed_so_far(tmp_path: Path) -> None:
    inner = cell(b"")
    for _ in range(7):
        inner = cell(b"", inner)
    assert read_matlab(matlab_file(tmp_path / "x.mat", cell(b"gnd", inner)), ["gnd"]) == {"gnd": [[[[[[[[[]]]]]]]]]}
    with pytest.raises(MirrorError, match="8 deep at most"):
        read_matlab(matlab_file(tmp_path / "x.mat", cell(b"gnd", cell(b"", inner))), ["gnd"])
    for _ in range(2000):  # whoever follows such by recursion runs out of stack
        inner = cell(b"", inner)
    with pytest.raises(MirrorError, match=r"variable at byte 128: .*variables in variables, 8 deep at most"):
        read_matlab(matlab_file(tmp_path / "x.mat", cell(b"gnd", inner)), ["gnd"])


def test_a_compressed_variable_has_a_limit(tmp_path: Path) -> None:
    packer = zlib.compressobj()
    body = packer.compress(struct.pack("<II", 14, 30 << 20))
    body += b"".join(packer.compress(bytes(1 << 20)) for _ in range(30)) + packer.flush()
    with pytest.raises(MirrorError, match="holds more than 16 MB"):
        read_matlab(matlab_file(tmp_path / "x.mat", element(15, body)), ["gnd"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "byte 126: expected IM or MI"),
        (b"x" * 200, "byte 126: expected IM or MI"),
        (b"MATLAB 7.3 MAT-file".ljust(128), "save it with -v7"),
        (b" " * 126 + b"IM" + b"abc", "byte 128: expected a variable"),
        (
            b" " * 126 + b"IM" + struct.pack("<II", 14, 99),
            "byte 128: expected a variable: 99 bytes are announced, 0 are left",
        ),
        (b" " * 126 + b"IM" + element(14, element(7, bytes(8))), "fractions in place of whole numbers"),
        (b" " * 126 + b"IM" + element(15, b"no zlib!"), "variable at byte 128: expected whole MATLAB data: Error -3"),
    ],
)
def test_hostile_matlab_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(MirrorError, match=message) as caught:
        read_matlab(tmp_path / "x.mat", ["gnd"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["0.pkl", "2.pkl", "4.pkl", "5.pkl", "gnd.mat", "packed.mat"])
def test_damaged_files_are_read_or_refused(tmp_path: Path, file: str) -> None:
    made = tmp_path / file
    revisited_file(made, int(file[0]) if file[0].isdigit() else 4, arrays=file not in ("0.pkl", "gnd.mat"))
    refused = 0
    for damaged in mutations(made.read_bytes(), 200, seed=len(file)):
        made.unlink()
        made.write_bytes(damaged)
        try:
            read_revisited(made)
        except MirrorError as error:
            refused += 1
            assert "\n" not in str(error) and str(made) in str(error)
    assert refused > 50


def test_files_without_a_known_suffix(tmp_path: Path) -> None:
    (tmp_path / "gnd.json").write_bytes(io.BytesIO(b"{}").getvalue())
    with pytest.raises(UsageError, match=r"expected ground truth in a file \.pkl or \.mat"):
        read_revisited(tmp_path / "gnd.json")
    with pytest.raises(UsageError, match="no such file"):
        read_revisited(tmp_path / "gnd.pkl")


# ---- Holidays --------------------------------------------------------------------------------------------------------

GROUPS = ("100001.jpg", "100000.jpg", "100100.jpg", "100101.jpg", "100102.jpg", "100200.jpg")


def test_holidays_groups_by_number() -> None:
    made = holidays.holidays(GROUPS)
    assert [query.name for query in made.queries] == ["100000.jpg", "100100.jpg", "100200.jpg"]
    assert [set(query.positives) for query in made.queries] == [{0}, {3, 4}, set()]
    assert [set(query.junk) for query in made.queries] == [{1}, {2}, {5}]


def test_holidays_query_is_removed_from_its_own_list() -> None:
    made = holidays.holidays(GROUPS)
    lists = [[1, 5, 0], [2, 3, 0, 4], [5]]
    assert measure(made, lists).average_precision[:2].tolist() == pytest.approx([0.25, (1 + (1 / 2 + 2 / 3) / 2) / 2])
    cut = measure(made, lists, holidays.ListOptions(k=2))
    assert cut.average_precision[:2].tolist() == [0, 0.5] and holidays.TOP_TEN.label == "mAP@10"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.jpg"], r"expected names such as 100000\.jpg, found 'a\.jpg'"),
        (["100000.jpg", "100000.png"], "number 100000 is there twice"),
        (["100000.jpg", "100101.jpg"], r"100101\.jpg is of a group whose query is not there"),
    ],
)
def test_names_that_are_not_of_holidays(names: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        holidays.holidays(names)
    path = tmp_path / "holidays_images.dat"
    path.write_text("\n".join(names))
    with pytest.raises(MirrorError, match=r"holidays_images\.dat"):
        holidays.read_holidays(path)


def test_holidays_from_its_list_and_results_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "images.dat").write_text("\n".join(GROUPS) + "\n")
    made = holidays.read_holidays(tmp_path / "images.dat")
    assert made == holidays.holidays(GROUPS)
    lists = [[1, 5, 0], [2, 3, 0, 4], []]
    holidays.write_results(tmp_path / "r.dat", made, lists)
    assert (tmp_path / "r.dat").read_text().startswith("100000.jpg 0 100000.jpg 1 100200.jpg 2 100001.jpg\n")
    assert [row.tolist() for row in holidays.read_results(tmp_path / "r.dat", made)] == lists


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100000.jpg\n100001.jpg\n", "line 2: no query is called 100001.jpg"),
        ("100000.jpg\n100000.jpg\n", "line 2: 100000.jpg is there twice, first in line 1"),
        ("100000.jpg 0\n", "line 1: expected a query, then a rank and a photo"),
        ("100000.jpg x 100001.jpg\n", "line 1: expected a rank"),
        ("100000.jpg 0 1.jpg\n", r"line 1: no photo is called 1\.jpg"),
        ("100000.jpg 0 100001.jpg 1 100001.jpg\n", r"line 1: rank 1 or photo 100001\.jpg is there twice"),
        ("100000.jpg 0 100001.jpg 0 100101.jpg\n", r"line 1: rank 0 or photo 100101\.jpg is there twice"),
    ],
)
def test_broken_holidays_results_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.dat").write_text(text)
    with pytest.raises(MirrorError, match=message):
        holidays.read_results(tmp_path / "r.dat", holidays.holidays(GROUPS))
