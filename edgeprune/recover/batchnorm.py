"""Batch-norm re-estimation: running statistics from forward passes alone (methods.md 0.3, item 7)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.graph import switched
from edgeprune.task import call, device_of, to_device


def reestimate(model: nn.Module, batches: Iterable[tuple[Any, Any]]) -> None:
    """Replaces the running statistics of every batch norm by their plain average over the batches.

    Only batch-norm layers run in train mode (dropout stays off); no parameter changes; modes and momenta come back as
    they were. A model without running statistics is left alone.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms:
        return
    device, momenta = device_of(model), [norm.momentum for norm in norms]
    try:
        with torch.no_grad(), switched(model, training=False):
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None
                norm.training = True
            for inputs, _ in batches:
                call(model, to_device(inputs, device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
