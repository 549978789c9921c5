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

WEIGHT = 0.3  # of a witness's logarithm beside that of the local score
# What is left of the strength a witness promises least. No pair that the photos prove can be talked away: with these
# two, a factor is never below 0.1^0.3, a half.
FLOOR = 0.1


def witness_factor(
    candidates: Candidates,
    evidence: Evidence,
    values: NDArray[np.floating],
    weight: float = WEIGHT,
    floor: float = FLOOR,
) -> NDArray[np.float32]:
    """What a witness multiplies the scores of pairs by: (floor + (1 - floor) q / max q)^weight.

    q is the isotonic regression of edge strength on the witness's value, over all candidates it knows: verified ones
    have the strength that was found, the others half of what their coarse score promises, so that pairs nobody looked
    at count too.

    Args:
        candidates: the pairs.
        evidence: of the verified ones among them.
        values: [P], the witness's number for each candidate, higher for pairs more likely to match. NaN: not known.
        weight: 0 does not hear the witness; 1 takes it for as good as the local features.
        floor: in [0, 1].

    Returns:
        [P] in [floor^weight, 1]; 1 where the value is not known.
    """
    factor = np.ones(len(candidates), np.float32)
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return factor
    heard = np.asarray(values, np.float64)[known]
    expected = isotonic(heard, strengths(candidates, evidence)[known], heard)
    most = expected.max()
    if most > 0:
        factor[known] = (floor + (1 - floor) * expected / most) ** weight
    return factor
