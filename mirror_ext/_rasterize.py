"""Which triangle of a mesh every pixel of a view shows."""

import torch
from torch import Tensor

from ._library import expect_tensors  # loads the ops
from ._results import Raster, Visible


def rasterize(
    vertices: Tensor,
    faces: Tensor,
    cam_from_world: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    *,
    near: float | Tensor = 1e-3,
    cull: bool = False,
    barycentrics: bool = False,
) -> Raster:
    """Finds the triangle that the ray through the centre of every pixel meets first.

    A vertex X is at ``K (R X + t)``: x right, y down, z forward; the centre of the first pixel is (0.5, 0.5). Corners
    are projected in float64 and rounded to 1/4096 of a pixel; which pixels a face covers is then exact: a centre on an
    edge belongs to the face whose top or left edge it is, so that every pixel of a closed surface has one owner,
    without cracks. The smallest depth wins, of several faces the lowest. Faces across the near plane are clipped. Faces
    with a vertex that is not finite and faces without area on that grid own no pixel. Same bits on every processor and
    for every number of threads. Not differentiable; `barycentrics` give any attribute of the vertices a gradient:
    ``b0 * a[f0] + b1 * a[f1] + (1 - b0 - b1) * a[f2]``.

    Args:
        vertices: [V, 3] float32 or float64.
        faces: [F, 3] int32, indices of vertices.
        cam_from_world: [N, 3, 4] float32 or float64, (R | t).
        intrinsics: [N, 4] float32 or float64: fx, fy, cx, cy in pixels.
        height, width: of the picture, at most 65536.
        near: smallest z that is seen, > 0, in units of the mesh; one number, or [N].
        cull: drop faces seen from behind. The front has its normal, by the right-hand rule over vertices 0, 1, 2,
            towards the camera.
        barycentrics: also return the weights of the face's vertices 0 and 1, perspective-correct.

    Returns:
        triangle_ids [N, H, W] int32, -1 where there is no surface; depth [N, H, W] float32, z in the camera's frame,
        inf where there is none; barycentrics [N, H, W, 2] float32, 0 where there is none, or None.

    Raises:
        ValueError: a wrong type, shape or device, an index that is no vertex's, a camera that is not finite or
            singular.

    Source: edge functions of Pineda, A parallel algorithm for polygon rasterization, SIGGRAPH 1988.
    """
    expect_tensors("rasterize", vertices=vertices, faces=faces, cam_from_world=cam_from_world, intrinsics=intrinsics)
    ids, depth, weights = torch.ops.mirror.rasterize(
        vertices, faces, cam_from_world, intrinsics, height, width, _each(near, cam_from_world), cull, barycentrics
    )
    return Raster(ids, depth, weights if barycentrics else None)


def rasterize_visible(
    vertices: Tensor,
    faces: Tensor,
    cam_from_world: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    *,
    near: float | Tensor = 1e-3,
    cull: bool = False,
    min_pixels: int = 1,
) -> Visible:
    """Collects the triangles that every view sees: `rasterize` and `visible_triangles` in one, without the maps.

    One map, or a part of it, is in memory for each thread, however many views there are.

    Args:
        vertices, faces, cam_from_world, intrinsics, height, width, near, cull: as in `rasterize`.
        min_pixels: how many pixels a triangle must own to count, >= 1.

    Returns:
        bitsets [N, ceil(F / 64)] int64: bit t % 64 of word t // 64 is triangle t; counts [N] int64.

    Raises:
        ValueError: as `rasterize`; min_pixels below 1.

    Source: Shen et al., Matchable Image Retrieval by Learning from Surface Reconstruction, ACCV 2018, 3.2.
    """
    expect_tensors(
        "rasterize_visible", vertices=vertices, faces=faces, cam_from_world=cam_from_world, intrinsics=intrinsics
    )
    return Visible(
        *torch.ops.mirror.rasterize_visible(
            vertices, faces, cam_from_world, intrinsics, height, width, _each(near, cam_from_world), cull, min_pixels
        )
    )


def _each(near: float | Tensor, cam_from_world: Tensor) -> Tensor:
    """One number for each view."""
    if isinstance(near, Tensor):
        return near.to(torch.float64)
    return cam_from_world.new_full(cam_from_world.shape[:1], near, dtype=torch.float64)


@torch.library.register_fake("mirror::rasterize")
def _(vertices, faces, cam_from_world, intrinsics, height, width, near, cull, barycentrics):
    shape = (cam_from_world.shape[0], height, width)
    return (
        vertices.new_empty(shape, dtype=torch.int32),
        vertices.new_empty(shape, dtype=torch.float32),
        vertices.new_empty((*shape, 2 if barycentrics else 0), dtype=torch.float32),
    )


@torch.library.register_fake("mirror::rasterize_visible")
def _(vertices, faces, cam_from_world, intrinsics, height, width, near, cull, min_pixels):
    views = cam_from_world.shape[0]
    return (
        vertices.new_empty((views, (faces.shape[0] + 63) // 64), dtype=torch.int64),
        vertices.new_empty((views,), dtype=torch.int64),
    )
