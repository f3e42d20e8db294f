"""All units of all groups in one ranking: a group is as wide as it has units above the common threshold."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from edgeprune.allocate.fit import Cost, Counts, Menus, snap, widest


def normalise(scores: Tensor) -> Tensor:
    """Scores of one group, (units,), over their mean magnitude: groups of different scale become comparable."""
    return scores / scores.abs().mean().clamp_min(1e-12)


def global_(
    scores: Mapping[str, Tensor],
    menus: Menus,
    cost: Cost,
    budget: float,
    comparable: Callable[[Tensor], Tensor] = normalise,
) -> Counts:
    """Widths from a threshold on normalised scores, rounded to the menus; the lowest threshold with cost <= budget.

    `comparable` is how scores of one group become comparable to those of others. Raises BudgetNotMet when the narrowest
    widths cost more.
    """
    normal = {group: comparable(scores[group].double()) for group in menus}
    ranked = torch.cat(list(normal.values())).sort(descending=True).values

    def build(share: float) -> Counts:
        if share == 0.0:
            return {group: menu[0] for group, menu in menus.items()}
        threshold = ranked[min(len(ranked), max(1, round(share * len(ranked)))) - 1]
        return {group: snap(menu, int((normal[group] >= threshold).sum())) for group, menu in menus.items()}

    counts: Counts = widest(build, cost, budget, high=1.0)
    return counts
