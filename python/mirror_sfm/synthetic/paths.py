"""Where a camera goes: poses [N, 3, 4], cam_from_world, of flights and walks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

DECIMALS = 9  # of poses: what is written to a text file is the pose that was rendered


def look(centre: ArrayLike, forward: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> np.ndarray:
    """[3, 4] of a camera at `centre` that looks along `forward`, with `up` as close to the photo's top as can be."""
    ahead, upward = np.asarray(forward, np.float64), np.asarray(up, np.float64)
    ahead = ahead / np.linalg.norm(ahead)
    right = np.cross(ahead, upward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(ahead, right), ahead])
    return np.column_stack([rotation, -(rotation @ np.asarray(centre, np.float64))]).round(DECIMALS)


def centres(poses: np.ndarray) -> np.ndarray:
    """[N, 3], in the world."""
    return -np.einsum("nji,nj->ni", poses[:, :, :3], poses[:, :, 3])


def survey(
    photos: int,
    rng: np.random.Generator,
    *,
    length: float,
    spacing: float,
    altitude: float,
    strips: int = 3,
    tilt: float = 0.12,
    sway: float = 1.0,
) -> np.ndarray:
    """Serpentine strips flown over the origin, the camera nearly straight down and turned round between strips."""
    poses = []
    for photo in range(photos):
        share = (photo + 0.5) / photos * strips
        strip = min(int(share), strips - 1)
        heading = 1 - 2 * (strip % 2)
        place = [heading * (share - strip - 0.5) * length, ((strips - 1) / 2 - strip) * spacing, altitude]
        forward = np.array([heading * tilt, 0, -1.0]) + rng.normal(0, 0.05, 3)
        up = [heading, 0.12 * rng.normal(), 0.1]
        poses.append(look(place + sway * rng.normal(0, 1, 3) * (2, 2, 2.5), forward, up))
    return np.array(poses).reshape(-1, 3, 4)


def orbit(
    photos: int,
    rng: np.random.Generator,
    *,
    centre: Sequence[float],
    radius: float,
    altitude: float,
    aim: Sequence[float],
    sway: float = 1.0,
    turns: float = 1.0,
    start: float = 0.4,
) -> np.ndarray:
    """A circle around `centre` at `altitude` above it, looking at `aim`."""
    poses = []
    for photo in range(photos):
        angle = 2 * np.pi * turns * photo / photos + start
        place = np.array(centre) + np.array(
            [radius * np.cos(angle), radius * np.sin(angle), altitude + 2 * sway * rng.normal()]
        )
        poses.append(look(place, np.array(aim) + sway * rng.normal(0, 1, 3) - place))
    return np.array(poses).reshape(-1, 3, 4)


def turntable(
    photos: int,
    rng: np.random.Generator,
    *,
    distance: float,
    altitudes: Sequence[float],
    aim: Sequence[float] = (0.0, 0.0, 0.0),
) -> np.ndarray:
    """Rings of photos around an object, one ring per altitude; what stands still before a turning object sees these."""
    poses = []
    for ring, altitude in enumerate(altitudes):
        count = len(range(ring, photos, len(altitudes)))
        for photo in range(count):
            angle = 2 * np.pi * (photo + ring / len(altitudes)) / count
            reach = (max(distance**2 - altitude**2, 0)) ** 0.5
            place = np.array(aim) + np.array([reach * np.cos(angle), reach * np.sin(angle), altitude])
            poses.append(look(place, np.array(aim) + rng.normal(0, 0.01 * distance, 3) - place))
    return np.array(poses).reshape(-1, 3, 4)


def walk(
    photos: int, rng: np.random.Generator, *, places: Sequence[Sequence[float]], aims: Sequence[Sequence[float]]
) -> np.ndarray:
    """A walk along a polygon of places [n, 3] at even steps; aims [n, 3] are what is looked at from them."""
    line, targets = np.array(places, np.float64), np.array(aims, np.float64)
    along = np.concatenate([[0], np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()])
    poses = []
    for photo in range(photos):
        at = along[-1] * (photo + 0.5) / photos
        place = np.array([np.interp(at, along, axis) for axis in line.T]) + rng.normal(0, 0.03, 3)
        aim = np.array([np.interp(at, along, axis) for axis in targets.T]) + rng.normal(0, 0.08, 3)
        poses.append(look(place, aim - place))
    return np.array(poses).reshape(-1, 3, 4)


def scattered(
    photos: int,
    rng: np.random.Generator,
    *,
    low: Sequence[float],
    high: Sequence[float],
    aim_low: Sequence[float],
    aim_high: Sequence[float],
) -> np.ndarray:
    """Places drawn evenly from a box, each looking at a point drawn evenly from another."""
    places, aims = rng.uniform(low, high, (photos, 3)), rng.uniform(aim_low, aim_high, (photos, 3))
    return np.array([look(place, aim - place) for place, aim in zip(places, aims, strict=True)]).reshape(-1, 3, 4)
