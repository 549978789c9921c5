"""Overlap on disk: a NumPy archive that holds all of it, and a table for people and other programs."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.exports.files import complete_file
from mirror_sfm.overlap.measured import MASK_SIDE, MEASURES, LabelOptions, Overlap
from mirror_sfm.photos import shown

VERSION = 1
LABELS = ("none", "weak", "strong")
_SURFACES = ("", "mesh", "sparse points", "depth")


def save_overlap(path: str | os.PathLike[str], overlap: Overlap) -> None:
    """Writes a compressed archive: `about` (JSON: format, version, names, measures, surface), `pairs`, `halves_*`,
    `seen_*`, and the masks of the pairs that have any (`masked`, rows of pairs, and `masks`), `covered`.

    The same overlap gives the same bytes.

    Raises:
        MirrorError: it cannot be written.
    """
    measures = [measure for measure in MEASURES if measure in overlap.halves]
    about = {"format": "mirror-sfm overlap", "version": VERSION, "names": overlap.names, "measures": measures}
    arrays: dict[str, NDArray[Any]] = {
        "about": np.frombuffer(json.dumps(about | {"surface": overlap.surface}).encode(), np.uint8),
        "pairs": overlap.pairs.astype("<i4"),
    }
    for measure in measures:
        arrays[f"halves_{measure}"] = overlap.halves[measure].astype("<f8")
        arrays[f"seen_{measure}"] = overlap.seen[measure].astype("<f8")
    if overlap.masks is not None:
        masked = np.flatnonzero(overlap.masks.any((1, 2, 3)))
        arrays |= {"masked": masked.astype("<i8"), "masks": overlap.masks[masked]}
    if overlap.covered is not None:
        arrays["covered"] = overlap.covered
    with complete_file(Path(path)) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_overlap(path: str | os.PathLike[str]) -> Overlap:
    """Reads what `save_overlap` wrote.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is damaged, or of another version.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("no archive")
            return _overlap(path, {name: archive[name] for name in archive.files})
    except OSError as error:
        raise UsageError(f"cannot read {shown(str(path))}: {error.strerror or 'damaged'}") from error
    except (
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        MemoryError,
        OverflowError,
        NotImplementedError,  # of zipfile: a version or a compression it does not know
    ) as error:
        raise MirrorError(
            f"{shown(str(path))} is not a whole file of overlap ({shown(str(error)[:80])}); measure again"
        ) from error


def write_table(
    path: str | os.PathLike[str], overlap: Overlap, measure: str, options: LabelOptions | None = None
) -> None:
    """Writes a table of the pairs that share anything: image_a, image_b, overlap_a_to_b, overlap_b_to_a (of `measure`),
    then every measure in both directions, combined overlap and label. `mirror-sfm evaluate` reads it.

    Raises:
        MirrorError: it cannot be written.
    """
    measures = [name for name in MEASURES if name in overlap.halves]
    header = ["image_a", "image_b", "overlap_a_to_b", "overlap_b_to_a"]
    header += [f"{name}_{way}" for name in measures for way in ("a_to_b", "b_to_a")]
    values = np.hstack([overlap.halves[measure], *(overlap.halves[name] for name in measures)])
    combined, labels = overlap.combined(options), overlap.labels(options)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*header, "combined", "label"])
    for k, (i, j) in enumerate(overlap.pairs.tolist()):
        row = [overlap.names[i], overlap.names[j], *(f"{value:.6f}" for value in values[k])]
        table.writerow([*row, f"{combined[k]:.6f}", LABELS[labels[k]]])
    with complete_file(Path(path)) as file:
        file.write(text.getvalue().encode("utf-8"))


def _overlap(path: Path, arrays: dict[str, NDArray[Any]]) -> Overlap:
    about = json.loads(arrays["about"].tobytes())
    if about["format"] != "mirror-sfm overlap":
        raise ValueError("of another format")
    if about["version"] != VERSION:
        raise MirrorError(
            f"{shown(str(path))} has version {about['version']} of the format, expected {VERSION}; measure again"
        )
    names, measures, surface = tuple(about["names"]), about["measures"], about["surface"]
    pairs = _expect(arrays["pairs"], np.int32, (None, 2))
    count, rows = len(names), len(pairs)
    known = all(isinstance(name, str) for name in names) and set(measures) <= set(MEASURES) and surface in _SURFACES
    keys = pairs[:, 0].astype(np.int64) * count + pairs[:, 1]
    if not known or list(names) != sorted(set(names)):
        raise ValueError("names")
    if rows and (
        pairs.min() < 0 or pairs.max() >= count or (pairs[:, 0] >= pairs[:, 1]).any() or (np.diff(keys) <= 0).any()
    ):
        raise ValueError("pairs")
    halves = {measure: _expect(arrays[f"halves_{measure}"], np.float64, (rows, 2)) for measure in measures}
    seen = {measure: _expect(arrays[f"seen_{measure}"], np.float64, (count,)) for measure in measures}
    if not all(((half >= 0) & (half <= 1)).all() for half in halves.values()):
        raise ValueError("shares")
    if not all(((amount >= 0) & np.isfinite(amount)).all() for amount in seen.values()):
        raise ValueError("amounts")
    masks = covered = None
    if "masks" in arrays:
        masked = _expect(arrays["masked"], np.int64, (None,))
        if len(masked) and (masked.min() < 0 or masked.max() >= rows or (np.diff(masked) <= 0).any()):
            raise ValueError("masked")
        masks = np.zeros((rows, 2, MASK_SIDE, MASK_SIDE), np.uint8)
        masks[masked] = _expect(arrays["masks"], np.uint8, (len(masked), 2, MASK_SIDE, MASK_SIDE))
    if "covered" in arrays:
        covered = _expect(arrays["covered"], np.uint8, (count, MASK_SIDE, MASK_SIDE))
    return Overlap(names, pairs, halves, seen, masks, covered, surface)


def _expect(values: NDArray[Any], kind: type[np.generic], shape: tuple[int | None, ...]) -> NDArray[Any]:
    if values.dtype != kind or values.ndim != len(shape):
        raise ValueError(f"{values.dtype} {values.shape}")
    if any(want is not None and want != have for want, have in zip(shape, values.shape, strict=True)):
        raise ValueError(f"{values.shape}")
    return values
