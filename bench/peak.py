"""The processor's own limit: Gop/s of its multipliers from registers alone, by kind and number of threads."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Which of the kinds in peak.cpp bounds an op at a level of instructions; "": none is known.
BYTES = {"portable": "", "avx2": "bytes_avx2", "avx512": "bytes_avx512", "amx": "bytes_amx"}
FLOATS = {"portable": "", "avx2": "fma_avx2", "avx512": "fma_avx512", "amx": "fma_avx512"}
BF16 = {"portable": "", "avx2": "", "avx512": "bf16_avx512", "amx": "bf16_amx"}
FLAGS = {"fma_avx2": "fma", "bytes_avx2": "avx2", "fma_avx512": "avx512f", "bytes_avx512": "avx512_vnni",
         "bf16_avx512": "avx512_bf16", "bytes_amx": "amx_int8", "bf16_amx": "amx_bf16"}  # fmt: skip


def limit(kinds: dict[str, str], level: str) -> str:
    """The kind that bounds a level, "" where this processor lacks the instruction."""
    kind = kinds[level]
    return kind if kind and FLAGS[kind] in cpu_flags() else ""


@functools.cache
def library() -> ctypes.CDLL:
    folder = Path(tempfile.mkdtemp(prefix="mirror-peak-"))
    source = Path(__file__).with_name("peak.cpp")
    subprocess.run(["c++", "-O2", "-shared", "-fPIC", "-o", folder / "peak.so", source], check=True)
    peak = ctypes.CDLL(str(folder / "peak.so"))
    peak.peak_run.restype = ctypes.c_double
    peak.peak_run.argtypes = [ctypes.c_char_p, ctypes.c_int64]
    if "amx_tile" in cpu_flags() and peak.peak_permission() != 0:
        raise OSError("the kernel refuses the tile registers (arch_prctl)")
    return peak


def cpu_flags() -> set[str]:
    """Instruction sets as Linux names them; empty on other processors than x86."""
    return set(cpu_info("flags").split())


def cpu_info(field: str) -> str:
    """What Linux says of the first processor; empty where it says nothing."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")


def one_thread(kind: str, rounds: int) -> tuple[float, float]:
    """Operations done, and the processor time they took."""
    start = time.thread_time()
    operations = library().peak_run(kind.encode(), rounds)  # ctypes lets go of the interpreter's lock
    return operations, max(time.thread_time() - start, 1e-9)


@functools.cache
def rounds_of(kind: str, seconds: float) -> int:
    """How many rounds take about `seconds`."""
    rounds = 1000
    while True:
        operations, taken = one_thread(kind, rounds)
        if operations < 0:
            raise ValueError(f"peak: unknown kind {kind!r}")
        if taken > seconds / 4:
            return int(rounds * seconds / taken)
        rounds *= 4


def peak_gops(kind: str, threads: int, seconds: float = 0.03) -> float:
    """Gop/s (multiplications and additions) of `threads` threads together. Waiting for a processor does not count."""
    rounds = rounds_of(kind, seconds)
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(one_thread, [kind] * threads, [rounds] * threads)
        return sum(operations / taken for operations, taken in parts) / 1e9


if __name__ == "__main__":
    for name, flag in FLAGS.items():
        if flag in cpu_flags():
            print(f"{name:14s} 1 thread {peak_gops(name, 1):8.0f}   2 threads {peak_gops(name, 2):8.0f} Gop/s")
