"""GL3D: overlap masks (`geolabel/mask.bin`) and MIRorR's list of training triplets with masks.

Records of `mask.bin` have a key of 8 bytes and two masks of side^2 bytes of 0 or 1, the first on the first photo.
Nothing in the file says what side and what key: version 1 has 14 and one uint64 `first * 2147483647 + second`; version
2, as its own reader decodes it, 32 and two int32.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mirror_sfm.scenes.files import Cursor, broken, read_bytes, write_file

HASH = (1 << 31) - 1  # of the pair (i, j): i * HASH + j
SIDES = (32, 64, 14, 28)  # in the order in which they are tried
KEYS = ("int32", "uint64")


@dataclass(frozen=True)
class GL3DMasks:
    """The masks of a scene.

    Attributes:
        pairs: [P, 2] int64 indices of photos, first <= second.
        masks: [P, 2, side, side] uint8, 0 or 1: on the first photo what the second sees too, and the reverse.
        key: how pairs are written: "int32" (two of them) or "uint64" (hashed).
    """

    pairs: np.ndarray
    masks: np.ndarray
    key: str = "int32"

    @property
    def side(self) -> int:
        """Cells along a side of a mask."""
        return self.masks.shape[-1]


def read_masks(path: str | os.PathLike[str], images: int, sides: Sequence[int] = SIDES) -> GL3DMasks:
    """Reads `mask.bin`: the first side is taken with which every payload byte is 0 or 1 and every key names two images.

    Args:
        images: how many the scene has; indices are below it.
        sides: to be tried, in this order.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: no side fits.
    """
    path = Path(path)
    content = np.frombuffer(read_bytes(path), np.uint8)
    reasons = []
    for side in sides:
        record = 8 + 2 * side * side
        if len(content) % record:
            reasons.append(f"{side}: {len(content)} bytes are not whole records of {record}")
            continue
        records = content.reshape(-1, record)
        wrong = np.flatnonzero((records[:, 8:] > 1).any(axis=1))
        if len(wrong):
            place = wrong[0] * record + 8 + int(np.argmax(records[wrong[0], 8:] > 1))
            reasons.append(f"{side}: byte {place} is neither 0 nor 1")
            continue
        keys = np.ascontiguousarray(records[:, :8])
        for key in KEYS:
            pairs = _pairs(keys, key)
            if ((pairs >= 0) & (pairs < images)).all() and (pairs[:, 0] <= pairs[:, 1]).all():
                return GL3DMasks(pairs, records[:, 8:].reshape(-1, 2, side, side), key)
        reasons.append(f"{side}: keys that name no two of {images} images")
    raise broken(path, "byte 0", f"expected masks of a known side ({'; '.join(reasons)})")


def write_masks(path: str | os.PathLike[str], masks: GL3DMasks) -> None:
    """Writes `mask.bin`.

    Raises:
        MirrorError: it cannot be written.
    """
    count = len(masks.pairs)
    if masks.key == "int32":
        keys = np.asarray(masks.pairs, "<i4").reshape(count, 2).view(np.uint8)
    else:
        first, second = np.asarray(masks.pairs, np.uint64).reshape(count, 2).T
        keys = (first * np.uint64(HASH) + second).astype("<u8")[:, None].view(np.uint8)
    payload = np.asarray(masks.masks, np.uint8).reshape(count, -1)
    write_file(Path(path), np.concatenate([keys.reshape(count, 8), payload], axis=1).tobytes())


def _pairs(keys: np.ndarray, key: str) -> np.ndarray:
    """[P, 2] int64 of keys [P, 8] uint8; -1 where a hash is too large."""
    if key == "int32":
        return keys.view("<i4").reshape(-1, 2).astype(np.int64)
    hashes = keys.view("<u8").reshape(-1)
    pairs = np.stack([hashes // np.uint64(HASH), hashes % np.uint64(HASH)], axis=1)
    return np.where(pairs < HASH, pairs, np.uint64(HASH)).astype(np.int64) - np.where(pairs < HASH, 0, HASH + 1)


def filled(masks: np.ndarray) -> np.ndarray:
    """Masks [..., side, side] with their holes filled: GL3D's own were splatted and are sparse."""
    from scipy.ndimage import binary_fill_holes

    flat = masks.reshape(-1, *masks.shape[-2:])
    out = [binary_fill_holes(mask) for mask in flat]
    return np.array(out, np.uint8).reshape(masks.shape)


@dataclass(frozen=True)
class TrainingPhoto:
    """An anchor of `train_list_with_mask.bin` and its partners; indices are global.

    Attributes:
        reference: index of the anchor.
        positives: [n] int32, strong positives.
        weak: [m] int32: what the file's format calls negatives and training uses as weak positives.
        masks: [n, 2, 14, 14] uint8, 0 or 1: on the anchor, on the positive.
    """

    reference: int
    positives: np.ndarray
    weak: np.ndarray
    masks: np.ndarray


def read_training_list(path: str | os.PathLike[str]) -> list[list[TrainingPhoto]]:
    """Reads `train_list_with_mask.bin`: a list of anchors for each scene.

    Raises:
        UsageError: the file cannot be read.
        MirrorError: it is broken.
    """
    cursor = Cursor(Path(path))
    scenes = [
        [_training_photo(cursor) for _ in range(_count(cursor, 12, "images of a scene"))]
        for _ in range(_count(cursor, 4, "scenes"))
    ]
    if cursor.left:
        raise cursor.broken(f"expected the end, {cursor.left} bytes follow")
    return scenes


def write_training_list(path: str | os.PathLike[str], scenes: Sequence[Sequence[TrainingPhoto]]) -> None:
    """Writes `train_list_with_mask.bin`.

    Raises:
        MirrorError: it cannot be written.
    """
    parts = [np.array([len(scenes)], "<i4").tobytes()]
    for photos in scenes:
        parts.append(np.array([len(photos)], "<i4").tobytes())
        for photo in photos:
            head = [photo.reference, len(photo.positives), *photo.positives, len(photo.weak), *photo.weak]
            parts.append(np.array(head, "<i4").tobytes())
            parts.append(np.asarray(photo.masks, np.uint8).tobytes())
    write_file(Path(path), b"".join(parts))


def _count(cursor: Cursor, least: int, what: str) -> int:
    """A number of things that take at least `least` bytes each."""
    start, count = cursor.at, cursor.one("<i4", f"number of {what}")
    if not 0 <= count * least <= cursor.left:
        raise cursor.broken(f"expected a number of {what}, found {count} and {cursor.left} bytes after it", start)
    return count


def _training_photo(cursor: Cursor) -> TrainingPhoto:
    reference = cursor.one("<i4", "index of an image")
    positives = cursor.take("<i4", _count(cursor, 4 + 392, "positives"), "positives")
    weak = cursor.take("<i4", _count(cursor, 4, "negatives"), "negatives")
    start = cursor.at
    masks = cursor.take(np.uint8, 392 * len(positives), "bytes of masks")
    if (masks > 1).any():
        raise cursor.broken("expected 0 or 1, a cell of a mask", start + int(np.argmax(masks > 1)))
    return TrainingPhoto(reference, positives, weak, masks.reshape(-1, 2, 14, 14))
