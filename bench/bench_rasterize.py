"""Id maps and visible sets of a landscape with towers: whole, and as a survey from above sees it.

Operations: pixels of all views, so that Gop/s are Gpix/s. Ours builds its clusters anew in every call ("structure" says
how long that takes); peers find theirs ready. One thread: the peers use no more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import raster_peers
from contest import Contender

import mirror_ext.numpy as ops

SIDE = 1000.0  # of the landscape


def landscape(faces: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A jittered grid of hills with steep blocks on it, about so many faces, float32."""
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(faces / 2)) + 1
    place = np.linspace(-SIDE / 2, SIDE / 2, side)
    y, x = np.meshgrid(place, place, indexing="ij")
    z = sum(40 / k * np.sin(k * x / 90 + k) * np.cos(k * y / 110 - k) for k in (1, 2, 3, 5, 8, 13))
    for _ in range(160):
        (cx, cy), (wide, deep), high = rng.uniform(-450, 450, 2), rng.uniform(6, 22, 2), rng.uniform(10, 70)
        z = np.where((abs(x - cx) < wide) & (abs(y - cy) < deep), z + high, z)
    jitter = 0.3 * SIDE / side
    x, y = x + rng.uniform(-jitter, jitter, x.shape), y + rng.uniform(-jitter, jitter, x.shape)
    at = np.arange(side * side, dtype=np.int32).reshape(side, side)
    a, b, c, d = (q.reshape(-1) for q in (at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]))
    return np.stack([x, y, z], -1).reshape(-1, 3).astype(np.float32), np.stack([a, b, d, a, d, c], 1).reshape(-1, 3)


def looking(centre: np.ndarray, target: np.ndarray, size: tuple, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    forward = (target - centre) / np.linalg.norm(target - centre)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    focal = size[1] / 2 / np.tan(np.radians(degrees) / 2)
    return np.c_[rotation, -rotation @ centre], np.array([focal, focal, size[1] / 2, size[0] / 2])


def views(kind: str, count: int, size: tuple) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    found = []
    for k in range(count):
        if kind == "survey":
            centre = np.array([*rng.uniform(-450, 450, 2), rng.uniform(150, 220)])
            target = np.array([*(centre[:2] + rng.normal(0, 60, 2)), 0])
        else:
            angle, away = 2 * np.pi * k / count + 0.1, 350 + 120 * (k % 3)
            centre = np.array([away * np.cos(angle), away * np.sin(angle), 200 + 90 * (7 * k % 4)])
            target = rng.uniform(-60, 60, 3) * [1, 1, 0.1]
        found.append(looking(centre, target, size, 63))
    poses, lenses = zip(*found, strict=True)
    return np.array(poses), np.array(lenses)


def agree(results: dict[str, Any]) -> None:
    """Nearly every pixel shows the same face; the sets are those of our maps."""
    ours = results["mirror rasterize"].triangle_ids
    for name, found in results.items():
        if name == "mirror rasterize_visible":
            counts = [len(np.unique(ids[ids >= 0])) for ids in ours]
            assert found.counts.tolist() == counts, name
        elif name != "mirror rasterize":
            same = np.mean([np.mean(a == b) for a, b in zip(ours, found, strict=True)])
            assert same > 0.998, (name, same)


CASES = [
    ("whole", 200_000, 8, (1000, 1000)),
    ("whole", 1_000_000, 8, (1000, 1000)),
    ("shuffled", 1_000_000, 8, (1000, 1000)),
    ("survey", 1_000_000, 8, (1000, 1000)),
    ("whole", 1_000_000, 2, (3000, 4000)),
    ("whole", 5_000_000, 8, (1000, 1000)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[1]}-{c[3][0]}")
def bench_rasterize(contest: Callable, full: bool, case: tuple) -> None:
    kind, count, cameras, size = case
    if count > 1_000_000 and not full:
        pytest.skip("with --full")
    vertices, faces = landscape(count)
    if kind == "shuffled":
        rng = np.random.default_rng(2)
        order = rng.permutation(len(vertices))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        vertices, faces = vertices[order], place[faces].astype(np.int32)[rng.permutation(len(faces))]
    poses, lenses = views(kind, cameras, size)
    scene = (vertices, faces, poses, lenses)
    ours = {op: partial(getattr(ops, op), *scene, *size, num_threads=1) for op in ("rasterize", "rasterize_visible")}
    contenders = [Contender(f"mirror {op}", run, "ours") for op, run in ours.items()]
    contenders += [Contender(name, peer(*scene, size)) for name, peer in raster_peers.installed().items()]
    label = f"{kind}, {count / 1e6:g}M faces, {cameras} views of {size[1]} x {size[0]}"
    contest("rasterize", label, contenders, operations=cameras * size[0] * size[1], peak="", threads=1, check=agree)


def bench_structure(contest: Callable, threads: int) -> None:
    """One small view: nearly all of it is the making of clusters. Gop/s: faces."""
    vertices, faces = landscape(1_000_000)
    poses, lenses = views("survey", 1, (16, 16))
    run = partial(ops.rasterize, vertices, faces, poses, lenses, 16, 16, num_threads=threads)
    contest(
        "rasterize",
        "structure, 1M faces",
        [Contender("mirror rasterize", run, "ours")],
        operations=len(faces),
        peak="",
        threads=threads,
        check=lambda _: None,
    )
