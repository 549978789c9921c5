"""Large collections take another road: the same steps at a size that tests can afford."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from mirror_sfm import diffusion, evidence


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """bench/scale.py, where 100 photos count as many."""
    monkeypatch.setattr(evidence, "DENSE_PHOTOS", 100)
    monkeypatch.setattr(diffusion, "DENSE_PHOTOS", 100)
    monkeypatch.setattr(evidence, "KEPT_PER_PHOTO", 30)
    file = Path(__file__).parents[1] / "bench" / "scale.py"
    spec = importlib.util.spec_from_file_location("scale", file)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_a_closed_loop_is_found_whole(scale: ModuleType) -> None:
    row = scale.run(150, small=False, threads=2)
    assert row["candidates"] < 150 * 149 / 2 / 2 and row["parts"] == 1
    assert 1050 <= row["chosen"] <= 1500 and row["found"] > 0.99


def test_tiny_photos_all_alike_with_empty_ones_between(scale: ModuleType) -> None:
    """One in ten shows nothing and stays alone; the others are one part."""
    row = scale.run(300, small=True, threads=2)
    assert row["parts"] == 31 and 270 <= row["chosen"] <= 3000


def test_the_large_road_chooses_what_the_small_one_does(scale: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    large = scale.run(110, small=False, threads=1)
    monkeypatch.setattr(evidence, "DENSE_PHOTOS", 4000)
    monkeypatch.setattr(diffusion, "DENSE_PHOTOS", 4000)
    small = scale.run(110, small=False, threads=1)
    assert small["candidates"] == 110 * 109 // 2 > large["candidates"]
    assert abs(small["chosen"] - large["chosen"]) < 0.01 * small["chosen"] and small["parts"] == large["parts"] == 1
