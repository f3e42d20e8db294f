"""PERP's ladder: what is trained after pruning, from nothing over biases to everything (methods.md section 9).

Each rung trains all that the rungs below it train. Parameters off the rung do not get a gradient, so the optimiser
leaves them bit for bit. Running statistics of batch norms are no parameters: they move wherever training runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from edgeprune.errors import UsageError
from edgeprune.recover import low_rank
from edgeprune.recover.taps import calls_in_order

RUNGS = ("statistics", "norms", "head", "biases", "lora", "full")
_NORMS = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Rung:
    """What one rung trains: `trained` of `total` parameters (adapters counted in the first, not in the second)."""

    name: str
    trained: int
    total: int

    @property
    def share(self) -> float:
        return self.trained / self.total

    def __str__(self) -> str:
        return f"{self.name}: {self.trained} of {self.total} parameters trained ({self.share:.2%})"


def head_of(model: nn.Module, inputs: Any) -> str | None:
    """The layer that gives the answer: the last linear layer or convolution to run. None where there is none."""
    calls = calls_in_order(model, inputs)
    return calls[-1] if calls else None


def parameters_on(model: nn.Module, rung: str, head: str | None) -> set[str]:
    """Names of the model's own parameters that a rung trains; raises UsageError on an unknown rung."""
    if rung not in RUNGS:
        raise UsageError(f"unknown rung {rung!r} of the ladder", f"use {', '.join(RUNGS)}")
    height = RUNGS.index(rung)
    names = set()
    for path, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            lowest = 1 if isinstance(module, _NORMS) else 2 if path == head else 3 if name.endswith("bias") else 5
            if height >= lowest:
                names.add(f"{path}.{name}".lstrip("."))
    return names


@contextmanager
def climbed(
    model: nn.Module,
    rung: str,
    inputs: Any,
    *,
    variant: str = "lora",
    rank: int = low_rank.RANK,
    alpha: float = low_rank.ALPHA,
    seed: int = 0,
) -> Iterator[Rung]:
    """The model with only that rung trainable; at the end adapters are merged and all gradients as they were.

    `inputs`: one batch, from which the head is found. `variant`, `rank` and `alpha` are those of the adapters, which
    sit on every linear layer and ungrouped convolution but the head, which is trained whole.
    """
    head = head_of(model, inputs)
    chosen = parameters_on(model, rung, head)
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    total = sum(parameter.numel() for parameter in model.parameters())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    if rung == "lora":
        layers = {n: m for n, m in model.named_modules() if n != head and low_rank.can_adapt(m)}
        low_rank.attach(layers, variant, rank, alpha, seed)
    try:
        yield Rung(rung, sum(p.numel() for p in model.parameters() if p.requires_grad), total)
    finally:
        low_rank.merge(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])
