"""Distorted photos: what is drawn in a pinhole picture comes back to where the lens shows it."""

import numpy as np
import pytest
from overlap_scenes import looking, plane

pycolmap = pytest.importorskip("pycolmap")

from mirror_sfm.errors import MirrorError  # noqa: E402
from mirror_sfm.overlap.drawing import Drawing  # noqa: E402
from mirror_sfm.overlap.measuring import OverlapOptions, measure_overlap  # noqa: E402
from mirror_sfm.overlap.photo_grid import photo_rows, shown_pixels, whole_pinhole  # noqa: E402
from mirror_sfm.scenes.cameras import Camera, View  # noqa: E402
from mirror_sfm.scenes.scene import Scene  # noqa: E402

WIDTH, HEIGHT = 256, 192
LENSES = {
    "SIMPLE_RADIAL": (200, 128, 96, 0.08),
    "RADIAL": (200, 130, 90, -0.15, 0.02),
    "OPENCV": (190, 205, 120, 100, -0.1, 0.02, 0.003, -0.004),
    "OPENCV_FISHEYE": (200, 200, 128, 96, 0.02, 0.0, 0.0, 0.0),
    "SIMPLE_PINHOLE": (200, 128, 96),
}


def camera(model: str) -> Camera:
    return Camera(model, tuple(map(float, LENSES[model])), WIDTH, HEIGHT)


def rays(model: str) -> np.ndarray:
    """[height, width, 2] X / Z, Y / Z of the pixels' centres, by pycolmap."""
    lens = pycolmap.Camera(model=model, width=WIDTH, height=HEIGHT, params=list(LENSES[model]))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.asarray(lens.cam_from_img(np.stack([x.ravel(), y.ravel()], 1))).reshape(HEIGHT, WIDTH, 2)


def inside(model: str, points: np.ndarray) -> np.ndarray:
    """Which points [n, 3] before the camera its photo shows, by pycolmap."""
    lens = pycolmap.Camera(model=model, width=WIDTH, height=HEIGHT, params=list(LENSES[model]))
    x, y = np.asarray(lens.img_from_cam(points)).T
    return (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)


@pytest.mark.parametrize("model", LENSES)
def test_every_pixel_shows_what_the_lens_shows(model: str) -> None:
    """A plane of squares of one unit, from 20 units away: the square of each pixel is known."""
    mesh = plane(-40, 40, 80)
    place = (0.3, -0.2, -20.0)
    scene = Scene("lens", (View("a", camera(model), looking(place)),), mesh=mesh)
    drawing = Drawing(scene, mesh.vertices, mesh.faces, OverlapOptions(long_side=WIDTH))
    [(batch, ids)] = drawing.batches([0])
    [photo] = drawing.on_photos(batch, ids)
    points = rays(model) * 20 + place[:2]
    square = np.floor(points[..., 1] + 40) * 80 + np.floor(points[..., 0] + 40)
    assert (photo >= 0).all()  # also in the corners
    # A picture has pixels of its own: those on borders of squares may show the neighbour.
    assert (photo % 6400 == square).mean() > 0.85
    centre = mesh.vertices[mesh.faces[photo]].mean(2)[..., :2]
    assert np.abs(centre - points).max() < 1 + 0.2


@pytest.mark.parametrize("model", LENSES)
def test_overlap_is_that_of_the_lens(model: str) -> None:
    views = (View("a", camera(model), looking((0, 0, -20))), View("b", camera(model), looking((7, 3, -16))))
    scene = Scene("lens", views, mesh=plane(-30, 30, 500))
    overlap = measure_overlap(scene, OverlapOptions(long_side=512))
    for i, j, away, shift in ((0, 1, 20, (-7, -3, -4)), (1, 0, 16, (7, 3, 4))):
        seen = np.concatenate([rays(model) * away, np.full((HEIGHT, WIDTH, 1), away)], 2) + shift
        both = inside(model, seen.reshape(-1, 3)).reshape(HEIGHT, WIDTH)
        assert overlap.matrix("pixels")[i, j] == pytest.approx(both.mean(), abs=0.01)
        cells = both[: HEIGHT // 4 * 4].reshape(48, 4, 64, 4).mean((1, 3))
        mask = np.kron(overlap.masks[0, i] / 255, np.ones((48, 64))).reshape(48, 56, 64, 56).mean((1, 3))
        assert np.abs(cells - mask).mean() < 0.01
    assert (overlap.covered == 255).all()


def test_what_the_photo_does_not_show_is_not_seen() -> None:
    """The pinhole picture that holds a barrel's corners shows more beside its edges; none of that counts."""
    lens = camera("RADIAL")
    surface = plane(-60, 60, 480)
    views = (View("a", lens, looking((0, 0, -20))),)
    whole = measure_overlap(Scene("all", views, mesh=surface), OverlapOptions(long_side=1024))
    centres = surface.vertices[surface.faces].mean(1) - (0, 0, -20)
    shown = inside("RADIAL", centres) & (np.abs(centres[:, :2]) < 40).all(1)
    assert whole.seen["triangles"][0] == pytest.approx(shown.sum(), rel=0.03)


def test_whole_pinhole_pictures_hold_the_photo() -> None:
    for model in LENSES:
        lens = camera(model)
        pinhole = whole_pinhole(lens)
        rows = photo_rows(lens, pinhole, WIDTH, HEIGHT)
        assert (rows >= 0).all()
        assert pinhole.width <= 1.6 * WIDTH and pinhole.height <= 1.6 * HEIGHT
        shown = shown_pixels(rows, pinhole)
        assert shown.reshape(-1)[rows].all()
    assert whole_pinhole(camera("SIMPLE_PINHOLE")).width == WIDTH


def test_unknown_lenses_are_refused() -> None:
    views = (View("a", Camera("MAGIC", (1.0,), 64, 48), looking((0, 0, -1))),)
    with pytest.raises(MirrorError, match=r"scene .*, photo .*: unknown camera model MAGIC"):
        measure_overlap(Scene("x", views, mesh=plane(0, 1, 1)))
