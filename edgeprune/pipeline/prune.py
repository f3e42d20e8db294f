"""Pruning alone: no training, no target. Widths by a share of channels or by MACs; the surgery is proved."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgeprune.allocate.fit import Cost
from edgeprune.allocate.global_ import global_
from edgeprune.allocate.uniform import uniform
from edgeprune.answers import PruneResult
from edgeprune.errors import UsageError
from edgeprune.files import disk_trouble, write_text
from edgeprune.graph import Coupling, Proof, Protection, Widths, find_groups, kept_units, protect, prune_proved, trace
from edgeprune.pipeline.fates import channels, evidence, fates
from edgeprune.pipeline.trainings import save_network
from edgeprune.quantity import Limit
from edgeprune.score import CRITERIA
from edgeprune.score import score as score_groups
from edgeprune.task import Task

NO_DATA = ("l1", "l2", "bn-scale", "random", "grouped")


@dataclass(frozen=True)
class Goal:
    """How much to prune: `ratio` of the channels of every group, or down to a limit on MACs; exactly one is set.

    `allocate`: "uniform" takes the same share of every group, "global" ranks all channels together.
    """

    ratio: float | None = None
    macs: Limit | None = None
    allocate: str = "uniform"
    multiple: int = 8

    def __post_init__(self) -> None:
        if (self.ratio is None) == (self.macs is None):
            raise UsageError("Give either a ratio or a limit on MACs.", "--ratio 0.5, or --macs 50%")
        if self.ratio is not None and not 0 <= self.ratio < 1:
            raise UsageError(f"ratio {self.ratio:g} is not in [0, 1)", "0.5 removes half of the channels")
        if self.allocate not in ("uniform", "global"):
            raise UsageError(f"unknown allocation {self.allocate!r}", "use uniform or global")


@dataclass(frozen=True)
class Pruned:
    """A pruned network and how it came about. `counts`: units kept by group; groups not named are dense."""

    network: nn.Module
    widths: Widths
    coupling: Coupling
    counts: dict[str, int]
    proof: Proof
    multiple: int

    def summary(self, model: str) -> PruneResult:
        """What was done, for people and programs."""
        coupling, counts = self.coupling, self.counts
        return PruneResult(
            model=model,
            widths=channels(coupling, counts),
            groups=fates(coupling, self.multiple, counts, self.proof),
            macs={"dense": coupling.macs(), "pruned": coupling.macs(counts)},
            params={"dense": coupling.params(), "pruned": coupling.params(counts)},
            proof=evidence(self.proof),
        )

    def save(self, folder: Path) -> None:
        """Write widths.json and model.safetensors, each whole or not at all. Raises EnvironmentProblem."""
        with disk_trouble(folder):
            folder.mkdir(parents=True, exist_ok=True)
        save_network(self.network, folder / "model.safetensors")
        write_text(folder / "widths.json", self.widths.to_json())


@dataclass(frozen=True)
class Ranking:
    """How channels are ranked: a criterion, and the data it needs (none for l1, l2, bn-scale and random)."""

    score: str = "l2"
    batches: Iterable[tuple[Any, Any]] = ()
    task: Task | None = None
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


def prune_network(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    goal: Goal,
    ranking: Ranking | None = None,
    protection: Protection | None = None,
) -> Pruned:
    """A pruned copy of `model`, proved on a copy with generic weights; groups that cannot be proved stay dense.

    Raises BudgetNotMet when the narrowest widths have more MACs than asked for, UsageError for a criterion that needs
    data when there are none, and the errors of the graph.
    """
    ranking = ranking or Ranking()
    batches = list(ranking.batches)
    if ranking.score in CRITERIA and ranking.score not in NO_DATA and not batches:
        raise UsageError(
            f"{ranking.score} needs data: it ranks channels by what images do to them.",
            f"Give data, or use {', '.join(NO_DATA)}.",
        )
    traced = trace(model, example_inputs)
    coupling = protect(find_groups(traced), protection or Protection())
    scores = score_groups(
        ranking.score, model, coupling, batches, ranking.task, seed=ranking.seed, **dict(ranking.settings)
    )
    counts = widths_for(coupling, goal, scores)
    network, widths, proof = prune_proved(model, traced, coupling, coupling.select(scores, counts))
    counts = {group: count for group, count in counts.items() if group not in proof.frozen}
    return Pruned(network.train(model.training), widths, coupling, counts, proof, goal.multiple)


def prune_to_widths(model: nn.Module, example_inputs: tuple[Tensor, ...], file: Path) -> Pruned:
    """`model` pruned to a widths.json, proved like any surgery. Raises UsageError if the file does not fit."""
    try:
        widths = Widths.from_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", "Give the widths.json of a run.") from error
    traced = trace(model, example_inputs)
    coupling = find_groups(traced)
    widths.apply(model)  # tells what does not fit
    network, again, proof = prune_proved(model, traced, coupling, kept_units(coupling, widths))
    if proof.frozen:
        raise UsageError(f"{file} removes channels of groups that could not be proved: {', '.join(proof.frozen)}.")
    if again.kept != widths.kept:
        raise UsageError(f"{file} removes channels that are not the same on both sides of a tie.", "Prune again.")
    counts = {name: len(units) for name, units in kept_units(coupling, widths).items()}
    return Pruned(network.train(model.training), widths, coupling, counts, proof, 1)


def widths_for(coupling: Coupling, goal: Goal, scores: Mapping[str, Tensor]) -> dict[str, int]:
    """Units to keep of every group that can be pruned. Raises BudgetNotMet."""
    menus = coupling.menu(goal.multiple)
    if goal.ratio is not None and goal.allocate == "uniform":
        wanted = {group: menu[-1] * (1 - goal.ratio) for group, menu in menus.items()}
        return {group: min(menu, key=lambda w: (abs(w - wanted[group]), w)) for group, menu in menus.items()}
    if goal.macs is not None:
        cost: Cost = coupling.macs
        budget = goal.macs.absolute(coupling.macs())
    else:
        assert goal.ratio is not None
        units = sum(menu[-1] for menu in menus.values())
        cost, budget = (lambda counts: sum(counts.values()) / units), 1 - goal.ratio
    return uniform(menus, cost, budget) if goal.allocate == "uniform" else global_(scores, menus, cost, budget)
