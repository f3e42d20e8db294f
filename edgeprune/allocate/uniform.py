"""One ratio for every group: the width multiplier."""

from edgeprune.allocate.fit import Cost, Counts, Menus, snap, widest


def uniform(menus: Menus, cost: Cost, budget: float) -> Counts:
    """Every group at the same share of its units, rounded to its menu; the largest share with cost <= budget.

    Raises BudgetNotMet when the narrowest widths cost more.
    """

    def build(ratio: float) -> Counts:
        return {group: snap(menu, ratio * menu[-1]) for group, menu in menus.items()}

    counts: Counts = widest(build, cost, budget, high=1.0)
    return counts
