"""Photos of simple surfaces whose every pixel is known in closed form."""

import numpy as np
import pytest

from mirror_sfm.errors import UsageError
from mirror_sfm.scenes.cameras import Camera
from mirror_sfm.synthetic import Lights, RenderOptions, assemble, develop, illuminate, render, sky, sun
from mirror_sfm.synthetic.export import expose
from mirror_sfm.synthetic.lens import project, raster_of
from mirror_sfm.synthetic.paths import look
from mirror_sfm.synthetic.rendering import LINEAR, area_mean
from mirror_sfm.synthetic.shapes import box, rectangle

CAMERA = Camera("PINHOLE", (200.0, 200.0, 80.0, 60.0), 160, 120)
DOWN = look((0, 0, 4), (0, 0, -1), (0, 1, 0))  # pixel (x, y) shows the place ((x - 80) / 50, (60 - y) / 50, 0)
GREY = np.full((64, 64, 3), 128, np.uint8)


def plane(picture, side=6.0, cell=0.5):
    return rectangle((-side / 2, side / 2, 0), (side, 0, 0), (0, -side, 0), picture, cell)


def lit(*patches, key=(0.8, 0.8, 0.8), soft=(0.0, 0.0, 0.0), ambient=(0.2, 0.2, 0.2), towards=(0, 0, 1), haze=0.0):
    surface = assemble(patches)
    lights = Lights(sun(surface.mesh, towards), key, sky(surface.mesh, 8), soft, ambient, bias=0.01, clear=haze)
    return illuminate(surface, lights, shadows=512, soft=64)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_a_lit_plane_has_the_light_of_its_lamps(samples):
    upright = render(lit(plane(GREY)), DOWN, CAMERA, samples)
    assert upright.shape == (3, 120, 160)
    np.testing.assert_allclose(upright, LINEAR[128], rtol=1e-3)
    slanted = lit(plane(GREY), towards=(0.6, 0, 0.8), ambient=(0, 0, 0))
    low, high = render(slanted, DOWN, CAMERA, samples).min(), render(slanted, DOWN, CAMERA, samples).max()
    assert low == pytest.approx(0.8 * 0.8 * LINEAR[128], rel=0.05) and high - low < 0.05 * high  # the sun is far
    soft = lit(plane(GREY), key=(0, 0, 0), soft=(0.5, 0.5, 0.5), ambient=(0, 0, 0))
    np.testing.assert_allclose(render(soft, DOWN, CAMERA, samples), 0.5 * LINEAR[128], rtol=0.03)


def test_haze_takes_half_of_the_light_at_its_distance():
    light = render(lit(plane(GREY), haze=4.0), DOWN, CAMERA)
    for channel, haze in enumerate((0.62, 0.7, 0.8)):
        np.testing.assert_allclose(light[channel], (LINEAR[128] + haze) / 2, rtol=1e-3)


def test_pictures_lie_where_the_camera_says():
    """A picture of one texel per centimetre, seen slantwise: each pixel has the colour of the place it shows."""
    rng = np.random.default_rng(0)
    ramp = np.zeros((600, 600, 3), np.uint8)
    ramp[..., 0] = np.arange(600)[None] * 255 // 599
    ramp[..., 1] = np.arange(600)[:, None] * 255 // 599
    pose = look((-1.0, -2.5, 3.0), (0.4, 1.0, -1.2))
    light = render(lit(plane(ramp), key=(0, 0, 0), ambient=(1, 1, 1)), pose, CAMERA, 1)
    columns, rows = rng.integers(0, 160, 300), rng.integers(0, 120, 300)
    rays = np.stack([(columns + 0.5 - 80) / 200, (rows + 0.5 - 60) / 200, np.ones(300)], axis=1) @ pose[:, :3]
    centre = -pose[:, :3].T @ pose[:, 3]
    x, y, _ = (centre + rays * (-centre[2] / rays[:, 2])[:, None]).T
    shown = (rays[:, 2] < 0) & (np.abs(x) < 2.9) & (np.abs(y) < 2.9)
    assert shown.sum() > 200
    for channel, share in ((0, (x + 3) / 6), (1, (3 - y) / 6)):
        grey = np.interp(light[channel][rows, columns], LINEAR, np.arange(256))
        np.testing.assert_allclose(grey[shown], 255 * share[shown], atol=1.5)


def test_a_box_throws_its_shadow_away_from_the_sun():
    tower = box((-0.8, 0, 0), (0.4, 0.4, 1.0), lambda *_: GREY, 0.2)
    scene = lit(plane(GREY), *tower, towards=(-1, 0, 1), key=(1, 1, 1), ambient=(0.1, 0.1, 0.1))
    light = render(scene, DOWN, CAMERA)[0]
    shown = light[60, 80 + 50 * np.array([-0.2, 0.2, 0.8]).astype(int)] / LINEAR[128]
    # From its east side at x = -0.6 the shadow of a tower 1 m high is 1 m long under a sun 45 degrees up.
    assert light[60, 75] == pytest.approx(0.1 * LINEAR[128], rel=1e-3)
    assert light[60, 95] == pytest.approx(0.1 * LINEAR[128], rel=1e-3)
    assert light[60, 106] > 0.7 * LINEAR[128] and light[40, 75] > 0.7 * LINEAR[128] and len(shown) == 3


def test_nothing_shows_the_sky():
    up = look((0, 0, 1), (0.0, 1.0, 1.0))
    light = render(lit(plane(GREY)), up, CAMERA)
    assert light[2].min() > light[0].min()  # blue
    assert light[0, 0].mean() < light[0, -1].mean()  # darker towards the zenith


def test_area_mean_is_the_mean_of_blocks():
    values = np.arange(2 * 6 * 9, dtype=np.float32).reshape(2, 6, 9)
    np.testing.assert_array_equal(area_mean(values, 3), values.reshape(2, 2, 3, 3, 3).mean(axis=(2, 4)))
    np.testing.assert_array_equal(area_mean(values, 1), values)


def test_exposure_vignetting_and_noise():
    light = np.full((3, 120, 160), 0.2, np.float32)
    plain = RenderOptions(vignetting=0, noise=0)
    rng = np.random.default_rng(0)
    even = develop(light, 0.0, plain, rng)
    assert even.dtype == np.uint8 and even.shape == (120, 160, 3) and np.ptp(even) == 0
    assert even[0, 0, 0] == round(255 * (1.055 * 0.2 ** (1 / 2.4) - 0.055))
    np.testing.assert_array_equal(develop(light, 1.0, plain, rng), develop(2 * light, 0.0, plain, rng))
    dark = develop(light, 0.0, RenderOptions(vignetting=0.5, noise=0), rng).astype(int)
    assert dark[60, 80, 0] == even[0, 0, 0] and dark[0, 0, 0] < 0.8 * dark[60, 80, 0]
    assert develop(light, 0.0, RenderOptions(vignetting=0, noise=3), rng).std() == pytest.approx(3, rel=0.05)
    bright = [int(develop(light * factor, 0.0, plain, rng).max()) for factor in (2, 4, 8, 100)]
    assert bright == sorted(set(bright)) and bright[-1] >= 250


def test_motion_blurs_along_the_way_only():
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, (np.arange(600) // 5) % 2 == 0] = 255
    across = lit(plane(stripes))
    along = lit(plane(np.ascontiguousarray(stripes.transpose(1, 0, 2))))
    poses = np.array([look((x, 0, 4), (0, 0, -1), (0, 1, 0)) for x in (-0.5, 0.0, 0.5)])
    sharp, moved = RenderOptions(width=160, height=120), RenderOptions(width=160, height=120, motion=5)
    contrast = {
        (scene is across, options.motion): expose(scene, poses, 1, CAMERA, options)[0, 20:100, 20:140].std()
        for scene in (across, along)
        for options in (sharp, moved)
    }
    assert contrast[True, 5] < 0.4 * contrast[True, 0] and contrast[False, 5] > 0.95 * contrast[False, 0]


@pytest.mark.parametrize("k", [-0.12, 0.1])
def test_a_lens_bends_what_colmap_bends(k):
    camera = Camera("SIMPLE_RADIAL", (200.0, 80.0, 60.0, k), 160, 120)
    raster = raster_of(camera, 2)
    x, y = raster.places
    pinhole = raster.pinhole
    places = np.stack([(x - pinhole.cx) / pinhole.fx, (y - pinhole.cy) / pinhole.fy, np.ones_like(x)], axis=-1)
    u, v = project(camera, places.reshape(-1, 3).astype(np.float64))
    columns, rows = np.meshgrid((np.arange(320) + 0.5) / 2, (np.arange(240) + 0.5) / 2)
    assert np.abs(u.reshape(240, 320) - columns).max() < 0.25 and np.abs(v.reshape(240, 320) - rows).max() < 0.25
    pycolmap = pytest.importorskip("pycolmap")
    theirs = pycolmap.Camera(model="SIMPLE_RADIAL", width=160, height=120, params=list(camera.params))
    np.testing.assert_allclose(theirs.img_from_cam(places.reshape(-1, 3)), np.stack([u, v], axis=1), atol=1e-6)


def test_a_lens_that_folds_is_an_error():
    with pytest.raises(UsageError, match=r"distortion: -0\.9 bends the corners"):
        raster_of(Camera("SIMPLE_RADIAL", (100.0, 80.0, 60.0, -0.9), 160, 120), 1)


@pytest.mark.parametrize(
    ("option", "value"),
    [("width", 0), ("samples", 0), ("noise", -1.0), ("exposure", np.nan), ("vignetting", 1.5), ("suffix", ".bmp")],
)
def test_impossible_options_are_errors(option, value):
    with pytest.raises(UsageError, match=f"^{option}: expected"):
        RenderOptions(**{option: value})
