"""Boxes of feature maps."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_sfm.descriptors.grids import region_grid

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())["region_grids"]["expected"]
NAMES = {"mirror": "mirror", "clean": "even"}


@pytest.mark.parametrize("size", GOLDEN)
def test_golden(size: str) -> None:
    height, width = map(int, size.split("x"))
    for name, boxes in GOLDEN[size].items():
        if name == "counts":
            continue
        rule, _, steps = name.partition("_")
        if rule == "tolias":
            got = region_grid(height, width, grid="tolias")
        else:
            got = region_grid(height, width, [int(s) for s in steps.split("-")], NAMES[rule])
        assert got.tolist() == boxes, name
        assert got.dtype == np.int64


@given(st.integers(5, 70), st.integers(5, 70), st.sampled_from(["even", "mirror", "tolias"]))
@settings(max_examples=150, deadline=None)
def test_boxes_lie_in_the_map(height: int, width: int, grid: str) -> None:
    row, column, h, w = region_grid(height, width, grid=grid).T
    assert (h > 0).all() and (w > 0).all() and (row >= 0).all() and (column >= 0).all()
    assert (row + h <= height).all() and (column + w <= width).all()


@given(st.integers(5, 70), st.integers(5, 70))
@settings(max_examples=80, deadline=None)
def test_even_has_the_same_number_of_boxes_on_every_map(height: int, width: int) -> None:
    boxes = region_grid(height, width)
    assert len(boxes) == 1 + 9 + 25
    flipped = boxes.copy()
    flipped[:, 1] = width - boxes[:, 1] - boxes[:, 3]
    assert (np.abs(np.sort(flipped[:, 1]) - np.sort(boxes[:, 1])) <= 1).all()  # a mirror image sees the same regions
    assert boxes[0].tolist() == [0, 0, height, width]


@given(st.integers(6, 60), st.integers(6, 60))
@settings(max_examples=60, deadline=None)
def test_tolias_gives_squares_of_the_transposed_map(height: int, width: int) -> None:
    boxes, turned = region_grid(height, width, grid="tolias"), region_grid(width, height, grid="tolias")
    assert (boxes[:, 2] == boxes[:, 3]).all()
    assert {tuple(b) for b in boxes[:, [1, 0, 3, 2]].tolist()} == {tuple(b) for b in turned.tolist()}


@pytest.mark.parametrize("grid", ["even", "mirror", "tolias"])
def test_small_maps(grid: str) -> None:
    with pytest.warns(RuntimeWarning, match="a 2 x 9 map has no 3 x 3 regions: step 3 is left out"):
        boxes = region_grid(2, 9, (1, 3), grid)
    assert boxes.tolist() == region_grid(2, 9, (1,), grid).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert region_grid(1, 1, (1,), grid).tolist() == [[0, 0, 1, 1]]
        assert len(region_grid(3, 3, (1, 3), grid)) == 10  # a kernel of 0 cells becomes 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((28, 28, None, "round"), "grid: expected one of even, mirror, tolias, got 'round'"),
        ((0, 28), "height: expected an integer >= 1, got 0"),
        ((28, 28, (1, 0)), "steps: expected an integer >= 1, got 0"),
        ((2, 2, (3, 5)), "steps: expected a step that a 2 x 2 map has cells for"),
        ((28, 28, ()), "steps: expected a step"),
    ],
)
def test_wrong_arguments(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=f"^region_grid: {message}"):
        region_grid(*arguments)
