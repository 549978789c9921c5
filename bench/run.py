"""`make bench`: measures every op at each level of instructions, each level in a process of its own, then sums up.

    python bench/run.py [--full] [--levels avx512,avx2] [match_kernel pr_mac pooling rasterize overlap pairs]

Every process starts without the OPENBLAS_* variables that some machines set (they slow NumPy down). At a level below
the machine's best the peers are held to that level too, so that like is compared with like.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from peak import cpu_flags

HERE = Path(__file__).resolve().parent
# Every library has its own way to be told; on some processors MKL does not listen (README.md).
AVX2_ONLY = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "FAISS_OPT_LEVEL": "avx2",
}
AVX512_ONLY = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}


def levels_of_this_machine() -> list[str]:
    """Highest first."""
    flags = cpu_flags()
    found = []
    if {"amx_tile", "amx_int8", "amx_bf16"} <= flags:
        found.append("amx")
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"} <= flags:
        found.append("avx512")
    if {"avx2", "fma", "f16c"} <= flags:
        found.append("avx2")
    return found or ["portable"]


def environment(level: str, best: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    limits = {} if level == best else {"avx2": AVX2_ONLY, "avx512": AVX512_ONLY}.get(level, {})
    return {**clean, **limits, "MIRROR_ISA": level}


def main() -> int:
    best, *lower = levels_of_this_machine()
    parser = argparse.ArgumentParser(description="Measures mirror_ext and its peers.")
    everything = ["match_kernel", "pr_mac", "pooling", "rasterize", "overlap", "pairs"]
    parser.add_argument("ops", nargs="*", default=everything)
    parser.add_argument("--levels", default=",".join([best, *lower]), help="of %(default)s")
    parser.add_argument("--full", action="store_true", help="workloads at full size")
    parser.add_argument("--results", default=str(HERE / "results"))
    arguments = parser.parse_args()
    failed = 0
    for level in arguments.levels.split(","):
        for op in arguments.ops:
            if op == "pairs" and level != best:
                continue  # the whole job is measured once, as it is used
            command = [sys.executable, "-m", "pytest", "-q", f"bench_{op}.py", "--results", arguments.results]
            command += ["--full"] if arguments.full else []
            failed |= subprocess.run(command, cwd=HERE, env=environment(level, best)).returncode
    subprocess.run([sys.executable, HERE / "summary.py", arguments.results], check=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
