"""Puts a scene together: rows of photos that can be used, pairs of them, labels, masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.cache import digest
from mirror_sfm.dataset.format import SCENE, json_bytes, new_array, save_array, write_array
from mirror_sfm.dataset.parts import Part, linked
from mirror_sfm.dataset.sources import SceneOptions
from mirror_sfm.overlap.measured import MASK_SIDE, NONE, STRONG, WEAK, LabelOptions, Overlap


def write_overlap(out: Path, overlap: Overlap, options: LabelOptions) -> dict[str, Any]:
    """Its arrays, of masks those of pairs with a label."""
    write_array(out, "pairs", overlap.pairs)
    for measure, halves in overlap.halves.items():
        write_array(out, f"halves_{measure}", halves)
        write_array(out, f"seen_{measure}", overlap.seen[measure])
    if overlap.masks is not None:
        rows = np.flatnonzero(overlap.labels(options) != NONE)
        save_array(out / "labelled.npy", rows)
        masks = new_array(out, "masks", (len(rows), 2, MASK_SIDE, MASK_SIDE))
        for place, row in enumerate(rows):
            masks[place] = overlap.masks[row]
    if overlap.covered is not None:
        write_array(out, "covered", overlap.covered)
    return {"names": list(overlap.names), "measures": sorted(overlap.halves), "surface": overlap.surface}


def join(
    out: Path, name: str, unregistered: Sequence[str], photos: Part, overlap: Part, options: SceneOptions, key: str
) -> dict[str, Any]:
    """Writes all files of a scene from its parts.

    Args:
        unregistered: names of the photos without a pose.
        photos: what `squares.write_squares` made.
        overlap: what `write_overlap` wrote.
        key: of all the scene was made of.

    Returns:
        What scene.json holds.
    """
    names = [photo["name"] for photo in photos.about["photos"]]
    rows, kept, found = _of_photos(overlap, names)
    rules = options.labels_on(found.surface)
    labels = found.labels(rules)
    linked(photos.folder / "photos.npy", out / "photos.npy")
    write_array(out, "pairs", found.pairs)
    write_array(out, "overlap", found.combined(rules))
    write_array(out, "labels", labels)
    for measure, halves in found.halves.items():
        write_array(out, f"halves_{measure}", halves)
        write_array(out, f"seen_{measure}", found.seen[measure])
    masks, covered = overlap.folder / "masks.npy", overlap.folder / "covered.npy"
    if masks.is_file():
        _write_masks(out, masks, kept)
    if covered.is_file():
        write_array(out, "covered", np.load(covered)[rows >= 0])
    held_out = _held_out(name, names, options.holdout)
    trained = np.array([not held_out[a] and not held_out[b] for a, b in found.pairs], bool)
    strong, weak = (found.pairs[trained & (labels == label)] for label in (STRONG, WEAK))
    about = {
        "name": name,
        "surface": found.surface,
        "measures": list(found.halves),
        "has_masks": masks.is_file(),
        "has_covered": covered.is_file(),
        "pairs": {
            "strong": int((labels == STRONG).sum()),
            "weak": int((labels == WEAK).sum()),
            "neither": int((labels == NONE).sum()),
        },
        "anchors": len(np.intersect1d(strong, weak)),
        "photos": [photo | {"held_out": held_out[row]} for row, photo in enumerate(photos.about["photos"])],
        "unregistered": list(unregistered),
        "skipped": [{"name": skipped, "reason": reason} for skipped, reason in photos.about["skipped"]],
        "key": key,
    }
    (out / SCENE).write_bytes(json_bytes(about))
    return about


def _of_photos(overlap: Part, names: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_], Overlap]:
    """Row of every name of the overlap, -1 of photos that are not there; which pairs are of photos that are; and the
    overlap of these, without masks."""
    row = {name: place for place, name in enumerate(names)}
    rows = np.array([row.get(name, -1) for name in overlap.about["names"]], np.int64)
    pairs = rows[np.load(overlap.folder / "pairs.npy")].reshape(-1, 2)
    kept = np.asarray((pairs >= 0).all(axis=1))
    halves, seen = {}, {}
    for measure in overlap.about["measures"]:
        halves[measure] = np.load(overlap.folder / f"halves_{measure}.npy")[kept]
        seen[measure] = np.zeros(len(names))
        seen[measure][rows[rows >= 0]] = np.load(overlap.folder / f"seen_{measure}.npy")[rows >= 0]
    found = Overlap(tuple(names), pairs[kept].astype(np.int32), halves, seen, surface=overlap.about["surface"])
    return rows, kept, found


def _write_masks(out: Path, source: Path, kept: NDArray[np.bool_]) -> None:
    """masks.npy: the same file where every pair is kept, else the rows of those that are."""
    if kept.all():
        linked(source, out / "masks.npy")
        return
    stored = np.load(source, mmap_mode="r")
    rows = np.flatnonzero(kept[np.load(source.with_name("labelled.npy"))])
    masks = new_array(out, "masks", (len(rows), 2, MASK_SIDE, MASK_SIDE))
    for place, row in enumerate(rows):
        masks[place] = stored[row]


def _held_out(scene: str, names: Sequence[str], share: float) -> list[bool]:
    """A share of the photos, the same ones every time."""
    order = sorted(names, key=lambda name: digest("held out", scene, name))
    chosen = set(order[: round(share * len(names))])
    return [name in chosen for name in names]
