"""Crops and flips: masks follow photos exactly."""

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_dataset import blocks, picture_of

from mirror_sfm.colour import turned_upright
from mirror_sfm.dataset.crops import Crop, random_crop
from mirror_sfm.dataset.jitter import NO_JITTER, Jitter, jittered
from mirror_sfm.errors import UsageError
from mirror_sfm.overlap.measured import MASK_SIDE


def by_counting(mask: np.ndarray, crop: Crop, size: int, side: int) -> np.ndarray:
    """Coverage of the box on a raster so fine that every border falls between two of its pixels."""
    fine = np.kron(mask.astype(np.int64), np.ones((size, size), np.int64))  # 56 size a side
    fine = fine[crop.top * MASK_SIDE :, crop.left * MASK_SIDE :][: crop.height * MASK_SIDE, : crop.width * MASK_SIDE]
    rows = np.arange(side + 1) * crop.height * MASK_SIDE
    columns = np.arange(side + 1) * crop.width * MASK_SIDE
    sums = np.zeros((side, side))
    for r in range(side):
        for c in range(side):
            y = _shares(rows[r] / side, rows[r + 1] / side, len(fine))
            x = _shares(columns[c] / side, columns[c + 1] / side, fine.shape[1])
            sums[r, c] = y @ fine @ x / (255 * y.sum() * x.sum())
    return sums[:, ::-1] if crop.flipped else sums


def _shares(low: float, high: float, count: int) -> np.ndarray:
    place = np.arange(count)
    return np.clip(np.minimum(high, place + 1) - np.maximum(low, place), 0, 1)


@given(st.data(), st.sampled_from([8, 13, 20]), st.sampled_from([7, 14, 5]))
@settings(max_examples=12, deadline=None)
def test_masks_are_exact_areas(data: st.DataObject, size: int, side: int) -> None:
    width, height = (data.draw(st.integers(1, size)) for _ in range(2))
    left, top = data.draw(st.integers(0, size - width)), data.draw(st.integers(0, size - height))
    crop = Crop(left, top, width, height, data.draw(st.booleans()))
    mask = np.random.default_rng(width * height + left).integers(0, 256, (MASK_SIDE, MASK_SIDE), np.uint8)
    np.testing.assert_allclose(crop.of_mask(mask, size, side), by_counting(mask, crop, size, side), atol=1e-9)


@pytest.mark.parametrize("side", [7, 14, 28, 56])
def test_the_whole_photo_gives_block_means(side: int) -> None:
    mask = np.random.default_rng(side).integers(0, 256, (MASK_SIDE, MASK_SIDE), np.uint8)
    block = MASK_SIDE // side
    expected = mask.reshape(side, block, side, block).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(Crop(0, 0, 448, 448).of_mask(mask, 448, side), expected, rtol=1e-15)


def test_coverage_is_within_0_and_1_and_full_stays_full() -> None:
    rng = np.random.default_rng(0)
    full = np.full((MASK_SIDE, MASK_SIDE), 255, np.uint8)
    for _ in range(50):
        crop = random_crop(rng, 448, 0.3, 0.5)
        assert (crop.of_mask(full, 448, 14) == 1).all()
        assert (crop.of_mask(0 * full, 448, 14) == 0).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_a_photo_shows_stays_under_its_mask(orientation: int) -> None:
    """A photo whose red is its mask, turned, cropped and mirrored with it."""
    rng = np.random.default_rng(orientation)
    for _ in range(4):
        mask = blocks(rng)
        crop = random_crop(rng, 448, 0.4, 0.5)
        photo = np.ascontiguousarray(turned_upright(picture_of(mask, 448), orientation))
        red = crop.of_photo(photo, 224)[:, :, 0] / 255
        seen = red.reshape(14, 16, 14, 16).mean(axis=(1, 3))
        covered = crop.of_mask(turned_upright(mask, orientation), 448, 14)
        # Smoothing the photo moves at most a pixel of 16 into the next cell.
        assert abs(seen - covered).max() < 0.06 and abs(seen - covered).mean() < 0.012
        mirrored = covered[:, ::-1]
        assert abs(seen - mirrored).mean() > 0.1


def test_crops_stay_inside_and_reach_every_edge() -> None:
    rng = np.random.default_rng(1)
    crops = [random_crop(rng, 40, 0.5, 0.5) for _ in range(2000)]
    assert all(20 <= c.width <= 40 and c.left + c.width <= 40 and c.top + c.height <= 40 for c in crops)
    assert min(c.left for c in crops) == min(c.top for c in crops) == 0
    assert any(c.left + c.width == 40 and c.left > 10 for c in crops) and any(c.width != c.height for c in crops)
    assert 0.45 < np.mean([c.flipped for c in crops]) < 0.55
    assert random_crop(rng, 40, 1, 0) == Crop(0, 0, 40, 40)


# ---- colours ---------------------------------------------------------------------------------------------------------


@given(st.tuples(*[st.integers(0, 255)] * 3), st.floats(0, 2), st.floats(-0.5, 0.5))
@settings(max_examples=200, deadline=None)
def test_saturation_and_hue_are_those_of_hsv(pixel: tuple[int, int, int], factor: float, turns: float) -> None:
    rgb = np.array(pixel, np.float32).reshape(3, 1, 1) / 255
    hue, saturation, value = colorsys.rgb_to_hsv(*(float(x) for x in rgb.ravel()))
    expected = colorsys.hsv_to_rgb((hue + turns) % 1, min(1, saturation * factor), value)
    np.testing.assert_allclose(jittered(rgb, 1, factor, turns, 0).ravel(), expected, atol=3e-6)


def test_contrast_is_around_each_mean_and_brightness_is_added() -> None:
    rgb = np.random.default_rng(0).uniform(0.3, 0.6, (3, 20, 30)).astype(np.float32)
    less = jittered(rgb, 0.5, 1, 0, 0)
    np.testing.assert_allclose(less.mean(axis=(1, 2)), rgb.mean(axis=(1, 2)), atol=1e-6)
    np.testing.assert_allclose(less.std(axis=(1, 2)), rgb.std(axis=(1, 2)) / 2, atol=1e-6)
    np.testing.assert_allclose(jittered(rgb, 1, 1, 0, 0.2), rgb + np.float32(0.2), atol=1e-6)
    assert jittered(rgb, 1, 1, 0, -0.5).min() == 0 and jittered(rgb, 1.5, 2, 0.1, 0.9).max() == 1


def test_draws_stay_in_range_and_none_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    draws = np.array([Jitter().draw(rng) for _ in range(1000)])
    low, high = draws.min(axis=0), draws.max(axis=0)
    np.testing.assert_allclose(low, [0.5, 0.5, -0.2, -0.2], atol=0.01)
    np.testing.assert_allclose(high, [1.5, 1.5, 0.2, 0.2], atol=0.01)
    rgb = rng.uniform(0, 1, (3, 5, 5)).astype(np.float32)
    assert (jittered(rgb, *NO_JITTER.draw(rng)) == rgb).all()
    with pytest.raises(UsageError, match="hue must be within 0"):
        Jitter(hue=0.6)
