"""Adaptive global allocation with costs: the best units of all groups, down to a share of the cost (FLAP, AL-AM)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from edgeprune.errors import UsageError


def adaptive(scores: Mapping[str, Tensor], costs: Mapping[str, float], share: float) -> dict[str, Tensor]:
    """Kept units (sorted long) of every group: the highest scores of all, while their cost is closest to the share.

    `scores`: comparable between groups, as z-scores are. `costs`: group -> cost of one unit. `share`: of the cost of
    all units, in (0, 1]. Every group keeps its best unit (ours).
    """
    if not 0 < share <= 1:
        raise UsageError(f"share {share:g} is not in (0, 1]", "0.8 keeps four fifths of what can be removed")
    names = list(scores)
    flat = torch.cat([scores[name].double() for name in names])
    group = torch.cat([torch.full((len(scores[name]),), i) for i, name in enumerate(names)])
    unit = torch.cat([torch.arange(len(scores[name])) for name in names])
    cost = torch.tensor([costs[name] for name in names], dtype=torch.float64)[group]
    best = torch.tensor([int(scores[name].argmax()) for name in names])
    flat = torch.where(unit == best[group], torch.inf, flat)
    order = flat.argsort(descending=True, stable=True)
    spent = cost[order].cumsum(0)
    count = max(len(names), int((spent - share * cost.sum()).abs().argmin()) + 1)
    kept = order[:count]
    return {name: unit[kept[group[kept] == i]].sort().values for i, name in enumerate(names)}
