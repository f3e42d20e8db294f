"""The relaxed problem: resource rows moved into the objective with multipliers.

min over choices of  loss_weight * loss + sum_r multiplier_r * cost_r, by exact elimination where the factor graph is
narrow enough. Where it is not (DenseNet: every layer meets every later one), by coordinate descent from the last
answer, and then the dual value is no bound.
"""

from collections.abc import Mapping

import numpy as np

from edgeprune.search.elimination import Elimination, Table
from edgeprune.search.problem import Array, Problem

LARGEST_TABLE = 4_000_000


class Relaxed:
    """`Problem` with its factors merged by scope; `exact` tells which of the two methods answers."""

    def __init__(self, problem: Problem, largest_table: int = LARGEST_TABLE) -> None:
        self.problem = problem
        self.tables: dict[tuple[str, ...], Array] = {}
        rows = len(problem.rows)
        for r, row in enumerate(problem.rows):
            for factor in row.factors:
                order = sorted(range(len(factor.vars)), key=lambda axis: factor.vars[axis])
                scope = tuple(factor.vars[axis] for axis in order)
                table = self.tables.setdefault(scope, np.zeros((rows, *factor.cost.transpose(order).shape)))
                table[r] += factor.cost.transpose(order) / problem.scales[r]
        sizes = {name: len(menu) for name, menu in problem.menus.items()}
        self.elimination = Elimination(sizes, self.tables)
        self.exact = self.elimination.largest <= largest_table
        self._last = dict.fromkeys(problem.menus, 0)

    def minimise(self, multipliers: Array, loss_weight: float = 1.0) -> dict[str, int]:
        """Menu positions of least weighted loss plus cost (each row's cost in units of its budget)."""
        tables: list[Table] = [(scope, np.tensordot(multipliers, table, 1)) for scope, table in self.tables.items()]
        tables += [((name,), loss_weight * values) for name, values in self.problem.loss.items()]
        if self.exact:
            return self.elimination.minimise(tables)
        self._last = _descend(tables, self._last)
        return dict(self._last)


def _descend(tables: list[Table], start: Mapping[str, int], sweeps: int = 50) -> dict[str, int]:
    index = dict(start)
    touching: dict[str, list[Table]] = {name: [] for name in index}
    for scope, table in tables:
        for name in scope:
            touching[name].append((scope, table))
    for _ in range(sweeps):
        before = dict(index)
        for name, near in touching.items():
            values = sum(table[tuple(slice(None) if u == name else index[u] for u in scope)] for scope, table in near)
            index[name] = int(np.argmin(values))
        if index == before:
            break
    return index
