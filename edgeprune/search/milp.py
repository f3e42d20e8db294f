"""The width problem as a mixed-integer linear program (HiGHS): exact on small or filtered menus.

One binary per menu entry and per value of a sum; a table over several variables gets one continuous variable per cell,
tied to the binaries by its marginals (the local-polytope formulation), so at binary points it selects exactly one cell.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix

from edgeprune.search.problem import Array, Factor, Infeasible, Problem, Solution, solution_at
from edgeprune.search.relaxed import merged


def solve_milp(problem: Problem, seconds: float = 60.0) -> Solution:
    """The optimum, or the best found in `seconds` with its bound.

    Raises Infeasible when no choice meets every row, TimeoutError when `seconds` pass without any.
    """
    tables = merged(problem)
    start: dict[tuple[str, ...], int] = {}
    columns = 0
    for name, values in problem.values.items():
        start[(name,)] = columns
        columns += len(values)
    binaries = columns
    for scope in tables:
        if len(scope) > 1:
            start[scope] = columns
            columns += prod(len(problem.values[v]) for v in scope)

    entries: list[tuple[Array, NDArray[np.int64], Array]] = []
    lower: list[float] = []
    upper: list[float] = []

    def constrain(column: NDArray[np.int64], value: Array, low: float, high: float) -> None:
        entries.append((np.full(len(column), float(len(lower))), column, value))
        lower.append(low)
        upper.append(high)

    for name, values in problem.values.items():
        constrain(start[(name,)] + np.arange(len(values)), np.ones(len(values)), 1.0, 1.0)
    for name, one in problem.sums.items():
        weighted = {name: -problem.values[name], **{g: weight * problem.values[g] for g, weight in one.parts}}
        column = np.concatenate([start[(v,)] + np.arange(len(values)) for v, values in weighted.items()])
        constrain(column, np.concatenate(list(weighted.values())).astype(float), -one.fixed, -one.fixed)
    for scope, table in tables.items():
        if len(scope) == 1:
            continue
        cells = start[scope] + np.arange(table[0].size).reshape(table.shape[1:])
        for axis, name in enumerate(scope):
            for i in range(cells.shape[axis]):
                members = np.take(cells, i, axis=axis).ravel()
                column = np.append(members, start[(name,)] + i)
                constrain(column, np.append(np.ones(len(members)), -1.0), 0.0, 0.0)
    for r, row in enumerate(problem.rows):
        column = np.concatenate([start[s] + np.arange(t[r].size) for s, t in tables.items()] or [np.zeros(0, int)])
        value = np.concatenate([t[r].ravel() for t in tables.values()] or [np.zeros(0)])
        constrain(column, value, -np.inf, (row.budget - row.const) / problem.scales[r] + 1e-10)

    objective = np.zeros(columns)
    for name, losses in problem.loss.items():
        objective[start[(name,)] : start[(name,)] + len(losses)] = losses
    rows, cols, data = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    matrix = coo_matrix((data, (rows.astype(int), cols.astype(int))), shape=(len(lower), columns)).tocsr()
    result = milp(
        objective,
        constraints=LinearConstraint(matrix, lower, upper),
        integrality=(np.arange(columns) < binaries).astype(int),
        bounds=Bounds(0, 1),
        options={"time_limit": seconds, "mip_rel_gap": 1e-7},
    )
    if result.status == 2:
        narrowest = dict.fromkeys(problem.menus, 0)
        floor = {r.name: (float(c), r.budget) for r, c in zip(problem.rows, problem.costs(narrowest), strict=True)}
        raise Infeasible(floor, problem.widths(narrowest))
    if result.x is None:
        raise TimeoutError(f"no width choice found in {seconds:.3g} s: {result.message}")
    index = {
        name: int(np.argmax(result.x[start[(name,)] : start[(name,)] + len(menu)]))
        for name, menu in problem.menus.items()
    }
    return solution_at(problem, index, float(result.mip_dual_bound))


def filtered(problem: Problem, around: Mapping[str, int], cells: int = 6000) -> Problem:
    """The same problem on the menu entries nearest to `around` (menu positions), at most `cells` table cells."""
    scopes = {f.vars for row in problem.rows for f in row.factors}
    kept = _window(problem, around, 1)
    reach = 2
    while (wider := _window(problem, around, reach)).menus != kept.menus:
        if sum(prod(len(wider.values[v]) for v in scope) for scope in scopes) > cells:
            break
        kept, reach = wider, reach + 1
    where = {v: np.searchsorted(problem.values[v], values) for v, values in kept.values.items()}
    rows = tuple(
        replace(row, factors=tuple(Factor(f.vars, f.cost[np.ix_(*(where[v] for v in f.vars))]) for f in row.factors))
        for row in problem.rows
    )
    return replace(kept, rows=rows)


def _window(problem: Problem, around: Mapping[str, int], reach: int) -> Problem:
    """The problem without its factors, on at most `reach` menu entries to both sides."""
    near = {name: slice(max(0, around[name] - reach), around[name] + reach + 1) for name in problem.menus}
    menus = {name: menu[near[name]] for name, menu in problem.menus.items()}
    loss = {name: values[near[name]] for name, values in problem.loss.items()}
    return Problem(menus, loss, tuple(replace(row, factors=()) for row in problem.rows))
