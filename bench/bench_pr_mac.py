"""PR-MAC: all pairs, query = database, top-k, and re-ranking. Operations: 2 * channels per pair of regions."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peak
import peers
import pytest
import torch
import workloads
from contest import Contender

import mirror_ext.numpy as mirror

# regions, channels, images (quick, full)
ALL_PAIRS = {"k35-d256": (35, 256, 240, 500), "k5-d512": (5, 512, 800, 2000)}
TOLERANCE = 2e-5
TOLERANCE_BF16 = 6e-3  # torch rounds the product to bfloat16


def agree(results: dict[str, Any], of: str) -> None:
    """Everybody computes the same scores. Approximate contenders and ranked lists are left out."""
    for name, scores in results.items():
        if "top-" not in name and "faiss" not in name:
            tolerance = TOLERANCE_BF16 if "bf16" in name else TOLERANCE
            np.testing.assert_allclose(np.asarray(scores), results[of], atol=tolerance, err_msg=name)


def tuned(chunked: Callable, x: Any) -> Callable:
    return partial(chunked, x, x, *peers.tuned(chunked, x, x))


@pytest.mark.parametrize("shape", ALL_PAIRS)
def bench_all_pairs(contest: Callable, threads: int, shape: str, full: bool) -> None:
    peers.use_threads(threads)
    count, channels, quick, images = ALL_PAIRS[shape]
    images = images if full else quick
    x = workloads.regions(images, count, channels)
    t = torch.from_numpy(x)
    bf16 = partial(mirror.pr_mac, precision="bf16", num_threads=threads)
    topk = partial(mirror.pr_mac_topk, x, k=20, num_threads=threads)
    contenders = [
        Contender("mirror", partial(mirror.pr_mac, x, x, num_threads=threads), "ours"),
        Contender("mirror self-join", partial(mirror.pr_mac, x, num_threads=threads), "ours"),
        Contender("mirror self-join, top-20", topk, "ours"),
        Contender("torch float32, tuned tiles", tuned(peers.torch_chunked, t)),
        Contender("numpy float32, tuned tiles", tuned(peers.numpy_chunked, x)),
        Contender("torch.cdist + amin", partial(peers.torch_cdist, t, t)),
        Contender("published, one query at a time", partial(peers.torch_published, t, t), "published"),
    ]
    if limit := peak.limit(peak.BF16, os.environ["MIRROR_ISA"]):  # without the instructions torch takes minutes
        b = t.bfloat16()
        contenders += [
            Contender("mirror bf16", partial(bf16, x, x), "ours", peak=limit),
            Contender("mirror bf16 self-join", partial(bf16, x), "ours", peak=limit),
            Contender("mirror bf16 self-join, exact top-20", partial(topk, precision="bf16"), "ours", peak=limit),
            Contender("torch bf16, tuned tiles", tuned(peers.torch_chunked, b), "approximate", peak=limit),
        ]
    if count == 35:
        contenders.append(Contender("faiss flat + vote", partial(peers.FaissVote(x).score, x), "approximate"))

    def check(results: dict[str, Any]) -> None:
        agree(results, of="torch float32, tuned tiles")
        exact = results["mirror self-join, top-20"]
        for name, ranking in results.items():
            if "exact top-20" in name:
                np.testing.assert_array_equal(ranking.indices, exact.indices)
        ranked = np.take_along_axis(results["mirror"], exact.indices, axis=1)
        np.testing.assert_array_equal(ranked, exact.values)

    case = f"all pairs, k = {count}, d = {channels}, {images} x {images}"
    operations = 2.0 * images**2 * count**2 * channels
    limit = peak.limit(peak.FLOATS, os.environ["MIRROR_ISA"])
    contest("pr_mac", case, contenders, operations=operations, peak=limit, threads=threads, check=check)


def bench_rerank(contest: Callable, threads: int, full: bool) -> None:
    peers.use_threads(threads)
    count, channels, images, listed = 35, 256, *((2000, 200) if full else (300, 100))
    x, chosen = workloads.regions(images, count, channels), workloads.candidates(images, images, listed)
    t, c = torch.from_numpy(x), torch.from_numpy(chosen)
    contenders = [
        Contender("mirror", partial(mirror.pr_mac_rerank, x, x, chosen, num_threads=threads), "ours"),
        Contender("torch, one query at a time", partial(peers.torch_rerank, t, t, c), "published"),
        Contender("torch, 8 queries at a time", partial(peers.torch_rerank_batched, t, t, c)),
        Contender("numpy, one query at a time", partial(peers.numpy_rerank, x, x, chosen)),
    ]
    case = f"re-rank, k = {count}, d = {channels}, {images} x {listed}"
    operations = 2.0 * images * listed * count**2 * channels
    check = partial(agree, of="torch, one query at a time")
    limit = peak.limit(peak.FLOATS, os.environ["MIRROR_ISA"])
    contest("pr_mac", case, contenders, operations=operations, peak=limit, threads=threads, check=check)
