"""What `edgeprune compare` finds: runs side by side, and what their networks make of the same images."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from edgeprune.diagnose.robustness import Answers
from edgeprune.result import Result


@dataclass(frozen=True)
class Comparison:
    """`runs` by name; `answers` of their networks by name, on `images` (N, C, H, W) in [0, 1] of `split`.

    `pairs`: the names of every run's dense and pruned network; runs on one dense network share it. `note` says why the
    networks were not asked; there are no answers then.
    """

    runs: dict[str, Result]
    split: str
    answers: dict[str, Answers] = field(default_factory=dict)
    pairs: dict[str, tuple[str, str]] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    images: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)
    targets: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long), repr=False)
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types: every run's result.json, and of every network what it answered, samples averaged."""
        return {
            "runs": {name: result.model_dump(mode="json") for name, result in self.runs.items()},
            "split": self.split,
            "images": len(self.targets),
            "note": self.note,
            "pairs": {name: {"dense": dense, "pruned": pruned} for name, (dense, pruned) in self.pairs.items()},
            "networks": {name: answer.to_json() for name, answer in self.answers.items()},
        }
