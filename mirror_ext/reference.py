"""The ops again in plain NumPy and PyTorch: an executable specification with the same signatures and results.

Slow on purpose and never a fallback. `match_kernel`, `mutual_matches` and the ops on visible triangles give the same
bits as the compiled ops; `similarity_support` and `pr_mac` agree within rounding. Arguments may be arrays or CPU
tensors; results are of the same kind. `pr_mac` needs torch in either case, because its gradient is specified by
autograd.
"""

import numpy as np

from ._like import like as _like
from ._overlap_reference import morton_order, overlap_masks, shared_triangles, visible_triangles
from ._results import Matches, Support, TopK
from ._visibility_reference import rasterize, rasterize_visible

__all__ = [
    "masked_max_pool",
    "match_kernel",
    "morton_order",
    "mutual_matches",
    "overlap_masks",
    "pr_mac",
    "pr_mac_rerank",
    "pr_mac_topk",
    "rasterize",
    "rasterize_visible",
    "region_max_pool",
    "shared_triangles",
    "similarity_support",
    "visible_triangles",
]


# ---- local features --------------------------------------------------------------------------------------------------


def match_kernel(descriptors, sizes=None, other=None, other_sizes=None, *, pairs=None, depth=None):
    """Sum of (1 - mean ratio)^2 over the mutual nearest neighbours of two photos."""
    a = _photos(descriptors, sizes, depth)
    b = a if other is None else _photos(other, other_sizes, depth)
    if pairs is None:
        scores = [[_score(x, y) for y in b] for x in a]
        return _like(descriptors, np.array(scores, np.float32).reshape(len(a), len(b)))
    return _like(descriptors, np.array([_score(a[i], b[j]) for i, j in np.asarray(pairs)], np.float32))


def mutual_matches(
    descriptors, sizes=None, other=None, other_sizes=None, *, pairs, depth=None, max_ratio=0.9, exact=True
) -> Matches:
    """The mutual nearest neighbours of every pair whose smaller ratio is below max_ratio."""
    a = _photos(descriptors, sizes, depth)
    b = a if other is None else _photos(other, other_sizes, depth)
    matches, ratios, offsets = [np.zeros((0, 2), np.int32)], [np.zeros((0, 2), np.float32)], [0]
    for i, j in np.asarray(pairs):
        p, q, from_a, from_b = _mutual(a[i], b[j], exact)
        keep = np.minimum(from_a, from_b) < np.float32(max_ratio)
        matches.append(np.stack([p, q], 1)[keep].astype(np.int32))
        ratios.append(np.stack([from_a, from_b], 1)[keep])
        offsets.append(offsets[-1] + int(keep.sum()))
    found = np.concatenate(matches), np.concatenate(ratios), np.array(offsets, np.int64)
    return Matches(*(_like(descriptors, x) for x in found))


def similarity_support(
    keypoints,
    sizes,
    diagonals,
    pairs,
    matches,
    ratios,
    offsets,
    *,
    other=None,
    other_sizes=None,
    other_diagonals=None,
    near=0.004,
    far=0.25,
    tolerance=0.3,
    min_share=0.06,
    min_support=2.0,
    weak=0.01,
) -> Support:
    """Every match predicts, by its own scale and angle, where its neighbours land in the other photo."""
    a = np.asarray(keypoints, np.float64)
    b = a if other is None else np.asarray(other, np.float64)
    diagonals, offsets = np.asarray(diagonals, np.float64), np.asarray(offsets)
    evidence, goods = np.zeros(len(np.asarray(pairs)), np.float32), [np.zeros(0, bool)]
    for n, (i, j) in enumerate(np.asarray(pairs)):
        rows = slice(offsets[n], offsets[n + 1])
        p, q = np.asarray(matches)[rows].T
        x, y, diagonal = a[i, p], b[j, q], diagonals[i]
        turn, grow = np.deg2rad(y[:, 3] - x[:, 3]), y[:, 2] / x[:, 2]
        similarity = (grow * np.exp(1j * turn))[:, None]  # as complex numbers: scale and rotation are one product
        x, y = x[:, 0] + 1j * x[:, 1], y[:, 0] + 1j * y[:, 1]
        step, observed = x[None] - x[:, None], y[None] - y[:, None]  # from match m (row) to match n (column)
        predicted = similarity * step
        slack = tolerance * np.minimum(abs(predicted), abs(observed)) + near * diagonal
        agree = abs(predicted - observed) < slack
        agree = (agree | agree.T) & (abs(step) > near * diagonal) & (abs(step) < far * diagonal)
        good = (agree.sum(1) >= max(min_support, min_share * len(x))) & (len(x) >= 2)
        closeness = 1 - np.asarray(ratios, np.float64)[rows].min(1)
        evidence[n] = closeness[good].sum() + weak * closeness.sum()
        goods.append(good)
    return Support(_like(keypoints, evidence), _like(keypoints, np.concatenate(goods)))


def _photos(descriptors, sizes, depth) -> list[np.ndarray]:
    """The features of each photo that count, as integers."""
    rows = np.asarray(descriptors).astype(np.int64)
    sizes = [rows.shape[1]] * len(rows) if sizes is None else np.asarray(sizes)
    return [photo[:size][:depth] for photo, size in zip(rows, sizes, strict=True)]


def _mutual(a: np.ndarray, b: np.ndarray, exact: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mutual nearest neighbours of [n, 128] and [m, 128]: rows of a (rising), rows of b, ratios from a, from b."""
    if len(a) < 2 or len(b) < 2:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.float32), np.zeros(0, np.float32)
    dots = _products(a, b)
    squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * dots
    if not exact and min(len(a), len(b)) >= 1024:
        coarse = _products(_coarse(a), _coarse(b))
        dots = np.where(_candidates(coarse) | _candidates(coarse.T).T, dots, -1)
    to_b, ratio_a = _nearest(dots, squared)
    to_a, ratio_b = _nearest(dots.T, squared.T)
    p = np.nonzero(to_a[to_b] == np.arange(len(a)))[0]
    q = to_b[p]
    return p, q, ratio_a[p], ratio_b[q]


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float64) @ b.T.astype(np.float64)).astype(np.int64)  # exact: below 2^21


def _coarse(photo: np.ndarray) -> np.ndarray:
    """Of the 4 x 4 cells of 8 numbers two neighbours summed, divided by the root of 2, rounded: [n, 64]."""
    cells = photo.reshape(-1, 4, 32)
    sums = cells[:, 0::2] + cells[:, 1::2]
    return np.minimum((sums * 181 + 128) >> 8, 127).reshape(-1, 64)


def _candidates(dots: np.ndarray) -> np.ndarray:
    """Marks for every row the two largest of every 512 columns, and of all these the four largest."""
    keys = dots * 2**15 - np.arange(dots.shape[1])  # ties by lowest index
    nothing = np.iinfo(keys.dtype).min
    kept = np.full_like(keys, nothing)
    for start in range(0, dots.shape[1], 512):
        block = keys[:, start : start + 512]
        second = np.sort(block, 1)[:, -2:][:, :1]
        kept[:, start : start + 512] = np.where(block >= second, block, nothing)
    return kept >= np.sort(kept, 1)[:, -4, None]


def _nearest(dots: np.ndarray, squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every row the column with the largest product (lowest index on ties) and the ratio to the second largest."""
    rows, best = np.arange(len(dots)), dots.argmax(1)
    rest = dots.copy()
    rest[rows, best] = -1
    first, second = (np.maximum(squared[rows, c], 1).astype(np.float32) for c in (best, rest.argmax(1)))
    return best, np.minimum(np.sqrt(first / second), np.float32(1))


def _score(a: np.ndarray, b: np.ndarray) -> np.float32:
    """Summed in units of 2^-30, so that no order of summation can change a bit."""
    _, _, ratio_a, ratio_b = _mutual(a, b)
    closeness = np.float32(1) - np.float32(0.5) * (ratio_a + ratio_b)
    terms = (closeness * closeness * np.float32(2**30)).astype(np.int64)
    return np.float32(terms.sum()) * np.float32(2**-30)


# ---- pooling ---------------------------------------------------------------------------------------------------------


def region_max_pool(features, boxes, *, return_argmax=False):
    """The maximum of every box. torch.max gives NaNs, and of equal values the first."""
    import torch

    maps = torch.as_tensor(features)
    row_major = torch.arange(maps.shape[2] * maps.shape[3]).view(maps.shape[2:])
    pooled, argmax = (
        [maps.new_empty((len(maps), 0, maps.shape[1]))],
        [row_major.new_empty((len(maps), 0, maps.shape[1]))],
    )
    for row, column, height, width in torch.as_tensor(boxes).tolist():
        inside = slice(row, row + height), slice(column, column + width)
        best, where = _first_maximum(maps[:, :, inside[0], inside[1]].flatten(2))
        pooled.append(best[:, None])
        argmax.append(row_major[inside].flatten()[where][:, None])
    return _pooled(features, torch.cat(pooled, 1), torch.cat(argmax, 1), return_argmax)


def masked_max_pool(features, mask, *, return_argmax=False):
    """The maximum over the cells that a mask keeps; the minimum of all cells where it keeps none."""
    import torch

    maps, mask = torch.as_tensor(features), torch.as_tensor(mask) != 0
    pooled, argmax = [maps.new_empty((0, maps.shape[1]))], [torch.empty((0, maps.shape[1]), dtype=torch.int64)]
    for image, kept in zip(maps.flatten(2), mask.flatten(1), strict=True):
        cells = kept.nonzero()[:, 0]
        if len(cells):
            best, where = _first_maximum(image[:, cells])
            where = cells[where]
        else:
            best, where = _first_maximum(-image)
            best = -best
        pooled.append(best[None])
        argmax.append(where[None])
    return _pooled(features, torch.cat(pooled), torch.cat(argmax), return_argmax)


def _first_maximum(cells):
    """Values and positions along the last dimension: NaN before everything, then the largest, then the first."""
    import torch

    nan = cells.isnan()
    largest = torch.where(nan, -torch.inf, cells).amax(-1, keepdim=True)
    wins = torch.where(nan.any(-1, keepdim=True), nan, cells == largest)
    where = wins.int().argmax(-1)
    return cells.gather(-1, where[..., None])[..., 0], where


def _pooled(features, pooled, argmax, return_argmax):
    import torch

    if not return_argmax:
        return _like(features, pooled)
    return _like(features, pooled), _like(features, argmax.to(torch.int32))


# ---- regions ---------------------------------------------------------------------------------------------------------


def pr_mac(
    query,
    target=None,
    reduction="cosine",
    *,
    query_sizes=None,
    target_sizes=None,
    symmetric=False,
    return_argmax=False,
    precision="exact",
):
    """Eq. 9-10: every query region's best target region, reduced to one score per pair of images."""
    import torch

    q, t, query_exists, target_exists = _regions(query, None if symmetric else target, query_sizes, target_sizes)
    if precision == "bf16":
        q, t = (x.to(torch.bfloat16).to(x.dtype) for x in (q, t))
    similarity = reduction in ("cosine", "best")
    closeness = q.new_zeros((len(q), len(t), q.shape[1], t.shape[1]))  # [Q, T, R, S]
    if similarity:
        closeness = torch.einsum("qrc,tsc->qtrs", q, t)
    elif closeness.numel():
        closeness = -torch.stack([(image[None, :, None] - t[:, None]).square().sum(-1) for image in q])
    closeness = closeness.masked_fill(~target_exists[None, :, None], -torch.inf)
    if t.shape[1] == 0:  # targets without regions: infinitely far
        closeness = closeness.new_full((*closeness.shape[:3], 1), -torch.inf)
    argmax = closeness.argmax(-1)
    best = closeness.gather(-1, argmax[..., None])[..., 0]  # [Q, T, R]
    exists = query_exists[:, None].expand(best.shape)
    scores = _reduce(best, exists, reduction)
    if not return_argmax:
        return _like(query, scores)
    argmax = torch.where(exists & target_exists.any(-1)[None, :, None], argmax, -1).to(torch.int32)
    return _like(query, scores), _like(query, argmax)


def _reduce(best, exists, reduction):
    """One score from the regions' best similarities, or from their negated squared distances. All are [Q, T, R]."""
    import torch

    if reduction in ("best", "hausdorff"):
        sign = 1 if reduction == "best" else -1  # hausdorff: the largest distance is the smallest closeness
        ranked = (sign * best).masked_fill(~exists, -torch.inf)
        if ranked.shape[-1] == 0:
            return best.sum(-1)
        chosen = best.gather(-1, ranked.argmax(-1, keepdim=True))[..., 0]
        chosen = torch.where(exists.any(-1), chosen, 0)
        return chosen if reduction == "best" else _root(-chosen)
    kept = torch.where(exists, best, 0)
    if reduction == "cosine":
        return kept.sum(-1) / exists.sum(-1).clamp(min=1)
    if reduction == "sqeuclid":
        return -kept.sum(-1)
    if reduction == "euclid_sum":
        return _root(-kept).sum(-1)
    if reduction == "euclid_l2":
        return _root(-kept.sum(-1))
    raise ValueError(
        "pr_mac: reduction: expected cosine, sqeuclid, euclid_sum, euclid_l2, best or hausdorff, got " + repr(reduction)
    )


def _root(squared):
    """Square root whose gradient at zero is zero."""
    import torch

    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1).sqrt(), 0)


def pr_mac_topk(
    query,
    target=None,
    k=10,
    reduction="cosine",
    *,
    query_sizes=None,
    target_sizes=None,
    symmetric=False,
    precision="exact",
    margin=32,
    certified=False,
) -> TopK:
    """The k closest targets, ties by lowest index; "bf16" looks at the k + margin closest of a rounded first pass."""
    import torch

    sizes = {"query_sizes": query_sizes, "target_sizes": target_sizes}
    scores = torch.as_tensor(pr_mac(query, target, reduction, symmetric=symmetric, **sizes))
    worst = -torch.inf if reduction in ("cosine", "best") else torch.inf
    if precision == "bf16" and not certified:
        rough = pr_mac(query, target, reduction, symmetric=symmetric, precision="bf16", **sizes)
        listed = _closest(torch.as_tensor(rough), worst)[:, : k + margin]
        scores = torch.full_like(scores, worst).scatter(1, listed, scores.gather(1, listed))
    indices = _closest(scores, worst)[:, :k]
    values = scores.gather(1, indices)
    missing = (0, k - indices.shape[1])
    return TopK(
        _like(query, torch.nn.functional.pad(values, missing, value=worst)),
        _like(query, torch.nn.functional.pad(indices, missing, value=-1)),
    )


def _closest(scores, worst):
    """All columns of every row, closest first."""
    return scores.argsort(dim=1, stable=True, descending=worst < 0)


def pr_mac_rerank(query, target, candidates, reduction="cosine", *, query_sizes=None, target_sizes=None):
    """The scores of listed candidates; -1 gives the worst."""
    import torch

    scores = torch.as_tensor(pr_mac(query, target, reduction, query_sizes=query_sizes, target_sizes=target_sizes))
    candidates = torch.as_tensor(candidates)
    worst = scores.new_full((len(scores), 1), -torch.inf if reduction in ("cosine", "best") else torch.inf)
    padded = torch.cat([scores, worst], 1)  # the last column stands for -1
    return _like(query, padded.gather(1, torch.where(candidates < 0, scores.shape[1], candidates)))


def _regions(query, target, query_sizes, target_sizes):
    """Both sets in their working type, and which regions exist: [Q, R, C], [T, S, C], [Q, R], [T, S]."""
    import torch

    if target is None:
        target, target_sizes = query, query_sizes
    sets, exist = [], []
    for regions, sizes in ((query, query_sizes), (target, target_sizes)):
        regions = torch.as_tensor(regions)
        sets.append(regions if regions.dtype == torch.float64 else regions.to(torch.float32))
        count = regions.shape[1]
        sizes = torch.full((len(regions),), count) if sizes is None else torch.as_tensor(sizes)
        exist.append(torch.arange(count)[None] < sizes[:, None])
    return *sets, *exist
