"""Exact minimum of a sum of tables by eliminating one variable after the other (min-sum bucket elimination).

Dechter, "Bucket elimination: a unifying framework for reasoning" (1999). Networks are narrow factor graphs: the widths
inside a block meet only their own block's trunk, so the tables stay small.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import prod

import numpy as np

from edgeprune.search.problem import Array

Table = tuple[tuple[str, ...], Array]


class Elimination:
    """An elimination order for tables over given scopes; `largest` is the size of its largest table."""

    def __init__(self, sizes: Mapping[str, int], scopes: Iterable[Sequence[str]]) -> None:
        self.sizes = dict(sizes)
        neighbours: dict[str, set[str]] = {v: set() for v in sizes}
        for scope in scopes:
            for v in scope:
                neighbours[v] |= set(scope) - {v}
        self.order: list[str] = []
        self.largest = 1
        while neighbours:
            cost = {v: prod(self.sizes[u] for u in near) * self.sizes[v] for v, near in neighbours.items()}
            v = min(cost, key=lambda name: cost[name])
            self.largest = max(self.largest, cost[v])
            near = neighbours.pop(v)
            for u in near:
                neighbours[u] = (neighbours[u] | near) - {u, v}
            self.order.append(v)

    def minimise(self, tables: Iterable[Table]) -> dict[str, int]:
        """Menu positions at which the sum of the tables is least."""
        alive = list(tables)
        decided: list[tuple[str, tuple[str, ...], np.ndarray]] = []
        for v in self.order:
            bucket = [t for t in alive if v in t[0]]
            alive = [t for t in alive if v not in t[0]]
            scope = (*sorted({u for names, _ in bucket for u in names} - {v}), v)
            total = np.zeros((1,) * (len(scope) - 1) + (self.sizes[v],))
            for names, table in sorted(bucket, key=lambda t: t[1].size):
                total = total + _spread(names, table, scope)
            best = total.argmin(axis=-1)
            decided.append((v, scope[:-1], best))
            if len(scope) > 1:
                alive.append((scope[:-1], np.take_along_axis(total, best[..., None], axis=-1)[..., 0]))
        index: dict[str, int] = {}
        for v, given, best in reversed(decided):
            index[v] = int(best[tuple(index[u] for u in given)])
        return index


def _spread(names: tuple[str, ...], table: Array, scope: tuple[str, ...]) -> Array:
    """The table as a view that broadcasts over `scope`."""
    order = sorted(range(len(names)), key=lambda axis: scope.index(names[axis]))
    shape = [1] * len(scope)
    for axis, name in enumerate(names):
        shape[scope.index(name)] = table.shape[axis]
    return table.transpose(order).reshape(shape)
