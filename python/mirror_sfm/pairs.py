"""The whole job: photos in, pairs out."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mirror_sfm import exports
from mirror_sfm.budget import EVIDENT, Limits, pair_budget
from mirror_sfm.cache import Cache
from mirror_sfm.calibration import heard, probabilities
from mirror_sfm.diffusion import diffuse
from mirror_sfm.errors import UsageError
from mirror_sfm.evidence import Candidates, Evidence, choose, no_evidence, score_coarsely, verify
from mirror_sfm.features import Reading, featureless
from mirror_sfm.graph import select
from mirror_sfm.network import NetworkOptions, network_candidates, network_witness
from mirror_sfm.photos import Skipped
from mirror_sfm.priors import PRIORS, Circumstances, distances, prior_factor, read_circumstances
from mirror_sfm.sources import Source, as_source
from mirror_sfm.threads import processors
from mirror_sfm.view_graph import ScoredPairs, ViewGraph


@dataclass(frozen=True)
class PairOptions:
    """What can be set. The defaults are meant to be right for every collection.

    Attributes:
        per_image: pairs handed out per photo: N photos get N x per_image / 2 pairs, shared out where they help most.
            None: 20, or as many as `budget` and `recall` say where one of them is given.
        budget: pairs handed out in all, at most. Only what connects the photos may exceed it.
        min_prob: pairs less likely than this are not handed out, unless they connect photos.
        recall: stop at the shortest list expected to hold this share of all true pairs.
        min_pairs: pairs of each photo, where it has them.
        verify: pairs per photo examined with geometry; 50 is as good as all, 20 costs 0.01 mAP.
        features: features per photo used there.
        coarse_features: features per photo used to decide which pairs deserve that.
        evidence: what counts: "local" features, a "network" alone, or "both". None: "both" where there is a tower.
        tower: network, a name in `towers.TOWERS` or timm:NAME.
        weights: file of its weights, or "random".
        priors: which of "gps", "time", "order" to hear; None: positions, where the photos or `gps` have them. Times and
            file order help some collections and mislead others, so they have to be asked for.
        gps: CSV with positions, in place of those in the photos (see `priors.read_circumstances`).
        any_name: keep photos whose names a list of pairs cannot carry (see `exports.unsafe_name`).
        threads: of all stages; None: every processor this process may use. The result does not depend on it.
        progress: show progress bars on stderr.
    """

    per_image: int | None = None
    budget: int | None = None
    min_prob: float = EVIDENT
    recall: float | None = None
    min_pairs: int = 2
    verify: int = 50
    features: int = 512
    coarse_features: int = 128
    evidence: str | None = None
    tower: str | None = None
    weights: str | os.PathLike[str] | None = None
    priors: tuple[str, ...] | None = None
    gps: str | os.PathLike[str] | None = None
    any_name: bool = False
    threads: int | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        limits = {
            "per_image": 1,
            "budget": 1,
            "min_pairs": 0,
            "verify": 1,
            "features": 2,
            "coarse_features": 2,
            "threads": 1,
        }
        for name, least in limits.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}")
        if not 0 <= self.min_prob <= 1:
            raise UsageError(f"min_prob must be between 0 and 1, got {self.min_prob}")
        if self.recall is not None and not 0 < self.recall <= 1:
            raise UsageError(f"recall must be above 0 and at most 1, got {self.recall}")
        if self.features > 32768:
            raise UsageError(f"features must be at most 32768, got {self.features}")
        if self.evidence not in (None, "local", "network", "both"):
            raise UsageError(f"evidence must be local, network or both, got {self.evidence}")
        if (self.evidence in ("network", "both")) > (self.tower is not None):
            raise UsageError(f"evidence {self.evidence} needs a tower and its weights")
        if self.evidence == "network" and (self.recall is not None or self.min_prob != EVIDENT):
            raise UsageError("a network alone gives no probabilities: leave out min_prob and recall")
        if (self.tower is None) != (self.weights is None):
            raise UsageError("a tower needs weights and weights need a tower: give both")
        if self.gps is not None and self.priors is not None and "gps" not in self.priors:
            raise UsageError("a table of positions (gps) is given, but the prior gps is not among those to hear")
        if self.evidence == "network" and (self.priors or self.gps is not None):
            raise UsageError("a network alone hears no priors: leave out prior and gps, or take both kinds of evidence")
        for prior in self.priors or ():
            if prior not in PRIORS:
                raise UsageError(f"prior must be one of {', '.join(PRIORS)}, got {prior}")

    def limits(self, photos: int) -> Limits:
        """What the options allow for so many photos."""
        free = self.budget is not None or self.recall is not None
        per_image = 20 if self.per_image is None and not free else self.per_image
        return Limits(pair_budget(photos, per_image, self.budget), self.min_prob, self.recall, self.min_pairs)


def find_pairs(source: str | os.PathLike[str] | Source, options: PairOptions | None = None) -> ViewGraph:
    """Finds the pairs of photos worth matching: `score_pairs`, then `choose_pairs`.

    Args:
        source: folder of photos (folders inside it count too), or anything in `mirror_sfm.sources`.
        options: see `PairOptions`.

    Raises:
        UsageError: the source cannot be read. Photos that cannot be used never raise: they are in `skipped`.
    """
    options = options or PairOptions()
    return choose_pairs(score_pairs(source, options), options)


def score_pairs(source: str | os.PathLike[str] | Source, options: PairOptions | None = None) -> ScoredPairs:
    """Scores the pairs of a collection without choosing any. Arguments and errors as in `find_pairs`."""
    options = options or PairOptions()
    by = _score_by_network if options.evidence == "network" else _score_by_features
    return by(as_source(source), options, options.threads or processors())


def _score_by_features(source: Source, options: PairOptions, threads: int) -> ScoredPairs:
    """Local features decide; a network and priors may have a say."""
    clock = _Clock()
    with clock.stage("features"):
        reading = _with_safe_names(source.read(options.features, threads, options.progress), options)
        features = reading.features
    clock.split("features", "decode", reading.decode_seconds, reading.sift_seconds)
    with clock.stage("priors"):  # read first: a table that is no use should not cost the work in between
        where = _circumstances(features.names, reading.paths, options)
    with clock.stage("coarse"):
        candidates = score_coarsely(features, options.coarse_features, threads)
    with clock.stage("verify"):
        evidence = verify(features, candidates, choose(candidates, options.verify), threads, options.progress)
    with clock.stage("diffusion"):
        scores = diffuse(candidates, evidence, threads)
        chance = probabilities(candidates, evidence, scores)
    witnesses = {}
    if options.tower is not None and options.evidence != "local":
        with clock.stage("network"):
            _, witnesses["network"] = network_witness(
                features.names, reading.paths, candidates, evidence, _network(options), threads, options.progress,
                _cache(source),
            )  # fmt: skip
    with clock.stage("priors"):
        witnesses |= _priors(where, candidates, evidence, options)
    for factor in witnesses.values():
        scores, chance = scores * factor, heard(chance, factor)
    return ScoredPairs(
        features=features,
        skipped=reading.skipped,
        paths=reading.paths,
        photos=reading.photos,
        candidates=candidates,
        evidence=evidence,
        witnesses=witnesses,
        scores=scores,
        probabilities=chance,
        seconds=clock.seconds,
    )


def _score_by_network(source: Source, options: PairOptions, threads: int) -> ScoredPairs:
    """The system of the paper: no local feature is looked at."""
    clock = _Clock()
    with clock.stage("network"):
        paths = source.files()
        unsafe = {name: why for name in paths if (why := _unsafe(name, options))}
        names = [name for name in paths if name not in unsafe]
        found = network_candidates(names, paths, _network(options), threads, options.progress, _cache(source))
    skipped = (*found.skipped, *(Skipped(name, why) for name, why in unsafe.items()))
    return ScoredPairs(
        features=featureless(found.names),
        skipped=tuple(sorted(skipped, key=lambda photo: photo.name)),
        paths=paths,
        photos=len(paths),
        candidates=found.candidates,
        evidence=no_evidence(),
        witnesses={},
        scores=found.candidates.coarse,
        probabilities=np.full(len(found.candidates), np.nan, np.float32),
        seconds=clock.seconds,
    )


def choose_pairs(scored: ScoredPairs, options: PairOptions | None = None) -> ViewGraph:
    """Chooses pairs for matching. Cheap beside scoring, so that budgets can be compared."""
    options = options or PairOptions()
    clock = _Clock()
    with clock.stage("selection"):
        limits = options.limits(len(scored.names))
        chosen, reasons = select(scored.candidates, scored.scores, scored.probabilities, scored.evidence, limits)
    fields = {field.name: getattr(scored, field.name) for field in dataclasses.fields(ScoredPairs)}
    return ViewGraph(**fields | {"seconds": scored.seconds | clock.seconds}, chosen=chosen, reasons=reasons)


def _network(options: PairOptions) -> NetworkOptions:
    return NetworkOptions(tower=cast(str, options.tower), weights=cast(str, options.weights))


def _cache(source: Source) -> Cache | None:
    return None if source.cache is None else Cache(source.cache)


def _circumstances(names: Sequence[str], paths: Mapping[str, Path], options: PairOptions) -> Circumstances | None:
    """Where and when photos were taken; None where no prior asks for it."""
    return read_circumstances(names, paths, options.gps) if _wanted_priors(options) else None


def _wanted_priors(options: PairOptions) -> tuple[str, ...]:
    return ("gps",) if options.priors is None else options.priors


def _priors(
    where: Circumstances | None, candidates: Candidates, evidence: Evidence, options: PairOptions
) -> dict[str, NDArray[np.float32]]:
    """What each prior that knows something multiplies the scores by."""
    if where is None:
        return {}
    wanted = _wanted_priors(options)
    apart = {prior: distances(where, prior, candidates) for prior in PRIORS if prior in wanted}
    return {prior: prior_factor(candidates, evidence, far) for prior, far in apart.items() if np.isfinite(far).any()}


def _unsafe(name: str, options: PairOptions) -> str | None:
    """Why no result can carry a name, or with `any_name` not even a database."""
    return exports.unsafe_name(name, () if options.any_name else ("pairs",))


def _with_safe_names(reading: Reading, options: PairOptions) -> Reading:
    """Leaves out photos whose names the results cannot carry."""
    names = reading.features.names
    reasons = {name: reason for name in names if (reason := _unsafe(name, options))}
    known = [
        dataclasses.replace(photo, reason=_unsafe(photo.name, options) or photo.reason) for photo in reading.skipped
    ]
    skipped = sorted((*known, *(Skipped(name, reason) for name, reason in reasons.items())), key=lambda p: p.name)
    kept = np.array([row for row, name in enumerate(names) if name not in reasons], np.int64)
    return dataclasses.replace(reading, features=reading.features.take(kept), skipped=tuple(skipped))


class _Clock:
    """Wall seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def split(self, stage: str, part: str, part_seconds: float, rest_seconds: float) -> None:
        """Takes `part` out of a stage whose work ran interleaved, in proportion to the threads' seconds."""
        whole = part_seconds + rest_seconds
        self.seconds[part] = self.seconds[stage] * (part_seconds / whole if whole else 0.0)
        self.seconds[stage] -= self.seconds[part]
