"""The kinds of scenes: what each is built of, its light, and the way its camera goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mirror_sfm.scenes.scene import Mesh
from mirror_sfm.synthetic import paths
from mirror_sfm.synthetic.interiors import HEIGHT, ROOMS, interior
from mirror_sfm.synthetic.lighting import Lamp, Lights, sky, sun
from mirror_sfm.synthetic.objects import statue
from mirror_sfm.synthetic.surfaces import Patch
from mirror_sfm.synthetic.terrain import make_terrain
from mirror_sfm.synthetic.village import CHURCH, trees, village, wood

Rng = np.random.Generator


@dataclass(frozen=True)
class Kind:
    """A kind of scene.

    Attributes:
        build: its patches, from a random generator and a number of threads.
        light: its lights, given the assembled mesh.
        path: poses [N, 3, 4] of so many photos.
        focal: focal length in pixels of a photo 640 pixels wide.
        note: what it is, for the manifest.
    """

    build: Callable[[Rng, int], list[Patch]]
    light: Callable[[Mesh], Lights]
    path: Callable[[int, Rng], np.ndarray]
    focal: float
    note: str


def _terrain(rng: Rng, threads: int) -> list[Patch]:
    land = make_terrain(rng, threads)
    return [land.patch(), *trees(rng, wood(rng, land, np.zeros((0, 3)), 320))]


def _village(rng: Rng, threads: int) -> list[Patch]:
    land = make_terrain(rng, threads)
    return [land.patch(), *village(rng, land)]


def _daylight(mesh: Mesh) -> Lights:
    return Lights(
        key=sun(mesh, (-0.479, -0.519, 0.708)),
        key_colour=(1.3, 1.19, 1.02),
        soft=sky(mesh),
        soft_colour=(0.36, 0.42, 0.5),
        ambient=(0.04, 0.04, 0.036),
        bias=0.25,
        clear=1500.0,
    )


def _roomlight(mesh: Mesh) -> Lights:
    """The sun through the windows, and soft light from the ceilings and the windows."""
    soft = []
    for x0, y0, x1, y1 in ROOMS:
        for u in (0.15, 0.5, 0.85):
            for v in (0.2, 0.5, 0.8):
                place = np.array([x0 + u * (x1 - x0), y0 + v * (y1 - y0), HEIGHT - 0.04])
                soft.append(Lamp(place, place - np.array([0, 0, 1]), 6.0))
            window = np.array([x0 + u * (x1 - x0), y0 + 0.1, 1.6])
            soft.append(Lamp(window, window + np.array([0, 1, -0.2]), 6.0))
            low = np.array([x0 + u * (x1 - x0), (y0 + y1) / 2, 0.5])  # what the floor gives back
            soft.append(Lamp(low, low + np.array([0, 0, 1]), 6.0))
    return Lights(
        key=sun(mesh, (0.34, -0.72, 0.6)),
        key_colour=(3.2, 2.8, 2.2),
        soft=soft,
        soft_colour=(0.62, 0.6, 0.57),
        ambient=(0.15, 0.145, 0.14),
        bias=0.02,
    )


def _studio(mesh: Mesh) -> Lights:
    return Lights(
        key=sun(mesh, (0.6, -0.5, 0.75)),
        key_colour=(1.1, 1.05, 0.98),
        soft=sky(mesh, 32),
        soft_colour=(0.5, 0.52, 0.56),
        ambient=(0.09, 0.09, 0.09),
        bias=0.012,
        zenith=(0.5, 0.5, 0.5),
        horizon=(0.3, 0.31, 0.33),
    )


def _strips(photos: int, rng: Rng) -> np.ndarray:
    return paths.survey(photos, rng, length=168, spacing=56, altitude=66)


def _flight(photos: int, rng: Rng) -> np.ndarray:
    """Three quarters of the photos on the survey, the rest around the church."""
    circle = photos // 4
    x, y = CHURCH
    around = paths.orbit(circle, rng, centre=(x, y, 0), radius=40, altitude=52, aim=(x - 3, y - 1, 6))
    return np.concatenate([_strips(photos - circle, rng), around])


def _tour(photos: int, rng: Rng) -> np.ndarray:
    """Around the first room, through the door, around the second."""
    places = [(4.4, 0.9, 1.5), (2.6, 0.8, 1.55), (1.3, 1.5, 1.5), (2.0, 3.0, 1.5), (4.2, 2.2, 1.55), (5.45, 1.7, 1.5)]
    aims = [(1.5, 4.0, 1.1), (0.6, 3.6, 1.2), (3.4, 4.4, 1.2), (5.4, 2.6, 1.2), (7.0, 2.2, 1.2), (8.6, 3.4, 1.1)]
    places += [(6.6, 1.7, 1.5), (7.2, 1.1, 1.55), (9.0, 0.9, 1.55), (8.4, 1.6, 1.5)]
    aims += [(8.4, 4.4, 1.2), (8.4, 4.4, 1.1), (7.2, 4.0, 1.2), (5.6, 2.6, 1.2)]
    return paths.walk(photos, rng, places=places, aims=aims)


def _turns(photos: int, rng: Rng) -> np.ndarray:
    """A ring from above; from 40 photos on, when it is dense enough, a second and lower one."""
    rings = (0.75,) if photos < 40 else (1.15, 0.35)
    return paths.turntable(photos, rng, distance=2.3, altitudes=rings, aim=(0, 0, -0.2))


KINDS = {
    "village": Kind(_village, _daylight, _flight, 560, "a village and its church, drone"),
    "terrain": Kind(_terrain, _daylight, _strips, 560, "hills, fields and a river, drone"),
    "interior": Kind(lambda rng, _: interior(rng), _roomlight, _tour, 420, "two furnished rooms, walk"),
    "object": Kind(lambda rng, _: statue(rng), _studio, _turns, 620, "a sculpture, turntable"),
}
