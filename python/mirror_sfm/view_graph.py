"""The view graph: photos, scored pairs of them, and the pairs chosen for matching."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.budget import EVIDENT
from mirror_sfm.evidence import Candidates, Evidence
from mirror_sfm.features import Features
from mirror_sfm.graph import best_partners, components
from mirror_sfm.photos import Skipped


@dataclass(frozen=True)
class Isolated:
    """A photo without a pair.

    Attributes:
        name: of the photo.
        neighbour: the photo it matches best all the same; None where it was compared with none.
        probability: of that pair; NaN where not known.
        why: the pair was not chosen.
    """

    name: str
    neighbour: str | None
    probability: float
    why: str


@dataclass(frozen=True)
class ScoredPairs:
    """Everything known about a collection before pairs are chosen.

    Attributes:
        features: of the N usable photos, sorted by name.
        skipped: the other photos, each with its reason.
        paths: files of the photos by name, where they are known.
        photos: how many photos there were.
        candidates: every scored pair, as indices into `names`.
        evidence: geometry of the verified ones.
        witnesses: by name (network, gps, time, order), [P] float32 in (0, 1]: what each candidate's score was
            multiplied by. Only those that were heard.
        scores: [P] float32, final score of every candidate.
        probabilities: [P] float32, P(matchable) of every candidate.
        seconds: wall time by stage.
    """

    features: Features
    skipped: tuple[Skipped, ...]
    paths: dict[str, Path]
    photos: int
    candidates: Candidates
    evidence: Evidence
    witnesses: dict[str, NDArray[np.float32]]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    seconds: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the N usable photos, sorted."""
        return self.features.names


@dataclass(frozen=True)
class ViewGraph(ScoredPairs):
    """Scored pairs and the choice among them.

    Attributes:
        chosen: [B] int64, rows of `candidates` to match, most needed first.
        reasons: [B] uint8, why each was chosen, an index into `graph.REASONS`.
    """

    chosen: NDArray[np.int64]
    reasons: NDArray[np.uint8]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The chosen pairs by name."""
        rows = zip(self.candidates.i[self.chosen].tolist(), self.candidates.j[self.chosen].tolist(), strict=True)
        return [(self.names[i], self.names[j]) for i, j in rows]

    @property
    def components(self) -> NDArray[np.int32]:
        """[N] label of the connected component of each photo under the chosen pairs."""
        return components(len(self.names), self.candidates.i[self.chosen], self.candidates.j[self.chosen])

    @property
    def degrees(self) -> NDArray[np.int64]:
        """[N] chosen pairs of each photo."""
        ends = np.concatenate((self.candidates.i[self.chosen], self.candidates.j[self.chosen]))
        return np.bincount(ends, minlength=len(self.names))

    @property
    def isolated(self) -> tuple[Isolated, ...]:
        """Photos without a pair, each with its best neighbour and why that was not enough."""
        alone = np.flatnonzero(self.degrees == 0)
        best = best_partners(self.candidates, self.probabilities)[alone]
        return tuple(self._isolated(int(photo), int(row)) for photo, row in zip(alone, best, strict=True))

    def _isolated(self, photo: int, row: int) -> Isolated:
        if row < 0:
            return Isolated(self.names[photo], None, 0.0, "there is no other photo to compare it with")
        ends = int(self.candidates.i[row]), int(self.candidates.j[row])
        neighbour = self.names[ends[1] if ends[0] == photo else ends[0]]
        chance = float(self.probabilities[row])
        why = f"the photos show too little in common (P = {chance:.3f}, {EVIDENT} needed)"
        return Isolated(self.names[photo], neighbour, chance, why)
