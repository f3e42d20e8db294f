"""Exact minimum of a sum of tables by eliminating one variable after the other (min-sum bucket elimination).

Dechter, "Bucket elimination: a unifying framework for reasoning" (1999). Networks are narrow factor graphs: the widths
inside a block meet only their own block's trunk, so the tables stay small. A concat's width is the sum of its parts:
given the sum and all parts but one, that one is known, so it is replaced instead of minimised over.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeprune.search.problem import Array, Positions, Tie

Table = tuple[tuple[str, ...], Array]
TRIES, SMALL = 50, 1e6  # random orders that are tried where the greedy one makes a table of more cells than this


@dataclass(frozen=True)
class _Known:
    """A part of a sum by the other part and the total: `at[other, total]` is its position, -1 where there is none."""

    other: str
    total: str
    at: Positions


@dataclass(frozen=True)
class _Step:
    """One variable to eliminate: minimised over, or replaced by what is known of it."""

    name: str
    known: _Known | None


class Elimination:
    """An elimination order for tables over given scopes; `largest` is the size of its largest table.

    It is infinite where sums are tangled such that no order was found.
    """

    def __init__(self, sizes: Mapping[str, int], scopes: Iterable[Sequence[str]], ties: Sequence[Tie] = ()) -> None:
        self.sizes = dict(sizes)
        self.steps: list[_Step] = []
        neighbours: dict[str, set[str]] = {v: set() for v in sizes}
        for scope in [*scopes, *((tie.left, tie.right, tie.total) for tie in ties)]:
            for v in scope:
                neighbours[v] |= set(scope) - {v}
        chosen = random.Random(0)
        order, self.largest = self._order(neighbours, ties, lambda: 1.0)
        for _ in range(TRIES):
            if self.largest <= SMALL:
                break
            other, largest = self._order(neighbours, ties, lambda: math.exp(chosen.gauss(0.0, 1.0)))
            if largest < self.largest:
                order, self.largest = other, largest
        if self.largest < inf:
            self.steps = [_Step(v, None if tie is None else self._known(v, tie)) for v, tie in order]

    def _order(
        self, neighbours: Mapping[str, set[str]], ties: Sequence[Tie], weight: Callable[[], float]
    ) -> tuple[list[tuple[str, Tie | None]], float]:
        """The order that makes the smallest table at each step, each weighted, and the largest of all tables."""
        left, pending = {v: set(near) for v, near in neighbours.items()}, list(ties)
        order: list[tuple[str, Tie | None]] = []
        largest = 1.0
        while left:
            cost = {v: self._cost(v, near, pending) for v, near in left.items()}
            weighted = {v: cells * weight() for v, cells in cost.items()}
            v = min(weighted, key=lambda name: weighted[name])
            largest = max(largest, cost[v])
            if largest == inf:
                break
            tie = next((tie for tie in pending if v in (tie.left, tie.right)), None)
            pending = [other for other in pending if other is not tie]
            order.append((v, tie))
            near = left.pop(v)
            for u in near:
                left[u] = (left[u] | near) - {u, v}
        return order, largest

    def _cost(self, v: str, near: set[str], pending: Sequence[Tie]) -> float:
        """Cells of the table that eliminating `v` now makes; a total has to wait for its parts."""
        mine = [tie for tie in pending if v in (tie.left, tie.right, tie.total)]
        if len(mine) > 1 or any(v == tie.total or tie.left == tie.right for tie in mine):
            return inf
        cells = prod(self.sizes[u] for u in near)
        return cells if mine else cells * self.sizes[v]

    def _known(self, v: str, tie: Tie) -> _Known:
        at = tie.at if v == tie.left else tie.at.T
        found = np.full((at.shape[1], self.sizes[tie.total]), -1)
        found[np.broadcast_to(np.arange(at.shape[1]), at.shape), at] = np.arange(at.shape[0])[:, None]
        return _Known(tie.right if v == tie.left else tie.left, tie.total, found)

    def minimise(self, tables: Iterable[Table]) -> dict[str, int]:
        """Positions at which the sum of the tables is least."""
        alive = list(tables)
        decided: list[tuple[_Step, tuple[str, ...], Positions]] = []
        for step in self.steps:
            bucket = [t for t in alive if step.name in t[0]]
            alive = [t for t in alive if step.name not in t[0]]
            scope = (*sorted({u for names, _ in bucket for u in names} - {step.name}), step.name)
            total = np.zeros((1,) * (len(scope) - 1) + (self.sizes[step.name],))
            for names, table in sorted(bucket, key=lambda t: t[1].size):
                total = total + _spread(names, table, scope)
            if step.known is None:
                best = total.argmin(axis=-1)
                decided.append((step, scope[:-1], best))
                if len(scope) > 1:
                    alive.append((scope[:-1], np.take_along_axis(total, best[..., None], axis=-1)[..., 0]))
            else:
                decided.append((step, (), np.zeros(0, dtype=np.int64)))
                alive.append(_replaced(total, scope, step.known))
        index: dict[str, int] = {}
        for step, given, best in reversed(decided):
            if step.known is None:
                index[step.name] = int(best[tuple(index[u] for u in given)])
            else:
                index[step.name] = int(step.known.at[index[step.known.other], index[step.known.total]])
        return index


def _replaced(table: Array, scope: tuple[str, ...], known: _Known) -> Table:
    """The table with its last variable given by two others; infinite where they allow none."""
    outer = tuple(dict.fromkeys((*scope[:-1], known.other, known.total)))
    position = _spread((known.other, known.total), known.at, outer)
    where: list[Positions] = []
    for axis, name in enumerate(outer):
        if name in scope[:-1]:
            size = table.shape[scope.index(name)]
            where.append(np.arange(size).reshape([-1 if i == axis else 1 for i in range(len(outer))]))
    return outer, np.where(position < 0, inf, table[(*where, position)])


def _spread(names: tuple[str, ...], table: NDArray[Any], scope: tuple[str, ...]) -> NDArray[Any]:
    """The table as a view that broadcasts over `scope`."""
    order = sorted(range(len(names)), key=lambda axis: scope.index(names[axis]))
    shape = [1] * len(scope)
    for axis, name in enumerate(names):
        shape[scope.index(name)] = table.shape[axis]
    return table.transpose(order).reshape(shape)
