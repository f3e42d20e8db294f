"""The widest member of a one-parameter family of widths that a budget allows."""

from collections.abc import Callable, Mapping
from typing import Any

from edgeprune.errors import BudgetNotMet
from edgeprune.quantity import readable

Counts = dict[str, int]
Menus = Mapping[str, tuple[int, ...]]
Cost = Callable[[Any], float]  # widths (group -> units) to MACs, parameters, ms, ...


def snap(menu: tuple[int, ...], width: float) -> int:
    """The menu entry nearest to `width` (ties go up), but never below 90 % of it: make_divisible on any menu."""
    nearest = min(menu, key=lambda w: (abs(w - width), -w))
    if nearest < 0.9 * width:
        nearest = next((w for w in menu if w > nearest), nearest)
    return nearest


def widest(build: Callable[[float], Mapping[str, Any]], cost: Cost, budget: float, high: float, steps: int = 50) -> Any:
    """`build(t)` for the largest t in [0, high] found by bisection with cost(build(t)) <= budget.

    Raises BudgetNotMet when even build(0) costs more.
    """
    if cost(build(high)) <= budget:
        return build(high)
    low, best = 0.0, build(0.0)
    if cost(best) > budget:
        raise BudgetNotMet(
            f"even the narrowest widths cost {readable(cost(best))}, the budget is {readable(budget)}",
            "raise the budget above the floor, allow a smaller multiple, or start from a smaller model",
        )
    for _ in range(steps):
        middle = (low + high) / 2
        widths = build(middle)
        if cost(widths) <= budget:
            low, best = middle, widths
        else:
            high = middle
    return best
