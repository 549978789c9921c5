"""The package itself: imports, what it says about its build, and which symbols its libraries use."""

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import inputs
import numpy as np
import pytest
import torch

import mirror_ext
import mirror_ext.numpy as ops

ROOT = Path(mirror_ext.__file__).resolve().parents[1]

#: What makes `import torch` fail as if it were not installed.
WITHOUT_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Blocker())
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs code in a fresh interpreter, from the root of the repository."""
    return subprocess.run(
        [sys.executable, *arguments, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )


def test_import_is_silent_quick_and_light():
    code = "import sys; before = set(sys.modules); import mirror_ext; print(*sorted(set(sys.modules) - before))"
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        result = python(code, "-W", "error")
        seconds.append(time.perf_counter() - start)
        assert result.stderr == "" and "mirror_ext" in result.stdout.split()
        assert not {"torch", "numpy"} & set(result.stdout.split())
    bare = time.perf_counter()
    python("pass")
    bare = time.perf_counter() - bare
    assert min(seconds) - bare < 0.3


def test_numpy_twins_do_not_import_torch():
    python(
        "import sys, numpy, mirror_ext.numpy as ops\n"
        "assert ops.match_kernel(numpy.ones((2, 3, 128), numpy.uint8)).shape == (2, 2)\n"
        "assert 'torch' not in sys.modules"
    )


def test_without_torch():
    """NumPy twins, reference and build_info work; a torch op says what is missing."""
    code = WITHOUT_TORCH + (
        "import numpy, mirror_ext, mirror_ext.numpy as ops\n"
        "d = numpy.arange(3 * 5 * 128, dtype=numpy.uint8).reshape(3, 5, 128) % 101\n"
        "assert (ops.match_kernel(d) == mirror_ext.reference.match_kernel(d)).all()\n"
        "assert mirror_ext.build_info()['loaded']['numpy'] is True\n"
        "try:\n"
        "    mirror_ext.pr_mac\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    expected = "No module named 'torch': the torch ops of mirror_ext need torch >= 2.10 (mirror_ext.numpy needs none)"
    assert python(code).stdout.strip() == expected


def test_a_library_that_does_not_load_says_why(tmp_path):
    """The real line of the dynamic linker comes first."""
    package = tmp_path / "mirror_ext"
    package.mkdir()
    for file in Path(mirror_ext.__file__).parent.glob("*.py"):
        (package / file.name).write_text(file.read_text())
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import mirror_ext\n"
        "try:\n"
        "    mirror_ext.pr_mac\n"
        "except ImportError as error:\n"
        "    print(error)\n"
        "print(mirror_ext.build_info()['loaded']['torch'])\n"
    )
    missing = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert missing.splitlines()[0].startswith("no _C.so in mirror_ext: the torch ops of mirror_ext are not built")
    (package / "_C.so").write_bytes(b"not a library, but long enough to have a header" * 9)
    broken = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    first, second, state = broken.splitlines()
    assert first == state and first.endswith("_C.so: invalid ELF header")
    assert second.startswith("mirror_ext cannot load its torch ops")


def test_arrays_are_not_tensors():
    d = np.zeros((2, 2, 128), np.uint8)
    message = r"^{}: {}: expected a tensor, got ndarray \(mirror_ext.numpy takes NumPy arrays\)$"
    with pytest.raises(TypeError, match=message.format("match_kernel", "descriptors")):
        mirror_ext.match_kernel(d)
    with pytest.raises(TypeError, match=message.format("mutual_matches", "pairs")):
        mirror_ext.mutual_matches(torch.from_numpy(d), pairs=np.zeros((0, 2), np.int64))
    with pytest.raises(TypeError, match=message.format("pr_mac", "target")):
        mirror_ext.pr_mac(torch.zeros(2, 2, 2), np.zeros((2, 2, 2), np.float32))


def test_names():
    assert set(mirror_ext.__all__) <= set(dir(mirror_ext))
    for name in mirror_ext.__all__:
        assert getattr(mirror_ext, name) is not None
    with pytest.raises(AttributeError, match=r"module 'mirror_ext' has no attribute 'absent'"):
        _ = mirror_ext.absent
    same = {"match_kernel", "mutual_matches", "similarity_support", "pr_mac", "pr_mac_topk", "pr_mac_rerank"}
    same |= {"region_max_pool", "masked_max_pool", "rasterize", "rasterize_visible"}
    same |= {"visible_triangles", "shared_triangles", "overlap_masks", "morton_order"}
    assert set(ops.__all__) == set(mirror_ext.reference.__all__) == same


def test_twins_have_the_same_signatures():
    import inspect

    def shape(function, without=()):
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters if p.name not in without]

    for name in ops.__all__:
        expected = shape(getattr(mirror_ext, name))
        assert shape(getattr(ops, name), without=("num_threads",)) == expected, name
        assert shape(getattr(mirror_ext.reference, name)) == expected, name
        assert getattr(mirror_ext, name).__doc__.count("Args:") == 1
        assert getattr(mirror_ext, name).__doc__.count("Returns:") == 1


def test_versions_agree():
    written = {
        "pyproject.toml": r'(?m)^version = "(.*)"',
        "CMakeLists.txt": r"project\(mirror VERSION ([0-9.]+)",
    }
    for file, pattern in written.items():
        assert re.search(pattern, (ROOT / file).read_text())[1] == mirror_ext.__version__, file
    assert mirror_ext.build_info()["version"] == mirror_ext.__version__


def test_build_info():
    info = mirror_ext.build_info()
    json.dumps(info)
    assert info["parts"].keys() == info["loaded"].keys() == {"numpy", "torch", "cuda"}
    assert info["loaded"]["numpy"] is True and info["parts"]["numpy"].startswith("built")
    assert info["isa_levels"][0] == "portable" and info["isa_levels"][-1] == info["isa"]
    for level in info["isa_levels"]:
        with inputs.isa(level):
            assert mirror_ext.build_info()["isa_selected"] == level
            assert torch.ops.mirror.isa_selected() == level
    assert torch.ops.mirror.isa_available() == info["isa"]
    assert (Path(mirror_ext.cmake_prefix_path) / "lib/cmake/mirror/mirrorConfig.cmake").is_file()


def test_an_unknown_level_is_an_error():
    d = np.zeros((2, 2, 128), np.uint8)
    with inputs.isa("sse9"):
        message = r"^MIRROR_ISA=sse9: expected portable, avx2, avx512 or amx$"
        with pytest.raises(ValueError, match=message):
            ops.match_kernel(d)
        with pytest.raises(ValueError, match=message):
            mirror_ext.match_kernel(torch.from_numpy(d))
        assert re.match(message, mirror_ext.build_info()["isa_selected"])


def test_command_line():
    result = subprocess.run([sys.executable, "-m", "mirror_ext"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert result.stderr == "" and len(lines) == 5
    assert [line.split()[0] for line in lines] == ["mirror_ext", "numpy", "torch", "cuda", "isa"]
    assert lines[1].endswith("; loaded") and lines[2].endswith("; loaded")


def test_python_goes_on_meanwhile():
    """Python's lock is released: another thread counts while one long call runs on this thread."""
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(1e-3)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for photos in (8, 16, 32, 64, 128):  # until one call takes long enough to tell
            d = inputs.descriptors(photos, 500, seed=1, kind="uniform")
            start, before = time.perf_counter(), counted[0]
            with inputs.isa("portable"):
                ops.match_kernel(d, num_threads=1)
            during, seconds = counted[0] - before, time.perf_counter() - start
            if seconds > 0.3:
                break
    finally:
        stop.set()
        thread.join()
    assert during > seconds * 20


def test_calls_from_many_threads():
    """The ops share nothing: each thread gets its own right answer."""
    cases = [inputs.descriptors(6, 80, seed=s) for s in range(8)]
    expected = [ops.match_kernel(d) for d in cases]
    found = [None] * len(cases)

    def run(i):
        for _ in range(5):
            found[i] = ops.match_kernel(cases[i], num_threads=2)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(inputs.same_bits(a, b) for a, b in zip(found, expected, strict=True))


# ---- symbols ---------------------------------------------------------------------------------------------------------


def nm(library: Path, *options: str) -> set[str]:
    out = subprocess.run(["nm", "-D", "-C", *options, library], capture_output=True, text=True, check=True).stdout
    return {line.split(maxsplit=2 if line[0] != " " else 1)[-1] for line in out.splitlines()}


@pytest.mark.parametrize("name", ("_C", "_C_cuda"))
def test_torch_libraries_use_only_the_stable_interface(name):
    library = Path(mirror_ext.__file__).parent / f"{name}.so"
    if not library.is_file():
        assert name != "_C", "_C.so is not built"
        pytest.skip(f"{name}.so is not built")
    needed = nm(library, "--undefined-only")
    stable = {s for s in needed if re.fullmatch(r"(aoti_)?torch_[a-z0-9_]+", s)}
    assert "torch_get_num_threads" in stable or name == "_C_cuda"
    # The rest comes from the C and C++ libraries: versioned names, the std namespace, and the compiler's own.
    own = re.compile(
        r".*@(GLIBC|GLIBCXX|CXXABI|GCC)_[0-9.]+$|.*\bstd::|(vtable|typeinfo) |operator |_ITM_|__gmon_start__"
    )
    assert {s for s in needed - stable if not own.match(s)} == set()


@pytest.mark.parametrize("pattern", ("_C.so", "_numpy*.so"))
def test_libraries_export_nothing_of_their_own(pattern):
    """Two copies of the core in one process (ours, a guest's) must never call each other."""
    (library,) = Path(mirror_ext.__file__).parent.glob(pattern)
    assert not {s for s in nm(library, "--defined-only") if "mirror::" in s}
