"""Lists of pairs: what a line may look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_sfm.errors import MirrorError
from mirror_sfm.pair_list import PairLine, read_pair_list


def read(tmp_path, text, known):
    path = tmp_path / "pairs.txt"
    path.write_bytes(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
    return [(line.first, line.second) for line in read_pair_list(path, known)]


@pytest.mark.parametrize(
    "line",
    ["a b", "a  b", "a\tb", " a b ", "a b\r\n", "a b 0.5", "a b 0.5 more", "\ufeffa b", "# a b\na b", "\n\na b\n\n"],
)
def test_forms_of_a_line(tmp_path, line):
    assert read(tmp_path, line, {"a", "b"}) == [("a", "b")]


def test_names_with_spaces_and_hashes(tmp_path):
    known = {"a b.jpg", "c.jpg", "#1.jpg", "b.jpg c.jpg"}
    assert read(tmp_path, "a b.jpg c.jpg\n#1.jpg a b.jpg\nc.jpg b.jpg c.jpg", known) == [
        ("a b.jpg", "c.jpg"),
        ("#1.jpg", "a b.jpg"),
        ("c.jpg", "b.jpg c.jpg"),
    ]


def test_names_of_any_bytes(tmp_path):
    name = b"\xff.jpg".decode("utf-8", "surrogateescape")
    assert read(tmp_path, b"\xff.jpg a\n", {name, "a"}) == [(name, "a")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b\na x\n", "line 2: the database has no photo x"),
        ("a\n", "line 1: expected two names, got a"),
        ("x y z\n", "line 1: the database has no two photos of which this line is made"),
        ("a b a\n", r"line 1 can be read in two ways: \(a\) \(b a\) or \(a b\) \(a\)"),
        (" ".join("ab" * 1000), "line 1: the database has no two photos"),
    ],
)
def test_bad_lines(tmp_path, text, message):
    with pytest.raises(MirrorError, match=message) as error:
        read(tmp_path, text, {"a", "b", "a b", "b a"})
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    try:
        pairs = read(tmp_path_factory.getbasetemp(), data, {"a", "b", "a b"})
    except MirrorError as error:
        assert "\n" not in str(error)
    else:
        assert all(name in {"a", "b", "a b"} for pair in pairs for name in pair)


def test_pair_lines_are_values():
    assert PairLine("a", "b") == PairLine("a", "b")
