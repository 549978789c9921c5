"""Vocabularies and embeddings on disk: NumPy archives that name what they hold and in which version."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.exports.files import complete_file
from mirror_sfm.photos import shown

# What damaged bytes raise in zipfile and NumPy.
_DAMAGES = (ValueError, KeyError, EOFError, RuntimeError, OverflowError, MemoryError, struct.error, zlib.error)


def write(path: str | os.PathLike[str], kind: str, version: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes `arrays` with the kind and the version of what they are. The same arrays give the same bytes."""
    named = {"kind": np.array(kind), "version": np.array(version, "<i4"), **arrays}
    with complete_file(Path(path)) as file:
        np.savez_compressed(file, **named)  # type: ignore[arg-type]


def read(
    path: str | os.PathLike[str], kind: str, version: int, layout: Mapping[str, tuple[str, int]]
) -> dict[str, NDArray[Any]]:
    """Reads what `write` wrote.

    Args:
        path: the file.
        kind: what it should hold.
        version: the one that is understood.
        layout: type and number of dimensions of each array, as {"centroids": ("|u1", 2)}.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is damaged, or holds something else, or is of another version.
    """
    file = shown(str(path))
    try:
        held = np.load(path, allow_pickle=False)
        if not isinstance(held, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        with held:
            found = {name: held[name] for name in held.files}
    except OSError as error:
        raise UsageError(f"{file}: cannot read the {kind}: {error.strerror or 'damaged file'}") from error
    except (*_DAMAGES, zipfile.BadZipFile) as error:
        raise MirrorError(f"{file}: damaged, or no {kind}: make it again") from error
    if str(found.get("kind")) != kind:
        raise MirrorError(f"{file}: holds no {kind}: make it again")
    if str(found.get("version")) != str(version):
        raise MirrorError(
            f"{file}: {kind} of version {shown(str(found.get('version')))}, expected {version}: make it again"
        )
    for name, (dtype, dimensions) in layout.items():
        if name not in found or found[name].dtype != np.dtype(dtype) or found[name].ndim != dimensions:
            raise MirrorError(f"{file}: {name}: expected {dimensions} dimensions of {dtype}: make it again")
    return {name: found[name] for name in layout}
