"""From curves and limits to widths: solve; and finer steps in one group."""

from collections.abc import Iterable, Mapping, Sequence

from edgeprune.search.costs import Counts, Menus
from edgeprune.search.curves import Curve
from edgeprune.search.limits import Limit
from edgeprune.search.problem import Choice, Problem
from edgeprune.search.solver import solve


def best_widths(
    menus: Menus,
    curves: Mapping[str, Curve],
    limits: Sequence[Limit],
    shares: Mapping[str, float],
    candidates: Iterable[Counts] = (),
) -> Choice:
    """The widths of least summed loss within `shares[name]` (1 where missing) of every limit. Raises Infeasible."""
    menus = {g: menu for g, menu in menus.items() if g in curves}
    loss = {g: curves[g](menu) for g, menu in menus.items()}
    rows = [row for limit in limits for row in limit.rows(menus, shares.get(limit.name, 1.0))]
    return solve(Problem(menus, loss, tuple(rows)), candidates).choice


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
