"""match_kernel: every pair of a few photos, at the two depths that matter. Operations: 2 * 128 per pair of features."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from functools import partial

import numpy as np
import peak
import peers
import pytest
import torch
import workloads
from contest import Contender

import mirror_ext.numpy as mirror

PHOTOS = {512: 12, 1024: 8}
# Without VNNI torch._int_mm saturates sums of two products in 16 bits and finds a few wrong maxima. It stays a peer.
SATURATED = 1e-3


def reference(a: np.ndarray, b: np.ndarray) -> float:
    """The score by its definition: docs/late_interaction.md, 3."""
    a, b = a.astype(np.int64), b.astype(np.int64)
    products = a @ b.T
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * products
    there, back = products.argmax(1), products.argmax(0)
    total = 0.0
    for p, q in enumerate(there):
        if back[q] == p:
            second_p = np.delete(products[p], q).argmax()
            second_q = np.delete(products[:, q], p).argmax()
            ratios = squares[p, q] / np.array(
                [np.delete(squares[p], q)[second_p], np.delete(squares[:, q], p)[second_q]]
            )
            total += (1 - np.minimum(np.sqrt(ratios), 1).mean()) ** 2
    return total


@pytest.mark.parametrize("features", PHOTOS)
def bench_match_kernel(contest: Callable, threads: int, features: int, full: bool) -> None:
    peers.use_threads(threads)
    photos = workloads.descriptors(PHOTOS[features] * (3 if full else 1), features)
    pairs = list(itertools.combinations(range(len(photos)), 2))
    listed = np.array(pairs)
    integers, floats = torch.from_numpy(photos.astype(np.int8)), torch.from_numpy(photos.astype(np.float32))
    colmap = peers.Colmap(photos, threads)
    bytes_mm, float_mm = (integers, pairs, torch._int_mm), (floats, pairs, torch.mm)
    contenders = [
        Contender("mirror", partial(mirror.match_kernel, photos, pairs=listed, num_threads=threads), "ours"),
        Contender("mirror self-join", partial(mirror.match_kernel, photos, num_threads=threads), "ours"),
        Contender("torch._int_mm + 2 max", partial(peers.torch_mm_plain, *bytes_mm)),
        Contender("torch._int_mm + 2 max, out=", partial(peers.torch_mm, *bytes_mm)),
        Contender("torch._int_mm + 2 max, 4 photos at once", partial(peers.torch_mm_stacked, *bytes_mm)),
        Contender("torch.mm float32 + 2 max, out=", partial(peers.torch_mm, *float_mm)),
        Contender("numpy float32 + 2 max", partial(peers.numpy_mm, floats.numpy(), pairs)),
        Contender("faiss.knn, both directions", partial(peers.faiss_knn, floats.numpy(), pairs)),
        Contender("cv2.BFMatcher, both directions", partial(peers.opencv_matcher, floats.numpy(), pairs)),
        Contender("COLMAP, default index", colmap.match, prepare=colmap.prepare),
    ]

    def check(results: dict) -> None:
        scores = results["mirror"]
        for pair in (0, len(pairs) // 2, len(pairs) - 1):
            i, j = pairs[pair]
            np.testing.assert_allclose(scores[pair], reference(photos[i], photos[j]), rtol=1e-5)
        np.testing.assert_array_equal(results["mirror self-join"][listed[:, 0], listed[:, 1]], scores)
        exact = np.stack(results["numpy float32 + 2 max"])
        for name, best in results.items():
            if isinstance(best, list):
                wrong = np.mean(np.stack(best) != exact)
                assert wrong <= (SATURATED if "_int_mm" in name else 0), name

    operations = 2.0 * 128 * features**2 * len(pairs)
    limit = peak.limit(peak.BYTES, os.environ["MIRROR_ISA"])
    case = f"n = {features}, {len(pairs)} pairs"
    contest("match_kernel", case, contenders, operations=operations, peak=limit, threads=threads, check=check)
