"""Late interaction of local features: mutual nearest neighbours of 7-bit descriptors, weighed by their ratios."""

import torch
from torch import Tensor

from ._library import expect_tensors  # loads the ops
from ._results import Matches


def match_kernel(
    descriptors: Tensor,
    sizes: Tensor | None = None,
    other: Tensor | None = None,
    other_sizes: Tensor | None = None,
    *,
    pairs: Tensor | None = None,
    depth: int | None = None,
) -> Tensor:
    """Scores how much of one photo is found again in another.

    Every feature looks for its nearest neighbour q and its second nearest q' in the other photo (largest integer dot
    product, ties by lowest index): ``ratio(p) = min(1, sqrt(max(|p - q|^2, 1) / max(|p - q'|^2, 1)))``. The score is

        score(i, j) = sum over mutual nearest neighbours (p, q) of (1 - (ratio(p) + ratio(q)) / 2)^2

    A photo with fewer than two features scores 0. All arithmetic up to the distances is exact and the sum is taken in
    fixed point: the same bits on every processor, for every number of threads, and with `pairs` or without. Not
    differentiable.

    Args:
        descriptors: [N, n, 128] uint8 in 0..127, n <= 32768, the photos' features (docs/late_interaction.md, 2).
        sizes: [N] int32, how many features each photo has; None: all n. Rows beyond are never read.
        other: [M, m, 128] uint8, a second set; None: pairs within the first.
        other_sizes: [M] int32, sizes of `other`.
        pairs: [P, 2] int64, (index into descriptors, index into other or again descriptors); None: all pairs.
        depth: reads only the first `depth` features of each photo; None: all.

    Returns:
        float32 scores: [P] for `pairs`, else [N, M] with `other`, else [N, N] (symmetric).

    Raises:
        ValueError: a wrong type, shape, device, size, index, or a value above 127.

    Source: PR-MAC (ACCV 2018, Eq. 9-10) read over local features, with Lowe's ratio (IJCV 2004).
    """
    expect_tensors(
        "match_kernel", descriptors=descriptors, sizes=sizes, other=other, other_sizes=other_sizes, pairs=pairs
    )
    return torch.ops.mirror.match_kernel(descriptors, sizes, other, other_sizes, pairs, _depth("match_kernel", depth))


def mutual_matches(
    descriptors: Tensor,
    sizes: Tensor | None = None,
    other: Tensor | None = None,
    other_sizes: Tensor | None = None,
    *,
    pairs: Tensor,
    depth: int | None = None,
    max_ratio: float = 0.9,
    exact: bool = True,
) -> Matches:
    """Gives the matches that `match_kernel` sums over.

    Args:
        descriptors, sizes, other, other_sizes, depth: as in `match_kernel`.
        pairs: [P, 2] int64, (index into descriptors, index into other or again descriptors).
        max_ratio: keeps the matches whose smaller ratio is below it; above 1 keeps all.
        exact: False matches pairs of photos that both have 1,024 features or more in two passes, in little more than
            half of the time (docs/late_interaction.md, 3). A feature is compared only with those that descriptors of
            half the length rank among the four closest, seen from it or from them. So a match is missed that they rank
            fifth or worse from both sides, and where the second best is missed the ratio is too small: use a smaller
            max_ratio. The same bits on every processor; not on CUDA.

    Returns:
        matches [M, 2] int32 (feature of the first photo, feature of the second; rising in the first within a pair),
        ratios [M, 2] float32 (seen from the first photo, from the second), offsets [P + 1] int64 (pair i owns rows
        offsets[i] to offsets[i + 1]).

    Raises:
        ValueError: as `match_kernel`.
    """
    expect_tensors(
        "mutual_matches", descriptors=descriptors, sizes=sizes, other=other, other_sizes=other_sizes, pairs=pairs
    )
    return Matches(
        *torch.ops.mirror.mutual_matches(
            descriptors, sizes, other, other_sizes, pairs, _depth("mutual_matches", depth), max_ratio, exact
        )
    )


def _depth(op: str, depth: int | None) -> int:
    if depth is None:
        return -1
    if depth < 0:
        raise ValueError(f"{op}: depth: expected None or a number >= 0, got {depth}")
    return depth


@torch.library.register_fake("mirror::match_kernel")
def _(descriptors, sizes, other, other_sizes, pairs, depth):
    if pairs is not None:
        return descriptors.new_empty((pairs.shape[0],), dtype=torch.float32)
    columns = (descriptors if other is None else other).shape[0]
    return descriptors.new_empty((descriptors.shape[0], columns), dtype=torch.float32)


@torch.library.register_fake("mirror::mutual_matches")
def _(descriptors, sizes, other, other_sizes, pairs, depth, max_ratio, exact=True):
    count = torch.library.get_ctx().new_dynamic_size()
    return (
        descriptors.new_empty((count, 2), dtype=torch.int32),
        descriptors.new_empty((count, 2), dtype=torch.float32),
        descriptors.new_empty((pairs.shape[0] + 1,), dtype=torch.int64),
    )
