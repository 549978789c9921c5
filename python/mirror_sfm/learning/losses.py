"""Triplet losses on graded overlap (paper, Eqs. 1 and 5-8), batched: every other scene of a batch is a negative.

A batch is a matrix of 3 x Nb photos: row 0 the anchors, row 1 their strong and row 2 their weak positives, a column per
scene. Vectors are what pooling gives, of any length; distances are those of their unit vectors (1). Everything is
computed in float32 or float64 as given; call it outside autocast.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

KINDS = ("mtl", "tl", "ref_hinge", "ref_softmin")
TERMS = ("easy", "weak", "hard")
CLAMP = 1e-12  # of squared distances: below it the gradient is 0, so coincident vectors give no NaN


@dataclass(frozen=True)
class LossOptions:
    """Which of the losses, and its constants.

    Attributes:
        kind: "mtl", the mask triplet loss (7) in (8); "tl", the anchor-swap loss (6) in (8); "ref_hinge" and
            "ref_softmin", what the published program trains with.
        alpha: margins of the easy, weak and hard terms; they may be changed between steps (adaptive margins).
        beta: margin of the mask term.
        lam: weight of the triplet term beside the mask term; "tl" has weight 1.
        lambda1, lambda2: weights of the weak and the hard term.
        swap: False takes the anchor's distance to a negative alone, Eq. (5).
        squared: squared distances everywhere.
        hard: False leaves the weak and the hard term out ("without hard samples").
        mask_terms: which terms have a mask term.
    """

    kind: str = "mtl"
    alpha: tuple[float, float, float] = (1.0, 0.5, 0.5)
    beta: float = 0.1
    lam: float = 0.5
    lambda1: float = 1.0
    lambda2: float = 1.0
    swap: bool = True
    squared: bool = False
    hard: bool = True
    mask_terms: tuple[str, ...] = TERMS

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"LossOptions: kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        if unknown := set(self.mask_terms) - set(TERMS):
            raise ValueError(f"LossOptions: mask_terms: expected of {', '.join(TERMS)}, got {sorted(unknown)}")


@dataclass(frozen=True)
class MaskedPair:
    """Anchors and positives of one grade, each pooled under the mask of what the other sees too.

    Attributes:
        anchor, positive: [Nb, C].
        present: [Nb] bool, False where there is no mask: such a pair adds nothing, the divisor stays (A11).
    """

    anchor: Tensor
    positive: Tensor
    present: Tensor


@dataclass(frozen=True)
class Loss:
    """The terms of (8), each with its mask term, and their weighted sum. All are scalars."""

    easy: Tensor
    weak: Tensor
    hard: Tensor
    total: Tensor


def unit(vectors: Tensor) -> Tensor:
    """Vectors of norm 1; a vector of zeros stays."""
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def pair_distance(x: Tensor, y: Tensor, squared: bool = False) -> Tensor:
    """[..., C] twice -> [...] distance (1) of unit vectors, by explicit differences."""
    square = (unit(x) - unit(y)).square().sum(-1)
    return square if squared else square.clamp_min(CLAMP).sqrt()


def distance_matrix(x: Tensor, y: Tensor, squared: bool = False) -> Tensor:
    """[R, C], [S, C] -> [R, S] distances (1) of unit vectors, from one product."""
    square = (2 - 2 * unit(x) @ unit(y).T).clamp_min(0)
    return square if squared else square.clamp_min(CLAMP).sqrt()


def other_columns(columns: int, device: torch.device | None = None) -> Tensor:
    """[Nb, 3 Nb] bool: photo s = k Nb + j is a negative of column i where j != i."""
    column = torch.arange(columns, device=device)
    return column.repeat(3)[None] != column[:, None]


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, alpha: float, squared: bool = False) -> Tensor:
    """Eq. (5), [..., C] three times -> [...]."""
    positive_distance = pair_distance(anchor, positive, squared)
    return (positive_distance + alpha - pair_distance(anchor, negative, squared)).clamp_min(0)


def anchor_swap_loss(anchor: Tensor, positive: Tensor, negative: Tensor, alpha: float, squared: bool = False) -> Tensor:
    """Eq. (6): the nearer of anchor and positive counts."""
    nearer = torch.minimum(pair_distance(anchor, negative, squared), pair_distance(positive, negative, squared))
    return (pair_distance(anchor, positive, squared) + alpha - nearer).clamp_min(0)


def batch_loss(
    pooled: Tensor,
    strong: MaskedPair | None = None,
    weak: MaskedPair | None = None,
    options: LossOptions | None = None,
    negatives: Tensor | None = None,
    distances: Tensor | None = None,
) -> Loss:
    """Eq. (8) or its variants, from one matrix of distances: O(Nb^2) memory, 9 Nb^2 C multiply-adds.

    Args:
        pooled: [3, Nb, C], Nb >= 1.
        strong, weak: masked vectors of the pairs (anchor, strong) and (anchor, weak); needed by "mtl" for the terms of
            `mask_terms`.
        options: defaults where missing.
        negatives: [Nb, 3 Nb] bool, who is a negative of a column; missing: every photo of the other columns.
        distances: [3 Nb, 3 Nb] of all photos, squared where the options say so; missing: those of `pooled`. For "mtl"
            and "tl".

    Raises:
        ValueError: shapes do not fit, or masked vectors are missing.
    """
    options = options or LossOptions()
    if pooled.dim() != 3 or pooled.shape[0] != 3 or pooled.shape[1] < 1:
        raise ValueError(f"batch_loss: pooled: expected [3, Nb, C] with Nb >= 1, got {list(pooled.shape)}")
    columns = pooled.shape[1]
    if negatives is None:
        negatives = other_columns(columns, pooled.device)
    if negatives.shape != (columns, 3 * columns) or negatives.dtype != torch.bool:
        got = f"{list(negatives.shape)} {negatives.dtype}"
        raise ValueError(f"batch_loss: negatives: expected [{columns}, {3 * columns}] bool, got {got}")
    if options.kind == "ref_hinge":
        return _reference_hinge(pooled, options)
    if options.kind == "ref_softmin":
        return _reference_softmin(pooled, options)
    triplets = _triplet_terms(pooled, negatives, options, distances)
    if options.kind == "tl":
        return _weighed(triplets, options)
    masks = _mask_terms(pooled, strong, weak, options)
    return _weighed([mask + options.lam * term for mask, term in zip(masks, triplets, strict=True)], options)


def _triplet_terms(
    pooled: Tensor, negatives: Tensor, options: LossOptions, distances: Tensor | None = None
) -> list[Tensor]:
    """Easy, weak and hard hinges of (8)."""
    columns, count = pooled.shape[1], negatives.sum().clamp_min(1)
    if distances is None:
        every = pooled.flatten(0, 1)
        from_anchor, from_strong, from_weak = (distance_matrix(row, every, options.squared) for row in pooled)
        to_strong, to_weak = (pair_distance(pooled[0], pooled[row], options.squared) for row in (1, 2))
    else:
        from_anchor, from_strong, from_weak = distances.unflatten(0, (3, columns))
        to_strong, to_weak = (from_anchor.diagonal(row * columns) for row in (1, 2))

    def nearer(swapped: Tensor) -> Tensor:
        return torch.minimum(from_anchor, swapped) if options.swap else from_anchor

    def hinge(positive: Tensor, margin: float, to_negative: Tensor) -> Tensor:
        return (positive + margin - to_negative).clamp_min(0)

    easy, weak, hard = options.alpha
    own_weak = torch.arange(columns, device=pooled.device)[:, None] + 2 * columns
    return [
        (hinge(to_strong[:, None], easy, nearer(from_strong)) * negatives).sum() / count,
        (hinge(to_weak[:, None], weak, nearer(from_weak)) * negatives).sum() / count,
        hinge(to_strong, hard, nearer(from_strong).gather(1, own_weak)[:, 0]).mean(),
    ]


def _mask_terms(
    pooled: Tensor, strong: MaskedPair | None, weak: MaskedPair | None, options: LossOptions
) -> list[Tensor]:
    """The mask hinge of (7) for every term: it does not depend on the negative, so it leaves the sums of (8)."""
    used = [term for term in options.mask_terms if options.hard or term == "easy"]

    def hinge(pair: MaskedPair | None, grade: str) -> Tensor:
        if pair is None:
            raise ValueError(f"batch_loss: {grade}: the mask triplet loss needs masked vectors, got none")
        excess = (pair_distance(pair.anchor, pair.positive, options.squared) - options.beta).clamp_min(0)
        return torch.where(pair.present, excess, 0).mean()

    zero = pooled.new_zeros(())
    strong_term = hinge(strong, "strong") if {"easy", "hard"} & set(used) else zero
    weak_term = hinge(weak, "weak") if "weak" in used else zero
    terms = {"easy": strong_term, "weak": weak_term, "hard": strong_term}
    return [terms[name] if name in used else zero for name in TERMS]


def _weighed(terms: list[Tensor], options: LossOptions) -> Loss:
    easy, weak, hard = terms
    if not options.hard:
        weak, hard = weak.new_zeros(()), hard.new_zeros(())
    return Loss(easy, weak, hard, easy + options.lambda1 * weak + options.lambda2 * hard)


def _reference_hinge(pooled: Tensor, options: LossOptions) -> Loss:
    """The published hinge: squared distances, both directions of anchors x positives, hard the largest; margin 0.5."""
    margin = 0.5
    strong, weak = (distance_matrix(pooled[0], pooled[k], squared=True) for k in (1, 2))
    others = ~torch.eye(pooled.shape[1], dtype=torch.bool, device=pooled.device)

    def term(matrix: Tensor) -> Tensor:
        own = matrix.diagonal()
        both = (margin + own[None] - matrix).clamp_min(0) + (margin + own[:, None] - matrix).clamp_min(0)
        return (both * others).sum() / others.sum().clamp_min(1) / 2

    hard = (margin + strong.diagonal() - weak.diagonal()).clamp_min(0).max()
    return _weighed([term(strong), term(weak), hard], options)


def _reference_softmin(pooled: Tensor, options: LossOptions) -> Loss:
    """What the published program runs: vectors as they are, softplus of clipped differences, no margin."""

    def distances(x: Tensor, y: Tensor) -> Tensor:
        square = x.square().sum(1)[:, None] - 2 * x @ y.T + y.square().sum(1)[None]
        return (square + 1e-6).clamp_min(CLAMP).sqrt()

    def soft(difference: Tensor) -> Tensor:
        return torch.nn.functional.softplus(difference.clamp(-10, 10))

    strong, weak = distances(pooled[0], pooled[1]), distances(pooled[0], pooled[2])
    others = ~torch.eye(pooled.shape[1], dtype=torch.bool, device=pooled.device)

    def term(matrix: Tensor) -> Tensor:
        own = matrix.diagonal()
        both = soft(own[None] - matrix) + soft(own[:, None] - matrix)
        return (both * others).sum() / others.sum().clamp_min(1)

    return _weighed([term(strong), term(weak), soft(strong.diagonal() - weak.diagonal()).mean()], options)
