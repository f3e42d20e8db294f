"""Gradual pruning of single weights while a network trains: the papers' own masked form of GMP, GraNet, global pruning.

The network keeps its shape: nothing here makes it faster.
"""

import copy
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.recover.work import Length, Work
from edgeprune.schedule.cubic import cosine, cubic, update_steps
from edgeprune.schedule.masked_network import (
    MaskedNetwork,
    Property,
    density,
    exact_layers,
    exact_total,
    kept_minimum,
    silent,
    total,
)
from edgeprune.schedule.masks import WeightMasks
from edgeprune.schedule.updates import prune_globally, prune_to, regenerate


@dataclass(frozen=True)
class Masked:
    """How masks of weights change in a training: `updates` of them, the last after `end` of the steps.

    Gradual magnitude pruning (Zhu and Gupta) is the default: every layer to the same sparsity; what is stored may
    return. Global ranking: `globally`, where no layer keeps less than `minimum` percent of all weights (Gupta et al.).
    GraNet: `globally`, `regrow` and `forget` (what goes is 0 when it comes back), from `initial` density, final after
    `pruned` of the updates. As a form of `--masked` it trains for all epochs of the recipe.
    """

    density: float
    initial: float = 1.0
    updates: int = 10
    end: float = 0.75
    globally: bool = False
    minimum: float = 0.0
    regrow: float = 0.0
    regrow_last: float = 0.0
    pruned: float = 1.0
    forget: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.density <= self.initial <= 1 or self.updates < 1 or not 0 < self.end <= 1:
            raise UsageError(
                f"density {self.density:g}, initial {self.initial:g}, updates {self.updates}, end {self.end:g}",
                "0 < density <= initial <= 1; updates >= 1; 0 < end <= 1",
            )
        if not 0 <= self.regrow_last <= self.regrow <= 1 or not 0 < self.pruned <= 1:
            raise UsageError(
                f"regrow {self.regrow:g}, regrow_last {self.regrow_last:g}, pruned {self.pruned:g}",
                "0 <= regrow_last <= regrow <= 1; 0 < pruned <= 1",
            )

    def check(self, length: Length) -> None:
        """Raise UsageError if there are fewer steps than updates."""
        last = int(self.end * length.steps)
        if last < self.updates:
            raise UsageError(
                f"the masks change {self.updates} times, but have {last} steps of training to do it in "
                f"({length.epochs} epochs of {length.steps_per_epoch} steps, {self.end:.0%} of them)",
                "give more --epochs, or a smaller --batch-size",
            )

    def __call__(self, work: Work) -> MaskedNetwork:
        """Train a copy of the dense network under the masks; an epoch counts when the last mask is set."""
        network, epochs = copy.deepcopy(work.dense), work.training.epochs
        companion = MaskedTraining(network, self, epochs * len(work.train))  # type: ignore[arg-type]
        done = work.finetune(network, companion=companion, since=ceil(self.end * epochs))
        return MaskedNetwork(
            network, companion.masks.alive, done.history, companion.properties(), {"densities": companion.densities}
        )


class MaskedTraining:
    """The companion of a training that prunes single weights."""

    def __init__(self, network: nn.Module, settings: Masked, steps: int) -> None:
        self.masks, self.settings = WeightMasks(network), settings
        self.steps = update_steps(settings.updates, int(settings.end * steps))
        self.growth: dict[str, Tensor] = {}
        self.densities: list[float] = []
        self.exchanged: list[tuple[int, int]] = []  # alive before and after every regeneration

    def before_step(self, step: int) -> None:
        """The gradients that say what would grow."""
        if step in self.steps and self.settings.regrow > 0:
            self.growth = self.masks.slopes()

    def after_step(self, step: int, optimizer: torch.optim.SGD) -> None:
        """Hold the masks; at an update, set new ones."""
        self.masks.hold(optimizer)
        if step not in self.steps:
            return
        progress, own = (self.steps.index(step) + 1) / len(self.steps), self.settings
        self.masks.release()
        scores = self.masks.magnitudes()
        wanted = self.wanted(progress)
        if own.globally:
            alive = prune_globally(scores, wanted, own.minimum)
        else:
            alive = prune_to(scores, {n: s.numel() - round((1 - wanted) * s.numel()) for n, s in scores.items()})
        if own.regrow > 0:
            share, before = cosine(progress, initial=own.regrow, final=own.regrow_last), total(alive)
            alive = regenerate(alive, scores, self.growth, share)
            self.exchanged.append((before, total(alive)))
        self.masks.apply(alive, forget=own.forget)
        self.masks.hold(optimizer)
        self.densities.append(density(alive))

    def wanted(self, progress: float) -> float:
        """The density that the cubic asks for at this share of the updates."""
        own = self.settings
        return 1 - cubic(progress / own.pruned, initial=1 - own.initial, final=1 - own.density)

    def properties(self) -> tuple[Property, ...]:
        """What the papers promise, looked up in the masks and in the network as it is now."""
        own, alive = self.settings, self.masks.alive
        found = [silent(self.masks.network, alive)]
        found.append(exact_total(alive, own.density) if own.globally else exact_layers(alive, own.density))
        asked = [self.wanted(number / len(self.steps)) for number in range(1, len(self.steps) + 1)]
        rounding = len(alive) / sum(mask.numel() for mask in alive.values())
        gap = max((abs(a - b) for a, b in zip(asked, self.densities, strict=True)), default=0.0)
        found.append(Property("densities follow the cubic", gap <= rounding, f"largest gap {gap:.1e}"))
        if own.minimum > 0:
            found.append(kept_minimum(alive, own.minimum))
        if own.regrow > 0:
            equal = all(before == after for before, after in self.exchanged)
            times = f"{len(self.exchanged)} times"
            found.append(Property("regeneration keeps the number of weights", equal, times))
        return tuple(found)

    def state(self) -> dict[str, Tensor]:
        """The masks."""
        return self.masks.state()

    def restore(self, state: dict[str, Tensor]) -> None:
        """The masks of a checkpoint."""
        self.masks.restore(state)
