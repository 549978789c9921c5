"""PR-MAC: every region of a query looks for its closest region of a target (ACCV 2018, Eq. 9-10)."""

from typing import Any

import torch
from torch import Tensor

from ._library import expect_tensors  # loads the ops
from ._results import TopK


def pr_mac(
    query: Tensor,
    target: Tensor | None = None,
    reduction: str = "cosine",
    *,
    query_sizes: Tensor | None = None,
    target_sizes: Tensor | None = None,
    symmetric: bool = False,
    return_argmax: bool = False,
    precision: str = "exact",
) -> Tensor | tuple[Tensor, Tensor]:
    """Scores all pairs of a query and a target image.

    With ``s_i = max_j <q_i, t_j>`` and ``d_i = min_j |q_i - t_j|`` over regions i of the query and j of the target:

        cosine      mean_i s_i             higher is closer; the default
        sqeuclid    sum_i d_i^2            lower is closer, as for all distances
        euclid_sum  sum_i d_i              Eq. 10, literally
        euclid_l2   sqrt(sum_i d_i^2)      the other reading of Eq. 10
        best        max_i s_i              best single pair of regions (AML); higher is closer
        hausdorff   max_i d_i              directed Hausdorff distance (AML in distance mode)

    Every query region must be explained, target regions may stay unused: the score is not symmetric. Nothing of size
    [Q * R, T * S] is ever in memory. Differentiable once, through the matched regions (ties: lowest index).

    Args:
        query: [Q, R, C] float32, float64, bfloat16 or float16, finite; unit rows for the cosine reductions.
        target: [T, S, C] of the same type; None: the query images themselves.
        reduction: see above.
        query_sizes: [Q] int32, how many regions each image has; None: all R. Regions beyond do not exist. An image
            without regions scores 0 as a query, and is infinitely far (-inf or distance +inf) as a target.
        target_sizes: [T] int32, sizes of `target`.
        symmetric: query and target are the same images; each product then serves both directions.
        return_argmax: also returns which target region each query region matched.
        precision: "exact", or "bf16": products of bfloat16-rounded vectors with float32 sums; not for float64.

    Returns:
        scores [Q, T], float64 for float64 regions and float32 otherwise; with `return_argmax` also
        [Q, T, R] int32, -1 for regions that do not exist.

    Raises:
        ValueError: a wrong type, shape, device, size, or an unknown name.

    Source: Eq. 9-10 of Shen et al., Matchable Image Retrieval by Learning from Surface Reconstruction, ACCV 2018.
    """
    expect_tensors("pr_mac", query=query, target=target, query_sizes=query_sizes, target_sizes=target_sizes)
    target = _other("pr_mac", query, target, symmetric)
    tracked = torch.is_grad_enabled() and (query.requires_grad or (target is not None and target.requires_grad))
    scores, argmax = torch.ops.mirror.pr_mac(
        query, target, query_sizes, target_sizes, reduction, precision, return_argmax or tracked
    )
    return (scores, argmax) if return_argmax else scores


def pr_mac_topk(
    query: Tensor,
    target: Tensor | None = None,
    k: int = 10,
    reduction: str = "cosine",
    *,
    query_sizes: Tensor | None = None,
    target_sizes: Tensor | None = None,
    symmetric: bool = False,
    precision: str = "exact",
    margin: int = 32,
    certified: bool = False,
) -> TopK:
    """Finds the k closest targets of every query with a running top-k: memory does not grow with Q * T.

    Args:
        query, target, reduction, query_sizes, target_sizes, symmetric: as in `pr_mac`. With `symmetric` (or without a
            target) every image is among its own neighbours.
        k: how many targets, >= 0.
        precision: "exact", or "bf16": a first pass in bfloat16 chooses k + margin candidates, which are then scored
            exactly.
        margin: candidates beyond k that "bf16" scores exactly.
        certified: "bf16" scores every candidate exactly that the rounding bound cannot exclude, whatever the margin:
            provably the same result as "exact".

    Returns:
        values [Q, k], the same bits as `pr_mac`'s scores, closest first, ties by lowest index; indices [Q, k] int64.
        Where k exceeds T: -inf (distances: +inf) and -1. No gradient.

    Raises:
        ValueError: as `pr_mac`.
    """
    expect_tensors("pr_mac_topk", query=query, target=target, query_sizes=query_sizes, target_sizes=target_sizes)
    target = _other("pr_mac_topk", query, target, symmetric)
    return TopK(
        *torch.ops.mirror.pr_mac_topk(
            query, target, query_sizes, target_sizes, k, reduction, precision, margin, certified
        )
    )


def pr_mac_rerank(
    query: Tensor,
    target: Tensor | None,
    candidates: Tensor,
    reduction: str = "cosine",
    *,
    query_sizes: Tensor | None = None,
    target_sizes: Tensor | None = None,
) -> Tensor:
    """Scores listed candidates only, for example the first 200 of another ranking.

    Args:
        query, target, reduction, query_sizes, target_sizes: as in `pr_mac`.
        candidates: [Q, K] int64, indices into target; -1 gives the worst score.

    Returns:
        scores [Q, K], the same bits as `pr_mac`'s. No gradient.

    Raises:
        ValueError: as `pr_mac`, and candidates out of range.
    """
    expect_tensors(
        "pr_mac_rerank",
        query=query,
        target=target,
        candidates=candidates,
        query_sizes=query_sizes,
        target_sizes=target_sizes,
    )
    if target is None:
        target, target_sizes = query, query_sizes
    return torch.ops.mirror.pr_mac_rerank(query, target, candidates, query_sizes, target_sizes, reduction)


def _other(op: str, query: Tensor, target: Tensor | None, symmetric: bool) -> Tensor | None:
    """The target, or None for a self-join."""
    if symmetric and target is not None and target is not query:
        raise ValueError(f"{op}: target: expected None or the query itself with symmetric=True, got another tensor")
    return None if symmetric else target


def _score_type(query: Tensor) -> torch.dtype:
    return torch.float64 if query.dtype == torch.float64 else torch.float32


@torch.library.register_fake("mirror::pr_mac")
def _(query, target, query_sizes, target_sizes, reduction, precision, with_argmax):
    images, regions, _ = query.shape
    targets = images if target is None else target.shape[0]
    return (
        query.new_empty((images, targets), dtype=_score_type(query)),
        query.new_empty((images, targets, regions if with_argmax else 0), dtype=torch.int32),
    )


@torch.library.register_fake("mirror::pr_mac_backward")
def _(grad, query, target, query_sizes, target_sizes, scores, argmax, reduction):
    return torch.empty_like(query, memory_format=torch.contiguous_format), torch.empty_like(
        target, memory_format=torch.contiguous_format
    )


@torch.library.register_fake("mirror::pr_mac_topk")
def _(query, target, query_sizes, target_sizes, k, reduction, precision, margin, certified):
    return (
        query.new_empty((query.shape[0], k), dtype=_score_type(query)),
        query.new_empty((query.shape[0], k), dtype=torch.int64),
    )


@torch.library.register_fake("mirror::pr_mac_rerank")
def _(query, target, candidates, query_sizes, target_sizes, reduction):
    return query.new_empty(candidates.shape, dtype=_score_type(query))


def _save(ctx: Any, inputs: tuple, output: tuple) -> None:
    query, target, query_sizes, target_sizes, reduction, _, with_argmax = inputs
    if not with_argmax:
        raise RuntimeError("pr_mac: with_argmax: expected True where a gradient is asked for, got False")
    scores, argmax = output
    ctx.mark_non_differentiable(argmax)
    ctx.save_for_backward(query, target, query_sizes, target_sizes, scores, argmax)
    ctx.reduction = reduction


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple:
    query, target, query_sizes, target_sizes, scores, argmax = ctx.saved_tensors
    same = target is None
    if same:
        target, target_sizes = query, query_sizes
    # bfloat16 and float16 are storage: gradients are computed in float32, as the scores were.
    working = _score_type(query)
    grad_query, grad_target = torch.ops.mirror.pr_mac_backward(
        grad, query.to(working), target.to(working), query_sizes, target_sizes, scores, argmax, ctx.reduction
    )
    if same:
        return (grad_query + grad_target).to(query.dtype), None, None, None, None, None, None
    return grad_query.to(query.dtype), grad_target.to(query.dtype), None, None, None, None, None


torch.library.register_autograd("mirror::pr_mac", _backward, setup_context=_save)


def _no_second_derivative(ctx: Any, *grads: Any) -> None:
    raise NotImplementedError("pr_mac: it can be differentiated once, not twice")


torch.library.register_autograd("mirror::pr_mac_backward", _no_second_derivative)
