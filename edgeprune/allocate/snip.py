"""SNIP (Lee et al. 2019): the connection sensitivity |g o w| of one labelled batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from edgeprune.allocate.masks import Scores, scoring_copy
from edgeprune.task import Task, call


def snip(model: nn.Module, names: Sequence[str], batches: Sequence[tuple[Any, Any]], task: Task) -> Scores:
    """|weight * gradient| of each named parameter, over the total of all; gradients summed over the batches.

    The gradient with respect to a mask c = 1 on the weights is g * w (paper, equation 4).
    """
    model = scoring_copy(model)
    weights = [model.get_parameter(name) for name in names]
    totals = [torch.zeros_like(w) for w in weights]
    for inputs, targets in batches:
        loss = task.loss(call(model, inputs), targets)
        for total, gradient in zip(totals, torch.autograd.grad(loss, weights), strict=True):
            total += gradient
    raw = [(w.detach() * g).abs() for w, g in zip(weights, totals, strict=True)]
    whole = sum(float(values.sum()) for values in raw)
    return {name: values / max(whole, 1e-30) for name, values in zip(names, raw, strict=True)}
