"""Gradual pruning while the dense network trains (Zhu and Gupta 2017; methods.md section 3), and GraNet (section 6)."""

import copy
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from edgeprune.errors import UsageError
from edgeprune.recover.work import Length, Start, Work
from edgeprune.schedule.cubic import cosine, units_at, update_steps
from edgeprune.schedule.masks import Alive, ChannelMasks
from edgeprune.schedule.updates import prune_to, regenerate


@dataclass(frozen=True)
class Gradual:
    """Channels are masked in `updates` steps, by the cubic schedule, while the dense network trains; then removed.

    `share` of the epochs is this training's, the rest the recovery's (ours: papers go on training with masks). The
    last mask is set when `end` of it is over, before the learning rate is too small to recover. At every update all
    channels are ranked anew by the recipe's score, masked ones as they were when they were masked: they may come back.
    How many stay is what the search found. The paper's interval is 100 to 1000 steps; here it follows from the number
    of updates, since trainings differ in length.
    """

    share: float = 0.5
    end: float = 0.75
    updates: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 0 < self.end <= 1 or self.updates < 1:
            raise UsageError(
                f"share {self.share:g}, end {self.end:g}, updates {self.updates}", "0 < share, end <= 1; updates >= 1"
            )

    def check(self, length: Length) -> None:
        """Raise UsageError if there are fewer steps than updates."""
        last = int(self.end * self._epochs(length.epochs) * length.steps_per_epoch)
        if last < self.updates:
            raise UsageError(
                f"the schedule prunes in {self.updates} steps, but has {last} steps of training "
                f"({length.epochs} epochs of {length.steps_per_epoch} steps, {self.share:.0%} of them its own)",
                "give more --epochs, a smaller --batch-size, or --schedule one_shot",
            )

    def _epochs(self, epochs: int) -> int:
        return ceil(self.share * epochs)

    def __call__(self, work: Work) -> Start:
        """Train the dense network under the masks, then remove what is masked."""
        epochs = self._epochs(work.training.epochs)
        network = copy.deepcopy(work.dense)
        steps = epochs * len(work.train)  # type: ignore[arg-type]
        pruner = self.pruner(work, ChannelMasks(network, work.coupling, work.kept), int(self.end * steps))
        done = work.finetune(network, epochs=epochs, companion=pruner, since=ceil(self.end * epochs))
        kept = {name: mask.nonzero().flatten() for name, mask in pruner.masks.alive.items()}
        slim, widths = work.remove(network, kept)
        again = sum(len(set(kept[name].tolist()) - set(units.tolist())) for name, units in work.kept.items())
        updates = [{"step": step, "units": units} for step, units in pruner.record]
        facts = {"updates": updates, "units_ranked_in_by_training": again}
        return Start(slim, widths, done.history[1:], facts)

    def pruner(self, work: Work, masks: ChannelMasks, last: int) -> "Pruner":
        """What changes the masks while the network trains; the last update is at step `last`."""
        return Pruner(work, masks, update_steps(self.updates, last))


class Pruner:
    """Sets the masks at the update steps, and holds them after every step."""

    def __init__(self, work: Work, masks: ChannelMasks, steps: list[int]) -> None:
        self.work, self.masks, self.steps = work, masks, steps
        self.record: list[tuple[int, int]] = []

    def before_step(self, step: int) -> None:
        """Nothing: what is masked is put back after the step."""

    def after_step(self, step: int, optimizer: torch.optim.SGD) -> None:
        """Hold the masks; at an update, set new ones."""
        self.masks.hold(optimizer)
        if step in self.steps:
            number = self.steps.index(step) + 1
            self.masks.release()
            scores = self.work.rank(self.masks.network)
            self.masks.apply(self.update(number, scores))
            self.masks.hold(optimizer)
            kept = sum(int(mask.sum()) for mask in self.masks.alive.values())
            self.record.append((step, kept))

    def update(self, number: int, scores: dict[str, Tensor]) -> Alive:
        """Who is alive after update 1..len(steps)."""
        return self.pruned(number / len(self.steps), scores)

    def pruned(self, progress: float, scores: dict[str, Tensor]) -> Alive:
        """The strongest of every group, as many as the cubic asks for; at 1 a legal choice of the final number."""
        counts, groups = self.work.counts, self.masks.groups
        if progress >= 1:
            return self.legal(scores)
        return prune_to(
            {name: scores[name] for name in counts},
            {name: units_at(progress, groups[name].units, count) for name, count in counts.items()},
        )

    def legal(self, scores: dict[str, Tensor]) -> Alive:
        """The final number of every group, under the equal shares of chunks and norms."""
        kept = self.work.coupling.select(scores, self.work.counts)
        alive = {name: torch.zeros(self.masks.groups[name].units, dtype=torch.bool) for name in kept}
        for name, units in kept.items():
            alive[name][units] = True
        return alive

    def state(self) -> dict[str, Tensor]:
        """The masks, and when they had how many units."""
        return {**self.masks.state(), "record": torch.tensor(self.record)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """The masks of a checkpoint."""
        self.record = [(int(step), int(units)) for step, units in state.pop("record")]
        self.masks.restore(state)


@dataclass(frozen=True)
class GraNet(Gradual):
    """Gradual pruning with regeneration: after each update the weakest `regrow` share of the channels that are left go,
    and as many of the masked ones with the largest gradient of a gate on them come back.

    The share falls by a cosine to `regrow_last` over all updates. The number of channels is final after `pruned` of
    the updates (110 of 160 epochs in the paper); the rest only regenerate. Channels come back with the weights they
    had. The paper ranks all weights of the network together; here every group has its final width from the search.
    """

    regrow: float = 0.5
    regrow_last: float = 0.005
    pruned: float = 0.6875

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.regrow_last <= self.regrow <= 1 or not 0 < self.pruned <= 1:
            raise UsageError(
                f"regrow {self.regrow:g}, regrow_last {self.regrow_last:g}, pruned {self.pruned:g}",
                "0 <= regrow_last <= regrow <= 1; 0 < pruned <= 1",
            )

    def pruner(self, work: Work, masks: ChannelMasks, last: int) -> Pruner:
        """What prunes and regenerates."""
        return Regenerator(work, masks, update_steps(self.updates, last), self)


class Regenerator(Pruner):
    """GraNet's two parts of an update."""

    def __init__(self, work: Work, masks: ChannelMasks, steps: list[int], settings: GraNet) -> None:
        super().__init__(work, masks, steps)
        self.settings = settings
        self.growth: dict[str, Tensor] = {}

    def before_step(self, step: int) -> None:
        """At an update: the gates' gradients, from the backward pass that training made anyway."""
        if step in self.steps:
            self.growth = self.masks.gate_gradients()

    def update(self, number: int, scores: dict[str, Tensor]) -> Alive:
        """Prune by the cubic, then regenerate."""
        progress, final = number / len(self.steps), self.settings.pruned
        alive = self.pruned(progress / final, scores)
        fraction = cosine(progress, initial=self.settings.regrow, final=self.settings.regrow_last)
        scores = {name: scores[name] for name in alive}
        grown = regenerate(alive, scores, self.growth, fraction)
        if number < len(self.steps):
            return grown
        return self.legal({name: grown[name].double() * 2 + _unit(scores[name]) for name in grown})


def _unit(scores: Tensor) -> Tensor:
    """The scores moved into [0, 1]."""
    low, high = scores.double().min(), scores.double().max()
    return (scores.double() - low) / (high - low).clamp_min(1e-30)
