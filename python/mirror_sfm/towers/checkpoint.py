"""Files of weights: tensors by name, read without running anything that a file may hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mirror_sfm.errors import MirrorError, UsageError
from mirror_sfm.photos import shown

_WRAPPERS = ("state_dict", "model")  # keys under which training programs put the tensors
_COUNTER = "num_batches_tracked"  # of batch norm: for training only, and absent from old files


@dataclass(frozen=True)
class Checkpoint:
    """Weights as a file holds them.

    Attributes:
        path: the file.
        tensors: by key; floating point ones as float32.
        metadata: of a safetensors file.
        sha256: of the file, in hexadecimal.
    """

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    sha256: str


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a file of weights: safetensors, or what `torch.save` wrote, from which only tensors are taken.

    Raises:
        UsageError: there is no such file.
        MirrorError: it is damaged, holds something other than tensors, or values that are not finite.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"no such file of weights: {shown(str(file))}")
    try:
        sha256 = _sha256(file)
        with open(file, "rb") as opened:
            head = opened.read(9)
    except OSError as error:
        raise MirrorError(f"cannot read the weights {shown(str(file))}: {error.strerror}") from error
    if not head:
        raise _unusable(file, "the file is empty")
    tensors, metadata = _read_safetensors(file) if head[8:9] == b"{" else (_read_pickled(file), {})
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise _unusable(file, f"{shown(key)} has values that are not finite")
    plain = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    return Checkpoint(file, plain, metadata, sha256)


def load_into(tower: nn.Module, checkpoint: Checkpoint, known: tuple[str, ...]) -> None:
    """Gives the tower the tensors of the checkpoint, by key.

    Args:
        tower: its parameters are replaced; they may be on the meta device.
        checkpoint: every parameter of the tower must be in it, with the same shape.
        known: prefixes of keys that the tower has no use for. Any other key it does not have is an error.

    Raises:
        MirrorError: the checkpoint belongs to another network.
    """
    wanted = tower.state_dict()
    given = {key: tensor for key, tensor in checkpoint.tensors.items() if not key.startswith(known)}
    given |= {key: torch.tensor(0) for key in wanted if key.endswith(_COUNTER) and key not in given}
    missing = [key for key in wanted if key not in given]
    unexpected = [key for key in given if key not in wanted]
    if missing or unexpected:
        parts = [f"{word} {_named(keys)}" for word, keys in (("lacks", missing), ("also has", unexpected)) if keys]
        raise _foreign(checkpoint.path, f"it {' and '.join(parts)}")
    for key, tensor in wanted.items():
        if given[key].shape != tensor.shape:
            expected, came = (list(each.shape) for each in (tensor, given[key]))
            raise _foreign(checkpoint.path, f"{key} has shape {came}, expected {expected}")
    tower.load_state_dict(given, assign=True)


def _read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise UsageError(f"{shown(str(file))} needs safetensors: pip install 'mirror-sfm[torch]' ({error})") from error

    try:
        with safe_open(file, "pt") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError) as error:
        raise _unusable(file, str(error).splitlines()[0]) from error


def _read_pickled(file: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise nearly anything in torch.load; the cause stays attached
        raise _unusable(file, "neither safetensors nor a file of tensors alone, or damaged") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise _unusable(file, "it holds no tensors by name")
    for key, tensor in content.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise _unusable(file, f"{shown(str(key))} is not a dense tensor")
    return dict(content)


def _sha256(file: Path) -> str:
    whole = hashlib.sha256()
    with open(file, "rb") as opened:
        while block := opened.read(1 << 20):
            whole.update(block)
    return whole.hexdigest()


def _named(keys: list[str]) -> str:
    rest = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(map(shown, keys[:3])) + rest


def _unusable(file: Path, why: str) -> MirrorError:
    return MirrorError(f"cannot use the weights {shown(str(file))}: {why}; expected .safetensors or a torchvision .pth")


def _foreign(file: Path, why: str) -> MirrorError:
    return MirrorError(f"the weights {shown(str(file))} are of another network: {why}; choose the tower they belong to")
