"""What else people choose pairs with: each turns a scene into a matrix of scores.

All work on the SIFT features of one COLMAP database, so that they differ in the choice alone. Row i of a matrix ranks
the partners of photo i; it need not be symmetric. RootSIFT here is COLMAP's: unit vectors with values in 0..1.
"""

import zlib  # noqa: F401  before pycolmap, which exports symbols of its own

import faiss  # isort: skip
import pycolmap  # isort: skip
from pathlib import Path

import numpy as np

from mirror_sfm.network import NetworkOptions, regional_maxima

VLAD_WORDS, ASMK_WORDS, ASMK_FEATURES = 64, 4096, 1024


def read_rootsift(database: Path, count: int | None = None) -> tuple[list[str], list[np.ndarray]]:
    """Names, and descriptors [n, 128] float32 of every photo; the `count` largest of them."""
    names, descriptors = [], []
    with pycolmap.Database.open(database) as held:
        for image in sorted(held.read_all_images(), key=lambda image: image.name):
            points = held.read_keypoints(image.image_id)
            largest = np.argsort(-np.hypot(points[:, 2], points[:, 4]), kind="stable")[:count]
            names.append(image.name)
            descriptors.append(normalised(held.read_descriptors(image.image_id).data[largest].astype(np.float32)))
    return names, descriptors


def normalised(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def words(descriptors: list[np.ndarray], count: int) -> faiss.Kmeans:
    """k-means on at most 256 descriptors a word, of the scene itself."""
    rows = np.concatenate(descriptors)
    means = faiss.Kmeans(128, min(count, len(rows) // 2), niter=20, seed=1, max_points_per_centroid=256)
    means.train(rows)
    return means


def vlad(database: Path) -> np.ndarray:
    """VLAD with intra-normalisation (Jégou et al., 2010; Arandjelović and Zisserman, 2013) on RootSIFT."""
    _, descriptors = read_rootsift(database)
    means = words(descriptors, VLAD_WORDS)
    vectors = []
    for rows in descriptors:
        nearest = means.index.search(rows, 1)[1].ravel()
        sums = np.zeros((len(means.centroids), 128), np.float32)
        np.add.at(sums, nearest, rows - means.centroids[nearest])
        vectors.append(normalised(normalised(sums).ravel()))
    stacked = np.stack(vectors)
    return stacked @ stacked.T


def asmk(database: Path) -> np.ndarray:
    """ASMK* (Tolias, Avrithis, Jégou, IJCV 2016): per word the sign of the sum of residuals; alpha 3, threshold 0, idf.

    A word that a single photo has says nothing about pairs.
    """
    _, descriptors = read_rootsift(database, ASMK_FEATURES)
    means = words(descriptors, ASMK_WORDS)
    held = []
    for rows in descriptors:
        nearest = means.index.search(rows, 1)[1].ravel()
        own, which = np.unique(nearest, return_inverse=True)
        sums = np.zeros((len(own), 128), np.float32)
        np.add.at(sums, which, rows - means.centroids[nearest])
        held.append((own, np.where(sums >= 0, 1, -1).astype(np.float32)))
    photo = np.repeat(np.arange(len(held)), [len(own) for own, _ in held])
    word, sign = np.concatenate([own for own, _ in held]), np.concatenate([sign for _, sign in held])
    scores = np.zeros((len(held), len(held)))
    for rows in np.split(np.argsort(word, kind="stable"), np.cumsum(np.bincount(word))[:-1]):
        if len(rows) > 1:
            agreement = np.maximum(sign[rows] @ sign[rows].T / 128, 0) ** 3
            scores[np.ix_(photo[rows], photo[rows])] += agreement * np.log(len(held) / len(rows)) ** 2
    own = np.sqrt(np.maximum(np.diag(scores), 1e-12))
    return scores / own[:, None] / own


def vocabulary_tree(database: Path, tree: Path) -> np.ndarray:
    """COLMAP's own retrieval, with words trained on other scenes. The order is all it tells: scores are ranks."""
    with pycolmap.Database.open(database) as held:
        images = sorted(held.read_all_images(), key=lambda image: image.name)
        place = {image.image_id: row for row, image in enumerate(images)}
        options = pycolmap.VocabTreePairingOptions()
        options.vocab_tree_path, options.num_images = tree, len(images)
        generator = pycolmap.VocabTreePairGenerator(options, held)
        scores = np.full((len(images), len(images)), -np.inf)
        while generator.has_finished() is False:
            block = generator.next()
            for rank, (query, other) in enumerate(block):
                if query != other:
                    scores[place[query], place[other]] = -rank
    return scores


def global_descriptor(names: list[str], paths: dict[str, Path], weights: Path) -> np.ndarray:
    """Cosine of one vector per photo: the maxima of MobileNetV2's map (MAC)."""
    options = NetworkOptions(tower="mobilenet_v2", weights=weights, steps=(1,))
    maxima, skipped = regional_maxima(names, paths, options, threads=1)
    assert not skipped, skipped
    vectors = normalised(np.stack([maxima[name][0] for name in names]))
    return vectors @ vectors.T


def sequential(photos: int) -> np.ndarray:
    """Neighbours in the file order, nearest first."""
    order = np.arange(photos)
    return -np.abs(order[:, None] - order).astype(np.float64)
