"""First-order Taylor: how much the loss changes when a unit is scaled away (Molchanov et al. 2019, section 3.1)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.score.group import by_entry, parameters_of, per_unit, prunable
from edgeprune.task import Task, call, device_of, to_device

if TYPE_CHECKING:
    from edgeprune.graph import Coupling


def taylor(
    model: nn.Module, coupling: "Coupling", batches: Iterable[tuple[Any, Any]], task: Task | None
) -> dict[str, Tensor]:
    """Per group (units,): |sum of w * dL/dw over all parameters of the unit|, averaged over the batches.

    The sum is signed: it is the derivative of the loss with respect to a common scale of the unit's parameters. The
    model runs in eval mode. Raises UsageError without batches.
    """
    if task is None:
        raise UsageError("the Taylor criterion needs a task with a loss", "give a task, or use l1")
    named = parameters_of(model)
    groups = prunable(coupling)
    totals = {group.name: torch.zeros(group.units, dtype=torch.float64) for group in groups}
    device, was_training, count = device_of(model), {m: m.training for m in model.modules()}, 0
    learning = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval().requires_grad_(True)
    try:
        for inputs, targets in batches:
            loss = task.loss(call(model, to_device(inputs, device)), to_device(targets, device))
            slopes = dict(zip(learning, torch.autograd.grad(loss, list(learning), allow_unused=True), strict=True))
            count += 1
            for group in groups:
                total = torch.zeros_like(totals[group.name])
                for member in group.members:
                    parameter = named.get(member.param)
                    slope = None if parameter is None else slopes[parameter]
                    if parameter is not None and slope is not None:
                        total += per_unit(by_entry(parameter * slope, member.axis).sum(1), member.index)
                totals[group.name] += total.abs()
    finally:
        for module, mode in was_training.items():
            module.training = mode
        for parameter, learns in learning.items():
            parameter.requires_grad_(learns)
    if not count:
        raise UsageError("the Taylor criterion needs calibration data", "give data, or use l1")
    return {name: total / count for name, total in totals.items()}
