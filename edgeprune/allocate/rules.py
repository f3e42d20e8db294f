"""Allocations that follow a rule, by name: from what is known of a network to widths for a budget."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from torch import Tensor, nn

from edgeprune.allocate import densities, precrop, sizes
from edgeprune.allocate.fit import Cost, Counts, Menus
from edgeprune.allocate.global_ import global_
from edgeprune.allocate.pq_index import kept_share
from edgeprune.allocate.uniform import uniform
from edgeprune.errors import UsageError
from edgeprune.graph import Coupling
from edgeprune.task import Task
from edgeprune.z_scores import standardise

Rule = Callable[[Cost, float], Counts]


@dataclass(frozen=True)
class Question:
    """What a rule may look at: the dense network, its groups, scores (units,) and legal widths, and training images.

    `about_macs`: the budget is about computing, not storing. `density`: its share of the dense network.
    """

    model: nn.Module
    coupling: Coupling
    scores: Mapping[str, Tensor]
    menus: Menus
    example_inputs: tuple[Tensor, ...] = ()
    batches: Sequence[tuple[Any, Any]] = ()
    task: Task | None = None
    about_macs: bool = True
    density: float = 0.25


@dataclass(frozen=True)
class Uniform:
    """One ratio for every group."""

    def __call__(self, question: Question) -> Rule:
        """The widest network of that kind within a budget."""
        return lambda cost, budget: uniform(question.menus, cost, budget)


@dataclass(frozen=True)
class Global:
    """All channels in one ranking; no group keeps fewer channels than its floor (Gupta et al.; methods.md section 8).

    The floor is the smaller of the group's width and max(`minimum`, `share` of its channels). With 0 and 0 it is plain
    global ranking. The paper's floor is a count of weights, the same for all layers; that of channels is ours.
    """

    minimum: int = 0
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.minimum < 0 or not 0 <= self.share <= 1:
            raise UsageError(
                f"a floor of {self.minimum} channels or {self.share:g} of a group", "minimum: 8, share: 0.1"
            )

    def __call__(self, question: Question) -> Rule:
        """The lowest common threshold within a budget."""
        groups, menus = question.coupling.groups, {}
        for name, menu in question.menus.items():
            floor = max(self.minimum / groups[name].channels_per_unit, ceil(self.share * menu[-1]))
            menus[name] = tuple(width for width in menu if width >= floor) or menu[-1:]
        return lambda cost, budget: global_(question.scores, menus, cost, budget)


@dataclass(frozen=True)
class Adaptive:
    """All channels in one ranking of z-scores (FLAP's AL-AM; methods.md section 10); the cost of a channel is its
    share of the budget.
    """

    def __call__(self, question: Question) -> Rule:
        """The lowest common threshold within a budget."""
        return lambda cost, budget: global_(question.scores, question.menus, cost, budget, standardise)


@dataclass(frozen=True)
class PQIndex:
    """Every group keeps the share of its channels that the PQ index of its scores asks for, times a common factor.

    SAP's adaptive ratio (methods.md section 7) as an allocation; the factor, which meets the budget, is ours.
    """

    p: float = 0.5
    q: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.p < self.q:
            raise UsageError(f"the PQ index needs 0 < p < q, not {self.p:g} and {self.q:g}", "p: 0.5, q: 1.0")

    def __call__(self, question: Question) -> Rule:
        """The largest factor within a budget."""
        ratio = {group: kept_share(question.scores[group], self.p, self.q) for group in question.menus}
        return lambda cost, budget: precrop.precrop(ratio, question.menus, cost, budget)


@dataclass(frozen=True)
class PreCropping:
    """Layer densities, by one of `allocate.densities.NAMES`, become widths (methods.md 2.3)."""

    densities: str = "closed-form"

    def __post_init__(self) -> None:
        if self.densities not in densities.NAMES:
            raise UsageError(f"no densities are called {self.densities!r}", f"use {', '.join(densities.NAMES)}")

    def __call__(self, question: Question) -> Rule:
        """The widest multiple of the densities' widths within a budget."""
        of_macs = self.densities == "closed-form" and question.about_macs
        found = densities.densities(
            f"{self.densities}-macs" if of_macs else self.densities,
            question.model,
            question.coupling,
            question.density,
            example_inputs=question.example_inputs,
            batches=question.batches,
            task=question.task,
        )
        size = sizes.macs if question.about_macs else sizes.weights
        ratio = precrop.ratios(precrop.targets(question.coupling, question.menus, found, size=size))
        return lambda cost, budget: precrop.precrop(ratio, question.menus, cost, budget)


RULES: dict[str, Callable[..., Any]] = {
    "uniform": Uniform,
    "global": Global,
    "adaptive": Adaptive,
    "pq-index": PQIndex,
    "precropping": PreCropping,
}
