"""First-order Taylor: how much the loss changes when a unit is scaled away (Molchanov et al. 2019, section 3.1)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgeprune.score.group import by_entry, parameters_of, per_unit, prunable
from edgeprune.score.slopes import slopes
from edgeprune.task import Task

if TYPE_CHECKING:
    from edgeprune.graph import Coupling


def taylor(
    model: nn.Module, coupling: "Coupling", batches: Iterable[tuple[Any, Any]], task: Task | None
) -> dict[str, Tensor]:
    """Per group (units,): |sum of w * dL/dw over all parameters of the unit|, averaged over the batches.

    The sum is signed: it is the derivative of the loss with respect to a common scale of the unit's parameters. The
    model runs in eval mode. Raises UsageError without batches.
    """
    named = parameters_of(model)
    groups = prunable(coupling)
    totals = {group.name: torch.zeros(group.units, dtype=torch.float64) for group in groups}
    count = 0
    for found in slopes(model, batches, task):
        count += 1
        for group in groups:
            total = torch.zeros_like(totals[group.name])
            for member in group.members:
                parameter = named.get(member.param)
                slope = None if parameter is None else found[parameter]
                if parameter is not None and slope is not None:
                    total += per_unit(by_entry(parameter * slope, member.axis).sum(1), member.index)
            totals[group.name] += total.abs()
    return {name: total / count for name, total in totals.items()}
