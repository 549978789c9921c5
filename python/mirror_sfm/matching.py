"""Matches photos pair by pair, into a COLMAP database: mutual nearest neighbours of all features, then geometry.

    pairs -> chunks: features -> mutual_matches -> ratios -> geometry -> database

A pair that is written is never done again: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import mirror_ext.numpy as ops
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.pair_list import PairLine, read_pair_list
from mirror_sfm.photos import shown
from mirror_sfm.threads import parallel, processors

if TYPE_CHECKING:
    import pycolmap

    from mirror_sfm.colmap.matches import MatchDatabase, SiftFeatures

TILE = 32  # photos on either side of the squares in which pairs are visited, so that features are read seldom
CHUNK = 32  # pairs matched and written at a time
CACHE_BYTES = 256 << 20  # of features kept from chunk to chunk; twice as much beside them in the largest chunks

Pair = tuple[int, int]  # image ids


@dataclass(frozen=True)
class MatchOptions:
    """What can be set.

    Attributes:
        max_ratio: a match is kept when the ratio of its distance to the second smallest, averaged over both photos, is
            below it.
        exact: compare all features at full length. False: photos that both have 1,024 features or more are compared at
            half of it, and then each feature with its few closest (`mirror_ext.mutual_matches`): almost twice as fast.
        verify: examine the geometry of every pair. COLMAP's mappers need it.
        overwrite: match pairs again that the database has matches of.
        threads: None: every processor this process may use. The result does not depend on it.
        progress: show a progress bar on stderr.
    """

    max_ratio: float = 0.8
    exact: bool = False
    verify: bool = True
    overwrite: bool = False
    threads: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.max_ratio <= 1:
            raise UsageError(f"max_ratio must be above 0 and at most 1, got {self.max_ratio}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads must be at least 1, got {self.threads}")


@dataclass(frozen=True)
class MatchReport:
    """What was done.

    Attributes:
        pairs: different pairs of two photos that were asked for.
        matched: of these, matched now; the others were in the database already.
        examined: of these, those whose geometry was examined now.
        matches, inliers: of all asked pairs, in the database at the end.
        verified: asked pairs that have inliers.
        repeated, self_pairs: lines that name a pair again, in any order, or a photo twice.
        featureless: names of photos in these pairs without features.
        dropped: features left out, by name of the photo: not finite, zero, or more than 32,768.
        seconds: wall time by stage: features, match, verify, write.
    """

    pairs: int
    matched: int
    examined: int
    matches: int
    inliers: int
    verified: int
    repeated: int
    self_pairs: int
    featureless: tuple[str, ...]
    dropped: dict[str, int]
    seconds: dict[str, float] = field(default_factory=dict)


def match(
    database: str | os.PathLike[str],
    pairs: str | os.PathLike[str] | Iterable[tuple[str, str]],
    options: MatchOptions | None = None,
) -> MatchReport:
    """Matches pairs of photos of a COLMAP database and writes matches and two-view geometry into it.

    Args:
        database: with SIFT features (`colmap feature_extractor`, `pycolmap.extract_features`).
        pairs: file of pairs (`pair_list.read_pair_list`) or pairs of names.
        options: see `MatchOptions`.

    Raises:
        UsageError: a file that is not there.
        MirrorError: a pair names a photo that is not in the database, the database cannot be used or written.
    """
    from mirror_sfm.colmap.matches import open_matches

    options = options or MatchOptions()
    with open_matches(database) as opened:
        return _Run(opened, options).match(_read(pairs, opened.ids))


class _Run:
    """One call of `match`."""

    def __init__(self, database: MatchDatabase, options: MatchOptions) -> None:
        self.database, self.options = database, options
        self.threads = options.threads or processors()
        self.features = _Cache(database)
        self.seconds = dict.fromkeys(("features", "match", "verify", "write"), 0.0)

    def match(self, lines: Sequence[PairLine]) -> MatchReport:
        """All pairs that are not done yet, chunk by chunk."""
        ids, options = self.database.ids, self.options
        asked = [(min(pair), max(pair)) for pair in ((ids[line.first], ids[line.second]) for line in lines)]
        pairs = sorted({pair for pair in asked if pair[0] != pair[1]}, key=_place)
        to_match = [p for p in pairs if options.overwrite or not self.database.has_matches(*p)]
        fresh = set(to_match)
        waiting = [p for p in pairs if options.verify and p not in fresh and not self.database.has_geometry(*p)]
        with tqdm(total=len(to_match) + len(waiting), unit="pair", disable=not options.progress, desc="match") as bar:
            for chunk in _chunks(to_match, max(CHUNK, 4 * self.threads)):
                self.finish(chunk, self.match_chunk(chunk), stored=False)
                bar.update(len(chunk))
            for chunk in _chunks(waiting, max(CHUNK, 4 * self.threads)):
                self.finish(chunk, [self.database.matches(*pair) for pair in chunk], stored=True)
                bar.update(len(chunk))
        return self.report(asked, pairs, len(to_match), len(waiting) + len(to_match) * options.verify)

    def match_chunk(self, chunk: Sequence[Pair]) -> list[NDArray[np.uint32]]:
        """Matches [m, 2] of every pair, as rows of features in the database."""
        with self.stage("features"):
            photos = sorted({photo for pair in chunk for photo in pair})
            features = [self.features.of(photo) for photo in photos]
            descriptors, sizes = _stacked(features)
        with self.stage("match"):
            slot = {photo: n for n, photo in enumerate(photos)}
            index = np.array([[slot[a], slot[b]] for a, b in chunk], np.int64)
            found, ratios, offsets = ops.mutual_matches(
                descriptors,
                sizes,
                pairs=index,
                max_ratio=self.options.max_ratio,
                exact=self.options.exact,
                num_threads=self.threads,
            )
            good = ratios.mean(axis=1) < np.float32(self.options.max_ratio)
            result = []
            for (a, b), start, end in zip(index, offsets[:-1], offsets[1:], strict=True):
                kept = found[start:end][good[start:end]]
                result.append(np.stack((features[a].rows[kept[:, 0]], features[b].rows[kept[:, 1]]), 1).astype("u4"))
            return result

    def finish(self, chunk: Sequence[Pair], matches: Sequence[NDArray[np.uint32]], stored: bool) -> None:
        """Examines the geometry of a chunk and writes it."""
        from mirror_sfm.colmap.matches import PairResult
        from mirror_sfm.colmap.verification import verify

        geometries: list[pycolmap.TwoViewGeometry | None] = [None] * len(chunk)
        if self.options.verify:
            with self.stage("verify"):
                views = {photo: self.database.view(photo) for pair in chunk for photo in pair}
                jobs = [(views[a], views[b], found) for (a, b), found in zip(chunk, matches, strict=True)]
                geometries = list(parallel(lambda job: verify(*job), jobs, self.threads))
        with self.stage("write"):
            self.database.write(
                [
                    PairResult(a, b, None if stored else found, geometry)
                    for (a, b), found, geometry in zip(chunk, matches, geometries, strict=True)
                ],
                overwrite=self.options.overwrite and not stored,
            )

    def report(self, asked: Sequence[Pair], pairs: Sequence[Pair], matched: int, examined: int) -> MatchReport:
        matches, inliers = self.database.counts()
        name_of = {number: name for name, number in self.database.ids.items()}
        selves = sum(a == b for a, b in asked)
        return MatchReport(
            pairs=len(pairs),
            matched=matched,
            examined=examined,
            matches=sum(matches.get(pair, 0) for pair in pairs),
            inliers=sum(inliers.get(pair, 0) for pair in pairs),
            verified=sum(inliers.get(pair, 0) > 0 for pair in pairs),
            repeated=len(asked) - selves - len(pairs),
            self_pairs=selves,
            featureless=tuple(sorted(name_of[photo] for photo in self.features.empty)),
            dropped={name_of[photo]: count for photo, count in sorted(self.features.dropped.items())},
            seconds=self.seconds,
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - started


class _Cache:
    """Features of the photos used last, up to `CACHE_BYTES`."""

    def __init__(self, database: MatchDatabase) -> None:
        self._database, self._kept, self._bytes = database, OrderedDict[int, "SiftFeatures"](), 0
        self.empty: set[int] = set()
        self.dropped: dict[int, int] = {}

    def of(self, photo: int) -> SiftFeatures:
        features = self._kept.pop(photo, None)
        if features is None:
            features = self._database.features(photo)
            self._bytes += features.descriptors.nbytes
            if not len(features.rows):
                self.empty.add(photo)
            if features.dropped:
                self.dropped[photo] = features.dropped
        self._kept[photo] = features
        while self._bytes > CACHE_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.descriptors.nbytes
        return features


def _read(pairs: str | os.PathLike[str] | Iterable[tuple[str, str]], known: dict[str, int]) -> list[PairLine]:
    if isinstance(pairs, (str, os.PathLike)):
        return read_pair_list(Path(pairs), known.keys())
    lines = [PairLine(*pair) for pair in pairs]
    for line in lines:
        for name in (line.first, line.second):
            if name not in known:
                raise MirrorError(f"pair {shown(line.first)} - {shown(line.second)}: the database has no {shown(name)}")
    return lines


def _stacked(features: Sequence[SiftFeatures]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """[N, n, 128] and [N], padded with zeros to the largest n."""
    sizes = np.array([len(photo.rows) for photo in features], np.int32)
    descriptors = np.zeros((len(features), max(1, int(sizes.max())), 128), np.uint8)
    for row, photo in zip(descriptors, features, strict=True):
        row[: len(photo.rows)] = photo.descriptors
    return descriptors, sizes


def _place(pair: Pair) -> tuple[int, int, int, int]:
    """Sorts pairs by squares of `TILE` x `TILE` photos: neighbours in the list share photos."""
    return (pair[0] // TILE, pair[1] // TILE, *pair)


def _chunks(pairs: Sequence[Pair], size: int) -> Iterator[Sequence[Pair]]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]
