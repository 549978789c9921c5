"""Features of photo files: read, decoded and searched in parallel, each photo's result kept in a cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.cache import Cache, digest
from mirror_sfm.features import CONTRAST, LONG_SIDE, PhotoFeatures, Reading, extract, stack
from mirror_sfm.masks import MaskFile, Masks
from mirror_sfm.photos import Photo, Skipped, UnusablePhoto, decode, large_photos_allowed, read_file
from mirror_sfm.threads import Result, parallel

VERSION = 1  # of what happens between a file and its features: raise it when the same file gives other features
_KIND = "sift"
_log = logging.getLogger("mirror_sfm")


def read_features(
    photos: Sequence[Photo],
    count: int,
    threads: int,
    progress: bool = False,
    masks: Masks | None = None,
    cache: Cache | None = None,
) -> Reading:
    """Decodes photos and finds their features, photo by photo in parallel.

    The result depends neither on `threads` nor on what the cache holds.

    Raises:
        MirrorError: no mask belongs to a photo, or the cache cannot be read or written.
    """
    if masks is not None:
        masks.tell_missing([photo.name for photo in photos])
    read = partial(_read, count=count, masks=masks, cache=cache)
    with large_photos_allowed(), _one_opencv_thread():
        results = list(_shown(parallel(read, photos, threads), len(photos), progress))
    usable = [
        (photo, result)
        for photo, (result, _, _) in zip(photos, results, strict=True)
        if isinstance(result, PhotoFeatures)
    ]
    skipped = tuple(result for result, _, _ in results if isinstance(result, Skipped))
    return Reading(
        features=stack([photo.name for photo, _ in usable], [result for _, result in usable]),
        skipped=skipped,
        paths={photo.name: photo.path for photo in photos},
        photos=len(photos),
        decode_seconds=sum(decode for _, decode, _ in results),
        sift_seconds=sum(sift for _, _, sift in results),
    )


def _read(
    photo: Photo, count: int, masks: Masks | None, cache: Cache | None
) -> tuple[PhotoFeatures | Skipped, float, float]:
    """Features or the reason why there are none; seconds of decoding and of SIFT."""
    started = decoded = time.perf_counter()
    try:
        content = read_file(photo.path)
        mask = masks.read(photo.name) if masks else None
        key = _key(content, mask) if cache else ""
        features = _load(cache, key, count) if cache else None
        if features is None:
            picture = decode(content, LONG_SIDE)
            counting = mask.decode(picture.size) if mask else None
            decoded = time.perf_counter()
            features = extract(picture, count, counting)
            if cache:
                _store(cache, key, features, count)
        else:
            decoded = time.perf_counter()
    except UnusablePhoto as reason:
        return Skipped(photo.name, str(reason)), time.perf_counter() - started, 0.0
    seconds = decoded - started, time.perf_counter() - decoded
    if len(features.descriptors) < 2:
        found = "a single feature" if len(features.descriptors) else "no feature"
        return Skipped(photo.name, f"{found} found, matching needs two: blank, or too dark or blurred"), *seconds
    return features, *seconds


def _key(content: bytes, mask: MaskFile | None) -> str:
    """All that the features depend on but their number. The libraries are part of it: decoders differ in details."""
    import cv2
    import PIL

    made_by = (VERSION, LONG_SIDE, CONTRAST, cv2.__version__, PIL.__version__)
    return digest(*made_by, content, mask.content if mask else None)


def _store(cache: Cache, key: str, features: PhotoFeatures, count: int) -> None:
    numbers = (*features.searched_size, *features.image_size, count, features.large)
    arrays: dict[str, NDArray[Any]] = {
        "keypoints": features.keypoints,
        "descriptors": features.descriptors,
        "numbers": np.array(numbers, np.int64),
        "scale": np.array(features.scale, np.float64),
    }
    cache.store(key, _KIND, arrays)


def _load(cache: Cache, key: str, count: int) -> PhotoFeatures | None:
    """The `count` largest features exactly as `extract` would find them, or None.

    An entry made for another count serves where `extract` would search the same size of the photo for both counts and
    the entry holds enough.
    """
    arrays = cache.load(key, _KIND)
    if arrays is None:
        return None
    if not _sound(arrays):
        _log.warning("cache entry %s holds no features and is made anew", key)
        return None
    keypoints, descriptors, numbers, scale = (arrays[name] for name in ("keypoints", "descriptors", "numbers", "scale"))
    width, height, image_width, image_height, asked, large = numbers.tolist()
    if (count <= large) != (asked <= large) or (count > asked and len(keypoints) == asked):
        return None
    return PhotoFeatures(
        keypoints=keypoints[:count],
        descriptors=descriptors[:count],
        searched_size=(width, height),
        image_size=(image_width, image_height),
        scale=(float(scale[0]), float(scale[1])),
        large=large,
    )


def _sound(arrays: dict[str, NDArray[Any]]) -> bool:
    """Whether arrays are those of `_store`. They are, unless somebody else wrote the entry."""
    expected = {"keypoints": np.float32, "descriptors": np.uint8, "numbers": np.int64, "scale": np.float64}
    if {name: array.dtype for name, array in arrays.items()} != expected:
        return False
    shapes = [arrays[name].shape for name in expected]
    rows = shapes[0][:1]
    return shapes == [(*rows, 4), (*rows, 128), (6,), (2,)] and bool((arrays["descriptors"] < 128).all())


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Photos run in parallel, so OpenCV need not; its setting, one of the whole process, is put back."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _shown(results: Iterator[Result], total: int, progress: bool) -> Iterator[Result]:
    from tqdm import tqdm

    return iter(tqdm(results, "features", total, unit="photo", disable=not progress, leave=False))
