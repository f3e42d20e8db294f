"""Trained weights into a model: safetensors, or a state dict read with `weights_only=True`."""

import pickle
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edgeprune.errors import UsageError

SHOWN = 3


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of a .safetensors file, or of a .pt or .pth one, without unpickling code.

    A state dict inside {"state_dict": ...} or {"model": ...} is found, and the "module." of DataParallel removed.
    Raises UsageError if the file is missing, is no state dict, or holds NaN or infinity (the tensor is named).
    """
    if not path.is_file():
        near = get_close_matches(path.name, [file.name for file in path.parent.glob("*")], n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "give a .safetensors file or a saved state dict"
        raise UsageError(f"there is no weights file {path}", hint)
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _torch_load(path)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "is the file complete?") from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UsageError(f"{path} holds no state dict", "save model.state_dict()")
    if content and all(key.startswith("module.") for key in content):
        content = {key.removeprefix("module."): value for key, value in content.items()}
    check_finite(content)
    return content


def check_finite(state: dict[str, Tensor]) -> None:
    """Raises UsageError naming the first tensor that holds NaN or infinity."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise UsageError(
                f"weight {name} holds NaN or infinity ({bad} of {tensor.numel()} values)",
                "the training diverged: use an earlier checkpoint",
            )


def apply_weights(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Loads the state dict into the model; every name and shape must match, or a UsageError lists what does not."""
    own = model.state_dict()
    optional = {name for name in own if name.endswith("num_batches_tracked")}
    missing = [name for name in own if name not in state and name not in optional]
    unknown = [name for name in state if name not in own]
    shapes = [name for name in state if name in own and state[name].shape != own[name].shape]
    problems = [f"missing {_some(missing)}"] if missing else []
    problems += [f"unknown {_some(unknown)}"] if unknown else []
    problems += [
        f"{name} is {tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the model"
        for name in shapes[:SHOWN]
    ]
    if problems:
        raise UsageError(f"{source} does not fit the model: {'; '.join(problems)}", _cure(own, state, shapes))
    model.load_state_dict(state, strict=False)


def _cure(own: dict[str, Tensor], state: dict[str, Tensor], shapes: list[str]) -> str:
    head = [name for name in shapes if state[name].shape[1:] == own[name].shape[1:]]
    if head and len(head) == len(shapes):
        return (
            f"the file was trained for {state[head[-1]].shape[0]} classes, the data has {own[head[-1]].shape[0]}: "
            "give the data it was trained for"
        )
    return "give the architecture these weights were trained with"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _torch_load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} is no plain state dict: reading it would run code stored in it",
            "save model.state_dict(), or use safetensors",
        ) from error
