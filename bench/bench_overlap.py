"""Visible sets, shared triangles and masks of a made survey: drone photos of a terrain of a million triangles.

Operations: bytes that must be read once (maps, or sets), so that Gop/s are GB/s. "limit": one read of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import overlap_peers as peers
import pytest
import torch
from contest import Contender

import mirror_ext.numpy as mirror

KEPT = 8  # maps
PARTNERS = 64

survey = cache(peers.survey)


@pytest.mark.parametrize("min_pixels", [1, 3])
def bench_visible(contest: Callable, threads: int, min_pixels: int) -> None:
    peers.use_threads(threads)
    scene = survey(200, KEPT)
    maps, faces = scene.ids, scene.faces
    tensor = torch.from_numpy(maps)

    def numpy_bincount() -> np.ndarray:
        return np.stack([np.bincount(ids[ids >= 0], minlength=faces) >= min_pixels for ids in maps])

    def numpy_unique() -> np.ndarray:
        seen = np.zeros((len(maps), faces), bool)
        for row, ids in zip(seen, maps, strict=True):
            found, counts = np.unique(ids, return_counts=True)
            row[found[(found >= 0) & (counts >= min_pixels)]] = True
        return seen

    def torch_bincount() -> np.ndarray:
        counts = [torch.bincount(ids[ids >= 0], minlength=faces) >= min_pixels for ids in tensor]
        return torch.stack(counts).numpy()

    def check(results: dict[str, Any]) -> None:
        bits = results["mirror"].bitsets.view(np.uint8)
        seen = np.unpackbits(bits, axis=1, bitorder="little")[:, :faces] != 0
        for name, found in results.items():
            if name not in ("mirror", "one read of the maps"):
                assert np.array_equal(found, seen), name

    contenders = [
        Contender("mirror", partial(mirror.visible_triangles, maps, faces, min_pixels, num_threads=threads), "ours"),
        Contender("numpy bincount", numpy_bincount),
        Contender("numpy unique", numpy_unique),
        Contender("torch bincount", torch_bincount),
        Contender("one read of the maps", tensor.amax, "limit"),
    ]
    case = f"visible, {KEPT} maps of 1000 x 1000, at least {min_pixels} pixels"
    contest("overlap", case, contenders, operations=maps.nbytes, peak="", threads=threads, check=check)


@pytest.mark.parametrize("views", [200, 1000])
def bench_shared(contest: Callable, threads: int, views: int) -> None:
    peers.use_threads(threads)
    scene = survey(views, KEPT)
    words = torch.from_numpy(scene.bitsets)
    contenders = [
        Contender("mirror", partial(mirror.shared_triangles, scene.bitsets, num_threads=threads), "ours"),
        Contender("scipy CSR product, int32", partial(peers.scipy_product, scene, np.int32)),
        Contender("scipy CSR product, float32", partial(peers.scipy_product, scene, np.float32)),
        Contender("one read of the sets", words.amax, "limit"),
    ]
    if views <= 200:  # their cost grows with the square of the views
        contenders.append(Contender("numpy popcount", partial(peers.numpy_popcount, scene.bitsets)))
        contenders.append(Contender("torch products of dense chunks", partial(peers.torch_products, scene)))
    if peers.has_mkl():
        contenders.append(Contender("MKL sparse gram", partial(peers.mkl_gram, scene)))
        contenders.append(Contender("MKL sparse product", partial(peers.mkl_product, scene)))

    def check(results: dict[str, Any]) -> None:
        for name, found in results.items():
            if name.startswith("one read"):
                continue
            upper = np.triu if name.endswith("gram") else np.asarray
            assert np.array_equal(upper(found), upper(results["mirror"])), name

    contest(
        "overlap",
        f"shared, {views} views, {scene.faces} triangles",
        contenders,
        operations=scene.bitsets.nbytes,
        peak="",
        threads=threads,
        check=check,
    )


def bench_weighed(contest: Callable, threads: int) -> None:
    peers.use_threads(threads)
    scene = survey(200, KEPT)
    weights = np.random.default_rng(0).random(scene.faces)
    contenders = [
        Contender("mirror", partial(mirror.shared_triangles, scene.bitsets, weights, num_threads=threads), "ours"),
        Contender("scipy CSR product, float64", partial(peers.scipy_weighed, scene, weights)),
    ]

    def check(results: dict[str, Any]) -> None:
        np.testing.assert_allclose(*results.values(), rtol=1e-9)

    contest(
        "overlap",
        f"weighed, 200 views, {scene.faces} triangles",
        contenders,
        operations=scene.bitsets.nbytes,
        peak="",
        threads=threads,
        check=check,
    )


@pytest.mark.parametrize("partners", [1, PARTNERS])
@pytest.mark.parametrize("size", [28, 56])
def bench_masks(contest: Callable, threads: int, size: int, partners: int) -> None:
    """One map of 1000 x 1000 and the sets of so many others."""
    peers.use_threads(threads)
    scene = survey(200, KEPT)
    ids, sets = scene.ids[:1], scene.bitsets[:partners]
    pairs = np.stack([np.zeros(partners, np.int64), np.arange(partners)], 1)
    seen = np.unpackbits(sets.view(np.uint8), axis=1, bitorder="little")[:, : scene.faces] != 0
    seen = np.concatenate([seen, np.zeros((partners, 1), bool)], 1)
    ours = partial(mirror.overlap_masks, ids, sets, pairs, size, directed=True, num_threads=threads)
    gather = partial(peers.torch_gather_pool, torch.from_numpy(ids[0]), torch.from_numpy(seen), size)
    contenders = [
        Contender("mirror", ours, "ours"),
        Contender("torch gather + area pool", gather),
        Contender("numpy take + bincount", partial(peers.numpy_take_count, ids[0], seen, size), "approximate"),
    ]

    def check(results: dict[str, Any]) -> None:
        masks = results["mirror"]
        assert abs(masks.mean() - seen[:, ids[0]].mean()) < 1e-6
        # The others give pixels on an edge to one cell, or to both.
        for name in ("torch gather + area pool", "numpy take + bincount"):
            assert np.abs(np.asarray(results[name]) - masks).max() < 0.2, name

    case = f"masks, {size} x {size}, {partners} pairs of 1000 x 1000"
    contest("overlap", case, contenders, operations=4.0 * ids.size * partners, peak="", threads=threads, check=check)


def bench_order(contest: Callable, threads: int) -> None:
    vertices, faces = peers.terrain()

    def numpy_order() -> np.ndarray:
        centroids = vertices[faces].sum(1, dtype=np.float64)
        low = centroids.min(0)
        places = ((centroids - low) / (centroids.max(0) - low).max() * (2**21 - 1)).astype(np.uint64)
        code = np.zeros(len(faces), np.uint64)
        for axis in range(3):
            x = places[:, axis]
            for shift, mask in (
                (32, 0x1F00000000FFFF),
                (16, 0x1F0000FF0000FF),
                (8, 0x100F00F00F00F00F),
                (4, 0x10C30C30C30C30C3),
                (2, 0x1249249249249249),
            ):
                x = (x | x << np.uint64(shift)) & np.uint64(mask)
            code |= x << np.uint64(axis)
        return code.argsort(kind="stable")

    def check(results: dict[str, Any]) -> None:
        ours, other = results.values()
        assert (ours != other).mean() < 0.01  # centroids at the edge of a step

    contenders = [
        Contender("mirror", partial(mirror.morton_order, vertices, faces, num_threads=threads), "ours"),
        Contender("numpy codes + argsort", numpy_order),
    ]
    case = f"Morton order of {len(faces)} triangles"
    contest("overlap", case, contenders, operations=faces.nbytes, peak="", threads=threads, check=check)
