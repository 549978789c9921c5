"""The CUDA ops against what torch offers, on one GPU, in one process, in turns: started by bench/gpu.sh.

Every contender runs once per round, forwards and backwards in turn; the figure is the median of the rounds after one
that is not counted. Beside it stands what the library's own matrix product reaches in the same process. Results go to
bench/results/gpu/ with the card, the driver's clock limits and the versions; without a GPU nothing is written.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import re
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpu_meshes
import pooling_peers
import torch
import workloads
from torch import Tensor

import mirror_ext

RESULTS = Path(__file__).parent / "results" / "gpu"
Run = Callable[[], Any]


# ---- contenders ------------------------------------------------------------------------------------------------------


def torch_topk(vectors: Tensor, k: int, block: int = 128) -> tuple[Tensor, Tensor]:
    """PR-MAC by matrix products: a block of queries against a block of targets, maximum, mean, running top-k."""
    images, regions, channels = vectors.shape
    flat = vectors.reshape(images * regions, channels)
    values, indices = [], []
    for q in range(0, images, block):
        rows = flat[q * regions : (q + block) * regions]
        scores = []
        for t in range(0, images, block):
            products = rows @ flat[t * regions : (t + block) * regions].T
            best = products.view(-1, regions, products.shape[1] // regions, regions).amax(3)
            scores.append(best.mean(1, dtype=torch.float32))
        top = torch.cat(scores, 1).topk(k, 1)
        values.append(top.values)
        indices.append(top.indices)
    return torch.cat(values), torch.cat(indices)


def torch_best_two(photos: Tensor, block: int) -> list[Tensor]:
    """Both directions' two best matches of all pairs of photos, by the integer matrix product."""
    count, features, _ = photos.shape
    found = []
    for i in range(0, count, block):
        a = photos[i : i + block].reshape(-1, 128)
        for j in range(i, count, block):
            b = photos[j : j + block].reshape(-1, 128)
            products = torch._int_mm(a, b.T).view(-1, features, b.shape[0] // features, features)
            found += [products.topk(2, 3).indices[..., 0].sum(), products.topk(2, 1).indices[:, 0].sum()]
    return found


def torch_shared(bitsets: Tensor, faces: int, chunk: int = 1 << 16) -> Tensor:
    """Shared triangles by half-precision products of dense chunks; exact below 2^24."""
    bits = torch.arange(64, device="cuda")
    shared = torch.zeros(len(bitsets), len(bitsets), device="cuda")
    for first in range(0, faces, chunk):
        words = bitsets[:, first // 64 : (first + chunk) // 64]
        dense = (words[..., None] >> bits & 1).flatten(1).half()
        shared += torch.mm(dense, dense.T, out_dtype=torch.float32)
    return shared.int()


def torch_masks(ids: Tensor, bitsets: Tensor, pairs: Tensor, size: int) -> Tensor:
    """Directed masks: gathered words, then the average of each cell."""
    found = []
    for row, other in pairs.tolist():
        id = ids[row].long()
        seen = (bitsets[other][id.clamp(min=0) // 64] >> (id % 64) & 1 != 0) & (id >= 0)
        found.append(torch.nn.functional.adaptive_avg_pool2d(seen.float()[None], size)[0])
    return torch.stack(found)


# ---- measuring -------------------------------------------------------------------------------------------------------


def seconds(run: Run) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def contest(contenders: dict[str, Run], rounds: int) -> dict[str, dict[str, Any]]:
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for turn in range(rounds):
        for name in list(contenders)[:: -1 if turn % 2 else 1]:
            times[name].append(seconds(contenders[name]))
    return {name: {"median": statistics.median(t), "all": t} for name, t in times.items()}


def product_rate(dtype: torch.dtype) -> float:
    """Operations per second of the library's product of two large matrices."""
    n = 8192
    if dtype == torch.int8:
        a, b = (torch.randint(-100, 100, (n, n), dtype=dtype, device="cuda") for _ in range(2))
        run = lambda: torch._int_mm(a, b.T)  # noqa: E731
    else:
        a, b = (torch.randn(n, n, dtype=dtype, device="cuda") for _ in range(2))
        run = lambda: a @ b.T  # noqa: E731
    run()
    return 2.0 * n**3 / statistics.median(seconds(run) for _ in range(7))


# ---- workloads -------------------------------------------------------------------------------------------------------


def pr_mac_topk(images: int, rounds: int) -> dict[str, Any]:
    """The paper's GL3D query: 9,368 images, 35 regions, 256 channels, 100 neighbours."""
    regions, channels, k = 35, 256, 100
    exact = torch.from_numpy(workloads.regions(images, regions, channels)).cuda()
    vectors = exact.bfloat16()
    ours = mirror_ext.pr_mac_topk(vectors, vectors.clone(), k)
    values, _ = torch_topk(vectors, k)
    difference = float((ours.values - values).abs().max())
    assert difference < 4e-3, f"contenders disagree by {difference}"  # the peer rounds its maxima to bfloat16
    sample = torch.randint(0, images, (16,), device="cuda")
    float64 = torch.stack([(exact[q].double() @ exact[ours.indices[q, 0]].double().T).amax(1).mean() for q in sample])
    error = float((ours.values[sample, 0] - float64).abs().max())
    assert error < 2e-3, f"scores differ from float64 by {error}"
    other = vectors.clone()
    contenders: dict[str, Run] = {
        "mirror bf16": lambda: mirror_ext.pr_mac_topk(vectors, other, k),
        "mirror bf16 self-join": lambda: mirror_ext.pr_mac_topk(vectors, k=k, symmetric=True),
        "mirror float32, first pass bf16": lambda: mirror_ext.pr_mac_topk(exact, k=k, symmetric=True, precision="bf16"),
        "torch bf16 products + amax + topk": lambda: torch_topk(vectors, k),
    }
    return {
        "op": "pr_mac_topk",
        "case": f"{images} images, k = {regions}, d = {channels}, top {k}",
        "operations": 2.0 * (images * regions) ** 2 * channels,
        "library_products_per_second": product_rate(torch.bfloat16),
        "largest_error_against_float64": error,
        "seconds": contest(contenders, rounds),
    }


def match_kernel(photos: int, features: int, pairs: int, peer_photos: int, rounds: int) -> dict[str, Any]:
    """All pairs of `photos` (pairs = 0) or a random list of pairs. The peer does fewer: compare pairs per second."""
    data = torch.from_numpy(workloads.descriptors(min(photos, 500), features))
    data = data[torch.randint(0, len(data), (photos,))].cuda()
    few = data[:peer_photos].contiguous()
    signed = few.to(torch.int8)
    assert torch.equal(mirror_ext.match_kernel(few[:20]).cpu(), mirror_ext.match_kernel(few[:20].cpu()))
    peer_pairs = peer_photos * (peer_photos + 1) // 2
    if pairs:
        listed = torch.randint(0, photos, (pairs, 2), device="cuda")
        ours: Run = lambda: mirror_ext.match_kernel(data, pairs=listed)  # noqa: E731
        count = pairs
    else:
        ours = lambda: mirror_ext.match_kernel(data)  # noqa: E731
        count = photos * (photos + 1) // 2
    block = max(1, 4096 // features)
    times = contest(
        {
            "mirror": ours,
            "mirror, the peer's photos": lambda: mirror_ext.match_kernel(few),
            "torch._int_mm + 2 topk": lambda: torch_best_two(signed, block),
        },
        rounds,
    )
    done = {"mirror": count, "mirror, the peer's photos": peer_pairs, "torch._int_mm + 2 topk": peer_pairs}
    for name, time in times.items():
        time["pairs_per_second"] = done[name] / time["median"]
    return {
        "op": "match_kernel",
        "case": f"n = {features}, {count} pairs of {photos} photos",
        "operations": 2.0 * 128 * features**2 * count,
        "library_products_per_second": product_rate(torch.int8),
        "seconds": times,
    }


def max_pooling(images: int, channels_last: bool, rounds: int) -> dict[str, Any]:
    """35 regions and a mask of 28 x 28 maps of 512 channels. The limit is one read: half of what a copy moves."""
    maps = torch.relu(torch.randn(images, 512, 28, 28, device="cuda"))
    maps = maps.contiguous(memory_format=torch.channels_last) if channels_last else maps
    boxes, scales = pooling_peers.boxes_of(28, (1, 3, 5)).cuda(), pooling_peers.scales(28, (1, 3, 5))
    mask = torch.rand(images, 28, 28, device="cuda") < 0.4
    mask[:, 0, 0] = True
    assert torch.equal(mirror_ext.region_max_pool(maps, boxes), pooling_peers.max_pool2d(maps, scales))
    assert torch.equal(mirror_ext.masked_max_pool(maps, mask), pooling_peers.fill_amax(maps, mask))
    grad, masked_grad = torch.randn(images, 35, 512, device="cuda"), torch.randn(images, 512, device="cuda")
    gradient, out = pooling_peers.with_gradient, torch.empty_like(maps)
    peer_regions: Run = lambda: pooling_peers.max_pool2d(maps, scales)  # noqa: E731
    contenders: dict[str, Run] = {
        "mirror regions": lambda: mirror_ext.region_max_pool(maps, boxes),
        "mirror mask": lambda: mirror_ext.masked_max_pool(maps, mask),
        "mirror regions + backward": gradient(lambda x: mirror_ext.region_max_pool(x, boxes), maps, grad),
        "mirror mask + backward": gradient(lambda x: mirror_ext.masked_max_pool(x, mask), maps, masked_grad),
        "torch max_pool2d per scale": peer_regions,
        "torch masked_fill + amax": lambda: pooling_peers.fill_amax(maps, mask),
        "torch max_pool2d per scale + backward": gradient(lambda x: pooling_peers.max_pool2d(x, scales), maps, grad),
        "copy of the maps": lambda: out.copy_(maps),
    }
    times = contest(contenders, rounds)
    size = maps.numel() * maps.element_size()
    copy = 2 * size / times["copy of the maps"]["median"]
    for name in ("mirror regions", "mirror mask"):
        times[name]["of_copy_bandwidth"] = size / times[name]["median"] / copy
    return {
        "op": "max_pooling",
        "case": f"{images} x 512 x 28 x 28, {'channels_last' if channels_last else 'NCHW'}",
        "bytes": size,
        "copy_bytes_per_second": copy,
        "seconds": times,
    }


def rasterize(cells: int, views: int, near_ground: bool, rounds: int) -> dict[str, Any]:
    """A terrain from so high that all of it fills the picture, a pixel a triangle; or the photos of a survey."""
    vertices, faces = gpu_meshes.terrain(cells)
    flight = (100, 170, 700, 0.35) if near_ground else (800, 870, 40, 0.0)
    poses, lenses = gpu_meshes.cameras(views, *flight)
    side = gpu_meshes.PIXELS
    view = (vertices, faces, poses, lenses, side, side)
    few = mirror_ext.rasterize(*(x[:1] if x is poses or x is lenses else x for x in view))
    expected = mirror_ext.rasterize(vertices.cpu(), faces.cpu(), poses[:1].cpu(), lenses[:1].cpu(), side, side)
    assert torch.equal(few.triangle_ids.cpu(), expected.triangle_ids), "the GPU's ids are not the CPU's"
    assert torch.equal(few.depth.cpu(), expected.depth), "the GPU's depths are not the CPU's"
    contenders: dict[str, Run] = {
        "mirror rasterize": lambda: mirror_ext.rasterize(*view),
        "mirror rasterize + barycentrics": lambda: mirror_ext.rasterize(*view, barycentrics=True),
        "mirror rasterize_visible": lambda: mirror_ext.rasterize_visible(*view),
    }
    try:
        import nvdiffrast.torch as dr
    except ImportError:
        print("rasterize: nvdiffrast is not installed: measured without it")
    else:
        context, clip = dr.RasterizeCudaContext(), gpu_meshes.clip_space(vertices, poses, lenses, 1e-3, 2000)
        theirs = dr.rasterize(context, clip, faces, (side, side), grad_db=False)[0][0, ..., 3].int() - 1
        share = float((theirs == few.triangle_ids[0]).float().mean())
        assert share > 0.99, f"contenders agree on {share} of the pixels only"
        contenders["nvdiffrast"] = lambda: dr.rasterize(context, clip, faces, (side, side), grad_db=False)
    times = contest(contenders, rounds)
    for time in times.values():
        time["per_view"] = time["median"] / views
    return {
        "op": "rasterize",
        "case": f"{len(faces)} triangles, {views} {'survey' if near_ground else 'full'} views of {side} x {side}",
        "seconds": times,
    }


def shared_triangles(cells: int, views: int, rounds: int) -> dict[str, Any]:
    """What the photos of a survey share."""
    vertices, faces = gpu_meshes.terrain(cells)
    poses, lenses = gpu_meshes.cameras(views, 100, 170, 700, 0.35)
    side = gpu_meshes.PIXELS
    sets = mirror_ext.rasterize_visible(vertices, faces, poses, lenses, side, side).bitsets
    areas = torch.rand(len(faces), device="cuda")
    assert torch.equal(mirror_ext.shared_triangles(sets), torch_shared(sets, len(faces)))
    kept = min(views, 16)
    ids = mirror_ext.rasterize(vertices, faces, poses[:kept], lenses[:kept], side, side).triangle_ids
    pairs = torch.stack([torch.arange(64) % kept, torch.arange(64) % views], -1).cuda()
    masks = mirror_ext.overlap_masks(ids, sets, pairs, 56, directed=True)
    assert float((masks.mean((1, 2)) - torch_masks(ids, sets, pairs, 50).mean((1, 2))).abs().max()) < 1e-5
    return {
        "op": "shared_triangles",
        "case": f"{views} views, {len(faces)} triangles; masks of 64 pairs, {side} x {side} to 56 x 56",
        "bytes": sets.numel() * 8,
        "seconds": contest(
            {
                "mirror shared_triangles": lambda: mirror_ext.shared_triangles(sets),
                "mirror shared_triangles, weights": lambda: mirror_ext.shared_triangles(sets, areas),
                "torch products of dense chunks": lambda: torch_shared(sets, len(faces)),
                "mirror overlap_masks": lambda: mirror_ext.overlap_masks(ids, sets, pairs, 56, directed=True),
                "torch gather + average": lambda: torch_masks(ids, sets, pairs, 56),
            },
            rounds,
        ),
    }


# ---- report ----------------------------------------------------------------------------------------------------------


def head() -> dict[str, Any]:
    query = "name,driver_version,clocks.max.sm,power.limit,clocks.sm,temperature.gpu"
    card = subprocess.run(
        ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader", "--id=0"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    properties = torch.cuda.get_device_properties(0)
    return {
        "date": datetime.date.today().isoformat(),
        "gpu": torch.cuda.get_device_name(0),
        "multiprocessors": properties.multi_processor_count,
        "nvidia_smi": dict(zip(query.split(","), (field.strip() for field in card.split(",")), strict=True)),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "build": mirror_ext.build_info()["parts"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tenth of every workload, to see that it runs")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.exit(1, "gpu_ops.py: torch sees no GPU: nothing measured, nothing written\n")
    share = 10 if options.small else 1
    contests = [
        pr_mac_topk(9368 // share, options.rounds),
        match_kernel(10_000 // share, 128, 0, 500 // share, options.rounds),
        match_kernel(10_000 // share, 512, 2_000_000 // share**2, 200 // share, options.rounds),
        max_pooling(256 // share, False, options.rounds),
        max_pooling(256 // share, True, options.rounds),
        rasterize(708 // share, 16, False, options.rounds),
        rasterize(708 // share, 16, True, options.rounds),
        shared_triangles(708 // share, 1000 // share, options.rounds),
    ]
    report = {**head(), "contests": contests}
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "_", report["gpu"].lower()).strip("_")
    path = RESULTS / f"{name}{'_small' if options.small else ''}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    for entry in contests:
        print(f"\n{entry['op']}: {entry['case']}")
        for contender, time in entry["seconds"].items():
            print(f"  {contender:34} {time['median'] * 1e3:10.2f} ms")
    print(f"\n{path}")


if __name__ == "__main__":
    main()
