"""Graded triplets: what is drawn, that masks follow, that batches do not depend on workers, that runs go on."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_dataset import blocks, picture_of, write_index, write_scene

torch = pytest.importorskip("torch")

from mirror_sfm.dataset.format import Dataset, open_dataset  # noqa: E402
from mirror_sfm.dataset.triplets import MASKS, Batch, GradedTriplets  # noqa: E402
from mirror_sfm.errors import MirrorError, UsageError  # noqa: E402
from mirror_sfm.overlap.measured import MASK_SIDE  # noqa: E402

SIZE = 112


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five scenes of six photos; photo 5 shares nothing with 0 and 1, the last scene has no anchor."""
    folder, rng = tmp_path_factory.mktemp("dataset"), np.random.default_rng(0)
    pairs = [(0, 1, 0.7), (0, 2, 0.1), (0, 4, 0.15), (1, 2, 0.5), (1, 3, 0.2), (2, 3, 0.3), (2, 5, 0.02), (4, 5, 0.9)]
    for place, name in enumerate("abcde"):
        photos = rng.integers(0, 256, (6, SIZE, SIZE, 3), np.uint8)
        masks = rng.integers(0, 256, (6, 2, MASK_SIDE, MASK_SIDE), np.uint8)
        listed = pairs if name != "e" else pairs[:1]
        write_scene(folder, name, photos, listed, masks[: 6 if name != "e" else 1] if place % 2 == 0 else None)
    write_index(folder, SIZE, list("abcde"))
    return open_dataset(folder)


def same(first: Batch, second: Batch) -> bool:
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(first, second, strict=True))


def test_a_batch_is_what_its_docstring_says(dataset: Dataset) -> None:
    batch = GradedTriplets(dataset, columns=3, size=32, mask_side=14).batch(0)
    assert batch.images.shape == (3, 3, 3, 32, 32) and batch.images.dtype == torch.float32
    assert 0 <= float(batch.images.min()) < float(batch.images.max()) <= 1
    assert batch.masks.shape == (4, 3, 14, 14) and batch.has_mask.shape == (2, 3)
    assert batch.negatives.shape == (3, 9) and batch.scenes.shape == (3,)
    assert batch.photos.shape == (3, 3) and batch.overlaps.shape == (2, 3)


def test_images_are_photos(dataset: Dataset) -> None:
    batch = GradedTriplets(dataset, columns=2, size=SIZE, flip=0, jitter=None).batch(0)
    for row in range(3):
        for column in range(2):
            scene = dataset.scenes[int(batch.scenes[column])]
            stored = np.array(scene.array("photos")[int(batch.photos[row, column])]).transpose(2, 0, 1)
            assert torch.equal(batch.images[row, column], torch.from_numpy(stored) / 255)


def test_columns_are_distinct_scenes_and_their_pairs_are_graded(dataset: Dataset) -> None:
    triplets = GradedTriplets(dataset, columns=4, size=8)
    assert triplets.sampler.usable == {"a": 4, "b": 4, "c": 4, "d": 4}
    seen: Counter[tuple[int, ...]] = Counter()
    for step in range(200):
        columns = triplets.sampler.draw(step)
        assert sorted(column.scene for column in columns) == [0, 1, 2, 3]
        for column in columns:
            scene = dataset.scenes[column.scene]
            listed = {tuple(pair): k for k, pair in enumerate(scene.array("pairs").tolist())}
            for place, (low, high) in enumerate(((0.5, 1), (0.05, 0.2))):
                pair = tuple(sorted((column.photos[0], column.photos[place + 1])))
                overlap = float(scene.array("overlap")[listed[pair]])
                assert low <= overlap <= high and overlap == column.overlaps[place]
            seen[column.photos] += 1
    # Anchors 0, 1, 2, 4 uniformly, then their partners: 0 has two weak ones, 1 two strong ones.
    anchors = Counter(photos[0] for photos in seen.elements())
    assert set(anchors) == {0, 1, 2, 4} and all(150 < count < 250 for count in anchors.values())
    assert set(seen) == {(0, 1, 2), (0, 1, 4), (1, 0, 3), (1, 2, 3), (2, 1, 0), (4, 5, 0)}
    assert 60 < seen[0, 1, 2] < 140 and 60 < seen[1, 0, 3] < 140


def test_fewer_scenes_than_columns(dataset: Dataset) -> None:
    triplets = GradedTriplets(dataset, columns=8, size=8, scenes=["a", "b"])
    alone = Counter()
    shared = {(0, 1), (0, 2), (0, 4), (1, 2), (1, 3), (2, 3), (2, 5), (4, 5)} | {(k, k) for k in range(6)}
    for step in range(20):
        batch = triplets.batch(step)
        assert Counter(batch.scenes.tolist()) == {0: 4, 1: 4}
        for i in range(8):
            for s in range(24):
                row, j = divmod(s, 8)
                photo, own = int(batch.photos[row, j]), batch.photos[:, i].tolist()
                near = any((min(photo, k), max(photo, k)) in shared for k in own)
                expected = bool(batch.scenes[i] != batch.scenes[j] or not near)
                assert bool(batch.negatives[i, s]) == expected, (i, s)
                alone[expected and bool(batch.scenes[i] == batch.scenes[j])] += 1
    assert alone[True] > 0  # photos of one scene can be negatives of each other


def test_held_out_photos_are_not_drawn(tmp_path: Path) -> None:
    photos = np.zeros((4, 56, 56, 3), np.uint8)
    pairs = [(0, 1, 0.7), (0, 2, 0.1), (0, 3, 0.1), (1, 3, 0.6)]
    write_scene(tmp_path, "a", photos, pairs, held_out=(3,))
    write_index(tmp_path, 56, ["a"])
    triplets = GradedTriplets(open_dataset(tmp_path), columns=2, size=8)
    assert {column.photos for step in range(20) for column in triplets.sampler.draw(step)} == {(0, 1, 2)}
    write_scene(tmp_path, "b", photos, pairs, held_out=(0,))
    write_index(tmp_path, 56, ["b"])
    with pytest.raises(MirrorError, match="nothing to train on"):
        GradedTriplets(open_dataset(tmp_path))


@pytest.mark.parametrize("upright", [True, False])
def test_masks_follow_every_crop_flip_and_turn(tmp_path: Path, upright: bool) -> None:
    """Photos whose red is the mask of the strong pair, and whose green is that of the weak one."""
    rng, size = np.random.default_rng(3), 448
    masks = np.stack([[blocks(rng), blocks(rng)] for _ in range(2)])
    photos = np.zeros((3, size, size, 3), np.uint8)
    photos[0, :, :, 0], photos[1, :, :, 0] = (picture_of(mask, size)[:, :, 0] for mask in masks[0])
    photos[0, :, :, 1], photos[2, :, :, 1] = (picture_of(mask, size)[:, :, 0] for mask in masks[1])
    write_scene(tmp_path, "a", photos, [(0, 1, 0.7), (0, 2, 0.1)], masks, [6, 3, 7])
    write_index(tmp_path, size, ["a"])
    triplets = GradedTriplets(
        open_dataset(tmp_path), columns=2, size=224, mask_side=14, crop=0.4, jitter=None, upright=upright
    )
    for step in range(6):
        batch = triplets.batch(step)
        assert batch.has_mask.all()
        for place, (of, towards) in enumerate(MASKS):
            colour = 0 if 1 in (of, towards) else 1
            shown = batch.images[of, :, colour].reshape(2, 14, 16, 14, 16).mean(dim=(2, 4))
            apart = (shown - batch.masks[place]).abs()
            assert apart.max() < 0.06 and apart.mean() < 0.012, (step, place)


def test_without_masks_there_are_none(dataset: Dataset) -> None:
    batch = GradedTriplets(dataset, columns=4, size=8).batch(0)
    by_scene = dict(zip(batch.scenes.tolist(), batch.has_mask.T.tolist(), strict=True))
    assert by_scene == {0: [True, True], 1: [False, False], 2: [True, True], 3: [False, False]}
    for column, scene in enumerate(batch.scenes.tolist()):
        assert bool(batch.masks[:, column].any()) == (scene in (0, 2))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_do_not_change_batches(dataset: Dataset, workers: int) -> None:
    def triplets() -> GradedTriplets:
        return GradedTriplets(dataset, columns=4, size=16, crop=0.5, seed=5, steps=7)

    alone = list(triplets())
    assert [batch.step for batch in alone] == list(range(7))
    loaded = torch.utils.data.DataLoader(triplets(), batch_size=None, num_workers=workers)
    for expected, batch in zip(alone, loaded, strict=True):
        assert isinstance(batch, Batch) and same(expected, batch)


def test_a_run_goes_on_where_it_was(dataset: Dataset) -> None:
    def triplets(seed: int = 5, **values: object) -> GradedTriplets:
        return GradedTriplets(dataset, columns=4, size=16, seed=seed, steps=7, **values)

    whole, started, continued = list(triplets()), triplets(), triplets(threads=3)
    for batch in started:
        if batch.step == 2:
            break
    assert started.state_dict() == {"seed": 5, "step": 3}
    continued.load_state_dict(started.state_dict())
    for loader in (continued, torch.utils.data.DataLoader(continued, batch_size=None, num_workers=2)):
        continued.load_state_dict(started.state_dict())
        rest = list(loader)
        assert len(rest) == 4 and all(same(*pair) for pair in zip(whole[3:], rest, strict=True))
    with pytest.raises(MirrorError, match="seed 5, this one has 6"):
        triplets(seed=6).load_state_dict(started.state_dict())
    assert not same(whole[0], triplets(seed=6).batch(0)) and not same(whole[0], whole[1]._replace(step=0))


def test_parts_make_the_whole(dataset: Dataset) -> None:
    whole = GradedTriplets(dataset, columns=4, size=16).batch(3)
    parts = [GradedTriplets(dataset, columns=4, size=16, part=(k, 2)).batch(3) for k in range(2)]
    for name in ("images", "masks", "has_mask"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts], dim=1), getattr(whole, name))
    for name in ("negatives", "scenes", "photos", "overlaps"):
        assert all(torch.equal(getattr(part, name), getattr(whole, name)) for part in parts)


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": 1},
        {"size": 0},
        {"mask_side": 57},
        {"crop": 0},
        {"flip": 1.5},
        {"seed": -1},
        {"part": (2, 2)},
        {"columns": 4, "part": (0, 3)},
        {"scenes": ["nowhere"]},
        {"without": ["nowhere"]},
    ],
)
def test_wrong_arguments(dataset: Dataset, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong if len(wrong) == 1 else {"part": 0})) + "|no scene nowhere"):
        GradedTriplets(dataset, **wrong)


def test_labels_that_do_not_fit_are_named(tmp_path: Path) -> None:
    write_scene(tmp_path, "a", np.zeros((3, 56, 56, 3), np.uint8), [(0, 1, 0.7), (0, 2, 0.1)])
    write_index(tmp_path, 56, ["a"])
    dataset = open_dataset(tmp_path)
    np.save(tmp_path / "a" / "pairs.npy", np.array([[0, 1], [0, 3]], "<i4"))
    with pytest.raises(MirrorError, match="a is damaged: its pairs or labels do not fit"):
        GradedTriplets(dataset)
    np.save(tmp_path / "a" / "pairs.npy", np.array([[0, 1], [0, 2]], "<i4"))
    GradedTriplets(dataset)
    np.save(tmp_path / "a" / "labels.npy", np.array([2, 0], np.uint8))
    with pytest.raises(MirrorError, match="a is damaged: its pairs or labels do not fit"):
        GradedTriplets(dataset)
