"""What is said about labels and meshes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overlap_scenes import joined, plane

from mirror_sfm.overlap.measured import LabelOptions, Overlap
from mirror_sfm.overlap.statistics import mesh_statistics, overlap_statistics, spearman
from mirror_sfm.scenes.scene import Mesh


def measured(tracks: list[float], surface: list[float]) -> Overlap:
    """Photo 0 with each of the others; photo "z" sees nothing."""
    count = len(tracks)
    names = (*(f"{k}" for k in range(count + 1)), "z")
    pairs = np.stack([np.zeros(count), 1 + np.arange(count)], 1).astype(np.int32)
    halves = {"tracks": np.tile(np.array(tracks)[:, None], 2), "triangles": np.tile(np.array(surface)[:, None], 2)}
    seen = np.array([1.0] * (count + 1) + [0.0])
    return Overlap(names, pairs, halves, {"tracks": seen, "triangles": seen})


def test_labels_are_counted() -> None:
    overlap = measured([0.3, 0.4, 0.0, 0.1, 0.0, 0.0], [0.01, 0.6, 0.1, 0.3, 0.7, 0.04])
    found = overlap_statistics(overlap)
    assert (found.photos, found.blind, found.pairs, found.sharing) == (8, 1, 28, 6)
    assert (found.strong, found.weak, found.between, found.below) == (3, 1, 1, 1)
    assert (found.forced, found.forced_tiny, found.forced_tiny_share) == (2, 1, pytest.approx(1 / 3))
    # Strong: 0-1, 0-2, 0-5; weak: 0-3. Of the anchors 0, 1, 2, 5 only 0 has a weak one.
    assert (found.without_positive, found.anchors_without_weak) == (4, 3)
    strict = overlap_statistics(overlap, LabelOptions(t_sfm=0.35))
    assert (strict.forced, strict.forced_tiny, strict.below) == (1, 0, 2)


def test_rank_correlation_of_every_two_measures() -> None:
    found = overlap_statistics(measured([0.1, 0.2, 0.3], [0.9, 0.8, 0.1])).spearman
    assert found == {"tracks triangles": pytest.approx(-1)}
    assert overlap_statistics(measured([0.1, 0.2], [0.5, 0.5])).spearman == {"tracks triangles": None}
    assert overlap_statistics(measured([], [])).spearman == {"tracks triangles": None}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_rank_correlation_is_that_of_scipy(values: list[tuple[int, int]]) -> None:
    from scipy.stats import spearmanr

    a, b = np.array(values).T
    ours = spearman(a, b)
    if len(set(a.tolist())) == 1 or len(set(b.tolist())) == 1:
        assert ours is None
    else:
        assert ours == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_faces_of_no_use_are_counted() -> None:
    sound = plane(0, 4, 4)
    vertices = np.concatenate([sound.vertices, [[np.nan, 0, 0], [8, 0, 0], [9, 0, 0], [10, 0, 0]]])
    extra = [[0, 1, 25], [3, 3, 4], [26, 27, 28], [*sound.faces[5, [1, 0, 2]]], [*sound.faces[5]], [*sound.faces[9]]]
    found = mesh_statistics(Mesh(vertices, np.concatenate([sound.faces, np.array(extra, np.int32)])))
    assert (found.faces, found.degenerate, found.duplicate) == (38, 3, 3)
    found = mesh_statistics(joined(sound, plane(0, 4, 4)))
    assert (found.faces, found.degenerate, found.duplicate) == (64, 0, 32)  # other vertices in the same places
