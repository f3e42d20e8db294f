"""The width problem: one width per variable, the least summed loss, every resource row within its budget."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgeprune.errors import BudgetNotMet
from edgeprune.quantity import readable

Array = NDArray[np.float64]
Positions = NDArray[np.int64]
Choice = dict[str, int]


@dataclass(frozen=True)
class Sum:
    """A channel axis that several variables feed (a concat): `fixed` + sum of weight x width over `parts`.

    It is a variable of its own, whose values are the sums that the menus can make; factors may depend on it.
    """

    parts: tuple[tuple[str, int], ...]
    fixed: int = 0

    @property
    def name(self) -> str:
        """The name under which factors refer to it."""
        return " + ".join([*(f"{weight} {group}" for group, weight in self.parts), str(self.fixed)])

    def values(self, menus: Mapping[str, tuple[int, ...]]) -> Positions:
        """Ascending: what it can come to."""
        found = np.array([self.fixed], dtype=np.int64)
        for group, weight in self.parts:
            found = np.unique(found[:, None] + weight * np.array(menus[group], dtype=np.int64)[None, :])
        return found

    @property
    def shorter(self) -> "Sum | None":
        """The sum without its last part; None where one part would be left."""
        return Sum(self.parts[:-1], self.fixed) if len(self.parts) > 2 else None


@dataclass(frozen=True)
class Tie:
    """`total` = `left` + `right`, in positions: `at[i, j]` is the total's at the i-th of left and the j-th of right."""

    left: str
    right: str
    total: str
    at: Positions


@dataclass(frozen=True)
class Factor:
    """A cost that depends on some variables together.

    `cost[i, j, ...]` belongs to the i-th value of `vars[0]`, the j-th of `vars[1]` and so on.
    """

    vars: tuple[str, ...]
    cost: Array


@dataclass(frozen=True)
class Row:
    """One resource: `const` + sum of the factors <= `budget`, all in the unit of the resource (ms, MiB, MACs).

    `sums` are those that the factors depend on.
    """

    name: str
    budget: float
    const: float
    factors: tuple[Factor, ...]
    sums: tuple[Sum, ...] = ()


@dataclass(frozen=True)
class Problem:
    """A multiple-choice knapsack with costs that couple variables.

    `menus`: the widths each variable may take, ascending. `loss`: the loss at each of them.
    """

    menus: Mapping[str, tuple[int, ...]]
    loss: Mapping[str, Array]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        for name, menu in self.menus.items():
            if not menu or self.loss[name].shape != (len(menu),):
                raise ValueError(f"{name}: the menu has {len(menu)} widths, the loss {self.loss[name].shape}")
        for row in self.rows:
            for factor in row.factors:
                if factor.cost.shape != tuple(len(self.values[v]) for v in factor.vars):
                    raise ValueError(f"{row.name}: a factor over {factor.vars} has shape {factor.cost.shape}")

    @cached_property
    def sums(self) -> dict[str, Sum]:
        """The sums of all rows and their beginnings, each after the one that it continues."""
        found: dict[str, Sum] = {}
        for one in {one.name: one for row in self.rows for one in row.sums}.values():
            chain = [one]
            while (shorter := chain[-1].shorter) is not None:
                chain.append(shorter)
            found |= {part.name: part for part in reversed(chain)}
        return found

    @cached_property
    def values(self) -> dict[str, Positions]:
        """Ascending values of every variable: menus, and what sums can come to."""
        found = {name: np.array(menu, dtype=np.int64) for name, menu in self.menus.items()}
        return found | {name: one.values(self.menus) for name, one in self.sums.items()}

    @cached_property
    def ties(self) -> tuple[Tie, ...]:
        """How each sum comes from the one that it continues and its last part."""
        found = []
        for one in self.sums.values():
            (first, weight), (last, last_weight) = one.parts[0], one.parts[-1]
            shorter = one.shorter
            left = one.fixed + weight * self.values[first] if shorter is None else self.values[shorter.name]
            right = last_weight * self.values[last]
            at = np.searchsorted(self.values[one.name], left[:, None] + right[None, :])
            found.append(Tie(first if shorter is None else shorter.name, last, one.name, at))
        return tuple(found)

    def complete(self, index: Mapping[str, int]) -> dict[str, int]:
        """Positions of the sums beside those of the menus."""
        whole = {name: index[name] for name in self.menus}
        for tie in self.ties:
            whole[tie.total] = int(tie.at[whole[tie.left], whole[tie.right]])
        return whole

    @cached_property
    def scales(self) -> Array:
        """What one unit of a row's excess is measured in, (rows,): its budget, so that rows compare."""
        return np.array([max(abs(row.budget), 1e-12) for row in self.rows])

    def indices(self, choice: Mapping[str, int]) -> dict[str, int]:
        """Menu positions of a choice of widths."""
        return {name: menu.index(choice[name]) for name, menu in self.menus.items()}

    def widths(self, index: Mapping[str, int]) -> Choice:
        """The widths at menu positions."""
        return {name: menu[index[name]] for name, menu in self.menus.items()}

    def total_loss(self, index: Mapping[str, int]) -> float:
        """Summed loss at menu positions."""
        return float(sum(values[index[name]] for name, values in self.loss.items()))

    def costs(self, index: Mapping[str, int]) -> Array:
        """Cost of every row at menu positions, (rows,)."""
        at = self.complete(index)
        return np.array(
            [row.const + sum(float(f.cost[tuple(at[v] for v in f.vars)]) for f in row.factors) for row in self.rows]
        )

    def excess(self, index: Mapping[str, int]) -> Array:
        """(cost - budget) / scale of every row, (rows,): not above zero where the budget is met."""
        budgets = np.array([row.budget for row in self.rows])
        return np.asarray((self.costs(index) - budgets) / self.scales)

    def feasible(self, index: Mapping[str, int]) -> bool:
        """True when every row is within its budget (up to rounding of the sums)."""
        return bool(np.all(self.excess(index) <= 1e-9))


@dataclass(frozen=True)
class Solution:
    """Widths that meet every budget.

    `costs` maps each row's name to its cost. `bound` is a proven lower bound of the loss over all choices
    (minus infinity when the solver could not prove any) and `gap` = (loss - bound) / |loss|.
    """

    choice: Choice
    loss: float
    costs: dict[str, float]
    bound: float

    @property
    def gap(self) -> float:
        """How far, relative to the loss, the solution may be from the optimum."""
        return max(0.0, self.loss - self.bound) / max(abs(self.loss), 1e-12)


class Infeasible(BudgetNotMet):
    """No choice of widths meets every budget. `floor` maps rows to the least cost found and to their budgets."""

    def __init__(self, floor: dict[str, tuple[float, float]], choice: Choice) -> None:
        held = ", ".join(
            f"{name}: at least {readable(least)}, budget {readable(budget)}" for name, (least, budget) in floor.items()
        )
        super().__init__(
            f"even the narrowest widths exceed the budget ({held})",
            "raise the budget above the floor, allow a smaller multiple, or start from a smaller model",
        )
        self.floor = floor
        self.choice = choice


def solution_at(problem: Problem, index: Mapping[str, int], bound: float) -> Solution:
    """The solution at menu positions."""
    costs = {row.name: float(cost) for row, cost in zip(problem.rows, problem.costs(index), strict=True)}
    loss = problem.total_loss(index)
    return Solution(problem.widths(index), loss, costs, min(bound, loss))
