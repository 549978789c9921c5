"""A terrain of a million triangles and cameras above it: what bench/gpu_ops.py rasterises."""

from __future__ import annotations

import torch
from torch import Tensor

import mirror_ext

METRES = 1000.0
PIXELS = 1000  # of a picture's side


def terrain(cells: int) -> tuple[Tensor, Tensor]:
    """Hills over a square kilometre: vertices [V, 3] float32, 2 cells^2 faces [F, 3] int32 along a Morton curve."""
    line = torch.linspace(0, METRES, cells + 1)
    x, y = torch.meshgrid(line, line, indexing="ij")
    z = 12 * torch.sin(x / 70) * torch.cos(y / 90) + 3 * torch.sin(x / 11 + y / 17) + torch.rand(x.shape)
    corner = torch.arange((cells + 1) ** 2, dtype=torch.int32).view(cells + 1, cells + 1)
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    faces = torch.stack([a, b, c, a, c, d], -1).view(-1, 3)
    vertices = torch.stack([x, y, z], -1).view(-1, 3)
    return vertices.cuda(), faces[mirror_ext.morton_order(vertices, faces).long()].cuda()


def cameras(views: int, low: float, high: float, spread: float, tilt: float) -> tuple[Tensor, Tensor]:
    """Looking down from low..high metres, up to `spread` from the middle, turned, and tilted by up to `tilt` radians.

    Returns:
        cam_from_world [views, 3, 4] float32, intrinsics [views, 4] float32: 60 degrees, PIXELS x PIXELS.
    """
    generator = torch.Generator().manual_seed(views)
    x, y, height, turn, lean = torch.rand(5, views, generator=generator, dtype=torch.float64)
    centre = torch.stack(
        [(x - 0.5) * spread + METRES / 2, (y - 0.5) * spread + METRES / 2, low + height * (high - low)], -1
    )
    turn, lean = turn * 2 * torch.pi, (lean - 0.5) * 2 * tilt
    zero, one = torch.zeros_like(turn), torch.ones_like(turn)
    about_z = torch.stack([turn.cos(), turn.sin(), zero, turn.sin(), -turn.cos(), zero, zero, zero, -one], -1)
    about_x = torch.stack([one, zero, zero, zero, lean.cos(), -lean.sin(), zero, lean.sin(), lean.cos()], -1)
    rotation = about_x.view(-1, 3, 3) @ about_z.view(-1, 3, 3)
    pose = torch.cat([rotation, -rotation @ centre[..., None]], -1)
    focal = PIXELS / 2 * 3**0.5
    lens = torch.tensor([focal, focal, PIXELS / 2, PIXELS / 2]).repeat(views, 1)
    return pose.float().cuda(), lens.cuda()


def clip_space(vertices: Tensor, poses: Tensor, lenses: Tensor, near: float, far: float) -> Tensor:
    """The same cameras for a rasteriser that takes clip coordinates: [views, vertices, 4]."""
    points = vertices @ poses[:, :, :3].mT + poses[:, None, :, 3]
    x, y, z = points.unbind(-1)
    fx, fy, cx, cy = (lenses[:, i, None] * 2 / PIXELS for i in range(4))
    depth = (z * (far + near) - 2 * far * near) / (far - near)
    return torch.stack([fx * x + (cx - 1) * z, fy * y + (cy - 1) * z, depth, z], -1)
