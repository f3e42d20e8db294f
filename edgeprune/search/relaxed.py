"""The relaxed problem: resource rows moved into the objective with multipliers.

min over choices of  loss_weight * loss + sum_r multiplier_r * cost_r, by exact elimination where the factor graph is
narrow enough. Where it is not, by coordinate descent from the last answer, and then the dual value is no bound.
"""

from collections.abc import Mapping

import numpy as np

from edgeprune.search.elimination import Elimination, Table
from edgeprune.search.moves import Moves
from edgeprune.search.problem import Array, Problem

LARGEST_TABLE = 4_000_000


def merged(problem: Problem) -> dict[tuple[str, ...], Array]:
    """One table (rows, ...) for all factors over the same variables, each row's in units of its budget."""
    tables: dict[tuple[str, ...], Array] = {}
    rows = len(problem.rows)
    for r, row in enumerate(problem.rows):
        for factor in row.factors:
            order = sorted(range(len(factor.vars)), key=lambda axis: factor.vars[axis])
            scope = tuple(factor.vars[axis] for axis in order)
            table = tables.setdefault(scope, np.zeros((rows, *factor.cost.transpose(order).shape)))
            table[r] += factor.cost.transpose(order) / problem.scales[r]
    return tables


class Relaxed:
    """`Problem` with its factors merged by scope; `exact` tells which of the two methods answers."""

    def __init__(self, problem: Problem, largest_table: int = LARGEST_TABLE) -> None:
        self.problem = problem
        self.tables = merged(problem)
        sizes = {name: len(values) for name, values in problem.values.items()}
        self.elimination = Elimination(sizes, self.tables, problem.ties)
        self.exact = self.elimination.largest <= largest_table
        self.moves = Moves(problem, self.tables)
        self._last = dict.fromkeys(problem.menus, 0)

    def minimise(self, multipliers: Array, loss_weight: float = 1.0) -> dict[str, int]:
        """Menu positions of least weighted loss plus cost (each row's cost in units of its budget)."""
        if self.exact:
            tables: list[Table] = [(scope, np.tensordot(multipliers, table, 1)) for scope, table in self.tables.items()]
            tables += [((name,), loss_weight * values) for name, values in self.problem.loss.items()]
            found = self.elimination.minimise(tables)
            return {name: found[name] for name in self.problem.menus}
        self._last = self._descend(multipliers, loss_weight, self._last)
        return dict(self._last)

    def _descend(
        self, multipliers: Array, loss_weight: float, start: Mapping[str, int], sweeps: int = 50
    ) -> dict[str, int]:
        index = dict(start)
        for _ in range(sweeps):
            before = dict(index)
            for name, menu in self.problem.menus.items():
                costs = self.moves.change(index, {name: range(len(menu))})
                values = loss_weight * self.problem.loss[name] + np.tensordot(multipliers, costs, 1)
                index[name] = int(np.argmin(values))
            if index == before:
                break
        return index
