"""Configurations: presets, what a file and --set change, and errors that name file and key."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("pydantic")
yaml = pytest.importorskip("yaml")

from typer.testing import CliRunner  # noqa: E402

from mirror_sfm.cli.app import app  # noqa: E402
from mirror_sfm.errors import MirrorError, UsageError  # noqa: E402
from mirror_sfm.learning.config import PRESETS, TrainOptions, plain, read_config  # noqa: E402

LEAST = "data: set\nout: run\n"
# Ten lists, each of nine times the one before: 9^10 words, if anybody wrote them out.
LAUGHS = "  - &l0 word\n" + "".join(f"  - &l{k} [{', '.join([f'*l{k - 1}'] * 9)}]\n" for k in range(1, 11))


def read(folder: Path, text: str, *changes: str) -> TrainOptions:
    path = folder / "run.yaml"
    path.write_text(text)
    return read_config(path, changes)


def test_the_paper_is_the_default(tmp_path: Path) -> None:
    options = read(tmp_path, LEAST)
    assert options == read(tmp_path, f"{LEAST}preset: paper\n") == TrainOptions("set", "run")
    optimiser, loss = options.optimiser, options.loss
    assert (optimiser.kind, optimiser.lr, optimiser.momentum, optimiser.weight_decay) == ("sgd", 0.002, 0.9, 1e-4)
    assert (optimiser.schedule, optimiser.gamma, optimiser.every, optimiser.staircase) == ("decay", 0.9, 10_000, False)
    assert (options.batches.columns, options.batches.size, loss.kind, loss.alpha) == (16, 224, "mtl", (1.0, 0.5, 0.5))
    assert options.tower.batch_norm == "frozen" and options.pooling.kind == "max"


def test_a_file_goes_over_its_preset_and_a_change_over_the_file(tmp_path: Path) -> None:
    text = f"{LEAST}preset: modern\noptimiser:\n  lr: 1e-3\n"
    options = read(tmp_path, text, "optimiser.clip=null", "batches.scenes=[a, b]", "batches.jitter=null")
    assert options.optimiser.kind == "adamw" and options.optimiser.lr == 1e-3 and options.optimiser.clip is None
    assert options.running.precision == "auto" and options.running.ema == 0.999
    assert options.batches.scenes == ("a", "b") and options.batches.jitter is None


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_what_is_written_is_what_is_read(preset: str, tmp_path: Path) -> None:
    options = read(tmp_path, f"{LEAST}preset: {preset}\nbatches: {{jitter: {{hue: 0.1}}, without: [a]}}\n")
    assert read(tmp_path, yaml.safe_dump(plain(options))) == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: set\n", "out: is missing"),
        (f"{LEAST}step: 3\n", "step: there is no such key"),
        (f"{LEAST}loss: {{bta: 3}}\n", "loss: bta: there is no such key"),
        (f"{LEAST}loss: {{beta: .nan}}\n", "loss: beta: expected a finite number, got nan"),
        (f"{LEAST}loss: {{kind: triplet}}\n", "loss: LossOptions: kind: expected one of mtl"),
        (f"{LEAST}loss: {{alpha: [1, 2]}}\n", "loss: alpha"),
        (f"{LEAST}steps: many\n", "steps: expected a valid integer"),
        (f"{LEAST}steps: 0\n", "steps must be within 1"),
        (f"{LEAST}tower: mobilenet_v2\n", "tower: expected keys with values"),
        (f"{LEAST}batches: {{jitter: {{hue: 2}}}}\n", "jitter: hue must be within 0..0.5, got 2"),
        (f"{LEAST}optimiser: {{lr: -1}}\n", "optimiser: lr must be at least 0, got -1"),
        (f"{LEAST}optimiser: {{momentum: 1}}\n", "optimiser: momentum must be within 0..1, got 1"),
        (f"{LEAST}optimiser: {{kind: lion}}\n", "optimiser: kind: expected one of sgd, adamw, got 'lion'"),
        (f"{LEAST}running: {{accumulate: 99}}\n", "running: accumulate must be within 1..16, got 99"),
        (f"{LEAST}running: {{accumulate: 2}}\ntower: {{batch_norm: live}}\n", "accumulate needs tower: batch_norm"),
        (f"{LEAST}pooling: {{regions: [3]}}\nloss: {{kind: ref_hinge}}\n", "pooling: regions go with loss: kind: mtl"),
        (f"{LEAST}preset: best\n", "preset: expected one of paper, modern, got 'best'"),
        (f"{LEAST}preset: [a]\n", "preset: expected one of"),
        (f"{LEAST}out: again\n", "line 3: out comes twice"),
        ("data: [\n", "line 2: expected the node content"),
        ("a: &x {b: *x}\n", "line 1: found unconstructable recursive node"),
        ("1: 2\n", "line 1: 1 is no key"),
        ("!!python/object:os.system {}\n", "could not determine a constructor"),
        ("- data\n", "expected keys with values, got list"),
        ("", "expected keys with values, got NoneType"),
        ("data: \x07\n", "not YAML"),
        ("[" * 1000, "not YAML"),
        (f"{LEAST}steps:\n{LAUGHS}", "steps: expected a valid integer"),
    ],
)
def test_errors_name_the_file_and_the_key(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(MirrorError) as error:
        read(tmp_path, text)
    assert str(tmp_path / "run.yaml") in str(error.value) and message in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such configuration"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MirrorError, match="not text in UTF-8"):
        read_config(tmp_path / "binary.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(MirrorError, match="too large"):
        read_config(tmp_path / "large.yaml")


@pytest.mark.parametrize(("change", "message"), [("lr", "expected KEY=VALUE"), ("a..b=1", "expected KEY=VALUE")])
def test_changes_are_checked(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, LEAST, change)


def test_the_command_prints_a_configuration_and_its_errors_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(LEAST)
    shown = CliRunner().invoke(app, ["train", str(path), "--set", "steps=7", "--show"])
    assert shown.exit_code == 0 and yaml.safe_load(shown.stdout)["steps"] == 7
    wrong = CliRunner().invoke(app, ["train", str(path), "--set", "steps=x"])
    assert wrong.exit_code == 1 and wrong.output.startswith(f"mirror-sfm: {path}: steps: expected a valid integer")
    missing = CliRunner().invoke(app, ["train", str(path), "--set", f"out={tmp_path / 'out'}"])
    assert missing.exit_code == 2 and "no data set in set" in missing.output and missing.output.count("\n") == 1
