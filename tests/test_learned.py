"""Float descriptors in 7 bits: distances and their order stay."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from mirror_sfm.learned import seven_bits_of, unit_integers


def unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def root_sift(count: int, seed: int) -> NDArray[np.floating]:
    """Vectors shaped like RootSIFT: positive, some components large, each twice with a little noise."""
    rng = np.random.default_rng(seed)
    seen = np.repeat(rng.gamma(0.7, size=(count // 2, 128)), 2, axis=0)
    return unit(np.sqrt(seen * rng.gamma(20, 1 / 20, size=seen.shape)))


def seven_bits(vectors: NDArray[np.floating], parts: int = 4) -> NDArray[np.float64]:
    photos = seven_bits_of([unit_integers(part) for part in np.array_split(vectors, parts)])
    return np.concatenate(photos).astype(np.float64)


@pytest.mark.parametrize("length", [2, 32, 64, 127, 128, 129, 256])
def test_every_sum_is_the_same_and_no_value_leaves_7_bits(length: int) -> None:
    vectors = np.random.default_rng(length).normal(size=(500, length)) ** 3  # long tails
    whole = seven_bits(vectors)
    assert whole.shape == (500, 128) and whole.min() >= 0 and whole.max() <= 127
    assert (whole.sum(axis=1) == 64 * 128).all()
    assert len(np.unique(np.round(np.linalg.norm(whole - 64, axis=1)))) < 20  # lengths are equal, but for rounding


@pytest.mark.parametrize("length", [32, 64, 127])
def test_distances_stay(length: int) -> None:
    vectors = unit(np.random.default_rng(length).normal(size=(600, length)))
    moved = unit(seven_bits(vectors) - 64)
    assert np.abs(moved @ moved.T - vectors @ vectors.T).max() < 0.02


@pytest.mark.parametrize("length", [128, 256])
def test_a_rotation_of_root_sift_has_the_neighbours_of_root_sift(length: int) -> None:
    """Turned into signed vectors, or into a space of more dimensions, the same neighbours are found."""
    vectors = root_sift(1200, 0)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(length, 128)))[0]
    plain, turned = seven_bits(vectors), seven_bits(vectors @ turn.T)
    assert (turned.sum(axis=1) == 64 * 128).all() and (plain == np.minimum(127, np.rint(256 * vectors))).mean() > 0.99

    def neighbours(whole: NDArray[np.float64]) -> NDArray[np.int64]:
        dots = whole @ whole.T
        np.fill_diagonal(dots, -1)
        return dots.argmax(axis=1)

    assert (neighbours(plain) == neighbours(turned)).mean() > 0.97


def test_what_is_scaled_is_the_same() -> None:
    vectors = np.random.default_rng(2).normal(size=(64, 64))
    assert np.array_equal(seven_bits(vectors), seven_bits(vectors * 1e30))
    assert np.array_equal(seven_bits(vectors), seven_bits(vectors * 1e-30))


@pytest.mark.parametrize("length", [64, 128, 256])
def test_the_order_and_grouping_of_photos_does_not_matter(length: int) -> None:
    vectors = np.random.default_rng(3).normal(size=(300, length)).astype(np.float32)
    whole = seven_bits(vectors, 3)
    assert np.array_equal(seven_bits(vectors[::-1], 7)[::-1], whole)


def test_nothing_and_photos_without_features() -> None:
    assert seven_bits_of([]) == []
    none = np.zeros((0, 256), np.int16)
    assert [photo.shape for photo in seven_bits_of([none, none])] == [(0, 128), (0, 128)]
    some = unit_integers(np.random.default_rng(4).normal(size=(5, 64)))
    assert [photo.shape for photo in seven_bits_of([some, some[:0]])] == [(5, 128), (0, 128)]


@pytest.mark.parametrize("length", [1, 3, 128, 200])
def test_equal_descriptors(length: int) -> None:
    whole = seven_bits(-np.ones((10, length)))
    assert (whole == whole[0]).all() and (whole.sum(axis=1) == 64 * 128).all()


def test_the_number_of_threads_of_the_linear_algebra_does_not_matter() -> None:
    code = (
        "import numpy as np; from mirror_sfm.learned import seven_bits_of, unit_integers;"
        "x = np.random.default_rng(5).normal(size=(3000, 200)) * np.linspace(0.1, 1, 200);"
        "print(seven_bits_of([unit_integers(x)])[0].astype(np.int64).reshape(-1) @ np.arange(384000) % 1000003)"
    )
    path = os.pathsep.join(sys.path)
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "3")
    }
    assert len(found) == 1 and found.pop().strip().isdigit()
