"""Witnesses: what else is known about pairs, heard beside the local features. spec: docs/late_interaction.md, 7.

A witness gives every pair a number in a unit of its own: similarity of networks, closeness of positions. What the
number is worth is learned from the collection at hand: isotonic regression of the strength that local features found
on the witness's number. A witness that knows nothing here is mapped to a constant, and changes nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mirror_sfm.diffusion import isotonic, strengths
from mirror_sfm.evidence import Candidates, Evidence

# Of a witness's logarithm beside that of the local score, times the share of the strengths' variance that it explains:
# about 0.3 for a good network, nothing for one that guesses.
WEIGHT = 0.5
# What is left of the strength a witness promises least. No pair that the photos prove can be talked away: with these
# two, a factor is never below a third.
FLOOR = 0.1


def witness_factor(
    candidates: Candidates,
    evidence: Evidence,
    values: NDArray[np.floating],
    weight: float = WEIGHT,
    floor: float = FLOOR,
) -> NDArray[np.float32]:
    """What a witness multiplies the scores of pairs by: (floor + (1 - floor) q / max q)^(weight R^2).

    q is the isotonic regression of edge strength on the witness's value, over all candidates it knows: verified ones
    have the strength that was found, the others half of what their coarse score promises, so that pairs nobody looked
    at count too. R^2 is the share of the strengths' variance that q explains, corrected for the freedom q had: a few
    pairs prove nothing about a witness.

    Args:
        candidates: the pairs.
        evidence: of the verified ones among them.
        values: [P], the witness's number for each candidate, higher for likelier pairs. NaN or infinite: not known.
        weight: 0 does not hear the witness; 1 takes one that explains everything for as good as the local features.
        floor: in [0, 1].

    Returns:
        [P] in [floor^weight, 1]; 1 where the value is not known.
    """
    factor = np.ones(len(candidates), np.float32)
    known = np.flatnonzero(np.isfinite(values))
    heard = np.asarray(values, np.float32)[known]
    strength = strengths(candidates, evidence)[known]
    expected = isotonic(heard, strength, heard)
    explained = _explained(strength, expected)
    if explained > 0:
        relative = expected / expected.max()
        factor[known] = (floor + (1 - floor) * relative) ** (weight * explained)
    return factor


def _explained(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Adjusted R^2, not below 0; each level of the regression is a number it was free to choose."""
    freedom = len(found) - len(np.unique(expected))
    variance = ((found - found.mean()) ** 2).sum() if len(found) else 0.0
    if freedom <= 0 or variance <= 0:
        return 0.0
    error = ((found - expected) ** 2).sum()
    return max(0.0, 1 - error / freedom / (variance / (len(found) - 1)))
