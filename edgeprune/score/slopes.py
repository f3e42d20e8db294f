"""Derivatives of the loss by every parameter, batch by batch, with the model left as it was."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.graph import switched
from edgeprune.task import Task, call, device_of, to_device

Slopes = dict[nn.Parameter, Tensor | None]


def slopes(model: nn.Module, batches: Iterable[tuple[Any, Any]], task: Task | None) -> Iterator[Slopes]:
    """dL/dw of each parameter (None where the loss does not depend on it), one dict a batch; the model is in eval mode.

    Raises UsageError without a task, and when there was no batch at all.
    """
    if task is None:
        raise UsageError("this criterion needs a task with a loss", "give a task, or use l1")
    device, count = device_of(model), 0
    learning = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.requires_grad_(True)
    try:
        with switched(model, training=False):
            for inputs, targets in batches:
                loss = task.loss(call(model, to_device(inputs, device)), to_device(targets, device))
                found = torch.autograd.grad(loss, list(learning), allow_unused=True)
                count += 1
                yield dict(zip(learning, found, strict=True))
    finally:
        for parameter, learns in learning.items():
            parameter.requires_grad_(learns)
    if not count:
        raise UsageError("this criterion needs calibration data", "give data, or use l1")
