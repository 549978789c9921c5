"""Smooth random values, and pictures made of them."""

import numpy as np
import pytest

from mirror_sfm.synthetic import facades, furnishings, pictures
from mirror_sfm.synthetic.noise import SolidNoise, fractal, ramp, wave


def test_wave_is_nearly_a_sine() -> None:
    x = np.linspace(-3, 3, 1001, dtype=np.float32)
    assert np.abs(wave(x) - np.sin(2 * np.pi * x)).max() < 0.06
    np.testing.assert_allclose(wave(x + 1), wave(x), atol=1e-4)


def test_ramp_rises_and_falls() -> None:
    x = np.float32([-1, 0, 0.5, 1, 2])
    np.testing.assert_allclose(ramp(0, 1, x), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(ramp(1, 0, x), [1, 1, 0.5, 0, 0])


@pytest.mark.parametrize("shape", [(40, 60), (1, 5), (7, 1)])
def test_fractal(shape: tuple[int, int]) -> None:
    values = fractal(np.random.default_rng(3), *shape, cell=16, octaves=4)
    assert values.shape == shape and values.dtype == np.float32 and np.abs(values).max() < 2.2
    np.testing.assert_array_equal(values, fractal(np.random.default_rng(3), *shape, cell=16, octaves=4))


def test_noise_is_smooth_and_goes_on_where_it_was() -> None:
    smooth = fractal(np.random.default_rng(0), 64, 64, 32, 1)
    rough = fractal(np.random.default_rng(0), 64, 64, 2, 1)
    assert np.abs(np.diff(smooth)).max() < 0.1 < np.abs(np.diff(rough)).max()
    noise, points = SolidNoise(np.random.default_rng(0)), np.random.default_rng(1).uniform(-3, 3, (50, 3))
    near = noise(points + 1e-4, 1.0) - noise(points, 1.0)
    assert np.abs(near).max() < 1e-2 and noise(points, 1.0).std() > 0.2


MATERIALS = {
    "plaster": lambda rng: pictures.plaster(rng, 2, 3, 40, (200, 180, 160)),
    "bricks": lambda rng: pictures.bricks(rng, 2, 3, 40),
    "tiles": lambda rng: pictures.tiles(rng, 2, 3, 40, (160, 80, 60)),
    "planks": lambda rng: pictures.planks(rng, 2, 3, 40),
    "stones": lambda rng: pictures.stones(rng, 2, 3, 40),
    "wallpaper": lambda rng: furnishings.wallpaper(rng, 2, 3, 40, np.float32([200, 180, 160])),
    "facade": lambda rng: facades.facade(rng, 2, 3, 40, facades.Style.draw(rng), door=True),
    "painting": lambda rng: furnishings.painting(rng, 2, 3, 40),
    "carpet": lambda rng: furnishings.carpet(rng, 2, 3, 40),
    "shelves": lambda rng: furnishings.shelves(rng, 2, 3, 40, pictures.WOODS[0]),
    "cabinet": lambda rng: furnishings.cabinet(rng, 2, 3, 40, pictures.WOODS[0], 3),
    "cloth": lambda rng: furnishings.cloth(rng, 2, 3, 40, furnishings.CLOTHS[0]),
}


@pytest.mark.parametrize("name", sorted(MATERIALS))
def test_pictures_have_detail_and_every_seed_its_own(name: str) -> None:
    one, again, other = (MATERIALS[name](np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert one.shape == (80, 120, 3)
    np.testing.assert_array_equal(one, again)
    grey = one.astype(np.float64).mean(axis=2)
    assert 20 < grey.mean() < 240 and np.abs(np.diff(grey)).mean() > 1
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("size", [(0.05, 0.3), (9.0, 0.4), (0.2, 12.0)])
def test_odd_sizes(size: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    for kind in ("plaster", "brick", "timber", "stone"):
        style = facades.Style(facades.WALLS[0], facades.SHUTTERS[0], facades.BEAMS[0], kind)
        picture = facades.facade(rng, *size, 14, style, door=True)
        assert picture.shape == (*pictures.size(*size, 14), 3) and picture.dtype == np.uint8
