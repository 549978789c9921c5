"""Ways of a camera: where it is, and what is in the middle of its photos."""

import numpy as np

from mirror_sfm.synthetic.paths import centres, look, orbit, scattered, survey, turntable, walk

CALM = np.random.default_rng  # every path takes a generator


def ahead(poses: np.ndarray) -> np.ndarray:
    """[N, 3] where the cameras look."""
    return poses[:, 2, :3]


def test_look_puts_the_aim_in_the_middle_and_up_above() -> None:
    pose = look((1, 2, 3), (4, 0, -1))
    ahead_of = pose[:, :3] @ (np.array([1, 2, 3]) + 2 * np.array([4, 0, -1])) + pose[:, 3]
    np.testing.assert_allclose(ahead_of / ahead_of[2], [0, 0, 1], atol=1e-8)
    assert (pose[:, :3] @ [0, 0, 1])[1] < -0.9  # y is down
    np.testing.assert_allclose(centres(pose[None]), [[1, 2, 3]], atol=1e-7)


def test_survey_flies_strips_there_and_back() -> None:
    poses = survey(30, CALM(0), length=100, spacing=20, altitude=50, sway=0)
    places = centres(poses).reshape(3, 10, 3)
    np.testing.assert_allclose(places[..., 2], 50, atol=1e-6)
    np.testing.assert_allclose(places[:, :, 1], [[20] * 10, [0] * 10, [-20] * 10], atol=1e-6)
    steps = np.diff(places[..., 0], axis=1)
    np.testing.assert_allclose(steps, np.array([[1], [-1], [1]]) * np.full((1, 9), 10.0), atol=1e-6)
    assert (ahead(poses)[:, 2] < -0.95).all()


def test_orbit_and_turntable_look_inward_from_their_circles() -> None:
    poses = orbit(12, CALM(0), centre=(5, 0, 0), radius=3, altitude=2, aim=(5, 0, 0), sway=0)
    places = centres(poses)
    np.testing.assert_allclose(np.hypot(places[:, 0] - 5, places[:, 1]), 3, atol=1e-6)
    inward = (np.array([5, 0, 0]) - places) / np.linalg.norm(np.array([5, 0, 0]) - places, axis=1, keepdims=True)
    np.testing.assert_allclose(ahead(poses), inward, atol=1e-6)
    rings = turntable(11, CALM(0), distance=2, altitudes=(0.2, 1.0))
    heights = centres(rings)[:, 2]
    assert len(rings) == 11 and np.count_nonzero(np.abs(heights - 0.2) < 1e-6) == 6
    np.testing.assert_allclose(np.linalg.norm(centres(rings), axis=1), 2, atol=1e-6)
    assert ((ahead(rings) * -centres(rings)).sum(axis=1) > 1.9).all()


def test_walk_takes_even_steps() -> None:
    corners = [(0, 0, 1.5), (4, 0, 1.5), (4, 3, 1.5)]
    places = centres(walk(70, CALM(0), places=corners, aims=[(9, 9, 1)] * 3))
    expected = [(0.1 * (k + 0.5), 0) if k < 40 else (4, 0.1 * (k + 0.5) - 4) for k in range(70)]
    assert np.abs(places[:, :2] - expected).max() < 0.15 and np.abs(places[:, :2] - expected).mean() < 0.04


def test_scattered_stays_in_its_box() -> None:
    places = centres(scattered(50, CALM(0), low=(0, 0, 1), high=(2, 3, 2), aim_low=(5, 5, 0), aim_high=(6, 6, 1)))
    assert (places >= (0, 0, 1)).all() and (places <= (2, 3, 2)).all() and np.ptp(places, axis=0).min() > 0.7
