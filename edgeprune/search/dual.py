"""The best multipliers, by cutting planes (Kelley 1960): every relaxed answer bounds the dual from above.

With one row this is a bisection that jumps straight to the crossing of two answers; with several rows it is the same
few lines.
"""

import numpy as np
from scipy.optimize import linprog

from edgeprune.search.problem import Array, Problem
from edgeprune.search.relaxed import Relaxed

LARGEST_MULTIPLIER = 1e9


def least_excess(problem: Problem, relaxed: Relaxed, rounds: int = 40) -> tuple[dict[str, int], bool]:
    """Menu positions of a choice that meets every row, or of the least excess, and whether infeasibility is proved.

    Maximises over weights on the simplex the least weighted excess: above zero, no choice meets every row.
    """
    rows = len(problem.rows)
    weights = np.full(rows, 1.0 / rows)
    cuts: list[Array] = []
    best: dict[str, int] = {}
    least = np.inf
    for _ in range(rounds):
        index = relaxed.minimise(weights, loss_weight=0.0)
        excess = problem.excess(index)
        if float(excess.max()) < least:
            best, least = index, float(excess.max())
        if least <= 1e-9:
            return best, False
        if relaxed.exact and float(weights @ excess) > 1e-9:
            return best, True
        cuts.append(excess)
        lp = linprog(
            [*np.zeros(rows), -1.0],
            A_ub=[[*-cut, 1.0] for cut in cuts],
            b_ub=np.zeros(len(cuts)),
            A_eq=[[*np.ones(rows), 0.0]],
            b_eq=[1.0],
            bounds=[(0, None)] * rows + [(None, None)],
        )
        if np.allclose(lp.x[:rows], weights):
            break
        weights = np.asarray(lp.x[:rows])
    return best, False


def maximise(
    problem: Problem, relaxed: Relaxed, feasible: dict[str, int], rounds: int = 60, tolerance: float = 1e-6
) -> tuple[list[dict[str, int]], float]:
    """The relaxed answers met on the way to the best multipliers, and the best dual value (a bound when exact)."""
    rows = len(problem.rows)
    answers = [feasible]
    cuts = [(problem.total_loss(feasible), problem.excess(feasible))]
    bound = -np.inf
    multipliers = np.zeros(rows)
    for _ in range(rounds):
        index = relaxed.minimise(multipliers)
        loss, excess = problem.total_loss(index), problem.excess(index)
        answers.append(index)
        cuts.append((loss, excess))
        bound = max(bound, loss + float(multipliers @ excess))
        lp = linprog(
            [*np.zeros(rows), -1.0],
            A_ub=[[*-cut, 1.0] for _, cut in cuts],
            b_ub=[value for value, _ in cuts],
            bounds=[(0, LARGEST_MULTIPLIER)] * rows + [(None, None)],
        )
        if -lp.fun - bound <= tolerance * max(1e-12, abs(bound)) or np.array_equal(lp.x[:rows], multipliers):
            break
        multipliers = np.asarray(lp.x[:rows])
    return answers, float(bound) if relaxed.exact else -np.inf
