"""A tower that learns: one step per batch, however many parts and processes the batch is divided among.

The loss compares every photo of a batch with every other. So it is taken once, over the vectors of the whole batch,
which are few numbers; what each vector asks for then goes back through the tower, part by part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from mirror_sfm.dataset.triplets import Batch
from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.learning.checkpoint import Checkpoint, load_optimiser, load_weights, optimiser_tensors
from mirror_sfm.learning.config import TrainOptions
from mirror_sfm.learning.optimisation import average_of, learning_rate, optimiser_of, set_rate
from mirror_sfm.learning.pooling import batch_vectors, loss_of, pooled, regional
from mirror_sfm.learning.processes import Processes
from mirror_sfm.overlap.measured import MASK_SIDE
from mirror_sfm.towers import Tower


class Learner:
    """The state of training: weights, their average, momenta.

    Args:
        tower: is trained in place.
        options: of the run.
        processes: that train together.
    """

    def __init__(self, tower: Tower, options: TrainOptions, processes: Processes) -> None:
        self.options, self.processes, self.device = options, processes, processes.device
        self.tower = tower.to(self.device).requires_grad_(True)
        layout = torch.channels_last if options.running.channels_last else torch.contiguous_format
        self.tower.to(memory_format=layout)  # type: ignore[call-overload]
        self.layout = layout
        self.mask_side = _map_side(self.tower, options.batches.size, self.device)
        if max(options.pooling.regions, default=0) > self.mask_side:
            steps = list(options.pooling.regions)
            raise UsageError(f"pooling: regions: at most the {self.mask_side} cells of the map a side, got {steps}")
        self.tower.train(options.tower.batch_norm == "live")
        self.parameters = [parameter for parameter in self.tower.parameters() if parameter.requires_grad]
        self.optimiser = optimiser_of(self.tower, options.optimiser)
        self.average = average_of(self.tower, options.running.ema)
        self.reduced = computes_in_bfloat16(options.running.precision, self.device)
        self.forward: Callable[[Tensor], Tensor] = torch.compile(tower) if options.running.compile else tower

    @property
    def result(self) -> Tower:
        """What was learned: the average of the weights, or the weights."""
        return self.tower if self.average is None else cast(Tower, self.average.module)

    def step(self, batch: Batch) -> dict[str, float]:
        """Learns from this process's part of a batch.

        Returns:
            loss, easy, weak, hard, and "masked", the share of pairs with masks, all of the whole batch; "gradient",
            its length, and "lr".

        Raises:
            MirrorError: the loss or its gradient is not finite.
        """
        count = self.options.running.accumulate
        images, masks = batch.images.to(self.device), batch.masks.to(self.device)
        parts = list(zip(images.tensor_split(count, 1), masks.tensor_split(count, 1), strict=True))
        with torch.set_grad_enabled(count == 1):  # several parts are looked at again, one by one
            vectors = [self._vectors(*part) for part in parts]
        whole = self.processes.gathered(torch.cat(vectors, dim=1)).requires_grad_()
        has_mask = self.processes.gathered(batch.has_mask.to(self.device, torch.uint8)).bool()
        loss = loss_of(whole, has_mask, batch.negatives.to(self.device), self.options.loss)
        loss.total.backward()
        wanted = self.processes.own(whole.grad if whole.grad is not None else torch.zeros_like(whole))
        self.optimiser.zero_grad(set_to_none=True)
        for part, seen, gradient in zip(parts, vectors, wanted.tensor_split(count, 1), strict=True):
            (seen if count == 1 else self._vectors(*part)).backward(gradient)
        length = self._move(batch.step, float(loss.total.detach()))
        terms = {
            "loss": loss.total,
            "easy": loss.easy,
            "weak": loss.weak,
            "hard": loss.hard,
            "masked": has_mask.float().mean(),
        }
        return {name: float(term.detach()) for name, term in terms.items()} | {
            "gradient": length,
            "lr": self.optimiser.param_groups[0]["lr"],
        }

    def vectors(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in 0..1 -> unit vectors [B, R, C] float32 on the CPU, of `result`, without gradient.

        R is 1 where whole photos are compared."""
        with torch.no_grad(), evaluating(self.result):
            maps = self._maps(self.result, images.to(self.device)).float()
            asked = self.options.pooling
            raw = regional(maps, asked.regions) if asked.regions else pooled(maps, None, asked)[:, None]
            return nn.functional.normalize(raw, dim=2).cpu()

    def state(self) -> dict[str, Tensor]:
        """Everything by name, for a checkpoint."""
        parts = {"weights": self.tower.state_dict(), "optimiser": optimiser_tensors(self.tower, self.optimiser)}
        if self.average is not None:
            parts["average"] = self.average.state_dict()
        tensors = {f"{part}.{key}": tensor for part, held in parts.items() for key, tensor in held.items()}
        return tensors | {"random": torch.get_rng_state()}

    def load(self, checkpoint: Checkpoint) -> None:
        """Becomes what it was.

        Raises:
            MirrorError: the checkpoint is of another tower.
        """
        load_weights(checkpoint, "weights", self.tower)
        if self.average is not None:
            load_weights(checkpoint, "average", self.average)
        load_optimiser(checkpoint, self.tower, self.optimiser)
        torch.set_rng_state(checkpoint.tensors["random"])

    def _vectors(self, images: Tensor, coverage: Tensor) -> Tensor:
        """[3, b, 3, S, S], [4, b, s, s] -> [7, b, C]."""
        maps = self._maps(self.forward, images.flatten(0, 1))
        return batch_vectors(maps.unflatten(0, (3, -1)), coverage, self.options.pooling)

    def _maps(self, tower: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        normalisation = self.tower.normalisation
        mean, std = (images.new_tensor(part).view(3, 1, 1) for part in (normalisation.mean, normalisation.std))
        photos = ((images - mean) / std).contiguous(memory_format=self.layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced):
            return tower(photos)

    def _move(self, step: int, loss: float) -> float:
        """Moves the weights along the gradients of all processes; gives their length."""
        self.processes.add_gradients(self.parameters)
        clip = self.options.optimiser.clip
        length = float(nn.utils.clip_grad_norm_(self.parameters, math.inf if clip is None else clip))
        if not math.isfinite(loss) or not math.isfinite(length):
            what = "loss" if not math.isfinite(loss) else "gradient"
            raise MirrorError(f"the {what} is not finite at step {step}: lower optimiser.lr, or set optimiser.clip")
        set_rate(self.optimiser, learning_rate(step, self.options.optimiser, self.options.steps))
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.tower)
        return length


def computes_in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether the tower runs in bfloat16; "auto" asks the device."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


@contextmanager
def evaluating(tower: nn.Module) -> Iterator[None]:
    """Batch norm does not learn from photos that are only looked at."""
    training = tower.training
    tower.eval()
    try:
        yield
    finally:
        tower.train(training)


def _map_side(tower: Tower, size: int, device: torch.device) -> int:
    """Cells along a side of the map: those of the masks."""
    try:
        with torch.no_grad(), evaluating(tower):
            height, width = tower(torch.zeros(1, 3, size, size, device=device)).shape[2:]
    except RuntimeError as error:
        raise UsageError(f"batches: size: {size} pixels are too few for the tower ({error})") from error
    if height != width or height > MASK_SIDE:
        raise UsageError(
            f"batches: size: {size} pixels give a map of {height} x {width}; masks have at most {MASK_SIDE} cells"
        )
    return int(height)
