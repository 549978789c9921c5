"""Training: it learns, goes on after a kill with the same bits, and does not depend on parts and processes."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("pydantic")
pytest.importorskip("yaml")

from tiny_training import run, write_config, write_dataset  # noqa: E402

from mirror_sfm.errors import MirrorError, UsageError  # noqa: E402
from mirror_sfm.learning.journal import keep_until, read_journal  # noqa: E402
from mirror_sfm.learning.training import BEST, CHECKPOINT, WEIGHTS  # noqa: E402
from mirror_sfm.towers import load_tower  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'python'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder)
    return folder


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    run(write_config(folder / "run.yaml", data, folder / "out"))
    return folder / "out"


def lines(out: Path) -> list[dict[str, Any]]:
    """The journal, without the time of day."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read_journal(out / "log.jsonl")]


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in lines(out) if "loss" in line]


def same_bytes(first: Path, second: Path) -> bool:
    return first.read_bytes() == second.read_bytes()


def test_it_learns(data: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 60, "optimiser": {"lr": 0.02}, "validation": {"every": 0}}
    run(write_config(tmp_path / "run.yaml", data, tmp_path / "out", **settings))
    curve = losses(tmp_path / "out")
    assert len(curve) == 60 and sum(curve[-10:]) < 0.8 * sum(curve[:10])


def test_what_a_run_leaves(whole: Path) -> None:
    assert [line["step"] for line in lines(whole) if "loss" in line] == [1, 2, 3, 4, 5, 6]
    measured = [line for line in lines(whole) if "mAP" in line]
    assert [line["step"] for line in measured] == [0, 3, 6]
    assert all(set(line["scenes"]) == set("abcdef") and 0 < line["mAP"] <= 1 for line in measured)
    first = next(line for line in lines(whole) if "loss" in line)
    assert first["loss"] == pytest.approx(first["easy"] + first["weak"] + first["hard"], rel=1e-6)
    assert 0.5 < first["masked"] <= 1 and first["lr"] == 0.01 and first["gradient"] > 0
    assert sorted(path.name for path in whole.iterdir()) == [
        BEST,
        CHECKPOINT,
        "config.yaml",
        "lock",
        "log.jsonl",
        WEIGHTS,
    ]


def test_weights_are_the_average_and_load_into_their_tower(whole: Path) -> None:
    from safetensors.torch import load_file

    loaded = load_tower("tiny", whole / WEIGHTS)
    state = load_file(whole / CHECKPOINT)
    for key, value in loaded.tower.state_dict().items():
        assert torch.equal(value, state[f"average.module.{key}"])
    moved = [not torch.equal(value, state[f"weights.{key}"]) for key, value in loaded.tower.named_parameters()]
    assert all(moved)


def test_batch_norm_keeps_its_statistics_and_learns_its_scales(whole: Path, data: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    state = load_file(whole / CHECKPOINT)
    assert torch.equal(state["weights.features.1.running_mean"], torch.zeros(8))
    assert not torch.equal(state["weights.features.1.weight"], torch.ones(8))
    run(write_config(tmp_path / "live.yaml", data, tmp_path / "live", steps=1, tower={"batch_norm": "live"}))
    assert not torch.equal(load_file(tmp_path / "live" / CHECKPOINT)["weights.features.1.running_mean"], torch.zeros(8))


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(whole: Path, data: Path, tmp_path: Path) -> None:
    config, out = write_config(tmp_path / "run.yaml", data, tmp_path / "out"), tmp_path / "out"
    endless = ("steps=100000", "validation.every=3")
    script = [sys.executable, str(ROOT / "tests" / "tiny_training.py"), str(config), *endless]
    process = subprocess.Popen(script, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (out / CHECKPOINT).is_file() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (out / ".weights.safetensors.1.partial").write_bytes(b"half")
    from mirror_sfm.learning.checkpoint import read_checkpoint

    reached = read_checkpoint(out / CHECKPOINT).about["step"]
    assert reached >= 2
    done = reached + 3
    run(config, f"steps={done}")
    run(write_config(tmp_path / "again.yaml", data, tmp_path / "again"), f"steps={done}")
    for name in (WEIGHTS, BEST, CHECKPOINT):
        assert same_bytes(out / name, tmp_path / "again" / name)
    assert [line for line in lines(out) if "loss" in line] == [
        line for line in lines(tmp_path / "again") if "loss" in line
    ]
    assert not list(out.glob(".*partial"))
    if done >= 6:
        assert losses(out)[:6] == losses(whole)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_interrupted_at_any_step_the_result_is_the_same(kind: str, data: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"optimiser": {"kind": kind, "lr": 0.01}, "running": {"checkpoint_every": 1}}
    config = write_config(tmp_path / "run.yaml", data, tmp_path / "whole", **settings)
    run(config, "steps=4")
    for steps in (1, 2, 4):
        run(config, f"out={tmp_path / 'parts'}", f"steps={steps}")
    assert same_bytes(tmp_path / "whole" / CHECKPOINT, tmp_path / "parts" / CHECKPOINT)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_a_run_that_is_done_stays(whole: Path, data: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    run(write_config(tmp_path / "run.yaml", data, whole))
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before


@pytest.mark.parametrize("change", ["running.accumulate=2", "running.accumulate=3", "running.channels_last=false"])
def test_parts_and_layouts_do_not_change_the_loss(change: str, whole: Path, data: Path, tmp_path: Path) -> None:
    run(write_config(tmp_path / "run.yaml", data, tmp_path / "out"), change)
    assert losses(tmp_path / "out") == pytest.approx(losses(whole), rel=1e-4)
    assert losses(tmp_path / "out")[0] == pytest.approx(losses(whole)[0], rel=1e-6)


def test_workers_change_nothing(whole: Path, data: Path, tmp_path: Path) -> None:
    run(write_config(tmp_path / "run.yaml", data, tmp_path / "out", running={"workers": 1, "threads": 2}), "steps=3")
    assert losses(tmp_path / "out") == losses(whole)[:3]


@pytest.mark.slow
def test_two_processes_train_as_one(whole: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed.run import main as torchrun

    config = write_config(tmp_path / "run.yaml", data, tmp_path / "out")
    for name in ("PYTHONPATH", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, ENVIRONMENT[name])
    torchrun(["--nproc-per-node", "2", "--standalone", str(ROOT / "tests" / "tiny_training.py"), str(config)])
    assert losses(tmp_path / "out") == pytest.approx(losses(whole), rel=1e-4)
    mean_precision = [[line["mAP"] for line in lines(out) if "mAP" in line] for out in (tmp_path / "out", whole)]
    assert mean_precision[0] == pytest.approx(mean_precision[1], rel=1e-3)


def test_triplets_of_regions(whole: Path, data: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "run.yaml", data, tmp_path / "out", pooling={"regions": [1, 3]})
    run(config)
    run(config, f"out={tmp_path / 'parts'}", "running.accumulate=2")
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "out"), rel=1e-4)
    assert losses(tmp_path / "out") != losses(whole)
    with pytest.raises(UsageError, match="pooling: regions: at most the 7 cells"):
        run(config, f"out={tmp_path / 'none'}", "pooling.regions=[8]")


def test_bfloat16_is_close(whole: Path, data: Path, tmp_path: Path) -> None:
    run(write_config(tmp_path / "run.yaml", data, tmp_path / "out"), "running.precision=bfloat16")
    assert losses(tmp_path / "out") != losses(whole)
    assert losses(tmp_path / "out") == pytest.approx(losses(whole), rel=0.05)


def test_another_run_does_not_go_on_in_the_same_folder(whole: Path, data: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "run.yaml", data, whole)
    for change, named in (
        ("loss.beta=0.2", "loss.beta was 0.1, now it is 0.2"),
        ("batches.without=[a]", "batches.without was"),
        ("steps=3", "has 6 steps, asked for are 3"),
    ):
        with pytest.raises(UsageError, match=named):
            run(config, change)


def test_two_runs_do_not_write_into_one_folder(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mirror_sfm.dataset import parts

    monkeypatch.setattr(parts, "_PATIENCE", 0.1)
    with parts.alone(tmp_path / "out"), pytest.raises(MirrorError, match="another process is at work in"):
        run(write_config(tmp_path / "run.yaml", data, tmp_path / "out"))


def test_damaged_and_foreign_checkpoints_are_named(whole: Path, data: Path, tmp_path: Path) -> None:
    config, out = write_config(tmp_path / "run.yaml", data, tmp_path / "out"), tmp_path / "out"
    out.mkdir()
    good = (whole / CHECKPOINT).read_bytes()
    flipped = bytearray(good)
    flipped[-100] ^= 1
    for content, why in (
        (b"", "damaged"),
        (good[: len(good) // 2], "damaged"),
        (bytes(flipped), "its tensors are not those that were written"),
        ((whole / WEIGHTS).read_bytes(), "not the state of a training run"),
        (good.replace(b'"format":"1"', b'"format":"7"'), "it has format 7"),
    ):
        (out / CHECKPOINT).write_bytes(content)
        with pytest.raises(MirrorError, match=why) as error:
            run(config)
        assert str(out / CHECKPOINT) in str(error.value) and "\n" not in str(error.value)


def test_a_loss_that_grows_without_bound_ends_in_one_line(data: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "run.yaml", data, tmp_path / "out", steps=50)
    with pytest.raises(MirrorError, match=r"is not finite at step \d+: lower optimiser.lr"):
        run(config, "optimiser.lr=1e30", "validation.every=0", "running.checkpoint_every=100")


def test_a_journal_is_taken_back_to_a_step(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\nspoiled\n{"step": 3}\n{"st')
    keep_until(log, 2)
    assert log.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_curves_for_tensorboard(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run(write_config(tmp_path / "run.yaml", data, tmp_path / "out"), "running.tensorboard=true", "steps=1")
    assert list((tmp_path / "out" / "tensorboard").glob("events*"))


def test_trained_reports_before_and_after(data: Path, tmp_path: Path) -> None:
    done = run(write_config(tmp_path / "run.yaml", data, tmp_path / "out"), "steps=1")
    assert done.steps == 1 and None not in dataclasses.astuple(done)
    assert done.best == max(done.first or 0, done.last or 0)
