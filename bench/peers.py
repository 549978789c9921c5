"""What a user could take instead of mirror_ext, each in the best form we know. All work on the inputs of workloads.py.

Matching peers get a list of pairs and find, per pair, every feature's best partner in both directions. None but faiss,
OpenCV and COLMAP also finds the second best, which mirror does: the comparison favours the peers.
PR-MAC peers return scores [Q, T]: the mean over a query's regions of their best cosine in the target.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np
import pycolmap
import torch
from threadpoolctl import threadpool_limits

Pairs = list[tuple[int, int]]


def use_threads(count: int) -> None:
    """Tells every library in the process."""
    threadpool_limits(count)
    torch.set_num_threads(count)
    faiss.omp_set_num_threads(count)
    cv2.setNumThreads(count)


# ------------------------------------------------------------------------------------------------------ match_kernel


def torch_mm(photos: torch.Tensor, pairs: Pairs, product: Callable) -> list[np.ndarray]:
    """One product and two maxima per pair, into buffers that are used again."""
    n = photos.shape[1]
    scores = torch.empty(n, n, dtype=torch.int32 if photos.dtype == torch.int8 else photos.dtype)
    best, where = torch.empty(n, dtype=scores.dtype), torch.empty(n, dtype=torch.int64)
    result = []
    for i, j in pairs:
        product(photos[i], photos[j].t(), out=scores)
        torch.max(scores, 0, out=(best, where))
        torch.max(scores, 1, out=(best, where))
        result.append(best.numpy().copy())
    return result


def torch_mm_plain(photos: torch.Tensor, pairs: Pairs, product: Callable) -> list[np.ndarray]:
    """The same as anybody would write it."""
    result = []
    for i, j in pairs:
        scores = product(photos[i], photos[j].t())
        scores.max(0)
        result.append(scores.max(1).values.numpy())
    return result


def torch_mm_stacked(photos: torch.Tensor, pairs: Pairs, product: Callable, stack: int = 4) -> list[np.ndarray]:
    """One photo against `stack` others at a time: fewer, larger products. Pairs must be sorted by the first photo."""
    n, result = photos.shape[1], []
    for i in sorted({i for i, _ in pairs}):
        others = [j for first, j in pairs if first == i]
        for start in range(0, len(others), stack):
            block = photos[others[start : start + stack]]
            scores = product(photos[i], block.reshape(-1, 128).t()).view(n, -1, n)
            scores.max(0)
            result.extend(scores.max(2).values.t().numpy())
    return result


def numpy_mm(photos: np.ndarray, pairs: Pairs) -> list[np.ndarray]:
    """float32 products are exact: they stay below 2^24."""
    result = []
    for i, j in pairs:
        scores = photos[i] @ photos[j].T
        scores.argmax(0)
        result.append(scores.max(1))
    return result


def faiss_knn(photos: np.ndarray, pairs: Pairs) -> None:
    for i, j in pairs:
        faiss.knn(photos[i], photos[j], 2)
        faiss.knn(photos[j], photos[i], 2)


def opencv_matcher(photos: np.ndarray, pairs: Pairs) -> None:
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    for i, j in pairs:
        matcher.knnMatch(photos[i], photos[j], 2)
        matcher.match(photos[j], photos[i])


class Colmap:
    """COLMAP's matcher on the CPU with its default index: match_exhaustive on a database, without geometry."""

    def __init__(self, photos: np.ndarray, threads: int) -> None:
        pycolmap.logging.minloglevel = 2
        self.folder = Path(tempfile.mkdtemp(prefix="mirror-colmap-"))
        self.options = pycolmap.FeatureMatchingOptions(
            num_threads=threads, use_gpu=False, skip_geometric_verification=True
        )
        pycolmap.Database.open(self.folder / "empty.db").close()
        with pycolmap.Database.open(self.folder / "empty.db") as database:
            for index, descriptors in enumerate(photos):
                camera = pycolmap.Camera.create_from_model_name(0, "PINHOLE", 500.0, 640, 480)
                camera_id = database.write_camera(camera)
                camera.camera_id = camera_id
                rig = pycolmap.Rig()
                rig.add_ref_sensor(camera.sensor_id)
                rig_id = database.write_rig(rig)
                image = pycolmap.Image(name=f"{index}.jpg", camera_id=camera_id)
                image.image_id = database.write_image(image)
                frame = pycolmap.Frame(rig_id=rig_id)
                frame.add_data_id(image.data_id)
                database.write_frame(frame)
                database.write_keypoints(
                    image.image_id, np.random.default_rng(index).random((len(descriptors), 2), np.float32)
                )
                sift = pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.SIFT, descriptors * 2)
                database.write_descriptors(image.image_id, sift)

    def prepare(self) -> None:
        shutil.copy(self.folder / "empty.db", self.folder / "work.db")

    def match(self) -> None:
        pycolmap.match_exhaustive(self.folder / "work.db", matching_options=self.options)


# ------------------------------------------------------------------------------------------------------------ PR-MAC


def tiles(queries: int, targets: int, query_tile: int, target_tile: int) -> Iterable[tuple[slice, slice]]:
    for i in range(0, queries, query_tile):
        for j in range(0, targets, target_tile):
            yield slice(i, min(i + query_tile, queries)), slice(j, min(j + target_tile, targets))


def torch_chunked(query: torch.Tensor, target: torch.Tensor, query_tile: int, target_tile: int) -> torch.Tensor:
    """A product of a block of queries with a block of targets, maxima over regions, means."""
    count, channels = query.shape[1], query.shape[2]
    scores = torch.empty(len(query), len(target))
    for q, t in tiles(len(query), len(target), query_tile, target_tile):
        product = query[q].reshape(-1, channels) @ target[t].reshape(-1, channels).t()
        best = product.view(product.shape[0], -1, target.shape[1]).amax(2)
        scores[q, t] = best.float().view(-1, count, best.shape[1]).mean(1)
    return scores


def numpy_chunked(query: np.ndarray, target: np.ndarray, query_tile: int, target_tile: int) -> np.ndarray:
    count, channels = query.shape[1], query.shape[2]
    scores = np.empty((len(query), len(target)), np.float32)
    for q, t in tiles(len(query), len(target), query_tile, target_tile):
        product = query[q].reshape(-1, channels) @ target[t].reshape(-1, channels).T
        best = product.reshape(len(product), -1, target.shape[1]).max(2)
        scores[q, t] = best.reshape(-1, count, best.shape[1]).mean(1)
    return scores


def tuned(chunked: Callable, query: Any, target: Any) -> tuple[int, int]:
    """The fastest tile size on a part of the work."""
    count = len(target)
    choices = [(1, count), (4, 100), (8, 50), (16, 50), (16, count), (32, 100), (64, 100), (128, 200)]
    seconds = []
    for tile in choices:
        start = time.perf_counter()
        chunked(query[:128], target, *tile)
        seconds.append(time.perf_counter() - start)
    return choices[int(np.argmin(seconds))]


def torch_published(query: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """As the paper's program does it: one query at a time against the whole database, by Euclidean distance."""
    flat = target.reshape(-1, target.shape[2])
    norms = (flat * flat).sum(1)
    scores = torch.empty(len(query), len(target))
    for i, vectors in enumerate(query):
        squares = torch.addmm(norms, vectors, flat.t(), alpha=-2)
        nearest = squares.view(len(vectors), len(target), -1).amin(2) + (vectors * vectors).sum(1, keepdim=True)
        scores[i] = 1 - nearest.mean(0) / 2  # unit vectors: d^2 = 2 - 2 cosine
    return scores


def torch_cdist(query: torch.Tensor, target: torch.Tensor, query_tile: int = 8) -> torch.Tensor:
    flat = target.reshape(-1, target.shape[2])
    scores = torch.empty(len(query), len(target))
    for q, _ in tiles(len(query), 1, query_tile, 1):
        block = query[q]
        nearest = torch.cdist(block.reshape(-1, block.shape[2]), flat).view(-1, len(target), target.shape[1]).amin(2)
        scores[q] = 1 - nearest.square().view(len(block), block.shape[1], -1).mean(1) / 2
    return scores


class FaissVote:
    """Approximate: each region finds its 500 nearest regions; a target's score counts only those found."""

    def __init__(self, target: np.ndarray, neighbours: int = 500) -> None:
        self.images, self.regions, channels = target.shape
        self.neighbours = min(neighbours, self.images * self.regions)
        self.index = faiss.IndexFlatIP(channels)
        self.index.add(target.reshape(-1, channels))

    def score(self, query: np.ndarray) -> np.ndarray:
        flat = query.reshape(-1, query.shape[2])
        similarity, found = self.index.search(flat, self.neighbours)
        best = np.zeros((len(flat), self.images), np.float32)
        np.maximum.at(best, (np.arange(len(flat))[:, None], found // self.regions), similarity)
        return best.reshape(len(query), query.shape[1], -1).mean(1)


def torch_rerank(query: torch.Tensor, target: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Per query: gather its candidates, one product, maxima, means."""
    count, channels = query.shape[1], query.shape[2]
    scores = torch.empty(candidates.shape)
    for i, listed in enumerate(candidates):
        product = query[i] @ target[listed].reshape(-1, channels).t()
        scores[i] = product.view(count, len(listed), -1).amax(2).mean(0)
    return scores


def torch_rerank_batched(
    query: torch.Tensor, target: torch.Tensor, candidates: torch.Tensor, tile: int = 8
) -> torch.Tensor:
    scores = torch.empty(candidates.shape)
    for q, _ in tiles(len(query), 1, tile, 1):
        gathered = target[candidates[q]]
        block, listed, regions, channels = gathered.shape
        product = gathered.reshape(block, listed * regions, channels) @ query[q].transpose(1, 2)
        scores[q] = product.view(block, listed, regions, -1).amax(2).mean(2)
    return scores


def numpy_rerank(query: np.ndarray, target: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    count, channels = query.shape[1], query.shape[2]
    scores = np.empty(candidates.shape, np.float32)
    for i, listed in enumerate(candidates):
        product = query[i] @ target[listed].reshape(-1, channels).T
        scores[i] = product.reshape(count, len(listed), -1).max(2).mean(0)
    return scores
