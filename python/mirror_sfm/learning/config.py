"""What a training run is: options, the presets, and the YAML file they are read from."""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirror_sfm.dataset.jitter import Jitter
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.learning.losses import LossOptions
from mirror_sfm.learning.optimisation import OptimiserOptions
from mirror_sfm.learning.pooling import PoolingOptions
from mirror_sfm.photos import one_line, shown

BATCH_NORMS = ("frozen", "live")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")
LARGEST_FILE = 1 << 20  # bytes of a configuration

# What a preset changes. "paper" is what all defaults are.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "modern": {
        "optimiser": {
            "kind": "adamw",
            "lr": 1e-4,
            "schedule": "cosine",
            "warmup": 500,
            "weight_decay": 1e-2,
            "decay_all": False,
            "clip": 1.0,
        },
        "running": {"precision": "auto", "ema": 0.999},
    },
}


@dataclass(frozen=True)
class TowerOptions:
    """Which network is trained.

    Attributes:
        name: in `mirror_sfm.towers.TOWERS`, or timm:NAME.
        weights: file to begin with; "random": from scratch.
        layer: whose map is trained, and used afterwards; None: the tower's first.
        batch_norm: "frozen", with the statistics of the weights; "live", with those of each batch.
    """

    name: str = "mobilenet_v2"
    weights: str = "random"
    layer: str | None = None
    batch_norm: str = "frozen"

    def __post_init__(self) -> None:
        _one_of("tower: batch_norm", self.batch_norm, BATCH_NORMS)


@dataclass(frozen=True)
class BatchOptions:
    """What a batch is made of; see `dataset.triplets.GradedTriplets`.

    Attributes:
        columns: anchors of a batch, of all processes together.
        size: side of the images in pixels.
        crop, flip, jitter, upright: how images are varied; jitter null: no other colours.
        scenes, without: of the data set, by name.
    """

    columns: int = 16
    size: int = 224
    crop: float = 1.0
    flip: float = 0.5
    jitter: Jitter | None = Jitter()  # noqa: RUF009  it is frozen
    upright: bool = True
    scenes: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _within("batches: columns", self.columns, 2, 1 << 16)
        _within("batches: size", self.size, 16, 1 << 14)
        _within("batches: crop", self.crop, 0.01, 1)
        _within("batches: flip", self.flip, 0, 1)


@dataclass(frozen=True)
class ValidationOptions:
    """How the tower is measured while it is trained.

    Attributes:
        every: steps; 0: never.
        scenes: by name; None: all. Of scenes that are trained on, photos held out ask; of others, all.
        positive: combined overlap from which a photo is to be found.
        batch: photos at once.
    """

    every: int = 1000
    scenes: tuple[str, ...] | None = None
    positive: float = 0.5
    batch: int = 32

    def __post_init__(self) -> None:
        _within("validation: every", self.every, 0, 1 << 40)
        _within("validation: positive", self.positive, 1e-9, 1)
        _within("validation: batch", self.batch, 1, 1 << 16)


@dataclass(frozen=True)
class RunningOptions:
    """How the work is done.

    Attributes:
        device: "auto" takes a GPU where there is one.
        precision: of the tower: "float32", "bfloat16", or "auto", bfloat16 where the device computes in it.
            Weights, vectors and losses are float32 always.
        channels_last: images and weights lie pixel by pixel.
        compile: the tower goes through `torch.compile`.
        accumulate: parts in which a batch goes through the tower: memory of one part, the loss of the whole.
        ema: decay of the average of the weights, which is measured and handed out; 0: the last weights are.
        workers: processes that make batches ready; 0: this one does.
        threads: photos of a batch made ready at once.
        log_every, checkpoint_every: steps.
        tensorboard: write curves for TensorBoard, where it is installed.
    """

    device: str = "auto"
    precision: str = "float32"
    channels_last: bool = True
    compile: bool = False
    accumulate: int = 1
    ema: float = 0.0
    workers: int = 0
    threads: int = 1
    log_every: int = 10
    checkpoint_every: int = 500
    tensorboard: bool = True

    def __post_init__(self) -> None:
        _one_of("running: device", self.device, DEVICES)
        _one_of("running: precision", self.precision, PRECISIONS)
        _within("running: ema", self.ema, 0, 0.9999999)
        for name, least in (("accumulate", 1), ("workers", 0), ("threads", 1), ("log_every", 1)):
            _within(f"running: {name}", getattr(self, name), least, 1 << 16)
        _within("running: checkpoint_every", self.checkpoint_every, 1, 1 << 40)


@dataclass(frozen=True)
class TrainOptions:
    """A training run; the defaults are the paper's.

    Attributes:
        data: folder of the data set.
        out: folder of the results.
        steps: of the optimiser.
        seed: of batches and of everything random.
    """

    __pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # noqa: RUF012

    data: str
    out: str
    steps: int = 100_000
    seed: int = 0
    tower: TowerOptions = field(default_factory=TowerOptions)
    batches: BatchOptions = field(default_factory=BatchOptions)
    pooling: PoolingOptions = field(default_factory=PoolingOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimiser: OptimiserOptions = field(default_factory=OptimiserOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    running: RunningOptions = field(default_factory=RunningOptions)

    def __post_init__(self) -> None:
        _within("steps", self.steps, 1, 1 << 40)
        _within("seed", self.seed, 0, (1 << 63) - 1)
        if self.pooling.regions and self.loss.kind not in ("mtl", "tl"):
            raise UsageError(f"pooling: regions go with loss: kind: mtl or tl, got {self.loss.kind}")
        _within("running: accumulate", self.running.accumulate, 1, self.batches.columns)
        if self.running.accumulate > 1 and self.tower.batch_norm == "live":
            raise UsageError("running: accumulate needs tower: batch_norm: frozen; statistics would be of the parts")


def read_config(path: Path, changes: Sequence[str] = ()) -> TrainOptions:
    """Reads a run from YAML: what the preset says, what the file says, then `changes` like "optimiser.lr=0.01".

    Raises:
        UsageError: there is no such file; a change is not of that form.
        MirrorError: the file is not YAML, or a key or value in it is wrong; the message names file and key.
    """
    values = _yaml(_content(path), f"{shown(str(path))}")
    if not isinstance(values, dict):
        raise MirrorError(f"{shown(str(path))}: expected keys with values, got {shown(type(values).__name__)}")
    for change in changes:
        values = merged(values, _change(change))
    return made(values, shown(str(path)))


def made(values: Mapping[str, Any], source: str) -> TrainOptions:
    """Options from nested mappings; `source` names them in messages.

    Raises:
        MirrorError: a key or value is wrong.
    """
    from pydantic import TypeAdapter, ValidationError

    preset = values.get("preset", "paper")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise MirrorError(
            f"{source}: preset: expected one of {', '.join(PRESETS)}, got {shown(reprlib.repr(preset)[:80])}"
        )
    given = {key: value for key, value in values.items() if key != "preset"}
    try:
        return TypeAdapter(TrainOptions).validate_python(merged(PRESETS[preset], given))
    except ValidationError as invalid:
        raise MirrorError(f"{source}: {_first(invalid.errors(include_url=False))}") from None
    except MirrorError as error:
        raise type(error)(f"{source}: {error}") from None


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings in mappings, with what is above where both say something."""
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        both[key] = merged(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return both


def plain(options: TrainOptions) -> dict[str, Any]:
    """Options as JSON and YAML hold them."""

    def lists(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: lists(inner) for key, inner in value.items()}
        return [lists(inner) for inner in value] if isinstance(value, tuple) else value

    return lists(dataclasses.asdict(options))


def _content(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"no such configuration: {shown(str(path))}")
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise MirrorError(f"{shown(str(path))} is too large for a configuration")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise MirrorError(f"cannot read {shown(str(path))}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise MirrorError(f"{shown(str(path))} is not text in UTF-8") from None


def _yaml(text: str, source: str) -> Any:
    """YAML in which no key comes twice, and nothing is run."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        for place, key in enumerate(keys):
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"{key!r} is no key", problem_mark=node.start_mark)
            if key in keys[:place]:
                raise yaml.MarkedYAMLError(problem=f"{key} comes twice", problem_mark=node.value[place][0].start_mark)
        return {
            key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value, strict=True)
        }

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise MirrorError(f"{source}{line}: {shown(one_line(str(error.problem)))}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise MirrorError(f"{source}: not YAML: {shown(one_line(str(error)))[:200]}") from None


def _change(change: str) -> dict[str, Any]:
    key, equals, text = change.partition("=")
    if not equals or not all(key.split(".")):
        raise UsageError(f"--set: expected KEY=VALUE such as optimiser.lr=0.01, got {shown(change)}")
    value = _yaml(text, f"--set {shown(key)}")
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _first(errors: Sequence[Any]) -> str:
    """The first of what is wrong, as key: what, got."""
    error = errors[0]
    key = ": ".join(str(part) for part in error["loc"])
    if error["type"] == "unexpected_keyword_argument":
        return shown(f"{key}: there is no such key")
    if error["type"] in ("missing", "missing_argument"):
        return shown(f"{key}: is missing")
    if error["type"] == "dataclass_type":
        message = "expected keys with values"
    else:
        message = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if error["type"] == "value_error":
        return shown(one_line(f"{key}: {message}"))
    return shown(one_line(f"{key}: {message}, got {reprlib.repr(error['input'])[:80]}"))


def _one_of(name: str, value: str, choice: Sequence[str]) -> None:
    if value not in choice:
        raise UsageError(f"{name}: expected one of {', '.join(choice)}, got {value!r}")


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"{name} must be within {least}..{most}, got {value}")
