"""Who sees which triangle: visible sets, what two views share, and where on a picture it is."""

import torch
from torch import Tensor

from ._grid import grid_of
from ._library import expect_tensors  # loads the ops
from ._results import Visible


def visible_triangles(triangle_ids: Tensor, num_faces: int, min_pixels: int = 1) -> Visible:
    """Collects the triangles that own at least `min_pixels` pixels of each id map.

    Args:
        triangle_ids: [N, H, W] int32: which triangle each pixel shows, -1: none, as `rasterize` gives it.
        num_faces: F, of the mesh; ids are below it.
        min_pixels: >= 1; 2 or 3 suppress slivers at grazing angles.

    Returns:
        bitsets [N, ceil(F / 64)] int64 (bit t % 64 of word t // 64 is triangle t) and counts [N] int64, the size of
        each set.

    Raises:
        ValueError: a wrong type, shape or number, an id that is neither -1 nor 0..F-1. On CUDA ids are not checked.

    Source: Shen et al., Matchable Image Retrieval by Learning from Surface Reconstruction, ACCV 2018, 3.1.
    """
    expect_tensors("visible_triangles", triangle_ids=triangle_ids)
    return Visible(*torch.ops.mirror.visible_triangles(triangle_ids, num_faces, min_pixels))


def shared_triangles(bitsets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Counts, or weighs, the triangles that every two views share: ``|T(i) ∩ T(j)|``, the numerator of Eq. 3.

    Only blocks of 512 triangles in which both views have any are looked at: meshes in the order of `morton_order` are
    fast. Beyond the result the op takes about 16 MB at most, and less than the bitsets do; with weights also a float64
    copy of these.

    Args:
        bitsets: [N, words] int64, as `visible_triangles` gives them.
        weights: [F] float32 or float64, for example the triangles' areas; None: each counts as 1. There may be fewer
            than bits, if none of these is set. A weight that is not finite matters where its triangle is shared.

    Returns:
        [N, N] int32, symmetric, the size of each set on the diagonal; with weights float64. The order in which weights
        are added is fixed (mirror/overlap.h): the same bits on every processor and for every number of threads.

    Raises:
        ValueError: a wrong type or shape, a triangle without a weight. On CUDA that one weighs nothing.
    """
    expect_tensors("shared_triangles", bitsets=bitsets, weights=weights)
    return torch.ops.mirror.shared_triangles(bitsets, weights)


def overlap_masks(
    triangle_ids: Tensor, bitsets: Tensor, pairs: Tensor, size: int | tuple[int, int], *, directed: bool = False
) -> Tensor:
    """Measures, in every cell of a grid over a picture, the share of its area that another view sees too.

    Areas are exact: pixel x covers [x s, (x + 1) s) and cell c covers [c W, (c + 1) W), in the same unit, so that any
    H, W and s will do, also s > W. The integer area is divided once, in float64, and rounded to float32.

    Args:
        triangle_ids: [N, H, W] int32, -1: none.
        bitsets: [N, words] int64, as `visible_triangles` gives them; [M, words] if directed.
        pairs: [P, 2] int64 (i, j): both directions of it. Directed: (row of triangle_ids, row of bitsets), so that the
            maps of a few views can meet the sets of all.
        size: s, or (rows, columns), of the grid.
        directed: see above.

    Returns:
        [P, 2, s, s] float32 in 0..1: i's picture with j's triangles, and j's with i's. Directed: [P, s, s].

    Raises:
        ValueError: a wrong type, shape or index, an id beyond the bits, maps without pixels. On CUDA values are not
            checked.

    Source: overlap masks of the same paper, 3.2.
    """
    expect_tensors("overlap_masks", triangle_ids=triangle_ids, bitsets=bitsets, pairs=pairs)
    return torch.ops.mirror.overlap_masks(triangle_ids, bitsets, pairs, *grid_of("overlap_masks", size), directed)


def morton_order(vertices: Tensor, faces: Tensor) -> Tensor:
    """Sorts triangles along a Morton curve through their centroids: ``faces[order]`` is the mesh to work with.

    What one view sees lies close together on the curve, so that its bitset has few occupied blocks. On the CPU only: a
    mesh is sorted once.

    Args:
        vertices: [V, 3] float32 or float64.
        faces: [F, 3] int32.

    Returns:
        [F] int32; ties by index; triangles with a vertex that is not finite come last.

    Raises:
        ValueError: a wrong type, shape or device, an index that is no vertex's.
    """
    expect_tensors("morton_order", vertices=vertices, faces=faces)
    if vertices.is_cuda:
        raise ValueError(f"morton_order: vertices: expected a tensor on the CPU, got one on {vertices.device}")
    return torch.ops.mirror.morton_order(vertices, faces)


@torch.library.register_fake("mirror::visible_triangles")
def _(triangle_ids, num_faces, min_pixels):
    views = triangle_ids.shape[0]
    return (
        triangle_ids.new_empty((views, (num_faces + 63) // 64), dtype=torch.int64),
        triangle_ids.new_empty((views,), dtype=torch.int64),
    )


@torch.library.register_fake("mirror::shared_triangles")
def _(bitsets, weights):
    dtype = torch.int32 if weights is None else torch.float64
    return bitsets.new_empty((bitsets.shape[0], bitsets.shape[0]), dtype=dtype)


@torch.library.register_fake("mirror::overlap_masks")
def _(triangle_ids, bitsets, pairs, rows, columns, directed):
    directions = () if directed else (2,)
    return triangle_ids.new_empty((pairs.shape[0], *directions, rows, columns), dtype=torch.float32)


@torch.library.register_fake("mirror::morton_order")
def _(vertices, faces):
    return vertices.new_empty((faces.shape[0],), dtype=torch.int32)
