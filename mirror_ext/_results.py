"""What the ops with several results return. The fields are tensors or NumPy arrays, as the op's arguments were."""

from typing import Any, NamedTuple


class Matches(NamedTuple):
    """Mutual matches of a list of pairs. Those of pair i are rows offsets[i] to offsets[i + 1]."""

    matches: Any  # [M, 2] int32: feature of the first photo, feature of the second; rising in the first
    ratios: Any  # [M, 2] float32 in (0, 1]: ratio seen from the first photo, from the second
    offsets: Any  # [P + 1] int64, from 0 to M


class Support(NamedTuple):
    """Evidence of every pair and the matches that carry it."""

    evidence: Any  # [P] float32
    good: Any  # [M] bool


class TopK(NamedTuple):
    """The closest targets of every query, closest first; where there are fewer than k: -inf or +inf, and -1."""

    values: Any  # [Q, k]
    indices: Any  # [Q, k] int64


class Visible(NamedTuple):
    """The triangles that each view sees."""

    bitsets: Any  # [N, words] int64: bit t % 64 of word t // 64 is triangle t
    counts: Any  # [N] int64


class Raster(NamedTuple):
    """What every pixel of every view shows."""

    triangle_ids: Any  # [N, H, W] int32, -1: none
    depth: Any  # [N, H, W] float32: z in the camera's frame, inf: none
    barycentrics: Any = None  # [N, H, W, 2] float32 where asked for: weights of the face's vertices 0 and 1
