"""MaskSparsity: sparse training of only the channels that will go (Jiang et al. 2022; methods.md section 13)."""

import copy
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.graph import Coupling
from edgeprune.recover.finetune import MOMENTUM, warmup_cosine
from edgeprune.recover.work import Length, Start, Work
from edgeprune.score.bn_scale import NORMS
from edgeprune.score.group import owner, parameters_of

PAPER = 5e-4
AGAINST_LOSS = 8.0  # the loss holds on to the scales: on the digits, 1 time left them at 0.7, 8 times takes them to 0


@dataclass(frozen=True)
class MaskSparsity:
    """Train the dense network with `strength` * |gamma| on the norm scales of the channels to be pruned, remove them.

    The channels are the search's choice. Nothing acts on the others, and the norms' shifts are free, as in the paper.
    `strength`: 5e-4 in the paper, over 100 epochs of ImageNet; by default here the larger of that and `AGAINST_LOSS`
    times what alone would take the largest of these scales to zero in half of the training, since trainings are
    shorter. `share` of the epochs is this training's, the rest the recovery's. A group without a norm layer is removed
    as it is. `everywhere`: all scales of these groups, the global sparsity training that the paper compares with.
    """

    share: float = 0.5
    strength: float | None = None
    everywhere: bool = False
    needs_norms = True

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or (self.strength is not None and self.strength < 0):
            raise UsageError(f"share {self.share:g}, strength {self.strength}", "0 < share <= 1; strength >= 0")

    def check(self, length: Length) -> None:
        """Raise UsageError without any training."""
        if length.epochs < 1:
            raise UsageError("mask-sparsity trains before it prunes, and there are 0 epochs", "give --epochs")

    def __call__(self, work: Work) -> Start:
        """Train, then remove; the facts tell the two populations of scales, and what removal changed on val."""
        epochs = ceil(self.share * work.training.epochs)
        network = copy.deepcopy(work.dense)
        gone = scales(network, work.coupling, work.kept, pruned=True)
        if not gone:
            raise UsageError("no channel to be pruned goes through a norm layer", "use --schedule one_shot")
        strength = self.strength
        if strength is None:
            steps = epochs * len(work.train)  # type: ignore[arg-type]
            largest = max(float(parameters_of(network)[name].detach()[mask].abs().max()) for name, mask in gone.items())
            strength = max(PAPER, AGAINST_LOSS * reaching_zero(largest, work.training.lr, steps))
        penalised = {name: torch.ones_like(mask) for name, mask in gone.items()} if self.everywhere else gone
        done = work.finetune(network, epochs=epochs, companion=Penalty(network, penalised, strength), since=epochs)
        slim, widths = work.remove(network, work.kept)
        facts: dict[str, Any] = {"strength": strength, **populations(network, work.coupling, work.kept)}
        facts["val_before_removal"] = float(done.best)
        return Start(slim, widths, done.history[1:], facts)


class Penalty:
    """Adds strength * sign(w) to the gradient of the marked entries of parameters, and nothing anywhere else."""

    def __init__(self, network: nn.Module, marked: dict[str, Tensor], strength: float) -> None:
        self.network, self.marked, self.strength = network, marked, strength

    @torch.no_grad()
    def before_step(self, step: int) -> None:  # noqa: ARG002
        """Add the penalty's gradient."""
        parameters = parameters_of(self.network)
        for name, mask in self.marked.items():
            parameter = parameters[name]
            if parameter.grad is not None:
                parameter.grad += self.strength * parameter.sign() * mask.to(parameter)

    def after_step(self, step: int, optimizer: torch.optim.SGD) -> None:
        """Nothing."""

    def state(self) -> dict[str, Tensor]:
        """Nothing: what is penalised follows from the search."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing."""


def scales(network: nn.Module, coupling: Coupling, kept: dict[str, Tensor], *, pruned: bool) -> dict[str, Tensor]:
    """Norm scale -> bool mask of its entries that are pruned (or, of the same groups, kept)."""
    parameters = parameters_of(network)
    found: dict[str, Tensor] = {}
    for name, units in kept.items():
        gone = torch.ones(coupling.groups[name].units, dtype=torch.bool)
        gone[units] = False
        for member in coupling.groups[name].members:
            if member.param.endswith("weight") and isinstance(owner(network, member.param), NORMS):
                mask = found.setdefault(member.param, torch.zeros(parameters[member.param].shape, dtype=torch.bool))
                mask[member.index[gone if pruned else ~gone].flatten()] = True
    return {name: mask for name, mask in found.items() if bool(mask.any())}


def populations(network: nn.Module, coupling: Coupling, kept: dict[str, Tensor]) -> dict[str, float]:
    """The largest pruned and the smallest kept |scale| of the groups that are pruned."""
    parameters = parameters_of(network)
    sides = {
        side: [
            parameters[name].detach()[mask].abs()
            for name, mask in scales(network, coupling, kept, pruned=pruned).items()
        ]
        for side, pruned in (("pruned", True), ("kept", False))
    }
    return {
        "largest_pruned_scale": float(torch.cat(sides["pruned"]).max()),
        "smallest_kept_scale": float(torch.cat(sides["kept"]).min()) if sides["kept"] else float("nan"),
    }


def reaching_zero(scale: float, lr: float, steps: int) -> float:
    """The strength that takes a scale to zero in the first half of a training, by itself: momentum multiplies its way
    by 1 / (1 - 0.9).
    """
    way = sum(warmup_cosine(step, steps) for step in range(max(1, steps // 2))) * lr / (1 - MOMENTUM)
    return scale / way
