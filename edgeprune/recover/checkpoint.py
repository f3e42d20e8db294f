"""The state of a fine-tuning between two epochs: one safetensors file, written whole, without pickle."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgeprune.errors import UsageError
from edgeprune.files import disk_trouble, save_tensors


@dataclass(frozen=True)
class Checkpoint:
    """Weights, best weights, momentum buffers by parameter name, and what JSON holds (epoch, history, settings).

    `beside`: what acts while the network trains (masks, say).
    """

    model: dict[str, Tensor]
    best: dict[str, Tensor]
    momentum: dict[str, Tensor]
    record: dict[str, Any]
    beside: dict[str, Tensor] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the file or leaves the old one; raises EnvironmentProblem if the disk refuses."""
        parts = {"model": self.model, "best": self.best, "momentum": self.momentum, "beside": self.beside}
        tensors = {
            f"{part}/{name}": tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for part, state in parts.items()
            for name, tensor in state.items()
        }
        with disk_trouble(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(tensors, path, json.dumps(self.record))

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Reads the file; raises UsageError if it is broken."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "momentum": {}, "beside": {}}
        try:
            with safe_open(path, framework="pt") as file:
                record = json.loads((file.metadata() or {})["record"])
                for key in file.keys():  # noqa: SIM118
                    part, name = key.split("/", 1)
                    parts[part][name] = file.get_tensor(key)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise UsageError(f"{path} is no checkpoint of a fine-tuning: {error}", "remove it to start over") from error
        return cls(**parts, record=record)
