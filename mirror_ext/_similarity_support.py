"""Local similarity support: which matches of a pair agree with their neighbours."""

import torch
from torch import Tensor

from ._library import expect_tensors  # loads the ops
from ._results import Support


def similarity_support(
    keypoints: Tensor,
    sizes: Tensor | None,
    diagonals: Tensor,
    pairs: Tensor,
    matches: Tensor,
    ratios: Tensor,
    offsets: Tensor,
    *,
    other: Tensor | None = None,
    other_sizes: Tensor | None = None,
    other_diagonals: Tensor | None = None,
    near: float = 0.004,
    far: float = 0.25,
    tolerance: float = 0.3,
    min_share: float = 0.06,
    min_support: float = 2.0,
    weak: float = 0.01,
) -> Support:
    """Weighs the matches of pairs by how many neighbours they predict.

    A match (p, q) of two key points has its own similarity: it scales by s_q / s_p and turns by angle_q - angle_p. It
    supports another match of the pair whose offset in the first photo, so transformed, lands where the second photo
    has it: within ``tolerance * min(|predicted|, |observed|) + near * diagonal``; either of the two may predict. Only
    matches between ``near`` and ``far`` of the diagonal from each other support each other. A match is good when at
    least ``max(min_support, min_share * M)`` of the pair's M >= 2 matches support it.

        evidence = sum over good matches of (1 - min ratio) + weak * the same sum over all matches

    Same bits on every processor and for every number of threads. Not differentiable.

    Args:
        keypoints: [N, n, 4] float32: x, y (pixels), scale (> 0, any unit), angle (degrees); finite.
        sizes: [N] int32, how many key points each photo has; None: all n. Rows beyond are never read.
        diagonals: [N] float32, each photo's diagonal in pixels (> 0). The first photo's counts for both.
        pairs: [P, 2] int64, (index into keypoints, index into other or again keypoints).
        matches, ratios, offsets: as `mutual_matches` gives them.
        other, other_sizes, other_diagonals: a second set of photos; None: pairs within the first.
        near, far, tolerance, min_share, min_support, weak: see above; >= 0.

    Returns:
        evidence [P] float32, good [M] bool.

    Raises:
        ValueError: a wrong type, shape, device, size or index, offsets that fall, ratios outside 0..1, key points
            that are not finite.

    Source: docs/late_interaction.md, 4; kin of weak geometric consistency (Jégou et al. 2008) and GMS (2017).
    """
    expect_tensors(
        "similarity_support",
        keypoints=keypoints,
        sizes=sizes,
        diagonals=diagonals,
        pairs=pairs,
        matches=matches,
        ratios=ratios,
        offsets=offsets,
        other=other,
        other_sizes=other_sizes,
        other_diagonals=other_diagonals,
    )
    return Support(
        *torch.ops.mirror.similarity_support(
            keypoints,
            sizes,
            diagonals,
            pairs,
            matches,
            ratios,
            offsets,
            other,
            other_sizes,
            other_diagonals,
            near,
            far,
            tolerance,
            min_share,
            min_support,
            weak,
        )
    )


@torch.library.register_fake("mirror::similarity_support")
def _(keypoints, sizes, diagonals, pairs, matches, *_):
    return (
        keypoints.new_empty((pairs.shape[0],), dtype=torch.float32),
        keypoints.new_empty((matches.shape[0],), dtype=torch.bool),
    )
