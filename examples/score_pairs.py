"""Which of these photos match? SIFT in, pairs out, on NumPy arrays and without torch.

python examples/score_pairs.py photos/*.jpg
"""

import sys

import cv2
import numpy as np

import mirror_ext.numpy as mirror

COUNT = 512  # features per photo, the largest ones


def features(path: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Key points [n, 4] (x, y, scale, angle), 7-bit RootSIFT [n, 128], diagonal."""
    grey = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    if grey is None:
        sys.exit(f"cannot read {path}")
    scale = 640 / max(grey.shape)
    grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found, sift = cv2.SIFT.create(contrastThreshold=0.02).detectAndCompute(grey, None)
    largest = np.argsort([-point.size for point in found], kind="stable")[:COUNT]
    points = np.array([(*found[i].pt, found[i].size, found[i].angle) for i in largest], np.float32).reshape(-1, 4)
    sift = np.zeros((0, 128)) if sift is None else sift[largest]
    seven_bits = np.minimum(127, np.rint(256 * np.sqrt(sift / np.maximum(sift.sum(axis=1, keepdims=True), 1e-9))))
    return points, seven_bits.astype(np.uint8), float(np.hypot(*grey.shape))


def main(paths: list[str]) -> None:
    # Photos have different numbers of features: pad, and say how many there are.
    count = len(paths)
    keypoints, descriptors = np.zeros((count, COUNT, 4), np.float32), np.zeros((count, COUNT, 128), np.uint8)
    sizes, diagonals = np.zeros(count, np.int32), np.zeros(count, np.float32)
    for i, path in enumerate(paths):
        points, vectors, diagonals[i] = features(path)
        sizes[i] = len(points)
        keypoints[i, : sizes[i]], descriptors[i, : sizes[i]] = points, vectors

    # All pairs by their 128 largest features, the best third again with all features and with geometry.
    scores = mirror.match_kernel(descriptors, sizes, depth=128)
    i, j = np.triu_indices(count, 1)
    best = np.argsort(-scores[i, j], kind="stable")[: max(1, len(i) // 3)]
    pairs = np.stack([i[best], j[best]], axis=1).astype(np.int64)
    found = mirror.mutual_matches(descriptors, sizes, pairs=pairs)
    support = mirror.similarity_support(keypoints, sizes, diagonals, pairs, *found)

    for k in np.argsort(-support.evidence, kind="stable"):
        good = support.good[found.offsets[k] : found.offsets[k + 1]].sum()
        print(f"{paths[pairs[k, 0]]} {paths[pairs[k, 1]]}  evidence {support.evidence[k]:.1f}, {good} good matches")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1:])
