"""Trains a tower on a data set of graded overlap: `train`, the loop.

OUT/config.yaml              what was asked for, with all defaults
OUT/checkpoint.safetensors   where the run is (`checkpoint`); found there, it goes on
OUT/log.jsonl, tensorboard/  curves (`journal`)
OUT/weights.safetensors      the tower at the end, for `load_tower`
OUT/best.safetensors         the tower at its best mAP
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from mirror_sfm.dataset.format import INDEX, SCENE, Dataset, open_dataset
from mirror_sfm.dataset.parts import alone
from mirror_sfm.dataset.triplets import Batch, GradedTriplets
from mirror_sfm.errors import UsageError
from mirror_sfm.exports.files import complete_file
from mirror_sfm.learning.checkpoint import read_checkpoint, write_checkpoint, write_tensors
from mirror_sfm.learning.config import TrainOptions, plain
from mirror_sfm.learning.journal import Journal
from mirror_sfm.learning.learner import Learner
from mirror_sfm.learning.processes import Processes, processes
from mirror_sfm.learning.validation import Validation, validation_of
from mirror_sfm.photos import shown
from mirror_sfm.towers import RANDOM, LoadedTower, load_tower
from mirror_sfm.towers import checkpoint as weights_files
from mirror_sfm.towers.timm import TimmTower

CHECKPOINT, WEIGHTS, BEST, CONFIG = "checkpoint.safetensors", "weights.safetensors", "best.safetensors", "config.yaml"
# What may change while a run is interrupted: none of it changes a weight. Files are compared by what they hold.
FREE = {"data", "out", "steps", "tower.weights"} | {
    f"running.{name}" for name in ("workers", "threads", "log_every", "checkpoint_every", "tensorboard")
}
_log = logging.getLogger("mirror_sfm")


@dataclass(frozen=True)
class Trained:
    """What came of a run.

    Attributes:
        steps: that are done.
        rank: of the process; the others than 0 do not validate.
        first, last, best: mAP before the first step, after the last, and the highest; None without validation.
    """

    steps: int
    rank: int = 0
    first: float | None = None
    last: float | None = None
    best: float | None = None


def train(options: TrainOptions, progress: bool = False) -> Trained:
    """Trains, or goes on where an interrupted run of the same options was: the same bits, on the same CPU.

    Torch's generator is left as it was. Processes that `torchrun` started train together.

    Args:
        options: see `TrainOptions`.
        progress: show a bar on stderr.

    Raises:
        UsageError: there is no data set, tower or GPU as asked for; OUT is of another run.
        MirrorError: a file is damaged or cannot be written; another process trains into OUT; the loss stopped being
            finite.
    """
    with torch.random.fork_rng(devices=[]), processes(options.running.device) as group:
        torch.manual_seed(options.seed)
        run = Run(options, group)
        with alone(run.out) if group.first else nullcontext():
            return run.go(progress)


class Run:
    """One run: what it needs, and where it is."""

    def __init__(self, options: TrainOptions, group: Processes) -> None:
        self.options, self.group, self.out = options, group, Path(options.out)
        self.dataset = open_dataset(options.data)
        loaded = load_tower(options.tower.name, options.tower.weights, options.tower.layer)
        self.about_weights = _metadata(options, loaded)
        self.identity = identity(options, self.dataset, loaded)
        self.learner = Learner(loaded.tower, options, group)
        self.triplets = self._triplets()
        usable = self.triplets.sampler.usable
        self.validation: Validation | None = None
        if options.validation.every:
            size, upright = options.batches.size, options.batches.upright
            self.validation = validation_of(self.dataset, usable, options.validation, size, upright)
        self.done = 0
        self.first: float | None = None
        self.last: float | None = None
        self.best: float | None = None
        if group.first:
            anchors = sum(usable.values())
            _log.info("%d of %d scenes have %d anchors", len(usable), len(self.dataset), anchors)
            if self.validation is not None and not self.validation.positive:
                _log.info("no mAP: every photo that overlaps others is trained on; build with --holdout")

    def go(self, progress: bool) -> Trained:
        """Trains to the end."""
        running = self.options.running
        self._resume()
        if self.group.first:
            self._write_config()
        journal = Journal(
            self.out, self.done, self.options.steps, running.tensorboard, progress, quiet=not self.group.first
        )
        with journal:
            if self.done == 0:
                self._validate(journal)
            for batch in self._batches():
                values = self.learner.step(batch)
                self.done = batch.step + 1
                journal.advance(values["loss"])
                self._after(values, journal)
        if self.group.first:
            self._write_weights(WEIGHTS)
        return Trained(self.done, self.group.rank, self.first, self.last, self.best)

    def _after(self, values: Mapping[str, float], journal: Journal) -> None:
        """What is due after a step; the checkpoint comes last, and knows of the rest."""

        def due(every: int) -> bool:
            return self.done % every == 0 or self.done == self.options.steps

        if due(self.options.running.log_every):
            journal.write(self.done, values)
        if self.options.validation.every and due(self.options.validation.every):
            self._validate(journal, values["loss"])
        if due(self.options.running.checkpoint_every) and self.group.first:
            self._write_checkpoint()

    def _validate(self, journal: Journal, loss: float | None = None) -> None:
        if self.validation is None or not self.validation.positive or not self.group.first:
            return
        scenes = self.validation.measure(self.learner.vectors)
        self.last = sum(scenes.values()) / len(scenes)
        self.first = self.last if self.done == 0 else self.first
        if self.best is None or self.last > self.best:
            self.best = self.last
            self._write_weights(BEST)
        journal.write(self.done, {"mAP": self.last, "scenes": scenes})
        trained = f"loss {loss:.4f}, " if loss is not None else ""
        journal.milestone(self.done, f"{trained}mAP {self.last:.4f}, best {self.best:.4f}")

    def _triplets(self) -> GradedTriplets:
        asked, running = self.options.batches, self.options.running
        if asked.columns % self.group.size:
            raise UsageError(f"batches: columns must be a multiple of {self.group.size} processes, got {asked.columns}")
        return GradedTriplets(
            self.dataset,
            columns=asked.columns,
            size=asked.size,
            mask_side=self.learner.mask_side,
            crop=asked.crop,
            flip=asked.flip,
            jitter=asked.jitter,
            upright=asked.upright,
            seed=self.options.seed,
            scenes=asked.scenes,
            without=asked.without,
            steps=self.options.steps,
            part=(self.group.rank, self.group.size),
            threads=running.threads,
        )

    def _batches(self) -> Iterator[Batch]:
        """Batches from here to the end. The loader draws from a generator of its own, torch's is not touched."""
        loader = DataLoader(
            self.triplets, batch_size=None, num_workers=self.options.running.workers, generator=torch.Generator()
        )
        yield from loader

    def _resume(self) -> None:
        """Goes to where the checkpoint in OUT is, if there is one."""
        path = self.out / CHECKPOINT
        if self.group.first:
            for partial in self.out.glob(".*.safetensors.*.partial"):  # of a run that was killed as it wrote
                partial.unlink(missing_ok=True)
        if not path.is_file():
            return
        found = read_checkpoint(path)
        expect_same_run(found.about["run"], self.identity, path)
        if found.about["step"] > self.options.steps:
            raise UsageError(f"{shown(str(path))} has {found.about['step']} steps, asked for are {self.options.steps}")
        self.learner.load(found)
        self.triplets.load_state_dict(found.about["sampler"])
        self.done, self.first, self.last, self.best = (found.about[key] for key in ("step", "first", "last", "best"))
        if self.group.first:
            _log.info("going on at step %d of %d", self.done, self.options.steps)

    def _write_checkpoint(self) -> None:
        sampler = {"seed": self.options.seed, "step": self.done}
        about = {"step": self.done, "sampler": sampler, "run": self.identity}
        about |= {"first": self.first, "last": self.last, "best": self.best}
        write_checkpoint(self.out / CHECKPOINT, self.learner.state(), about)

    def _write_weights(self, name: str) -> None:
        tower = self.learner.result
        inner = tower.model if isinstance(tower, TimmTower) else tower
        metadata = {**self.about_weights, "steps": str(self.done), "run": json.dumps(self.identity)}
        write_tensors(self.out / name, inner.state_dict(), metadata)

    def _write_config(self) -> None:
        import yaml

        with complete_file(self.out / CONFIG) as file:
            file.write(yaml.safe_dump(plain(self.options), sort_keys=False).encode())


def identity(options: TrainOptions, dataset: Dataset, loaded: LoadedTower) -> dict[str, Any]:
    """What decides about the weights that come out: options by their full names, and digests of the files."""
    values = {name: value for name, value in _flat(plain(options)).items() if name not in FREE}
    if options.optimiser.schedule == "cosine":
        values["steps"] = options.steps
    return values | {"data": _digest(dataset), "tower.weights": loaded.sha256}


def expect_same_run(before: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """A checkpoint and this run are of one run.

    Raises:
        UsageError: they are not; the message names an option.
    """
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            was, is_now = (shown(str(values.get(name)))[:80] for values in (before, now))
            raise UsageError(
                f"{shown(str(path))} is of another run: {name} was {was}, now it is {is_now}; choose another out"
            )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _digest(dataset: Dataset) -> str:
    """Of what a data set says of itself: scenes, photos, what each was made of."""
    whole = hashlib.sha256((dataset.folder / INDEX).read_bytes())
    for scene in dataset:
        whole.update((scene.folder / SCENE).read_bytes())
    return whole.hexdigest()


def _metadata(options: TrainOptions, loaded: LoadedTower) -> dict[str, str]:
    """Of weights that are handed out: what those said that training began with, and what they are of."""
    began = {} if options.tower.weights == RANDOM else weights_files.read_checkpoint(options.tower.weights).metadata
    return {**began, "tower": loaded.name, "layer": loaded.tower.layer, "began_with": loaded.sha256}
