"""A network's view: upright input, regions that depend on nothing but the photo, PR-MAC minus background."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inputs import same_bits
from PIL import Image, ImageOps

from mirror_sfm.cache import Cache
from mirror_sfm.colour import upright_rgb
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.evaluation import label_table, mean_average_precision, read_labels
from mirror_sfm.evidence import Candidates, Evidence
from mirror_sfm.network import (
    NetworkOptions,
    look_at,
    network_candidates,
    network_witness,
    pair_scores,
    regional_maxima,
)
from mirror_sfm.photos import UnusablePhoto

torch = pytest.importorskip("torch")

OPTIONS = NetworkOptions(weights="random", long_side=160, steps=(1, 3, 5), dim=64)


# --- the photo


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_input_is_upright(orientation: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (30, 50, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    assert np.array_equal(upright_rgb((tmp_path / "a.png").read_bytes(), 50), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F"])
def test_every_kind_of_pixel_becomes_rgb(mode: str, tmp_path: Path) -> None:
    file = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr", "LAB", "I;16", "F", "PA") else "a.png")
    steps = np.tile(np.linspace(0, 255, 64), (48, 1))
    if mode in ("I;16", "F"):
        image = Image.fromarray((steps * 200).astype(np.uint16 if mode == "I;16" else np.float32))
    elif mode == "LAB":
        image = Image.merge("LAB", [Image.fromarray(steps.astype(np.uint8)), *[Image.new("L", (64, 48), 128)] * 2])
    else:
        image = Image.fromarray(steps.astype(np.uint8)).convert("RGB" if mode in ("CMYK", "PA") else "L").convert(mode)
    image.save(file)
    rgb = upright_rgb(file.read_bytes(), 64)
    assert rgb.shape == (48, 64, 3) and rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    assert int(rgb[:, -8:].mean()) > int(rgb[:, :8].mean()) + 100


def test_transparent_becomes_the_mean_colour(tmp_path: Path) -> None:
    image = Image.new("RGBA", (40, 40), (200, 100, 50, 255))
    image.paste((0, 0, 255, 0), (0, 0, 20, 40))
    image.save(tmp_path / "a.png")
    rgb = upright_rgb((tmp_path / "a.png").read_bytes(), 40)
    assert (rgb == (200, 100, 50)).all()
    Image.new("RGBA", (40, 40)).save(tmp_path / "b.png")
    with pytest.raises(UnusablePhoto, match="transparent"):
        upright_rgb((tmp_path / "b.png").read_bytes(), 40)


def test_sizes_and_very_long_photos(tmp_path: Path) -> None:
    for size, expected in (((300, 200), (107, 160, 3)), ((20, 30), (160, 107, 3)), ((1000, 10), (80, 160, 3))):
        Image.new("RGB", size, "green").save(tmp_path / "a.png")
        assert upright_rgb((tmp_path / "a.png").read_bytes(), 160, 80).shape == expected


# --- the tower


@pytest.fixture(scope="module")
def photos(strip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Seven photos by name; two are unlike the others in shape."""
    folder = tmp_path_factory.mktemp("network")
    paths = {path.name: path for path in sorted(strip.iterdir())[:5]}
    for name, box in (("tall.png", (100, 0, 300, 480)), ("wide.png", (0, 200, 640, 260))):
        Image.open(strip / "3.jpg").crop(box).save(folder / name)
        paths[name] = folder / name
    return paths


def test_maxima_depend_on_the_photo_alone(photos: dict[str, Path]) -> None:
    names = list(photos)
    before = torch.get_num_threads()
    alone, _ = regional_maxima(names, photos, OPTIONS, threads=1)
    for order, threads in ((names[::-1], 3), (names[2:4], 2), ([names[5]], 4)):
        seen, skipped = regional_maxima(order, photos, OPTIONS, threads)
        assert list(seen) == order and not skipped
        for name in order:
            assert same_bits(seen[name], alone[name])
    assert torch.get_num_threads() == before
    assert {part.shape for part in alone.values()} == {(35, 576)}


def test_maxima_are_those_of_the_map(photos: dict[str, Path]) -> None:
    from mirror_sfm.descriptors.grids import region_grid
    from mirror_sfm.towers import load_tower

    tower = load_tower("mobilenet_v2", "random").tower
    pixels = upright_rgb(photos["0.jpg"].read_bytes(), 160).astype(np.float32) / 255
    normalised = (pixels - np.float32(tower.normalisation.mean)) / np.float32(tower.normalisation.std)
    with torch.inference_mode():
        seen = tower(torch.from_numpy(normalised).permute(2, 0, 1)[None])[0].numpy()
    boxes = region_grid(*seen.shape[1:], (1, 3, 5))
    expected = np.stack([seen[:, r : r + h, c : c + w].max((1, 2)) for r, c, h, w in boxes])
    maxima, _ = regional_maxima(["0.jpg"], photos, OPTIONS, 1)
    np.testing.assert_allclose(maxima["0.jpg"], expected, rtol=1e-4, atol=1e-4)


def test_photos_that_cannot_be_looked_at_are_named(photos: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(photos["0.jpg"].read_bytes()[:100])
    paths = photos | {"broken.jpg": tmp_path / "broken.jpg", "gone.jpg": tmp_path / "gone.jpg"}
    regions = look_at(["0.jpg", "broken.jpg", "1.jpg", "gone.jpg", "unknown.jpg"], paths, OPTIONS, 2)
    assert regions.names == ("0.jpg", "1.jpg") and regions.vectors.shape[:2] == (2, 35)
    assert [photo.name for photo in regions.skipped] == ["broken.jpg", "gone.jpg", "unknown.jpg"]
    assert all(photo.reason for photo in regions.skipped)


def test_the_cache_spares_the_tower(photos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, cache = list(photos)[:3], Cache(tmp_path)
    plain = look_at(names, photos, OPTIONS, 2)
    first = look_at(names, photos, OPTIONS, 2, cache=cache)
    calls: list[int] = []
    monkeypatch.setattr("mirror_sfm.network.upright_rgb", lambda *args: calls.append(1) or upright_rgb(*args))
    again = look_at(names, photos, OPTIONS, 2, cache=cache)
    assert not calls
    assert same_bits(plain.vectors, first.vectors) and same_bits(first.vectors, again.vectors)
    look_at(names[:1], photos, replace(OPTIONS, dim=8), 1, cache=cache)  # whitening comes after what is kept
    assert not calls
    for changes, other in enumerate((replace(OPTIONS, long_side=192), replace(OPTIONS, steps=(1, 3))), start=1):
        look_at(names[:1], photos, other, 1, cache=cache)
        assert len(calls) == changes


@pytest.mark.parametrize(("change", "message"), [
    ({"weights": None}, "mobilenet_v2 needs weights: a file, or random"),
    ({"steps": ()}, "steps must be"),
    ({"long_side": 8}, "long_side must be at least 32, got 8"),
    ({"dim": 0}, "dim must be at least 1"),
    ({"shrinkage": 1.5}, "shrinkage must be from 0 to 1"),
])  # fmt: skip
def test_wrong_options(change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(OPTIONS, **change)


def test_photos_too_small_for_the_regions(photos: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="long_side must be at least 112 for 7 x 7 regions of mobilenet_v2, got 64"):
        look_at(list(photos), photos, replace(OPTIONS, long_side=64, steps=(7,)), 1)


def test_without_torch_it_says_what_to_install(photos: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # import raises ImportError
    with pytest.raises(UsageError, match=r"networks need torch: pip install 'mirror-sfm\[torch\]'"):
        look_at(list(photos), photos, OPTIONS, 1)


def test_weights_that_explode_are_named(photos: dict[str, Path], tmp_path: Path) -> None:
    from mirror_sfm.towers.mobilenet_v2 import MobileNetV2

    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in MobileNetV2().state_dict().items()}
    state = {key: torch.full(shape, 1e38 if key.endswith(".weight") else -1e38) for key, shape in shapes.items()}
    torch.save(state, tmp_path / "huge.pth")
    with pytest.raises(MirrorError, match=r"not finite for 0\.jpg"):
        look_at(
            ["0.jpg"], photos, replace(OPTIONS, weights=tmp_path / "huge.pth", layer="features18", long_side=192), 1
        )


def test_torch_is_not_imported_before_it_is_needed() -> None:
    check = "import sys, mirror_sfm, mirror_sfm.network, mirror_sfm.fusion; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


# --- pairs


def unit_regions(count: int, regions: int = 4, length: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, regions, length)) + 0.5
    return (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)


def slowly(vectors: np.ndarray) -> np.ndarray:
    """Scores [N, N] by loops, in float64."""
    count = len(vectors)
    best = np.array([[(a.astype(float) @ b.T).max(1) for b in vectors.astype(float)] for a in vectors])  # [N, N, R]
    directed = np.zeros((count, count))
    for query in range(count):
        others = [photo for photo in range(count) if photo != query]
        background = np.median(best[query, others], axis=0) if others else 0
        directed[query] = (best[query] - background).mean(axis=1)
    return (directed + directed.T) / 2


@pytest.mark.parametrize("count", [2, 3, 4, 17, 40])
@pytest.mark.parametrize("dense", [True, False])
def test_scores_are_pr_mac_minus_background(count: int, dense: bool) -> None:
    vectors = unit_regions(count)
    i, j = np.triu_indices(count, 1)
    keep = np.random.default_rng(1).random(len(i)) < 0.6
    keep[0] = True
    scores = [pair_scores(vectors, i[keep], j[keep], threads, dense) for threads in (1, 3)]
    np.testing.assert_allclose(scores[0], slowly(vectors)[i[keep], j[keep]], atol=1e-6)
    assert same_bits(*scores)


def test_scores_beyond_the_sample_stay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit_regions(300)
    i, j = np.triu_indices(300, 1)
    exact = pair_scores(vectors, i, j, 2)
    monkeypatch.setattr("mirror_sfm.network.SAMPLE", 100)
    sampled = pair_scores(vectors, i, j, 2, dense=False)
    assert np.abs(exact - sampled).max() < 0.05 and np.corrcoef(exact, sampled)[0, 1] > 0.99


def test_candidates_by_the_network_alone(photos: dict[str, Path]) -> None:
    every = network_candidates(list(photos), photos, OPTIONS, 2)
    pairs = every.candidates
    assert every.names == tuple(photos) and pairs.photos == 7 and len(pairs) == 21
    assert pairs.coarse.dtype == np.float32 and (pairs.coarse.min(), pairs.coarse.max()) == (0, 1)
    few = network_candidates(list(photos), photos, OPTIONS, 2, keep=2).candidates
    key = few.i.astype(int) * 7 + few.j
    assert (np.diff(key) > 0).all() and (few.i < few.j).all() and 7 <= len(few) <= 14
    assert np.unique(np.concatenate((few.i, few.j))).tolist() == list(range(7))


def test_the_example_of_the_docs_runs(strip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "networks.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(example, {"folder": strip, "weights": "random"})
    assert len(capsys.readouterr().out.splitlines()) == 8 * 7 // 2


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_photos(photos: dict[str, Path], count: int) -> None:
    found = network_candidates(list(photos)[:count], photos, OPTIONS, 2)
    assert len(found.candidates) == count * (count - 1) // 2
    assert np.isfinite(found.candidates.coarse).all()


def test_blank_and_equal_photos(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("a.png", "b.png", "c.png")}
    for path in paths.values():
        Image.new("RGB", (64, 64), "grey").save(path)
    found = network_candidates(list(paths), paths, OPTIONS, 2).candidates
    assert np.unique(found.coarse).size == 1 and np.isfinite(found.coarse).all()


def test_a_witness_knows_only_what_it_sees(photos: dict[str, Path]) -> None:
    names = list(photos)
    i, j = (index.astype(np.int32) for index in np.triu_indices(len(names), 1))
    coarse = np.exp(-(j - i).astype(np.float32))
    candidates = Candidates(len(names), i, j, coarse)
    evidence = Evidence(np.arange(len(i)), 50 * coarse, np.zeros((0, 2), np.int32), np.zeros(len(i) + 1, np.int64))
    seen = {name: path for name, path in photos.items() if name != "2.jpg"}
    values, factor = network_witness(names, seen, candidates, evidence, OPTIONS, 2)
    blind = (i == 2) | (j == 2)
    assert np.isnan(values[blind]).all() and (factor[blind] == 1).all()
    assert np.isfinite(values[~blind]).all() and (factor > 0).all() and (factor <= 1).all()
    assert values.dtype == factor.dtype == np.float32


def test_a_trained_network_finds_a_building(data: Path) -> None:
    folder = data / "scenes" / "building_herzjesu25"
    paths = {path.name: path for path in sorted((folder / "images").iterdir())}
    weights = data / "weights" / "mobilenet_v2_imagenet.safetensors"
    found = network_candidates(list(paths), paths, NetworkOptions(weights=weights, long_side=384), 2)
    labels = read_labels(label_table(folder), list(found.names))
    scores = np.full(labels.positive.shape, -np.inf, np.float32)
    scores[found.candidates.i, found.candidates.j] = scores[found.candidates.j, found.candidates.i] = (
        found.candidates.coarse
    )
    assert mean_average_precision(scores, labels.positive) > 0.92
