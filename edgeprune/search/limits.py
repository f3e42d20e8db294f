"""The budgets of a search as rows of the width problem: latency, MACs, file size, memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgeprune.graph import Coupling
from edgeprune.search import costs
from edgeprune.search.costs import Counts, LayerCost, Menus
from edgeprune.search.predictor import Predictor
from edgeprune.search.problem import Row

TWO_SIDED_95 = 1.96  # standard errors from the middle of a 95 % interval to its end


class Limit(Protocol):
    """One budget. `budget` and `predict` are in the unit that `name` ends with."""

    @property
    def name(self) -> str:
        """What is limited, ending with its unit."""
        ...

    @property
    def budget(self) -> float:
        """The most it may cost."""
        ...

    def predict(self, counts: Counts) -> float:
        """The predicted cost at `counts`."""
        ...

    def rows(self, menus: Menus, share: float = 1.0) -> Sequence[Row]:
        """The rows that keep the cost within `share` of the budget."""
        ...


@dataclass(frozen=True)
class LatencyLimit:
    """Milliseconds on one target."""

    predictor: Predictor
    budget: float
    name: str = "latency_ms"

    def predict(self, counts: Counts) -> float:
        """Predicted milliseconds."""
        return self.predictor.predict(counts)

    def rows(self, menus: Menus, share: float = 1.0) -> Sequence[Row]:
        """One row."""
        return [self.predictor.row(menus, share * self.budget, self.name)]


@dataclass(frozen=True)
class Measured:
    """What the targets said about one candidate, ms. `upper` is the end of the confidence interval that decides.

    `each` holds the milliseconds of every target. With several, `ms` and `upper` are those of the target that uses most
    of its budget, scaled to the first one's budget.
    """

    ms: float
    upper: float
    each: tuple[float, ...] = ()


@dataclass(frozen=True)
class Latency:
    """Latency on every target of a run as one limit: the budget has to hold on each (see `Measured`)."""

    parts: tuple[LatencyLimit, ...]
    name: str = "latency_ms"

    @property
    def budget(self) -> float:
        """Milliseconds, on the first target."""
        return self.parts[0].budget

    def aim(self) -> None:
        """Tell the predictors which latency matters."""
        for part in self.parts:
            part.predictor.aim(part.budget)

    def observe(self, counts: Counts, measured: Measured) -> None:
        """Let the predictors learn what was measured; the interval says how far to believe it."""
        noise = (measured.upper / measured.ms - 1) / TWO_SIDED_95
        for part, ms in zip(self.parts, measured.each or (measured.ms,), strict=True):
            part.predictor.observe(counts, ms, noise)

    def worst(self, each: Sequence[float]) -> float:
        """Milliseconds of each target as those of the one that uses most of its budget, scaled to the first's."""
        return self.budget * max(ms / part.budget for part, ms in zip(self.parts, each, strict=True))

    def predict(self, counts: Counts) -> float:
        """Predicted milliseconds."""
        return self.worst([part.predict(counts) for part in self.parts])

    def rows(self, menus: Menus, share: float = 1.0) -> Sequence[Row]:
        """One row a target."""
        return [row for part in self.parts for row in part.rows(menus, share)]


@dataclass(frozen=True)
class LayerSumLimit:
    """A cost that is a constant plus a sum over layers, and needs no measurement."""

    coupling: Coupling
    cost: LayerCost
    name: str
    budget: float
    const: float = 0.0

    def predict(self, counts: Counts) -> float:
        """The cost."""
        return self.const + costs.total(self.coupling, self.cost, counts)

    def rows(self, menus: Menus, share: float = 1.0) -> Sequence[Row]:
        """One row."""
        budget = share * self.budget
        return [costs.row(self.coupling, menus, self.cost, name=self.name, budget=budget, const=self.const)]


def macs_limit(coupling: Coupling, budget: float) -> LayerSumLimit:
    """Multiply-accumulates of one image."""
    return LayerSumLimit(coupling, costs.macs, "macs", budget)


def file_size_limit(coupling: Coupling, budget_bytes: float, dense_bytes: int) -> LayerSumLimit:
    """Bytes of the converted float32 file; what the dense file holds beside its weights stays."""
    rest = dense_bytes - costs.total(coupling, costs.file_bytes, {})
    return LayerSumLimit(coupling, costs.file_bytes, "file_size_bytes", budget_bytes, rest)
