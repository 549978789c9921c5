"""Nearest images by PR-MAC, in torch: a database of regional vectors, its own ten nearest, and what a gradient sees.

    python examples/pr_mac_topk.py

Real vectors come from a CNN: regional maxima of its last map, L2, PCA-whitening, L2 (docs/pr_mac.md). Here they are
noise around 50 places, so that every image has some that truly belong to it.
"""

import time

import torch
from torch.nn.functional import normalize

import mirror_ext

IMAGES, REGIONS, CHANNELS, PLACES = 1000, 14, 256, 50

torch.manual_seed(0)
place = torch.randint(0, PLACES, (IMAGES,))
views = torch.randn(PLACES, REGIONS, CHANNELS)[place]
shuffled = torch.stack(
    [view[torch.randperm(REGIONS)] for view in views]
)  # objects move: region i need not meet region i
images = normalize(shuffled + 2 * torch.randn_like(shuffled), dim=2)

# The ten nearest of every image (itself first). Neither the 14000 x 14000 products nor the 1000 x 1000 scores exist.
start = time.perf_counter()
values, nearest = mirror_ext.pr_mac_topk(images, k=11)
seconds = time.perf_counter() - start
right = (place[nearest[:, 1:]] == place[:, None]).float().mean()
print(f"{IMAGES} images, ten nearest each: {seconds * 1e3:.0f} ms, {right:.0%} of them of the same place")

# The same in bfloat16 with exact re-scoring of the candidates.
start = time.perf_counter()
again = mirror_ext.pr_mac_topk(images, k=11, precision="bf16")
seconds = time.perf_counter() - start
print(f"bfloat16 first: {seconds * 1e3:.0f} ms, same result: {torch.equal(again.indices, nearest)}")

# Which region of image 1 does each region of image 0 find?
scores, partner = mirror_ext.pr_mac(images[:1], images[1:2], return_argmax=True)
print(f"score {scores.item():.3f}; regions 0.. of image 0 match regions {partner[0, 0].tolist()} of image 1")

# Differentiable: pull an image towards its neighbour.
query = images[:1].clone().requires_grad_()
mirror_ext.pr_mac(query, images[nearest[0, 1:2]]).sum().backward()
print(f"gradient of the score: {tuple(query.grad.shape)}, norm {query.grad.norm():.3f}")
