"""Which files of a folder are its photos: suffixes, patterns, lists."""

import os
import random
from pathlib import Path

import pytest

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.folder import find_photos, matches

NAMES = ("IMG 1.jpg", "a.jpg", "left/a.jpg", "left/b.JPG", "left/deep/a.png", "right/a.jpg", "right/thumbs/a.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in (*NAMES, "list.txt", "left/scan.raw", ".hidden/a.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(folder: Path, **options) -> list[str]:
    photos = find_photos(folder, **options)
    assert all(photo.path == folder / photo.name for photo in photos)
    return [photo.name for photo in photos]


def test_photos_are_sorted_by_name_and_found_in_folders(tmp_path: Path) -> None:
    names = ["b.jpg", "a/z.PNG", "a.jpeg", "B.jpg", "ä.tif", "a b.jpg", "#1.webp", "c/d/e.bmp"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("notes.txt", "raw.cr2", "jpg", ".hidden.jpg", "._b.jpg", ".thumbs/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path) == sorted(names)


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert found(tmp_path) == ["gone.jpg", "link/a.jpg", "real/a.jpg"]


@pytest.mark.parametrize(("name", "message"), [("nowhere", "no such folder"), ("file.jpg", "is a file")])
def test_a_wrong_folder_is_a_usage_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file.jpg").touch()
    with pytest.raises(UsageError, match=message):
        find_photos(tmp_path / name)


# ---- patterns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("*.jpg", ["IMG 1.jpg", "a.jpg", "left/a.jpg", "right/a.jpg", "right/thumbs/a.jpg"]),
        ("*.[jJ][pP][gG]", ["IMG 1.jpg", "a.jpg", "left/a.jpg", "left/b.JPG", "right/a.jpg", "right/thumbs/a.jpg"]),
        ("left/*", ["left/a.jpg", "left/b.JPG", "left/deep/a.png"]),
        ("left/**", ["left/a.jpg", "left/b.JPG", "left/deep/a.png"]),
        ("**/a.jpg", ["a.jpg", "left/a.jpg", "right/a.jpg", "right/thumbs/a.jpg"]),
        ("right/**/a.jpg", ["right/a.jpg", "right/thumbs/a.jpg"]),
        ("**/deep/**/a.png", ["left/deep/a.png"]),
        ("*/?.jpg", ["left/a.jpg", "right/a.jpg", "right/thumbs/a.jpg"]),
        ("IMG 1.jpg", ["IMG 1.jpg"]),
    ],
)
def test_patterns(folder: Path, pattern: str, fitting: list[str]) -> None:
    assert found(folder, include=(pattern,)) == fitting
    assert found(folder, exclude=(pattern,)) == [name for name in NAMES if name not in fitting]


def test_one_pattern_may_hold_many_folders_or_none() -> None:
    assert matches("a/b/x/c", "a/**/b/**/c") and matches("a/b/c", "a/**/b/**/c") and matches("a/x/y/b/c", "a/**/b/**/c")
    assert not matches("ab/c", "a/**/b/**/c") and not matches("a/bc", "a/**/b/**/c")


def test_patterns_add_up_and_exclusion_wins(folder: Path) -> None:
    assert found(folder, include=("left/*", "right/*"), exclude=("**/thumbs/*", "*.png")) == [
        "left/a.jpg",
        "left/b.JPG",
        "right/a.jpg",
    ]
    assert found(folder, include=("*",), exclude=("*",)) == []


@pytest.mark.parametrize("pattern", ["LEFT/*", "*.tif", "", "[", "/left/*", "left", "scan.raw"])
@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_pattern_that_fits_nothing_is_named(folder: Path, option: str, pattern: str) -> None:
    with pytest.raises(UsageError, match=f"no photo fits the {option} pattern") as caught:
        find_photos(folder, **{option: ("*", pattern)})
    assert repr(pattern) in str(caught.value)


def test_a_folder_of_masks_inside_is_left_out(folder: Path) -> None:
    assert found(folder, leave_out=folder / "right") == [name for name in NAMES if not name.startswith("right/")]
    (folder / "link").symlink_to(folder / "right")
    assert found(folder, leave_out=folder / "link") == [name for name in NAMES if not name.startswith("right/")]


# ---- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"left/a.jpg\nIMG 1.jpg\n",
        b"left/a.jpg\nIMG 1.jpg",
        b"\xef\xbb\xbfIMG 1.jpg\r\n\r\n  left/a.jpg\t\r\n",
        b"./left//a.jpg\rIMG 1.jpg",
    ],
)
def test_lists(folder: Path, content: bytes) -> None:
    (folder / "list.txt").write_bytes(content)
    assert found(folder, list_file=folder / "list.txt") == ["IMG 1.jpg", "left/a.jpg"]


def test_a_list_may_name_files_without_a_known_suffix_and_takes_patterns(folder: Path) -> None:
    (folder / "list.txt").write_text("left/scan.raw\n.hidden/a.jpg\nright/a.jpg\n")
    assert found(folder, list_file=folder / "list.txt") == [".hidden/a.jpg", "left/scan.raw", "right/a.jpg"]
    assert found(folder, list_file=folder / "list.txt", exclude=("right/*",)) == [".hidden/a.jpg", "left/scan.raw"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"left/c.jpg", "left/c.jpg is not a file in"),
        (b"left", "left is not a file in"),
        (b"A.JPG", "A.JPG is not a file in"),
        (b"../photos/a.jpg", "leaves the folder"),
        (b"left/../a.jpg", "leaves the folder"),
        (b"/etc/passwd", "is an absolute path"),
        (b"a.jpg", "a.jpg is there twice, first in line 1"),
        (b"./a.jpg", "./a.jpg is there twice, first in line 1"),
        (b"\xff\xfea\0", "not UTF-8; save the list as UTF-8"),
        (b"a\0b.jpg", "is not a file in"),
        (b"x" * 5000, "is not a file in"),
        (b"\x1b[2Ja.jpg", r"\\x1b\[2Ja.jpg is not a file in"),
    ],
)
def test_a_wrong_line_of_a_list_is_named(folder: Path, line: bytes, message: str) -> None:
    (folder / "list.txt").write_bytes(b"a.jpg\n\n" + line + b"\nright/a.jpg\n")
    with pytest.raises(UsageError, match=rf"list.txt, line 3: .*{message}") as caught:
        find_photos(folder, list_file=folder / "list.txt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.txt", "left"])
def test_a_list_that_cannot_be_read(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"cannot read the list .*{name}"):
        find_photos(folder, list_file=folder / name)


def test_damaged_lists_name_a_line_or_are_read(folder: Path) -> None:
    good = "\n".join(NAMES).encode()
    rng = random.Random(5)
    read = 0
    for _ in range(1000):
        damaged = bytearray(good[: rng.randrange(len(good) + 1)] if rng.random() < 0.3 else good)
        for _ in range(rng.randrange(4)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (folder / "list.txt").write_bytes(damaged)
        try:
            names = found(folder, list_file=folder / "list.txt")
        except MirrorError as error:
            assert "list.txt, line" in str(error) and str(error).isprintable()
        else:
            assert names == sorted(set(names)) and all((folder / name).is_file() for name in names)
            read += 1
    assert 0 < read < 1000


def test_a_folder_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match=r"cannot read the folder .*photos: Permission denied"):
        find_photos(folder)
