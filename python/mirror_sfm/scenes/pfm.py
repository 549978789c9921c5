"""PFM: floating-point maps, here of depth."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np

from mirror_sfm.scenes.files import broken, read_bytes, write_file

_HEADER = re.compile(rb"(P[fF])\s+(\d{1,9})\s+(\d{1,9})\s+(\S{1,32})\s")
_LONGEST = 128  # bytes of a header


def read_pfm(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a map.

    Returns:
        [height, width] float32, the top row first (files begin with the bottom row).

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is not a grey PFM, or not as long as its header says.
    """
    path = Path(path)
    content = read_bytes(path)
    width, height, order, start = _header(path, content)
    if len(content) - start != 4 * width * height:
        raise broken(
            path,
            f"byte {start}",
            f"expected {width} x {height} numbers of 4 bytes, found {len(content) - start} bytes",
        )
    values = np.frombuffer(content, f"{order}f4", offset=start).reshape(height, width)
    return np.ascontiguousarray(values[::-1], np.float32)


def pfm_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) of a map; its numbers are not read.

    Raises:
        UsageError, MirrorError: as `read_pfm`.
    """
    path = Path(path)
    return _header(path, read_bytes(path, _LONGEST))[:2]


def write_pfm(path: str | os.PathLike[str], values: np.ndarray) -> None:
    """Writes [height, width] as little-endian float32, scale -1.

    Raises:
        MirrorError: it cannot be written.
    """
    height, width = values.shape
    write_file(Path(path), b"Pf\n%d %d\n-1.0\n" % (width, height) + np.asarray(values, "<f4")[::-1].tobytes())


def _header(path: Path, content: bytes) -> tuple[int, int, str, int]:
    """Width, height, byte order, first byte of the numbers."""
    found = _HEADER.match(content[:_LONGEST])
    if not found:
        raise broken(path, "byte 0", "expected a PFM header: Pf, width, height, scale")
    kind, width, height, scale = found.groups()
    if kind != b"Pf":
        raise broken(path, "byte 0", "expected one channel (Pf), found three (PF)")
    try:
        factor = float(scale)
    except ValueError:
        factor = math.nan
    if not math.isfinite(factor) or factor == 0:
        raise broken(path, f"byte {found.start(4)}", "expected a scale: negative for little-endian, else positive")
    if int(width) < 1 or int(height) < 1:
        raise broken(path, f"byte {found.start(2)}", "expected a width and a height of at least 1")
    return int(width), int(height), "<" if factor < 0 else ">", found.end()
