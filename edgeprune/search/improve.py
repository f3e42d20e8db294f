"""Local improvement of a feasible choice: one width moves, or one up and another down, while every row still fits."""

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np

from edgeprune.search.problem import Array, Problem
from edgeprune.search.relaxed import Relaxed

MOST_PAIRS = 1000  # pairs of any two widths; beyond, only pairs that meet in a layer


def improve(
    problem: Problem, relaxed: Relaxed, start: Mapping[str, int], reach: int = 6, sweeps: int = 20
) -> dict[str, int]:
    """Menu positions of no more loss than `start`, which must be feasible; moves go at most `reach` menu steps."""
    index = dict(start)
    pairs = _pairs(problem, relaxed)
    for _ in range(sweeps):
        before = dict(index)
        for name in index:
            _move(problem, relaxed, index, (name,), reach)
        for pair in pairs:
            _move(problem, relaxed, index, pair, reach)
        if index == before:
            break
    return index


def _pairs(problem: Problem, relaxed: Relaxed) -> list[tuple[str, ...]]:
    groups = list(problem.menus)
    if len(groups) * (len(groups) - 1) / 2 <= MOST_PAIRS:
        return list(combinations(groups, 2))
    together = ({v for v in scope if v in problem.menus} for scope in relaxed.tables)
    return sorted({tuple(sorted(names)) for names in together if len(names) == 2})


def _move(problem: Problem, relaxed: Relaxed, index: dict[str, int], names: Iterable[str], reach: int) -> None:
    """Change `index` in place to the best feasible position of `names`, the others fixed."""
    windows = {
        name: range(max(0, index[name] - reach), min(len(problem.menus[name]), index[name] + reach + 1))
        for name in names
    }
    loss: Array = np.zeros(tuple(len(window) for window in windows.values()))
    for axis, (name, window) in enumerate(windows.items()):
        shape = [1] * len(windows)
        shape[axis] = -1
        loss = loss + (problem.loss[name][window.start : window.stop] - problem.loss[name][index[name]]).reshape(shape)
    if float(loss.min()) >= -1e-15:
        return
    excess = problem.excess(index).reshape(-1, *[1] * len(windows)) + relaxed.moves.change(index, windows)
    loss = np.where(np.all(excess <= 1e-10, axis=0), loss, np.inf)
    best = np.unravel_index(int(np.argmin(loss)), loss.shape)
    if loss[best] < -1e-15:
        for (name, window), position in zip(windows.items(), best, strict=True):
            index[name] = window.start + int(position)
