"""The cache: what is stored comes back, what is damaged is found, and no kill at any moment changes a result."""

import hashlib
import itertools
import json
import logging
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mirror_sfm import cache as cache_module
from mirror_sfm import reading as reading_module
from mirror_sfm.cache import Cache, digest
from mirror_sfm.errors import MirrorError
from mirror_sfm.features import Features, extract
from mirror_sfm.folder import find_photos
from mirror_sfm.masks import Masks
from mirror_sfm.photos import read_picture
from mirror_sfm.reading import read_features
from mirror_sfm.sources import PhotoFolder

ROOT = Path(__file__).resolve().parent.parent
KEY = digest("a key")
ARRAYS = {
    "bytes": np.arange(256, dtype=np.uint8).reshape(2, 128),
    "floats": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "half": np.array([1, np.nan, np.inf], np.float16),
    "numbers": np.array([[-1, 2**62]], np.int64),
    "truth": np.array([True, False]),
    "nothing": np.zeros((0, 128), np.uint8),
    "single": np.array(2.5),
}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def entry_of(folder: Path) -> Path:
    return folder / "kind" / KEY


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "cache")
    made.store(KEY, "kind", ARRAYS)
    return made


# ---- entries ---------------------------------------------------------------------------------------------------------


def test_arrays_come_back(cache: Cache) -> None:
    loaded = cache.load(KEY, "kind")
    assert loaded is not None and same(loaded, ARRAYS)
    loaded["bytes"][:] = 0  # may be written to, and changes nothing
    assert same(cache.load(KEY, "kind") or {}, ARRAYS)
    assert cache.load(KEY, "other") is None and cache.load(digest("another key"), "kind") is None
    assert same(Cache(cache.folder).load(KEY, "kind") or {}, ARRAYS)


def test_a_later_entry_takes_the_place_of_an_earlier_one(cache: Cache) -> None:
    cache.store(KEY, "kind", {"a": np.arange(3)})
    assert same(cache.load(KEY, "kind") or {}, {"a": np.arange(3)})
    cache.store(KEY, "kind", {})
    assert cache.load(KEY, "kind") == {}


def test_order_of_bytes_and_of_axes_is_put_right(cache: Cache) -> None:
    foreign = np.arange(6, dtype=">f4").reshape(2, 3)
    cache.store(KEY, "kind", {"foreign": foreign, "turned": np.asfortranarray(foreign.astype(float))})
    loaded = cache.load(KEY, "kind") or {}
    assert np.array_equal(loaded["foreign"], foreign) and loaded["foreign"].dtype == np.float32
    assert np.array_equal(loaded["turned"], foreign)


def test_the_same_arrays_are_the_same_bytes(cache: Cache, tmp_path: Path) -> None:
    other = Cache(tmp_path / "other")
    other.store(KEY, "kind", ARRAYS)
    assert entry_of(other.folder).read_bytes() == entry_of(cache.folder).read_bytes()


@pytest.mark.parametrize("dtype", [object, "U3", np.complex64, np.longdouble])
def test_only_numbers_are_stored(cache: Cache, dtype: object) -> None:
    with pytest.raises(ValueError, match="'a' has a type that the cache does not hold"):
        cache.store(KEY, "kind", {"a": np.zeros(3, dtype)})


@pytest.mark.parametrize(
    ("key", "kind"), [("../a", "kind"), ("a", "../kind"), ("", "k"), ("a", ""), ("a", "unfinished")]
)
def test_keys_and_kinds_are_plain_words(cache: Cache, key: str, kind: str) -> None:
    with pytest.raises(ValueError, match="not a key or kind"):
        cache.store(key, kind, {})


def test_digest_tells_parts_apart() -> None:
    parts = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        (b"abc",),
        ("abc", ""),
        ("abc", None),
        (1,),
        ("1",),
        (1.0,),
        (b"1",),
        (),
    ]
    assert len({digest(*some) for some in parts}) == len(parts)
    assert digest(b"x", 1) == digest(b"x", 1)
    assert all(len(digest(name)) == 64 for name in ("\udcff", "é"))


# ---- damage and versions ---------------------------------------------------------------------------------------------


def test_every_flipped_bit_and_every_cut_is_found(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    path = entry_of(cache.folder)
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        assert cache.load(KEY, "kind") is None, place
        path.write_bytes(good[:place])
        assert cache.load(KEY, "kind") is None, place
    path.write_bytes(good + b"\0")
    assert cache.load(KEY, "kind") is None
    assert all(str(path) in message and "made anew" in message for message in caplog.messages)
    cache.store(KEY, "kind", ARRAYS)
    assert same(cache.load(KEY, "kind") or {}, ARRAYS)


def test_an_entry_under_another_name_is_damaged(cache: Cache) -> None:
    other = digest("other")
    shutil.copy(entry_of(cache.folder), cache.folder / "kind" / other)
    assert cache.load(other, "kind") is None
    shutil.copytree(cache.folder / "kind", cache.folder / "other")
    assert cache.load(KEY, "other") is None


def stamped(version: int, body: bytes) -> bytes:
    """An entry with a sound checksum, whatever is in it."""
    checksum = hashlib.sha256(f"{version} kind {KEY} ".encode() + body).digest()
    return struct.pack("<8sI32s", b"MIRRORSC", version, checksum) + body


def test_the_layout_is_the_documented_one(cache: Cache) -> None:
    content = entry_of(cache.folder).read_bytes()
    body = content[44:]
    assert content == stamped(1, body)
    length = int.from_bytes(body[:4], "little")
    table = json.loads(body[4 : 4 + length])
    assert table == [[name, array.dtype.str, list(array.shape)] for name, array in ARRAYS.items()]
    assert body[4 + length :] == b"".join(array.tobytes() for array in ARRAYS.values())


def test_a_newer_version_is_refused_with_the_remedy(cache: Cache) -> None:
    path = entry_of(cache.folder)
    path.write_bytes(stamped(2, path.read_bytes()[44:]))
    with pytest.raises(
        MirrorError, match=r"cache .*cache was written by a newer mirror-sfm \(layout 2, .* knows 1\)"
    ) as caught:
        cache.load(KEY, "kind")
    assert "upgrade mirror-sfm, delete the folder, or work without (--no-cache)" in str(caught.value)


def test_an_older_version_is_made_anew(cache: Cache) -> None:
    entry_of(cache.folder).write_bytes(stamped(0, b"something else"))
    assert cache.load(KEY, "kind") is None


def hostile_bodies() -> list[bytes]:
    def body(table: object, data: bytes = b"") -> bytes:
        text = table if isinstance(table, bytes) else json.dumps(table).encode()
        return struct.pack("<I", len(text)) + text + data

    return [
        b"\xff\xff\xff\xff",
        body(b"not json"),
        body(b"[" * 100_000),
        body(b"\xff\xfe"),
        body(b'[["a", "|u1", [' + b"9" * 5000 + b"]]]"),
        body({"a": 1}),
        body(5),
        body([["a", "|u1"]]),
        body([["a", "|O8", [1]]], bytes(8)),
        body([["a", "|u1", [-1]]]),
        body([["a", "|u1", [True]]], bytes(1)),
        body([["a", "|u1", [1.0]]], bytes(1)),
        body([["a", "|u1", [2**70]]]),
        body([["a", "|u1", [0, 2**70]]]),
        body([["a", "|u1", [0] * 9]]),
        body([["a", "|u1", [3]]], bytes(2)),
        body([["a", "|u1", [3]]], bytes(4)),
        body([["a", "|u1", [1]], ["a", "|u1", [1]]], bytes(2)),
        body([[["a"], "|u1", [1]]], bytes(1)),
    ]


@pytest.mark.parametrize("body", hostile_bodies(), ids=str)
def test_a_sound_checksum_around_nonsense(cache: Cache, body: bytes) -> None:
    entry_of(cache.folder).write_bytes(stamped(1, body))
    assert cache.load(KEY, "kind") is None


@pytest.mark.parametrize("attempts", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_bodies_with_sound_checksums(cache: Cache, attempts: int) -> None:
    path, rng = entry_of(cache.folder), random.Random(attempts)
    good, loaded = path.read_bytes()[44:], 0
    for _ in range(attempts):
        body = bytearray(good[: rng.randrange(len(good) + 1)] if rng.random() < 0.2 else good)
        for _ in range(rng.randrange(1, 4)):
            if body:
                body[rng.randrange(min(len(body), 300))] = rng.choice(b'0129[]",\xff\0')
        path.write_bytes(stamped(1, bytes(body)))
        loaded += cache.load(KEY, "kind") is not None
    assert loaded < attempts


# ---- the folder ------------------------------------------------------------------------------------------------------


def test_backup_programs_are_told(cache: Cache) -> None:
    assert (cache.folder / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


def test_the_folder_may_be_deleted_at_any_time(cache: Cache) -> None:
    shutil.rmtree(cache.folder)
    assert cache.load(KEY, "kind") is None
    cache.store(KEY, "kind", ARRAYS)
    assert same(cache.load(KEY, "kind") or {}, ARRAYS)


def test_leftovers_of_killed_processes_are_removed(cache: Cache) -> None:
    host = cache_module.socket.gethostname()
    gone = subprocess.Popen(["true"])
    gone.wait()
    unfinished = cache.folder / "unfinished"
    old, names = cache_module.time.time() - 2 * 86400, {}
    names["killed"] = f"{gone.pid}.0.{host}"
    names["running"] = f"{os.getppid()}.0.{host}"
    names["ours"] = f"{os.getpid()}.99.{host}"
    names["elsewhere"], names["elsewhere, old"] = "7.0.else.where", "8.0.else.where"
    names["odd"], names["odd, old"] = "x", "y"
    for what, name in names.items():
        (unfinished / name).write_bytes(b"half")
        if "old" in what:
            os.utime(unfinished / name, (old, old))
    Cache(cache.folder)
    left = {what for what, name in names.items() if (unfinished / name).exists()}
    assert left == {"running", "ours", "elsewhere", "odd"}


@pytest.mark.parametrize("place", ["file", "file/inside", "locked/cache"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    if place.startswith("locked"):
        monkeypatch.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    with pytest.raises(MirrorError, match=r"cannot write the cache .*: .*; make room or choose another folder"):
        Cache(tmp_path / place)


def test_a_full_disk_is_one_clear_error_and_leaves_what_was_there(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, path: Path) -> None:
            self.file = open(path, "wb")  # noqa: SIM115

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def writelines(self, parts: list[bytes]) -> None:
            self.file.write(b"".join(parts)[:50])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "open", lambda path, _: Full(path), raising=False)
    with pytest.raises(MirrorError, match=r"cannot write the cache .*: No space left on device; make room"):
        cache.store(KEY, "kind", {"a": np.arange(3)})
    assert os.listdir(cache.folder / "unfinished") == []
    assert same(cache.load(KEY, "kind") or {}, ARRAYS)


def test_an_entry_that_the_disk_cannot_read_is_an_error(cache: Cache) -> None:
    entry_of(cache.folder).unlink()
    entry_of(cache.folder).mkdir()
    with pytest.raises(MirrorError, match=f"cannot read the cache entry .*{KEY}: .*; delete it, or work without"):
        cache.load(KEY, "kind")


def test_many_writers_and_readers(cache: Cache) -> None:
    keys = [digest(number) for number in range(10)]

    def work(turn: int) -> int:
        own, seen = Cache(cache.folder), 0
        for key in random.Random(turn).sample(keys, len(keys)):
            loaded = own.load(key, "kind")
            assert loaded is None or np.array_equal(loaded["a"], np.full(5000, keys.index(key)))
            seen += loaded is not None
            own.store(key, "kind", {"a": np.full(5000, keys.index(key))})
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(24))) >= 14 * len(keys)
    assert os.listdir(cache.folder / "unfinished") == []


# ---- features of photos ----------------------------------------------------------------------------------------------


def bits(features: Features) -> list[object]:
    arrays = (features.keypoints, features.descriptors, features.sizes, features.diagonals, features.scales)
    return [features.names, *(array.tobytes() for array in arrays), features.image_sizes.tolist()]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every photo searched."""
    done: list[int] = []

    def counted(*arguments: object) -> object:
        done.append(1)
        return original(*arguments)

    original = reading_module.extract
    monkeypatch.setattr(reading_module, "extract", counted)
    return done


def read(folder: Path, cache: Path | None, count: int = 64, **options) -> Features:
    return PhotoFolder(folder, cache=cache, **options).read(count, 2).features


def test_a_rerun_searches_nothing_and_editing_one_photo_searches_one(
    strip: Path, tmp_path: Path, searches: list[int]
) -> None:
    folder, store = tmp_path / "photos", tmp_path / "cache"
    shutil.copytree(strip, folder)
    first = read(folder, store)
    assert len(searches) == 8
    assert bits(read(folder, store)) == bits(first) and len(searches) == 8
    (folder / "3.jpg").rename(folder / "renamed.png")
    (folder / "sub").mkdir()
    (folder / "4.jpg").rename(folder / "sub" / "4.jpg")
    renamed = read(folder, store)
    assert len(searches) == 8 and renamed.names[-2:] == ("renamed.png", "sub/4.jpg")
    assert np.array_equal(renamed.descriptors[-2:], first.descriptors[3:5])
    Image.open(folder / "0.jpg").rotate(5).save(folder / "0.jpg")
    edited = read(folder, store)
    assert len(searches) == 9 and not np.array_equal(edited.descriptors[0], first.descriptors[0])
    os.utime(folder / "0.jpg", (1, 1))  # the time of a file says nothing
    assert bits(read(folder, store)) == bits(edited) and len(searches) == 9
    shutil.rmtree(store)
    assert bits(read(folder, store)) == bits(edited) and len(searches) == 17


def test_a_count_is_served_from_another_only_where_it_is_the_same(
    strip: Path, tmp_path: Path, searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_module, "LONG_SIDE", 160)
    photos = find_photos(strip)[:1]
    some = extract(read_picture(photos[0].path, 160), 1).large
    counts = (4, some - 1, some, some + 1, some + 20, 10**5)
    fresh = {count: bits(read_features(photos, count, 1).features) for count in counts}
    served = set()
    for number, (before, count) in enumerate(itertools.product(counts, repeat=2)):
        cache = Cache(tmp_path / str(number))
        read_features(photos, before, 1, cache=cache)
        searches.clear()
        assert bits(read_features(photos, count, 1, cache=cache).features) == fresh[count], (before, count)
        if not searches:
            served.add((counts.index(before), counts.index(count)))
    half, whole = range(3), range(3, 6)
    expected = {(before, count) for group in (half, whole) for before in group for count in group if before >= count}
    assert served == expected


def test_settings_and_masks_are_part_of_the_key(
    strip: Path, tmp_path: Path, searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, cache = find_photos(strip)[:1], Cache(tmp_path / "cache")
    (tmp_path / "masks").mkdir()
    masks = Masks(tmp_path / "masks")

    def searched(**options) -> int:
        searches.clear()
        read_features(photos, 16, 1, cache=cache, **options)
        return len(searches)

    assert searched() == 1 and searched() == 0
    for grey in (255, 254):  # the same places count, but the bytes differ
        Image.new("L", (64, 48), grey).save(tmp_path / "masks" / "0.jpg.png")
        assert searched(masks=masks) == 1 and searched(masks=masks) == 0
    assert searched() == 0
    for name, value in (("LONG_SIDE", 320), ("CONTRAST", 0.03), ("VERSION", 2)):
        with monkeypatch.context() as changed:
            changed.setattr(reading_module, name, value)
            assert searched() == 1 and searched() == 0
    assert searched() == 0


def test_damaged_entries_are_said_and_made_anew(
    strip: Path, tmp_path: Path, searches: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "cache"
    first = read(strip, store)
    entries = sorted((store / "sift").iterdir())
    content = entries[0].read_bytes()
    entries[0].write_bytes(content[: len(content) // 2])
    entries[1].write_bytes(b"")
    Cache(store).store(entries[2].name, "sift", {"keypoints": np.zeros(3)})
    Cache(store).store(entries[3].name, "sift", {})
    searches.clear()
    assert bits(read(strip, store)) == bits(first) and len(searches) == 4
    assert sum("made anew" in message for message in caplog.messages) == 4
    searches.clear()
    assert bits(read(strip, store)) == bits(first) and not searches


def test_blank_photos_are_remembered_and_unusable_ones_are_not(tmp_path: Path, searches: list[int]) -> None:
    Image.new("L", (64, 48)).save(tmp_path / "black.png")
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    readings = [PhotoFolder(tmp_path, cache=tmp_path / ".cache").read(16, 1) for _ in range(2)]
    assert readings[0].skipped == readings[1].skipped and len(readings[0].skipped) == 2
    assert len(searches) == 1 and len(list((tmp_path / ".cache" / "sift").iterdir())) == 1


# ---- kills -----------------------------------------------------------------------------------------------------------

# Imports everything in a first run, then forks a process per run: they take a tenth of a second each.
KILLER = """
import contextlib, os, random, signal, sys, shutil, time
from pathlib import Path
from mirror_sfm import cli, reading

reading.LONG_SIDE = 160  # a quick search
photos, folder, moments = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
rng = random.Random(int(sys.argv[4]))

def run():
    with contextlib.redirect_stdout(None):
        cli.app.app(["pairs", photos, "-o", str(folder / "out"), "--features", "64", "--threads", "2"])

def start(before=lambda: None):
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        before()
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1); os.dup2(devnull, 2)
        try:
            run()
        except SystemExit as end:
            os._exit(end.code or 0)
        except BaseException:
            os._exit(99)
        os._exit(0)
    return child

def finish(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def result():
    return [(folder / "out" / name).read_bytes() for name in ("pairs.txt", "scores.npz")]

def killed_in(where):
    # The file of a place in `Cache._write` is left behind as the kill leaves it.
    def before():
        rename, place = os.replace, iter(range(10**9))
        def replace(source, target):
            if ".cache" in str(target) and next(place) == where // 2:
                if where % 2:
                    rename(source, target)
                else:
                    os.truncate(source, os.path.getsize(source) // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            rename(source, target)
        os.replace = replace
    return before

with contextlib.suppress(SystemExit):
    run()
expected = result()
shutil.rmtree(folder / "out")
started = time.monotonic()
assert finish(start()) == 0
whole = time.monotonic() - started
assert result() == expected
kills = 0
for moment in range(moments):
    shutil.rmtree(folder / "out")
    if moment < 8:
        child = start(killed_in(moment))
    else:
        child = start()
        time.sleep(rng.uniform(0, whole))
        os.kill(child, rng.choice((signal.SIGKILL, signal.SIGINT)))
    kills += finish(child) != 0
    assert finish(start()) == 0, moment
    assert result() == expected, moment
    left = os.listdir(folder / "out" / ".cache" / "unfinished")
    assert not left, (moment, left)
print(kills)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("moments", [16, pytest.param(58, marks=pytest.mark.slow)])
def test_no_kill_changes_the_result(strip: Path, tmp_path: Path, moments: int) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(4):
        shutil.copy(strip / f"{number}.jpg", tmp_path / "photos")
    command = [sys.executable, "-c", KILLER, str(tmp_path / "photos"), str(tmp_path), str(moments), "3"]
    paths = os.pathsep.join((str(ROOT), str(ROOT / "python")))
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8


def test_an_interrupt_keeps_what_was_finished(strip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[str] = []
    original = Cache.store

    def third_time(self: Cache, key: str, kind: str, arrays: dict[str, np.ndarray]) -> None:
        original(self, key, kind, arrays)
        stored.append(key)
        if len(stored) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Cache, "store", third_time)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            PhotoFolder(strip, cache=tmp_path).read(64, 1)
            signal.sigtimedwait([], 1)  # the interrupt may come a moment after the last photo
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(list((tmp_path / "sift").iterdir())) >= 3


def test_the_log_names_nothing_when_all_is_well(strip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "mirror_sfm"):
        read(strip, tmp_path)
        read(strip, tmp_path)
    assert caplog.messages == []
