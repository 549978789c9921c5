"""P(matchable): how likely it is that two photos can be matched. docs/probability.md.

Scores order the pairs of one collection, and the best pair of photos that have nothing in common is still the best. A
probability says whether it is any good: it rests on evidence that means the same in every collection.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.diffusion import DEGREE_POWER, FOLLOW, degrees, strengths
from mirror_sfm.evidence import Candidates, Evidence

# log odds = BIAS + SUPPORT log(support + 1e-4) + WEIGHT log(w + 1). Neither factor is negative: more evidence of either
# kind never makes a pair less likely. Fitted on labelled scenes by bench/calibrate.py, which also checks them.
BIAS, SUPPORT, WEIGHT = 0.426, 0.683, 0.876
LEAST_SUPPORT, LEAST_WEIGHT = 1e-4, 1.0  # below these, evidence is chance


def probabilities(candidates: Candidates, evidence: Evidence, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """P(matchable) [P] of every candidate pair, from what `diffusion.diffuse` made of the evidence."""
    return logistic(inputs(candidates, evidence, scores) @ (BIAS, SUPPORT, WEIGHT))


def heard(chance: NDArray[np.float32], factor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities [P] after a witness spoke: odds times its factor, over the mean factor of the pairs that match.

    A witness orders pairs; how many match is not changed by its saying that some are less likely than others.
    """
    matching = chance.astype(np.float64)
    total = float(matching.sum())
    if total == 0:
        return chance
    odds = matching * factor * (total / float((matching * factor).sum()))
    return (odds / (odds + (1 - matching))).astype(np.float32)


def inputs(candidates: Candidates, evidence: Evidence, scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the log odds are linear in, [P, 3]: one, log support, log evidence w (none where not verified)."""
    weight = np.zeros(len(candidates))
    weight[evidence.pairs] = evidence.weight
    around = support(candidates, evidence, scores)
    return np.stack((np.ones(len(weight)), np.log(around + LEAST_SUPPORT), np.log(weight + LEAST_WEIGHT)), 1)


def support(candidates: Candidates, evidence: Evidence, scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """The pair's own strength and what common neighbours add, [P]: s + a s D^-1 s + a^2 (s D^-1)^2 s + ...

    It is the score with the whole degree given back, Q_ij (d_i d_j)^(1/2) / (a (1 - a)). Unlike the score it does not
    depend on how well connected the two photos are otherwise: near 1 where they match, near 0 where they do not.
    """
    degree = degrees(candidates, strengths(candidates, evidence))
    restored = (degree[candidates.i] * degree[candidates.j]) ** (0.5 - DEGREE_POWER)
    return scores.astype(np.float64) * restored / (FOLLOW * (1 - FOLLOW))


def logistic(odds: NDArray[np.float64]) -> NDArray[np.float32]:
    """1 / (1 + exp(-odds))."""
    from scipy.special import expit

    return expit(odds).astype(np.float32)
