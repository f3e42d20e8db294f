"""The solver: Lagrange multipliers for a bound and a start, local improvement, then HiGHS on the menus around it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edgeprune.search.dual import least_excess, maximise
from edgeprune.search.improve import improve
from edgeprune.search.milp import filtered, solve_milp
from edgeprune.search.problem import Infeasible, Problem, Row, Solution, solution_at
from edgeprune.search.relaxed import Relaxed

CLOSE_ENOUGH = 1e-3


def solve(problem: Problem, candidates: Iterable[Mapping[str, int]] = (), milp_seconds: float = 2.0) -> Solution:
    """The least loss with every row within its budget.

    `candidates`: choices of widths that may stand in, such as solutions for smaller budgets, so that more budget never
    gives more loss. `milp_seconds`: time for closing the gap where it is above 0.1 % (0: never).
    Raises Infeasible, with the floor of each row, when no choice was found that meets every row.
    """
    free = {name: int(values.argmin()) for name, values in problem.loss.items()}
    if problem.feasible(free):
        return solution_at(problem, free, problem.total_loss(free))
    problem, all_rows = _active(problem, free), problem
    while True:
        index, bound = _solve_rows(problem, candidates, all_rows, milp_seconds)
        if all_rows.feasible(index):
            return solution_at(all_rows, index, bound)
        problem = _active(all_rows, index, problem.rows)


def _active(problem: Problem, index: Mapping[str, int], rows: tuple[Row, ...] = ()) -> Problem:
    """The problem with the rows it had and the most exceeded of the others: most rows never bind."""
    excess = problem.excess(index)
    known = {row.name for row in rows}
    _, worst = max((e, r) for r, e in enumerate(excess) if problem.rows[r].name not in known)
    return replace(problem, rows=(*rows, problem.rows[worst]))


def _solve_rows(
    problem: Problem, candidates: Iterable[Mapping[str, int]], all_rows: Problem, milp_seconds: float
) -> tuple[dict[str, int], float]:
    relaxed = Relaxed(problem)
    fits, proved = least_excess(problem, relaxed)
    if not problem.feasible(fits):
        if proved or milp_seconds <= 0:
            raise Infeasible(_floor(problem, relaxed), problem.widths(fits))
        fits = all_rows.indices(solve_milp(problem, 10 * milp_seconds).choice)
    answers, bound = maximise(problem, relaxed, fits)
    known = [all_rows.indices(c) for c in candidates if all(c.get(v) in menu for v, menu in all_rows.menus.items())]
    starts = sorted((a for a in answers + known if problem.feasible(a)), key=problem.total_loss)
    best = min((improve(problem, relaxed, start) for start in starts[:3]), key=problem.total_loss)
    loss = problem.total_loss(best)
    if milp_seconds > 0 and loss - bound > CLOSE_ENOUGH * abs(loss):
        near = filtered(problem, best)
        try:
            found = solve_milp(near, milp_seconds)
        except TimeoutError:
            return best, bound
        if found.loss < loss:
            best = problem.indices(found.choice)
        if near.menus == problem.menus:
            bound = max(bound, found.bound)
    return best, bound


def _floor(problem: Problem, relaxed: Relaxed) -> dict[str, tuple[float, float]]:
    """The least cost of each row on its own, beside its budget."""
    floor = {}
    for r, row in enumerate(problem.rows):
        weights = problem.scales * 0.0
        weights[r] = 1.0
        floor[row.name] = (float(problem.costs(relaxed.minimise(weights, loss_weight=0.0))[r]), row.budget)
    return floor
