"""Data sets on disk: opened without being read, and checked."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_dataset import blocks, write_index, write_scene

from mirror_sfm.dataset.format import FORMAT, open_dataset
from mirror_sfm.errors import MirrorError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (4, 56, 56, 3), np.uint8)
    masks = np.stack([[blocks(rng), blocks(rng)] for _ in range(2)])
    write_scene(tmp_path, "hill", photos, [(0, 1, 0.6), (0, 2, 0.1), (1, 3, 0.3)], masks, held_out=(3,))
    write_scene(tmp_path, "void", photos[:0], [])
    write_index(tmp_path, 56, ["hill", "void"])
    return tmp_path


def test_arrays_are_mapped_and_read_only(folder: Path) -> None:
    dataset = open_dataset(folder)
    hill, void = dataset
    assert dataset.size == 56 and len(dataset) == 2 and hill.photos == ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
    assert set(hill.arrays) == {"photos", "pairs", "overlap", "labels", "masks", "halves_triangles", "seen_triangles"}
    for name in hill.arrays:
        assert isinstance(hill.array(name), np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            hill.array(name)[:] = 0
    assert hill.labelled == 2 and hill.held_out.tolist() == [False, False, False, True]
    assert void.array("photos").shape == (0, 56, 56, 3)
    with pytest.raises(KeyError, match="has no array 'masks'"):
        void.array("masks")


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "dataset.json").unlink(), "no data set in"),
        (lambda f: change(f / "dataset.json", format=FORMAT + 1), r"dataset.json has format 2, .* upgrade mirror-sfm"),
        (lambda f: change(f / "hill" / "scene.json", format=0), "has format 0, .* build it again"),
        (lambda f: (f / "dataset.json").write_text("[]"), "dataset.json is damaged: no format in it"),
        (lambda f: (f / "dataset.json").write_text("{" * 99999), "dataset.json is damaged"),
        (lambda f: change(f / "dataset.json", scenes=["../hill"]), "dataset.json is damaged: a size below 1, or"),
        (lambda f: change(f / "dataset.json", scenes=[".."]), "dataset.json is damaged: a size below 1, or"),
        (
            lambda f: change(f / "dataset.json", scenes=["hill", "hill"]),
            "dataset.json is damaged: scenes: expected a list",
        ),
        (lambda f: change(f / "dataset.json", scenes="h"), "dataset.json is damaged: scenes: expected a list"),
        (lambda f: change(f / "dataset.json", settings={}), "dataset.json is damaged: no 'size'"),
        (lambda f: change(f / "dataset.json", settings={"size": 64}), r"photos.npy is damaged: expected \|u1 \[4, 64"),
        (lambda f: change(f / "hill" / "scene.json", photos=[{}]), "scene.json is damaged: no 'name'"),
        (lambda f: change(f / "hill" / "scene.json", photos=7), "scene.json is damaged"),
        (lambda f: change(f / "hill" / "scene.json", measures=["miles"]), "scene.json is damaged: measures must be"),
        (lambda f: change(f / "hill" / "scene.json", pairs={"strong": 2, "weak": 1, "neither": 0}), "masks.npy is dam"),
        (lambda f: (f / "hill" / "pairs.npy").unlink(), "cannot read .*pairs.npy: No such file"),
        (lambda f: np.save(f / "hill" / "pairs.npy", np.zeros((3, 2))), r"pairs.npy is damaged: expected <i4 \[3, 2\]"),
        (lambda f: np.save(f / "hill" / "pairs.npy", np.zeros((3, 2), "<i4", "F")), "by columns"),
        (lambda f: (f / "hill" / "labels.npy").write_bytes(b"\x93NUMPY\1\0\5\0{{{{{"), "not a NumPy file"),
        (lambda f: cut(f / "hill" / "photos.npy"), "photos.npy is damaged: 37631 bytes of data"),
        (lambda f: shutil.rmtree(f / "void"), "cannot read .*scene.json"),
    ],
)
def test_damage_is_one_line_naming_the_file(folder: Path, damage, message: str) -> None:
    open_dataset(folder)
    damage(folder)
    with pytest.raises((MirrorError, UsageError), match=message) as error:
        open_dataset(folder)
    assert "\n" not in str(error.value)


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from mirror_sfm.dataset.format import new_array, write_array
from mirror_sfm.errors import MirrorError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))
whole = new_array(Path(sys.argv[1]), "photos", (2, 64, 64, 3))
whole[:] = 7
for write, size in (new_array, (10000, 2, 56, 56)), (write_array, np.zeros(3 << 20)):
    try:
        write(Path(sys.argv[1]), "masks" if write is new_array else "overlap", size)
    except MirrorError as error:
        print(error)
"""


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="files are not reserved here")
def test_a_full_disk_is_an_error_and_no_signal(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", FULL, str(tmp_path)]
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": paths})
    first, second = done.stdout.splitlines()
    assert first == f"cannot write {tmp_path}/masks.npy: File too large"
    assert second.startswith(f"cannot write {tmp_path}/overlap.npy: ")
    assert (np.load(tmp_path / "photos.npy") == 7).all()
