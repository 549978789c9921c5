"""AML, three things of one name: two reductions of PR-MAC, and the search for where the query is in a photo.

`aml` and `aml_hausdorff` replace the sum of Eq. 10 of Shen et al. (ACCV 2018) by a maximum, the former as a similarity,
the latter as a distance. `aml_localise` is approximate max-pooling localisation of Tolias, Sicre, Jegou, *Particular
Object Retrieval with Integral Max-Pooling of CNN Activations*, ICLR 2016: the maximum of a box is nearly
(sum_p F[p]^10)^(1/10), which an integral image gives for any box in four reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import mirror_ext
from mirror_sfm.descriptors.aggregation import expect_maps, region_vectors
from mirror_sfm.descriptors.arguments import expect_count, expect_shape, fail
from mirror_sfm.descriptors.reranking import reorder_head
from mirror_sfm.descriptors.whitening import unit

_CHUNK = 4096  # boxes looked at together: bounds memory, changes nothing


def aml(query: Tensor, target: Tensor) -> Tensor:
    """max_i max_j <q_i, t_j>, [Q, T]: the best pair of regions of [Q, R, C] and [T, S, C]; higher is closer."""
    return cast(Tensor, mirror_ext.pr_mac(query, target, "best"))


def aml_hausdorff(query: Tensor, target: Tensor) -> Tensor:
    """max_i min_j |q_i - t_j|, [Q, T]: the query region that is explained worst; lower is closer."""
    return cast(Tensor, mirror_ext.pr_mac(query, target, "hausdorff"))


@dataclass(frozen=True)
class Localisation:
    """How boxes are searched.

    Attributes:
        step: cells between the borders of boxes tried.
        aspect: boxes may be this much wider or narrower than the query.
        rounds: of refinement, at most.
        reach: cells that each border may move in one round.
        exponent: of the soft maximum.
    """

    step: int = 3
    aspect: float = 1.1
    rounds: int = 5
    reach: int = 3
    exponent: float = 10.0

    def __post_init__(self) -> None:
        expect_count("Localisation", "step", self.step)
        expect_count("Localisation", "rounds", self.rounds, 0)
        expect_count("Localisation", "reach", self.reach, 0)
        if not (self.aspect >= 1 and self.exponent >= 1):
            fail("Localisation", "aspect and exponent", "numbers >= 1", (self.aspect, self.exponent))


class Found(NamedTuple):
    """Where the query is most likely to be."""

    box: tuple[int, int, int, int]  # row, column, height, width in cells
    similarity: float  # cosine of the query and the exact maxima of the box
    vector: Tensor  # [C] those maxima, normalised


@torch.no_grad()
def aml_localise(query: Tensor, features: Tensor, aspect: float = 1.0, options: Localisation | None = None) -> Found:
    """The box of a map whose maxima resemble the query's most.

    Args:
        query: [C] maxima of the query's map, of any scale.
        features: [C, H, W], not negative.
        aspect: width / height of the query in cells. Boxes keep it within the factor of the options; the shape of the
            whole map is always allowed.
        options: None: those of the paper.

    Boxes are tried on a grid of borders, then each border in turn moves to its best place nearby until none moves. Ties
    go to the first box: top to bottom, left to right, small to large. No gradient.
    """
    options = options or Localisation()
    expect_maps("aml_localise", features[None])
    expect_shape("aml_localise", "query", query, features.shape[0])
    if not aspect > 0:
        fail("aml_localise", "aspect", "a number > 0", aspect)
    if bool((features < 0).any()):
        fail("aml_localise", "features", "values >= 0, as after ReLU", features.min().item())
    soft = _SoftMaxima(features, options.exponent)
    direction = unit(query.to(torch.float64))
    height, width = features.shape[1:]
    boxes = _candidates(height, width, aspect, options)
    best = boxes[_first_best(soft.similarity(boxes, direction))]
    for _ in range(options.rounds):
        before = best
        for border in range(4):
            moved = _moved(best, border, options.reach, (height, width))
            best = moved[_first_best(soft.similarity(moved, direction))]
        if torch.equal(best, before):
            break
    top, left, bottom, right = best.tolist()
    box = top, left, bottom - top, right - left
    vector = unit(region_vectors(features[None], np.array([box]))[0, 0])
    return Found(box, float(unit(query.to(vector.dtype)) @ vector), vector)


@torch.no_grad()
def aml_rerank(
    order: NDArray[np.int64],
    query: Tensor,
    maps: Tensor,
    aspects: NDArray[np.float64],
    shortlist: int = 200,
    expansion: int = 5,
    options: Localisation | None = None,
) -> NDArray[np.int64]:
    """Re-ranks the first photos by their localised boxes, then once more with an expanded query.

    Args:
        order: [Q, N] indices into maps, best first.
        query: [Q, C] maxima of the queries' maps.
        maps: [T, C, H, W], not negative.
        aspects: [Q] width / height of each query, in cells.
        shortlist: how many photos of each query are looked at.
        expansion: the query is averaged with the boxes of this many best photos (average query expansion); 0: none.
        options: of the search.

    Returns:
        [Q, N] int64; the tail keeps its order.
    """
    order = np.asarray(order, np.int64)
    expect_shape("aml_rerank", "order", order, len(query), "N")
    expect_shape("aml_rerank", "aspects", aspects, len(query))
    expect_count("aml_rerank", "shortlist", shortlist, 0)
    expect_count("aml_rerank", "expansion", expansion, 0)
    head = order[:, :shortlist]
    if not head.size:
        return order
    score = np.zeros(head.shape)
    for row, (photos, vector) in enumerate(zip(head, unit(query), strict=True)):
        found = [aml_localise(vector, maps[photo], float(aspects[row]), options) for photo in photos]
        vectors = torch.stack([f.vector for f in found])
        if expansion:
            first = np.lexsort((photos, [-f.similarity for f in found]))[:expansion]
            vector = unit(vector + vectors[torch.from_numpy(first).to(vectors.device)].sum(dim=0))
        score[row] = (vectors @ vector).cpu().numpy()
    return reorder_head(order, score)


class _SoftMaxima:
    """Nearly the maxima of any box of a map. Boxes are [M, 4] top, left, bottom, right, the latter two exclusive."""

    def __init__(self, features: Tensor, exponent: float):
        channels, height, width = features.shape
        values = features.to(torch.float64)
        self.scale = values.amax(dim=(1, 2)).clamp_min(1e-30)  # powers of values in 0..1 neither overflow nor vanish
        self.exponent = exponent
        self.sums = values.new_zeros(height + 1, width + 1, channels)
        powers = (values / self.scale[:, None, None]).pow(exponent).permute(1, 2, 0)
        self.sums[1:, 1:] = powers.cumsum(dim=0).cumsum(dim=1)

    def similarity(self, boxes: Tensor, direction: Tensor) -> Tensor:
        """Cosines [M] of the boxes' soft maxima and a unit vector [C]."""
        return torch.cat([self._chunk(part, direction) for part in boxes.split(_CHUNK)])

    def _chunk(self, boxes: Tensor, direction: Tensor) -> Tensor:
        top, left, bottom, right = boxes.unbind(dim=1)
        sums = self.sums[bottom, right] - self.sums[top, right] - self.sums[bottom, left] + self.sums[top, left]
        return unit(sums.clamp_min(0).pow(1 / self.exponent) * self.scale) @ direction


def _candidates(height: int, width: int, aspect: float, options: Localisation) -> Tensor:
    """Boxes with borders every `step` cells (and at the far border) whose shape is near the query's; the whole map."""
    rows, columns = (
        torch.tensor(sorted({*range(0, cells, options.step), cells}), dtype=torch.int64) for cells in (height, width)
    )
    boxes = torch.cartesian_prod(rows, columns, rows, columns)
    high, wide = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    ratio = wide.to(torch.float64) / high.clamp_min(1) / aspect
    near = (ratio <= options.aspect) & (ratio >= 1 / options.aspect)
    return torch.cat([boxes[(high > 0) & (wide > 0) & near], torch.tensor([[0, 0, height, width]])])


def _moved(box: Tensor, border: int, reach: int, limit: tuple[int, int]) -> Tensor:
    """The box, and the boxes with one border moved by up to `reach` cells, inside the map and not empty."""
    boxes = box.repeat(2 * reach + 2, 1)
    boxes[1:, border] += torch.arange(-reach, reach + 1)
    top, left, bottom, right = boxes.unbind(dim=1)
    inside = (top >= 0) & (left >= 0) & (bottom <= limit[0]) & (right <= limit[1])
    return boxes[inside & (top < bottom) & (left < right)]


def _first_best(similarity: Tensor) -> int:
    return int(np.argmax(similarity.cpu().numpy()))
