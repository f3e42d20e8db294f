"""Show a network images to see what its layers take and give."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from edgeprune.graph import switched
from edgeprune.task import call, device_of, to_device


def show(model: nn.Module, batches: Iterable[tuple[Any, Any]], hooks: Iterable[RemovableHandle]) -> list[Any]:
    """Run the model in eval mode, on its device, over the inputs of all batches; returns the targets of each.

    `hooks`, registered by the caller, are removed at the end, whatever happens; modes are left as they were.
    """
    device, shown = device_of(model), []
    try:
        with torch.no_grad(), switched(model, training=False):
            for inputs, targets in batches:
                call(model, to_device(inputs, device))
                shown.append(targets)
    finally:
        for hook in hooks:
            hook.remove()
    return shown
