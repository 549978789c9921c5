"""Where a run is, in one file: safetensors, from which nothing can be run. It appears whole or not at all.

weights.KEY               of the tower
average.KEY               of the average of its weights, where there is one
optimiser.PARAMETER.KEY   momenta and counts
random                    state of torch's generator
metadata                  format, step, sampler, best mAP, what was trained on what; digest of all tensors
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mirror_sfm.errors import MirrorError
from mirror_sfm.exports.files import all_or_none
from mirror_sfm.photos import one_line, shown

FORMAT = 1
KIND = "mirror-sfm training state"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        path: the file.
        tensors: by name, see above.
        about: the metadata: "step", "sampler", "best", "run".
    """

    path: Path
    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """Tensors whose names begin with a word, without it."""
        return {key[len(name) + 1 :]: tensor for key, tensor in self.tensors.items() if key.startswith(f"{name}.")}


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes a file in the place of an older one.

    Raises:
        MirrorError: it cannot be written.
    """
    packed = {key: tensors[key].detach().to("cpu").contiguous() for key in sorted(tensors)}
    metadata = {"kind": KIND, "format": str(FORMAT), "digest": _digest(packed), "about": json.dumps(about)}
    write_tensors(path, packed, metadata)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file that appears whole, and stays after a power cut; the same bytes for the same content."""
    from safetensors.torch import save

    content = save({key: tensor.detach().to("cpu").contiguous() for key, tensor in tensors.items()}, dict(metadata))
    with all_or_none(path.parent) as place:
        place(path.name).write_bytes(_with_sorted_metadata(content))


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads and checks a file.

    Raises:
        MirrorError: it cannot be read, is damaged, of another kind or version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError) as error:
        raise _unusable(path, f"not safetensors, or damaged: {shown(one_line(str(error)))}") from error
    if metadata.get("kind") != KIND:
        raise _unusable(path, "it is not the state of a training run")
    if metadata.get("format") != str(FORMAT):
        raise _unusable(path, f"it has format {shown(str(metadata.get('format')))}, this mirror-sfm reads {FORMAT}")
    if metadata.get("digest") != _digest(tensors):
        raise _unusable(path, "it is damaged: its tensors are not those that were written")
    try:
        about = json.loads(metadata["about"])
        for key, kind in (("step", int), ("sampler", dict), ("run", dict)):
            if not isinstance(about[key], kind):
                raise ValueError(key)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise _unusable(path, "it is damaged: what it says about itself cannot be read") from None
    return Checkpoint(path, tensors, about)


def optimiser_tensors(tower: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimiser, by the names of the tower's parameters."""
    names = {id(parameter): name for name, parameter in tower.named_parameters()}
    return {
        f"{names[id(parameter)]}.{key}": value
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def load_optimiser(checkpoint: Checkpoint, tower: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Gives the optimiser its state back, laid out in memory as the parameters are: the same bits come out of it.

    Raises:
        MirrorError: the file is of another tower.
    """
    parameters = dict(tower.named_parameters())
    for full, value in checkpoint.part("optimiser").items():
        name, _, key = full.rpartition(".")
        parameter = parameters.get(name)
        if parameter is None or (value.dim() and value.shape != parameter.shape):
            raise foreign(checkpoint, f"optimiser.{full}")
        own = torch.empty_like(parameter).copy_(value) if value.dim() else value
        optimiser.state[parameter][key] = own


def load_weights(checkpoint: Checkpoint, name: str, module: nn.Module) -> None:
    """Copies a part of the file into a module.

    Raises:
        MirrorError: the file is of another tower.
    """
    given, wanted = checkpoint.part(name), module.state_dict()
    for key in sorted(given.keys() ^ wanted.keys()):
        raise foreign(checkpoint, f"{name}.{key}")
    for key, tensor in wanted.items():
        if given[key].shape != tensor.shape or given[key].dtype != tensor.dtype:
            raise foreign(checkpoint, f"{name}.{key}")
    module.load_state_dict(given)


def foreign(checkpoint: Checkpoint, key: str) -> MirrorError:
    return _unusable(checkpoint.path, f"{shown(key)} does not fit the tower that is trained")


def _with_sorted_metadata(content: bytes) -> bytes:
    """The library writes metadata in an order that changes from run to run."""
    end = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:end])
    head["__metadata__"] = dict(sorted(head["__metadata__"].items()))
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[end:]


def _digest(tensors: Mapping[str, Tensor]) -> str:
    whole = hashlib.sha256()
    for key in sorted(tensors):
        whole.update(f"{key} {tensors[key].dtype} {list(tensors[key].shape)}\n".encode())
        whole.update(tensors[key].reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def _unusable(path: Path, why: str) -> MirrorError:
    return MirrorError(f"cannot go on from {shown(str(path))}: {why}; remove it to begin again, or choose another out")
