"""A network's view of photos: regional vectors, and how similar photos are by them (PR-MAC).

    photo -> upright, one size -> tower -> maximum of every region -> unit -> whitened -> unit
    pair  -> each region's best match in the other photo, minus what that region finds anywhere

Shen et al., Matchable Image Retrieval by Learning from Surface Reconstruction, ACCV 2018. Needs torch, which is
imported when photos are looked at and not before.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import mirror_ext.numpy as ops
from mirror_sfm.cache import Cache, digest
from mirror_sfm.colour import upright_rgb
from mirror_sfm.descriptors.grids import region_grid
from mirror_sfm.descriptors.whitening import PcaWhitening, unit
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evidence import DENSE_PHOTOS, KEPT_PER_PHOTO, Candidates, Evidence
from mirror_sfm.fusion import witness_factor
from mirror_sfm.photos import Skipped, UnusablePhoto, large_photos_allowed, read_file, shown
from mirror_sfm.threads import parallel

if TYPE_CHECKING:
    from mirror_sfm.towers import LoadedTower

SAMPLE = 1000  # photos that stand for the collection where it is larger than `DENSE_PHOTOS`
FIT_PHOTOS = 10_000  # photos that whitening is fitted on, at most
_BLOCK = 16  # photos scored at a time: bounds memory, changes nothing
_log = logging.getLogger("mirror_sfm")


@dataclass(frozen=True)
class NetworkOptions:
    """Which network, and how it looks at photos.

    Attributes:
        tower: a name in `mirror_sfm.towers.TOWERS`, or timm:NAME.
        weights: file of its weights; "random": none.
        layer: of the tower; None: its first.
        long_side: pixels of the longer side of a photo.
        steps: scales of the region grid; step s gives s x s regions.
        dim: numbers per regional vector after whitening, at most.
        shrinkage: how little is whitened, 0..1. A network already trained to tell things apart wants little: at 0
            directions that matter are flattened, at 1 nothing is.
    """

    tower: str = "mobilenet_v2"
    weights: str | os.PathLike[str] | None = None
    layer: str | None = None
    long_side: int = 512
    steps: tuple[int, ...] = (1, 3, 6)
    dim: int = 256
    shrinkage: float = 0.95

    def __post_init__(self) -> None:
        if self.weights is None:
            raise UsageError(f"the tower {shown(self.tower)} needs weights: a file, or random for none")
        if not self.steps or min(self.steps) < 1:
            raise UsageError(f"steps must be numbers from 1 on, got {self.steps}")
        for name, least in (("long_side", 32), ("dim", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= self.shrinkage <= 1:
            raise UsageError(f"shrinkage must be from 0 to 1, got {self.shrinkage}")


@dataclass(frozen=True)
class Regions:
    """What a network sees in photos.

    Attributes:
        names: of the M photos it could look at, in the order they were given.
        vectors: [M, R, d] float32, unit rows, whitened on these photos.
        skipped: the other photos, each with its reason.
    """

    names: tuple[str, ...]
    vectors: NDArray[np.float32]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class NetworkPairs:
    """Pairs by a network alone.

    Attributes:
        names: of the photos it could look at.
        candidates: all pairs of them up to `DENSE_PHOTOS` photos, the best of each beyond; `coarse` is the score,
            brought to [0, 1].
        skipped: the other photos.
    """

    names: tuple[str, ...]
    candidates: Candidates
    skipped: tuple[Skipped, ...]


def network_witness(
    names: Sequence[str],
    paths: Mapping[str, Path],
    candidates: Candidates,
    evidence: Evidence,
    options: NetworkOptions,
    threads: int,
    progress: bool = False,
    cache: Cache | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The network's score of every candidate pair, and what it multiplies the local score by.

    Args:
        names: of the photos that `candidates` counts.
        paths: their files. Of a photo without a file, or whose file cannot be decoded, the network knows nothing.
        candidates, evidence: what local features found.
        options: see `NetworkOptions`.
        threads: photos looked at at a time. The result does not depend on it.
        progress: show a progress bar on stderr.
        cache: keeps what the tower saw from run to run.

    Returns:
        values [P], NaN where not known, and factor [P] in (0, 1], 1 where not known: see `fusion.witness_factor`.

    Raises:
        MirrorError: the tower or its weights cannot be used.
    """
    regions = look_at(names, paths, options, threads, progress, cache)
    if regions.skipped:
        _log.warning("the network knows nothing of %d of %d photos", len(regions.skipped), len(names))
    row = {name: place for place, name in enumerate(regions.names)}
    place = np.array([row.get(name, -1) for name in names], np.int64)
    i, j = place[candidates.i], place[candidates.j]
    known = (i >= 0) & (j >= 0)
    values = np.full(len(candidates), np.nan, np.float32)
    values[known] = pair_scores(regions.vectors, i[known], j[known], threads)
    return values, witness_factor(candidates, evidence, values)


def network_candidates(
    names: Sequence[str],
    paths: Mapping[str, Path],
    options: NetworkOptions,
    threads: int,
    progress: bool = False,
    cache: Cache | None = None,
    keep: int | None = None,
) -> NetworkPairs:
    """Pairs and their scores by the network alone: the system of the paper. Arguments as in `network_witness`.

    Args:
        keep: partners each photo keeps; a pair stays when either of its photos keeps it. None: all up to
            `DENSE_PHOTOS` photos, `KEPT_PER_PHOTO` beyond.
    """
    regions = look_at(names, paths, options, threads, progress, cache)
    count = len(regions.names)
    if keep is None and count > DENSE_PHOTOS:
        keep = KEPT_PER_PHOTO
    if keep is None or keep >= count - 1:
        i, j = (index.astype(np.int32) for index in np.triu_indices(count, 1))
    else:
        best = ops.pr_mac_topk(regions.vectors, k=keep + 1, symmetric=True, num_threads=threads).indices
        query, found = np.repeat(np.arange(count), keep + 1), best.ravel()
        key = np.unique(np.minimum(query, found)[query != found] * count + np.maximum(query, found)[query != found])
        i, j = (key // count).astype(np.int32), (key % count).astype(np.int32)
    scores = pair_scores(regions.vectors, i, j, threads)
    lowest, highest = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    scores = (scores - lowest) / (highest - lowest) if highest > lowest else np.ones_like(scores)
    return NetworkPairs(regions.names, Candidates(count, i, j, scores.astype(np.float32)), regions.skipped)


def look_at(
    names: Sequence[str],
    paths: Mapping[str, Path],
    options: NetworkOptions,
    threads: int,
    progress: bool = False,
    cache: Cache | None = None,
) -> Regions:
    """Regional vectors of photos. Arguments as in `network_witness`."""
    seen, skipped = regional_maxima(names, paths, options, threads, progress, cache)
    vectors = _whitened(np.stack(list(seen.values())), options) if seen else np.zeros((0, 1, 1), np.float32)
    return Regions(tuple(seen), vectors, tuple(skipped))


def regional_maxima(
    names: Sequence[str],
    paths: Mapping[str, Path],
    options: NetworkOptions,
    threads: int,
    progress: bool = False,
    cache: Cache | None = None,
) -> tuple[dict[str, NDArray[np.float32]], list[Skipped]]:
    """Maxima [R, C] of the tower's map over the regions of every photo it can look at, and the other photos.

    Each photo goes through the tower alone and on one thread, so what comes out depends on nothing but its pixels;
    `threads` photos do at a time.
    """
    from tqdm import tqdm

    eye = _Eye(_loaded(options), options, cache)

    def seen(name: str) -> NDArray[np.float32] | Skipped:
        if name not in paths:
            return Skipped(name, "its file is not known")
        try:
            return eye.maxima(name, read_file(paths[name]))
        except UnusablePhoto as reason:
            return Skipped(name, str(reason))

    with large_photos_allowed(), _torch_threads_kept():
        results = parallel(seen, names, threads)
        shown_results = tqdm(results, "network", len(names), unit="photo", disable=not progress, leave=False)
        found = dict(zip(names, shown_results, strict=True))
    skipped = [result for result in found.values() if isinstance(result, Skipped)]
    return {name: result for name, result in found.items() if not isinstance(result, Skipped)}, skipped


def _loaded(options: NetworkOptions) -> LoadedTower:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise UsageError(f"networks need torch: pip install 'mirror-sfm[torch]' ({error})") from error
    from mirror_sfm.towers import load_tower

    assert options.weights is not None  # by its __post_init__
    return load_tower(options.tower, options.weights, options.layer)


class _Eye:
    """A tower and how it looks at a photo."""

    def __init__(self, loaded: LoadedTower, options: NetworkOptions, cache: Cache | None) -> None:
        self.loaded, self.options, self.cache = loaded, options, cache
        tower = loaded.tower
        self.least_side = tower.stride * (max(options.steps) + tower.margin)
        if self.least_side > options.long_side:
            raise UsageError(
                f"long_side must be at least {self.least_side} for {max(options.steps)} x {max(options.steps)} regions"
                f" of {shown(loaded.name)}, got {options.long_side}"
            )

    def maxima(self, name: str, content: bytes) -> NDArray[np.float32]:
        key = self._key(content)
        stored = self.cache.load(key, "regions") if self.cache else None
        if stored is not None:
            return stored["maxima"]
        maxima = self._looked(content)
        if not np.isfinite(maxima).all():
            raise MirrorError(
                f"the tower {shown(self.loaded.name)} gives values that are not finite for {shown(name)}: its weights"
                " do not fit photos; choose others"
            )
        if self.cache:
            self.cache.store(key, "regions", {"maxima": maxima})
        return maxima

    def _key(self, content: bytes) -> str:
        import torch

        loaded, options = self.loaded, self.options
        layer = loaded.tower.layer
        return digest(
            content,
            "regions 1",
            torch.__version__,
            loaded.name,
            loaded.sha256,
            layer,
            options.long_side,
            *options.steps,
        )

    def _looked(self, content: bytes) -> NDArray[np.float32]:
        import torch

        from mirror_ext import region_max_pool

        torch.set_num_threads(1)  # of this thread
        tower = self.loaded.tower
        pixels = upright_rgb(content, self.options.long_side, self.least_side)
        with torch.inference_mode():
            rgb = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # channels last, as they lie
            mean, std = (
                torch.tensor(part).view(1, 3, 1, 1) for part in (tower.normalisation.mean, tower.normalisation.std)
            )
            seen = tower((rgb / 255 - mean) / std)
            boxes = region_grid(seen.shape[2], seen.shape[3], self.options.steps)
            return region_max_pool(seen, torch.from_numpy(boxes))[0].numpy()


@contextmanager
def _torch_threads_kept() -> Iterator[None]:
    """Photos run in parallel, so torch need not; its setting, one of the whole process, is put back."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _whitened(maxima: NDArray[np.float32], options: NetworkOptions) -> NDArray[np.float32]:
    """[N, R, C] to unit vectors [N, R, d]. Photo by photo, so that no photo's bits depend on which others there are
    beside it; rounded to float32, so that the last bits of a linear algebra library do not decide anything."""
    first = unit(maxima[:1, :1].astype(np.float64))
    if all(np.abs(unit(photo.astype(np.float64)) - first).max() < 1e-6 for photo in maxima):
        return unit(maxima)  # nothing differs: blank photos
    sample = maxima[_spread(len(maxima), FIT_PHOTOS)]
    whitening = PcaWhitening.fit(sample, options.dim, options.shrinkage)
    return np.stack([whitening.apply(photo) for photo in maxima])


def pair_scores(
    vectors: NDArray[np.float32],
    i: NDArray[np.integer],
    j: NDArray[np.integer],
    threads: int,
    dense: bool | None = None,
) -> NDArray[np.float32]:
    """Similarity of pairs: mean over both directions of the mean over regions of best match minus background.

    A region's background is the median, over the photos, of its best similarity: sky finds sky everywhere.

    Args:
        vectors: [N, R, d] unit regions.
        i, j: [P] photos of each pair.
        threads: of the kernels.
        dense: every photo is compared with every other; None: up to `DENSE_PHOTOS` photos. Otherwise only the pairs
            are, and backgrounds come from `SAMPLE` photos.
    """
    count = len(vectors)
    if not len(i):
        return np.zeros(0, np.float32)
    if dense if dense is not None else count <= DENSE_PHOTOS:
        similar, background = _against(vectors, np.arange(count), threads)
        both = similar[i, j] + similar[j, i]
    else:
        _, background = _against(vectors, _spread(count, SAMPLE), threads)
        both = _directed(vectors, i, j, threads) + _directed(vectors, j, i, threads)
    return ((both.astype(np.float64) - background[i] - background[j]) / 2).astype(np.float32)


def _against(
    vectors: NDArray[np.float32], others: NDArray[np.int64], threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Similarity [N, T] of photos to others by PR-MAC, and background [N], the mean over each photo's regions."""
    count, regions, length = vectors.shape
    target = np.ascontiguousarray(vectors[others])
    similar = np.empty((count, len(others)), np.float32)
    background = np.zeros(count)
    for start in range(0, count, _BLOCK):
        block = vectors[start : start + _BLOCK]
        best = np.asarray(ops.pr_mac(block.reshape(-1, 1, length), target, num_threads=threads))
        best = best.reshape(len(block), regions, len(others))
        similar[start : start + len(block)] = best.mean(axis=1, dtype=np.float64)
        for row, photo in enumerate(best, start):
            elsewhere = photo[:, others != row]
            if elsewhere.shape[1]:
                background[row] = np.median(elsewhere, axis=1).mean(dtype=np.float64)
    return similar, background


def _directed(
    vectors: NDArray[np.float32], query: NDArray[np.integer], target: NDArray[np.integer], threads: int
) -> NDArray[np.float32]:
    """Similarity [P] of query photos to their targets, without looking at other pairs."""
    order = np.argsort(query, kind="stable")
    begin = np.searchsorted(query[order], np.arange(len(vectors) + 1))
    similar = np.empty(len(query), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        stop = min(start + _BLOCK, len(vectors))
        rows = order[begin[start] : begin[stop]]
        lengths = np.diff(begin[start : stop + 1])
        place = np.arange(len(rows)) - np.repeat(begin[start:stop] - begin[start], lengths)
        listed = np.full((stop - start, max(1, lengths.max())), -1, np.int64)
        listed[query[rows] - start, place] = target[rows]
        scores = ops.pr_mac_rerank(vectors[start:stop], vectors, listed, num_threads=threads)
        similar[rows] = scores[query[rows] - start, place]
    return similar


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of `count` rows, evenly spread: the same ones every time."""
    return np.arange(count) if count <= most else np.arange(most) * count // most
