"""Light on a surface: one lamp whose shadows are sharp, and soft light from many places at once.

A lamp is a camera, too: what it sees is lit. The sharp shadows are looked up per pixel in the depth that the key lamp
sees, the soft ones per vertex in the depths that all others see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirror_ext.numpy import rasterize
from mirror_sfm.scenes.scene import Mesh
from mirror_sfm.synthetic.noise import floats
from mirror_sfm.synthetic.paths import look
from mirror_sfm.synthetic.surfaces import Surface
from mirror_sfm.threads import parallel

Colour = tuple[float, float, float]
FAR = 20.0  # distance of a sun, in radii of the scene: rays are parallel to 3 degrees


@dataclass(frozen=True)
class Lamp:
    """A place that sends light through a square window.

    Attributes:
        position: [3], in the world.
        aim: [3], where the window's middle is seen.
        spread: half the window's side at distance 1.
    """

    position: np.ndarray
    aim: np.ndarray
    spread: float

    def pose(self) -> np.ndarray:
        forward = self.aim - self.position
        return look(
            self.position, forward, (1.0, 0, 0) if abs(forward[0]) < 0.7 * np.linalg.norm(forward) else (0, 1, 0)
        )


@dataclass(frozen=True)
class Lights:
    """All light of a scene; colours are linear, white paper in full light is about 1.

    Attributes:
        key: the lamp with sharp shadows.
        key_colour: of its light, where it falls straight.
        soft: the lamps that together make the soft light.
        soft_colour: of their light, where nothing hides any of them.
        ambient: light that is everywhere.
        bias: distance within which a surface does not shadow itself, in units of the world.
        haze: colour of the air.
        clear: distance at which half of what is seen is haze; 0: clear air.
        zenith, horizon: colours of the sky, which is seen where there is no surface.
    """

    key: Lamp
    key_colour: Colour
    soft: Sequence[Lamp]
    soft_colour: Colour
    ambient: Colour
    bias: float
    haze: Colour = (0.62, 0.7, 0.8)
    clear: float = 0.0
    zenith: Colour = (0.2, 0.38, 0.75)
    horizon: Colour = (0.75, 0.83, 0.92)


@dataclass(frozen=True)
class Lit:
    """A surface in its light, ready to be rendered.

    Attributes:
        surface, lights: what and in which light.
        corners: [F, 16] float32 per face: x of its corners' texels (3), y (3), key light (3), soft light (3), density,
            glow, and two that fill the cache line.
        shadows: [s, s] float32 depth that the key lamp sees, bias added.
        to_shadows: [3, 4] float64, homogeneous pixel of `shadows` times depth from a place in the world.
    """

    surface: Surface
    lights: Lights
    corners: np.ndarray
    shadows: np.ndarray
    to_shadows: np.ndarray


def sun(mesh: Mesh, towards: Sequence[float]) -> Lamp:
    """A lamp so far away, in the direction `towards`, that its light is nearly parallel; it lights the whole mesh."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    direction = np.asarray(towards, np.float64) / np.linalg.norm(towards)
    return Lamp(middle + FAR * radius * direction, middle, 1.02 / FAR)


def sky(mesh: Mesh, count: int = 24) -> list[Lamp]:
    """Suns spread evenly over the upper half of the sky, on a spiral."""
    heights = (np.arange(count) + 0.5) / count * 0.9 + 0.1
    turns = np.arange(count) * (np.pi * (3 - 5**0.5))
    flat = np.sqrt(1 - heights**2)
    return [sun(mesh, place) for place in np.stack([flat * np.cos(turns), flat * np.sin(turns), heights], axis=1)]


def illuminate(surface: Surface, lights: Lights, *, shadows: int = 3072, soft: int = 640, threads: int = 1) -> Lit:
    """Computes what of the light does not depend on the camera.

    Args:
        surface: what is lit.
        lights: by what.
        shadows: pixels along a side of the key lamp's depth.
        soft: the same of the others.
        threads: how many may be used; they change nothing.
    """
    mesh, normals = surface.mesh, surface.normals

    def one(lamp: Lamp) -> tuple[np.ndarray, np.ndarray]:
        depth, to_pixels = _depth(mesh, lamp, soft, 1)
        cosine = _facing(mesh, normals, lamp)
        # Between two pixels of the lamp's picture a slanted surface falls away by so much per pixel's width.
        fall = np.sqrt(1 - np.minimum(cosine, 1) ** 2) / np.maximum(cosine, 0.02)
        reached = _reached(mesh, normals, depth, to_pixels, lights.bias, fall * np.float32(2 * lamp.spread / soft))
        return cosine * reached, np.maximum(_direction(lamp, mesh.vertices.mean(axis=0))[2], 0)

    total, open_ground = np.zeros(len(normals), np.float32), 0.0
    for light, upright in parallel(one, lights.soft, threads):
        total += light
        open_ground += float(upright)
    depth, to_shadows = _depth(mesh, lights.key, shadows, threads)
    vertex = [surface.texels, _facing(mesh, normals, lights.key)[:, None], (total / np.float32(open_ground))[:, None]]
    faces = np.concatenate(vertex, axis=1)[mesh.faces].transpose(0, 2, 1).reshape(len(mesh.faces), 12)
    filled = np.zeros((len(faces), 16), np.float32)
    filled[:, :12], filled[:, 12], filled[:, 13] = faces, surface.density, surface.glow
    return Lit(surface, lights, filled, depth + np.float32(lights.bias), to_shadows)


def _direction(lamp: Lamp, place: np.ndarray) -> np.ndarray:
    towards = lamp.position - place
    return towards / np.linalg.norm(towards, axis=-1, keepdims=True)


def _facing(mesh: Mesh, normals: np.ndarray, lamp: Lamp) -> np.ndarray:
    """[V] float32, cosine of the angle at which the lamp's light falls; 0 on the far side."""
    x, y, z = floats(_direction(lamp, mesh.vertices)).T
    return np.maximum(x * normals[:, 0] + y * normals[:, 1] + z * normals[:, 2], 0)


def _depth(mesh: Mesh, lamp: Lamp, size: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """What the lamp sees, and the matrix from places to its pixels."""
    focal, pose = size / (2 * lamp.spread), lamp.pose()
    intrinsics = np.array([focal, focal, size / 2, size / 2])
    near = 0.02 * float(np.linalg.norm(lamp.aim - lamp.position))
    seen = rasterize(
        mesh.vertices, mesh.faces, pose[None], intrinsics[None], size, size, near=near, num_threads=threads
    )
    to_pixels = np.stack([focal * pose[0] + size / 2 * pose[2], focal * pose[1] + size / 2 * pose[2], pose[2]])
    return seen.depth[0], to_pixels


def _reached(
    mesh: Mesh, normals: np.ndarray, depth: np.ndarray, to_pixels: np.ndarray, bias: float, slack: np.ndarray
) -> np.ndarray:
    """[V] float32, 1 where a lamp sees the vertex (moved off the surface a little) or it is outside its window.

    `slack` [V] is by how much it may lie deeper than what the lamp sees, as a share of its depth, beyond the bias.
    """
    x, y, z = (mesh.vertices + bias * normals).T
    u, v, w = (a * x + b * y + c * z + d for a, b, c, d in to_pixels)
    size = len(depth)
    front = w > 0
    column, row = (np.where(front, values / np.where(front, w, 1), -1) for values in (u, v))
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    seen = np.ones(len(x), np.float32)
    nearest = depth[row[inside].astype(np.int32), column[inside].astype(np.int32)]
    seen[inside] = w[inside] * (1 - slack[inside]) <= nearest + bias
    return seen
