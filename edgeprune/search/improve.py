"""Local improvement of a feasible choice: one width moves, or one up and another down, while every row still fits."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from edgeprune.search.problem import Array, Problem
from edgeprune.search.relaxed import Relaxed


def improve(
    problem: Problem, relaxed: Relaxed, start: Mapping[str, int], reach: int = 6, sweeps: int = 20
) -> dict[str, int]:
    """Menu positions of no more loss than `start`, which must be feasible; moves go at most `reach` menu steps."""
    index = dict(start)
    touching: dict[str, list[tuple[str, ...]]] = {name: [] for name in index}
    for scope in relaxed.tables:
        for name in scope:
            touching[name].append(scope)
    for _ in range(sweeps):
        before = dict(index)
        for name in index:
            _move(problem, relaxed, touching, index, (name,), reach)
        for u, v in combinations(index, 2):
            _move(problem, relaxed, touching, index, (u, v), reach)
        if index == before:
            break
    return index


def _move(
    problem: Problem,
    relaxed: Relaxed,
    touching: dict[str, list[tuple[str, ...]]],
    index: dict[str, int],
    names: tuple[str, ...],
    reach: int,
) -> None:
    """Change `index` in place to the best feasible position of `names`, the others fixed."""
    windows = {
        name: range(max(0, index[name] - reach), min(len(problem.menus[name]), index[name] + reach + 1))
        for name in names
    }
    loss: Array = np.zeros(tuple(len(windows[name]) for name in names))
    for axis, name in enumerate(names):
        shape = [1] * len(names)
        shape[axis] = -1
        window = windows[name]
        loss = loss + (problem.loss[name][window.start : window.stop] - problem.loss[name][index[name]]).reshape(shape)
    if float(loss.min()) >= -1e-15:
        return
    excess = problem.excess(index).reshape(-1, *[1] * len(names))
    for scope in {scope for name in names for scope in touching[name]}:
        table = relaxed.tables[scope]
        picked: Array = table
        here: Array = table
        for axis, u in reversed(list(enumerate(scope, start=1))):
            here = np.take(here, [index[u]], axis=axis)
            picked = np.take(picked, list(windows.get(u, [index[u]])), axis=axis)
        moving = [u for u in scope if u in windows]
        picked = picked.reshape(-1, *(len(windows[u]) for u in moving))
        if len(moving) == 2 and moving[0] != names[0]:
            picked = picked.swapaxes(1, 2)
        shape = [picked.shape[0]] + [len(windows[name]) if name in moving else 1 for name in names]
        excess = excess + picked.reshape(shape) - here.reshape(-1, *[1] * len(names))
    loss = np.where(np.all(excess <= 1e-10, axis=0), loss, np.inf)
    best = np.unravel_index(int(np.argmin(loss)), loss.shape)
    if loss[best] < -1e-15:
        for name, position in zip(names, best, strict=True):
            index[name] = windows[name].start + int(position)
