"""A made survey - who sees which triangle of a terrain - and what a user could write instead of the ops on it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
import torch

import mirror_ext.numpy as mirror

SIDE = 708  # cells of the terrain: 2 x 708 x 708 triangles
METRES = 1000.0


@dataclass
class Survey:
    """Views of a drone over a terrain, looking down or aslant."""

    ids: np.ndarray  # [kept, 1000, 1000] int32: the maps of the first views
    rows: np.ndarray  # [views + 1] int64, columns [n] int32: all sets, as the rows of a sparse matrix
    columns: np.ndarray
    faces: int
    bitsets: np.ndarray  # [views, words] int64

    def matrix(self, dtype: type) -> scipy.sparse.csr_matrix:
        shape = len(self.rows) - 1, self.faces
        return scipy.sparse.csr_matrix((np.ones(len(self.columns), dtype), self.columns, self.rows), shape)


def terrain() -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] float32, faces [2 SIDE SIDE, 3] int32, row by row."""
    grid = np.arange(SIDE + 1, dtype=np.float32) * np.float32(METRES / SIDE)
    vertices = np.stack([*np.meshgrid(grid, grid, indexing="ij"), np.zeros((SIDE + 1, SIDE + 1))], -1, dtype=np.float32)
    corner = np.arange((SIDE + 1) ** 2, dtype=np.int32).reshape(SIDE + 1, SIDE + 1)
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    return vertices.reshape(-1, 3), np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2).reshape(-1, 3)


def morton_rank() -> np.ndarray:
    """[SIDE, SIDE, 2] int32: the number of each triangle, along a Morton curve."""
    order = mirror.morton_order(*terrain())
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank.reshape(SIDE, SIDE, 2)


def view_of(rng: np.random.Generator, relief: np.ndarray, rank: np.ndarray, side: int) -> np.ndarray:
    """[side, side] int32: where the ray of each pixel meets the terrain, near enough for a benchmark."""
    x, y = rng.uniform(20, METRES - 20, 2)
    height, turn, tilt = rng.uniform(100, 170), rng.uniform(0, 2 * np.pi), np.abs(rng.normal(0, 0.35))
    pixels = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    u, v = np.meshgrid(pixels * np.float32(np.tan(np.pi / 6)), pixels * np.float32(np.tan(np.pi / 6)))
    down = np.cos(tilt) - np.sin(tilt) * v
    ahead = np.sin(tilt) + np.cos(tilt) * v
    down = np.where(down > 0.15, down, np.nan)  # beyond: sky
    scale = SIDE / METRES
    ground: np.ndarray | float = 0.0
    for _ in range(2):  # where a plane is met, then the plane as high as the terrain is there
        reach = (height - ground) / down
        px = (x + reach * (np.cos(turn) * u - np.sin(turn) * ahead)) * scale
        py = (y + reach * (np.sin(turn) * u + np.cos(turn) * ahead)) * scale
        with np.errstate(invalid="ignore"):
            inside = (px >= 0) & (py >= 0) & (px < SIDE) & (py < SIDE)
        px, py = np.where(inside, px, 0), np.where(inside, py, 0)
        i, j = px.astype(np.int32), py.astype(np.int32)
        ground = relief[i, j]
    half = (px - i < py - j).astype(np.int32)
    return np.where(inside, rank[i, j, half], -1).astype(np.int32)


def survey(views: int, kept: int, side: int = 1000) -> Survey:
    """Maps that are not kept have a quarter of the pixels, which still are a dozen a triangle."""
    rng = np.random.default_rng(2)
    rank, faces = morton_rank(), 2 * SIDE * SIDE
    relief = sum(
        np.kron(rng.normal(0, 60 / 2**k, (2 + 2**k,) * 2), np.ones((SIDE, SIDE), np.float32))[:: 2 + 2**k, :: 2 + 2**k]
        for k in range(5)
    ).astype(np.float32)
    relief = np.abs(relief) * np.float32(0.2)
    ids, sets, bitsets = np.empty((kept, side, side), np.int32), [], []
    for view in range(views):
        seen = view_of(rng, relief, rank, side if view < kept else side // 2)
        if view < kept:
            ids[view] = seen
        bitset = mirror.visible_triangles(seen[None], faces).bitsets
        bitsets.append(bitset)
        sets.append(np.flatnonzero(np.unpackbits(bitset.view(np.uint8), bitorder="little")).astype(np.int32))
    rows = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    return Survey(ids, rows, np.concatenate(sets), faces, np.concatenate(bitsets))


# ---- shared triangles: all [N, N] ------------------------------------------------------------------------------------


def scipy_product(scene: Survey, dtype: type = np.int32) -> np.ndarray:
    matrix = scene.matrix(dtype)
    return (matrix @ matrix.T).toarray()


def scipy_weighed(scene: Survey, weights: np.ndarray) -> np.ndarray:
    matrix = scene.matrix(np.float64)
    return (matrix.multiply(weights[None]).tocsr() @ matrix.T).toarray()


def mkl_gram(scene: Survey) -> np.ndarray:
    """The upper triangle, which is what MKL gives."""
    from sparse_dot_mkl import gram_matrix_mkl

    return gram_matrix_mkl(scene.matrix(np.float32), transpose=True, dense=True)


def mkl_product(scene: Survey) -> np.ndarray:
    from sparse_dot_mkl import dot_product_mkl

    matrix = scene.matrix(np.float32)
    return dot_product_mkl(matrix, matrix.T.tocsr(), dense=True)


def has_mkl() -> bool:
    """Its library may lie beside this Python, where sparse_dot_mkl does not look."""
    beside = sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))
    if beside:
        os.environ.setdefault("MKL_RT", str(beside[0]))
    try:
        import sparse_dot_mkl  # noqa: F401
    except (ImportError, OSError, ValueError):
        return False
    return True


def numpy_popcount(bitsets: np.ndarray) -> np.ndarray:
    words = bitsets.view(np.uint64)
    shared = np.zeros((len(words), len(words)), np.int32)
    for i, own in enumerate(words):
        shared[i, i:] = np.bitwise_count(words[i:] & own).sum(1, dtype=np.int32)
    return np.triu(shared, 1).T + shared


def torch_products(scene: Survey, chunk: int = 16384) -> np.ndarray:
    """Dense chunks of the indicator matrix, as float32."""
    bits = torch.from_numpy(scene.bitsets.view(np.uint8))
    shared = torch.zeros(len(bits), len(bits))
    places = torch.arange(8, dtype=torch.uint8)
    for start in range(0, bits.shape[1], chunk // 8):
        dense = (bits[:, start : start + chunk // 8, None] >> places & 1).flatten(1).float()
        shared.addmm_(dense, dense.T)
    return shared.int().numpy()


# ---- masks: all [P, s, s] --------------------------------------------------------------------------------------------


def torch_gather_pool(ids: torch.Tensor, seen: torch.Tensor, size: int) -> torch.Tensor:
    """ids [H, W] int32, seen [P, F + 1] bool, the last for no triangle."""
    where = torch.where(ids < 0, seen.shape[1] - 1, ids).flatten()
    masks = torch.stack([row.index_select(0, where) for row in seen]).view(len(seen), 1, *ids.shape)
    return torch.nn.functional.interpolate(masks.float(), size=(size, size), mode="area")[:, 0]


def numpy_take_count(ids: np.ndarray, seen: np.ndarray, size: int) -> np.ndarray:
    height, width = ids.shape
    rows, columns = np.arange(height) * size // height, np.arange(width) * size // width
    cells = (rows[:, None] * size + columns).ravel()
    pixels = np.bincount(cells, minlength=size * size)
    return np.stack(
        [(np.bincount(cells, row[ids].ravel(), size * size) / pixels).reshape(size, size) for row in seen]
    ).astype(np.float32)


def use_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    os.environ["MKL_NUM_THREADS"] = str(threads)
