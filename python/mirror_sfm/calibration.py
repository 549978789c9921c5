"""P(matchable): how likely it is that two photos can be matched."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.diffusion import strengths
from mirror_sfm.evidence import Candidates, Evidence


def probabilities(candidates: Candidates, evidence: Evidence, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """P(matchable) [P] of every candidate pair: the saturated evidence, or what coarse scores promise of it."""
    return strengths(candidates, evidence).astype(np.float32)
