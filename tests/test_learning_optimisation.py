"""Rates of steps: the golden schedule, warm-up and cosine; which weights decay."""

import json
import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from mirror_sfm.learning.optimisation import OptimiserOptions, average_of, learning_rate, optimiser_of  # noqa: E402

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())["lr_schedule"]


@pytest.mark.parametrize("staircase", [False, True])
def test_golden_schedule(staircase: bool) -> None:
    options = OptimiserOptions(staircase=staircase)
    for step, expected in GOLDEN["expected"].items():
        kind = "staircase" if staircase else "continuous"
        assert learning_rate(int(step), options, 10**6) == pytest.approx(expected[kind], rel=1e-12)


def test_warm_up_and_cosine() -> None:
    options = OptimiserOptions(lr=1.0, schedule="cosine", warmup=4)
    assert [learning_rate(step, options, 12) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert learning_rate(8, options, 12) == pytest.approx(0.5)
    assert learning_rate(11, options, 12) == pytest.approx((1 + math.cos(math.pi * 7 / 8)) / 2)
    assert learning_rate(12, options, 12) == learning_rate(50, options, 12) == 0
    assert learning_rate(50, OptimiserOptions(lr=1.0, schedule="constant"), 12) == 1


def tower() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))


def test_which_weights_decay() -> None:
    every = optimiser_of(tower(), OptimiserOptions())
    assert [(len(group["params"]), group["weight_decay"]) for group in every.param_groups] == [(4, 1e-4)]
    some = optimiser_of(tower(), OptimiserOptions(kind="adamw", decay_all=False, weight_decay=0.1))
    assert [(len(group["params"]), group["weight_decay"]) for group in some.param_groups] == [(1, 0.1), (3, 0.0)]


def test_the_average_of_weights() -> None:
    learned = tower()
    average = average_of(learned, 0.75)
    assert average is not None and average_of(learned, 0) is None
    weights = []
    for value in (1.0, 2.0, 3.0):
        torch.nn.init.constant_(learned[0].weight, value)
        average.update_parameters(learned)
        weights.append(float(average.module[0].weight.detach().flatten()[0]))
    assert weights == [1.0, 1.25, 1.6875]
