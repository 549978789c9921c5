"""Masks on other grids, and the cells that count."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_sfm.errors import UsageError
from mirror_sfm.overlap.masks import area_mean, mask_cells, reduce_masks, stored

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())["mask_resize"]


def test_golden_area_means() -> None:
    row, grid = [GOLDEN["inputs"]["row14"]], GOLDEN["inputs"]["grid4"]
    expected = GOLDEN["expected"]
    np.testing.assert_allclose(area_mean(row, 1, 7)[0], expected["row14_to_7_area"], atol=1e-12)
    np.testing.assert_allclose(area_mean(row, 1, 4)[0], expected["row14_to_4_area"], atol=1e-12)
    np.testing.assert_array_equal(area_mean(grid, 2, 2), expected["grid4_to_2_area"])
    np.testing.assert_array_equal(mask_cells(area_mean(grid, 2, 2)), expected["grid4_to_2_area_ge_half"])


@pytest.mark.parametrize("side", [7, 14, 28, 56])
def test_training_grids_are_block_means(side: int) -> None:
    masks = np.random.default_rng(side).integers(0, 256, (3, 2, 56, 56), dtype=np.uint8)
    block = 56 // side
    whole = masks.reshape(3, 2, side, block, side, block).sum((3, 5), dtype=np.int64)
    expected = (whole / (255 * block * block)).astype(np.float32)
    np.testing.assert_array_equal(reduce_masks(masks, side), expected)
    np.testing.assert_array_equal(mask_cells(expected), 2 * whole >= 255 * block * block)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_area_means_keep_the_mean(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    grid = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    reduced = area_mean(grid, rows, columns)
    assert reduced.mean() == pytest.approx(grid.mean(), rel=1e-12)
    fine = np.kron(grid, np.ones((rows, columns)))  # every pixel as rows x columns parts: cells hold whole ones
    expected = fine.reshape(rows, height, columns, width).mean((1, 3))
    np.testing.assert_allclose(reduced, expected, rtol=1e-12)


def test_two_reductions_in_a_row_are_one() -> None:
    masks = np.random.default_rng(0).integers(0, 256, (56, 56), dtype=np.uint8)
    np.testing.assert_allclose(area_mean(reduce_masks(masks, 28), 7, 7), reduce_masks(masks, 7), rtol=1e-6)


def test_without_a_cell_covered_by_half_the_best_ones_count() -> None:
    coverage = np.array([[[0.1, 0.4], [0.4, 0]], [[0, 0], [0, 0]], [[0.5, 0.4], [0, 0]]])
    expected = [[[0, 1], [1, 0]], [[0, 0], [0, 0]], [[1, 0], [0, 0]]]
    np.testing.assert_array_equal(mask_cells(coverage), expected)
    np.testing.assert_array_equal(mask_cells(stored(coverage)), expected)


def test_stored_coverage_is_never_rounded_to_nothing() -> None:
    coverage = np.array([0, 1e-9, 0.001, 0.4999, 0.5, 0.9999, 1])
    assert stored(coverage).tolist() == [0, 1, 1, 127, 128, 255, 255]


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(UsageError, match="uint8, got float64"):
        reduce_masks(np.zeros((56, 56)), 7)
    with pytest.raises(UsageError, match="a grid of cells"):
        area_mean(np.zeros((4, 0)), 2, 2)
