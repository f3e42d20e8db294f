"""From curves and limits to widths: solve, expand around the solution, solve again; and finer steps in one group."""

from collections.abc import Iterable, Mapping, Sequence

from edgeprune.search.costs import Counts, Menus
from edgeprune.search.curves import Curve
from edgeprune.search.limits import Limit
from edgeprune.search.problem import Choice, Infeasible, Problem
from edgeprune.search.solver import solve

EXPANSIONS = 4


def best_widths(
    menus: Menus,
    curves: Mapping[str, Curve],
    limits: Sequence[Limit],
    shares: Mapping[str, float],
    candidates: Iterable[Counts] = (),
    around: Counts | None = None,
) -> Choice:
    """The widths of least summed loss within `shares[name]` (1 where missing) of every limit.

    Rows of layers fed by several groups are expanded around a solution (see costs.py), so the problem is solved again
    around each answer until the true predictions agree. Raises Infeasible.
    """
    menus = {g: menu for g, menu in menus.items() if g in curves}
    loss = {g: curves[g](menu) for g, menu in menus.items()}
    known = list(candidates)
    here: Counts = around or {}
    answers: list[Choice] = []
    for _ in range(EXPANSIONS):
        rows = [row for limit in limits for row in limit.rows(menus, here, shares.get(limit.name, 1.0))]
        problem = Problem(menus, loss, tuple(rows))
        try:
            choice = solve(problem, known).choice
        except Infeasible:
            if not answers:
                raise
            break
        answers.append(choice)
        if choice == here or _fits(choice, limits, shares):
            break
        here = choice
    good = [choice for choice in answers if _fits(choice, limits, shares)]
    return (good or answers)[-1]


def _fits(choice: Counts, limits: Sequence[Limit], shares: Mapping[str, float]) -> bool:
    return all(m.predict(choice) <= m.budget * shares.get(m.name, 1.0) * (1 + 1e-6) for m in limits)


def finer(
    counts: Counts,
    menus: Menus,
    fine: Menus,
    curves: Mapping[str, Curve],
    limits: Sequence[Limit],
    shares: Mapping[str, float],
    least: Mapping[str, float],
) -> Choice | None:
    """`counts` with one group widened along `fine`, below its next entry of `menus`: the least loss that fits.

    `shares[name]` of each limit may be used (1 where missing). `least[name]` is the prediction that has to be exceeded
    for it to be worth a measurement. None when nothing fits.
    """
    best: Choice | None = None
    best_gain = 0.0
    for g, menu in menus.items():
        here = counts.get(g, menu[-1])
        above = next((w for w in menu if w > here), None)
        if g not in curves or above is None:
            continue
        for width in (w for w in fine[g] if here < w < above):
            wider = {**counts, g: width}
            if not _fits(wider, limits, shares) or any(m.predict(wider) <= least.get(m.name, 0.0) for m in limits):
                continue
            before, after = curves[g]([here, width])
            if before - after > best_gain:
                best, best_gain = wider, float(before - after)
    return best
