"""The whole job: photos in, pairs out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mirror_sfm import exports
from mirror_sfm.diffusion import score_pairs
from mirror_sfm.errors import UsageError
from mirror_sfm.evidence import Candidates, Evidence, choose, score_coarsely, verify
from mirror_sfm.features import read_features
from mirror_sfm.graph import components, select
from mirror_sfm.photos import Skipped, find_photos
from mirror_sfm.threads import processors


@dataclass(frozen=True)
class PairOptions:
    """What can be set. The defaults are meant to be right for every collection.

    Attributes:
        per_image: pairs handed out per photo: N photos get N x per_image / 2 pairs, shared out where they help most.
        verify: pairs per photo examined with geometry; 50 is as good as all, 20 costs 0.01 mAP.
        features: features per photo used there.
        coarse_features: features per photo used to decide which pairs deserve that.
        threads: of all stages; None: every processor this process may use. The result does not depend on it.
        progress: show progress bars on stderr.
    """

    per_image: int = 20
    verify: int = 50
    features: int = 512
    coarse_features: int = 128
    threads: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        limits = {"per_image": 1, "verify": 1, "features": 2, "coarse_features": 2, "threads": 1}
        for name, least in limits.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}")
        if self.features > 32768:
            raise UsageError(f"features must be at most 32768, got {self.features}")


@dataclass(frozen=True)
class PairGraph:
    """The result.

    Attributes:
        names: of the N usable photos, sorted.
        skipped: the other photos, each with its reason.
        candidates: every scored pair, as indices into `names`.
        evidence: geometry of the verified ones.
        scores: [P] float32, final score of every candidate.
        chosen: [B] rows of `candidates` to match, most needed first.
        photos: how many photo files there were.
        seconds: wall time by stage.
    """

    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    candidates: Candidates
    evidence: Evidence
    scores: NDArray[np.float32]
    chosen: NDArray[np.int64]
    photos: int
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The chosen pairs by name."""
        rows = zip(self.candidates.i[self.chosen].tolist(), self.candidates.j[self.chosen].tolist(), strict=True)
        return [(self.names[i], self.names[j]) for i, j in rows]

    @property
    def components(self) -> NDArray[np.int32]:
        """[N] label of the connected component of each photo under the chosen pairs."""
        return components(len(self.names), self.candidates.i[self.chosen], self.candidates.j[self.chosen])


def find_pairs(images: str | os.PathLike[str], options: PairOptions | None = None) -> PairGraph:
    """Finds the pairs of photos worth matching.

    Args:
        images: folder of photos; folders inside it count too.
        options: see `PairOptions`.

    Raises:
        UsageError: the folder cannot be read. Photos that cannot be used never raise: they are in `skipped`.
    """
    options = options or PairOptions()
    threads = options.threads or processors()
    clock = _Clock()

    with clock.stage("listing"):
        photos = find_photos(images)
        refused = [Skipped(photo.name, reason) for photo in photos if (reason := exports.unsafe_name(photo.name))]
        refused_names = {photo.name for photo in refused}
    with clock.stage("features"):
        readable = [photo for photo in photos if photo.name not in refused_names]
        reading = read_features(readable, options.features, threads, options.progress)
        features = reading.features
    clock.split("features", "decode", reading.decode_seconds, reading.sift_seconds)
    with clock.stage("coarse"):
        candidates = score_coarsely(features, options.coarse_features, threads)
    with clock.stage("verify"):
        evidence = verify(features, candidates, choose(candidates, options.verify), threads, options.progress)
    with clock.stage("diffusion"):
        scores = score_pairs(candidates, evidence, threads)
    with clock.stage("selection"):
        chosen = select(candidates, scores, evidence, pair_budget(len(features.names), options.per_image))

    skipped = tuple(sorted((*refused, *reading.skipped), key=lambda photo: photo.name))
    return PairGraph(features.names, skipped, candidates, evidence, scores, chosen, len(photos), clock.seconds)


def pair_budget(photos: int, per_image: int) -> int:
    """N k / 2 pairs give every photo k partners on average; a single pair where that rounds to none."""
    return max(1, photos * per_image // 2)


class _Clock:
    """Wall seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started

    def split(self, stage: str, part: str, part_seconds: float, rest_seconds: float) -> None:
        """Takes `part` out of a stage whose work ran interleaved, in proportion to the threads' seconds."""
        whole = part_seconds + rest_seconds
        self.seconds[part] = self.seconds[stage] * (part_seconds / whole if whole else 0.0)
        self.seconds[stage] -= self.seconds[part]
