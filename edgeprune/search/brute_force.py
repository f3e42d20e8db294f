"""Every choice of widths, one by one: the oracle for small problems."""

from itertools import product

from edgeprune.search.problem import Infeasible, Problem, Solution, solution_at


def brute_force(problem: Problem) -> Solution:
    """The optimum by enumeration; Infeasible with the true floor of each row when there is none."""
    names = list(problem.menus)
    best: dict[str, int] | None = None
    least = [float("inf")] * len(problem.rows)
    for positions in product(*(range(len(problem.menus[name])) for name in names)):
        index = dict(zip(names, positions, strict=True))
        least = [min(a, float(b)) for a, b in zip(least, problem.costs(index), strict=True)]
        if problem.feasible(index) and (best is None or problem.total_loss(index) < problem.total_loss(best)):
            best = index
    if best is None:
        floor = {row.name: (cost, row.budget) for row, cost in zip(problem.rows, least, strict=True)}
        raise Infeasible(floor, problem.widths(dict.fromkeys(names, 0)))
    return solution_at(problem, best, problem.total_loss(best))
