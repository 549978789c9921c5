"""Validation: who asks, what is to be found, and the number that comes of it."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")
pytest.importorskip("yaml")

from made_dataset import write_index, write_scene  # noqa: E402
from tiny_training import PAIRS, SIZE, write_dataset  # noqa: E402

from mirror_sfm.dataset.format import Dataset, open_dataset  # noqa: E402
from mirror_sfm.errors import MirrorError, UsageError  # noqa: E402
from mirror_sfm.learning.config import ValidationOptions  # noqa: E402
from mirror_sfm.learning.validation import validation_of  # noqa: E402


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, "ab")
    return open_dataset(folder)


def test_photos_that_are_trained_on_do_not_ask(dataset: Dataset) -> None:
    validation = validation_of(dataset, ["a"], ValidationOptions(), SIZE, True)
    trained, left_out = (validation.positive[place] for place in (0, 1))
    assert np.argwhere(trained).tolist() == [[5, 4]]
    assert np.array_equal(left_out, left_out.T) and left_out[0].tolist() == [False, True, False, False, False, False]
    assert int(left_out.sum()) == 2 * sum(overlap >= 0.5 for _, _, overlap in PAIRS)


def test_the_number_is_average_precision_by_similarity(dataset: Dataset) -> None:
    """Vectors at angles: photo 5 finds 3, 4, 2 in this order, and wants 4 alone."""
    angles = torch.tensor([2.0, 1.5, 0.6, 0.1, 0.3, 0.0])

    def vectors(images: torch.Tensor) -> torch.Tensor:
        assert images.shape[1:] == (3, SIZE, SIZE) and images.dtype == torch.float32 and float(images.max()) <= 1
        start = seen[-1]
        seen.append(start + len(images))
        part = angles[start : seen[-1]]
        return torch.stack([part.cos(), part.sin()], dim=1)[:, None]

    for batch in (1, 4, 32):
        seen = [0]
        options = ValidationOptions(scenes=("a",), batch=batch)
        measured = validation_of(dataset, ["a", "b"], options, SIZE, True).measure(vectors)
        assert measured == {"a": pytest.approx((0 + 1 / 2) / 2)} and seen[-1] == 6


def test_photos_lie_as_they_do_in_training(tmp_path: Path) -> None:
    photos = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    write_scene(tmp_path, "a", photos, [(0, 1, 0.9)], orientations=[3, 1])
    write_index(tmp_path, SIZE, ["a"])
    for upright in (True, False):
        found: list[torch.Tensor] = []

        def vectors(images: torch.Tensor, found: list[torch.Tensor] = found) -> torch.Tensor:
            found.append(images)
            return torch.ones(len(images), 1, 1)

        validation_of(open_dataset(tmp_path), [], ValidationOptions(), SIZE, upright).measure(vectors)
        turned = photos[0, ::-1, ::-1] if upright else photos[0]
        expected = torch.from_numpy(np.stack([turned, photos[1]]).transpose(0, 3, 1, 2) / np.float32(255))
        assert torch.equal(found[0], expected)


def test_scenes_that_cannot_be_asked_are_named(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="validation: scenes: no scene x; there are a, b"):
        validation_of(dataset, ["a"], ValidationOptions(scenes=("x",)), SIZE, True)
    with pytest.raises(UsageError, match=r"no photo of a that is not trained on overlaps another by 0\.95"):
        validation_of(dataset, ["a"], ValidationOptions(scenes=("a",), positive=0.95), SIZE, True)
    assert not validation_of(dataset, ["a", "b"], ValidationOptions(positive=0.95), SIZE, True).positive
    write_scene(tmp_path, "a", np.zeros((2, SIZE, SIZE, 3), np.uint8), [(0, 7, 0.9)])
    write_index(tmp_path, SIZE, ["a"])
    with pytest.raises(MirrorError, match="is damaged: its pairs do not fit"):
        validation_of(open_dataset(tmp_path), [], ValidationOptions(), SIZE, True)
