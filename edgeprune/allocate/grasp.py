"""GraSP (Wang et al. 2020): what removing a weight does to the gradient flow, w o (H g)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.allocate.masks import Scores, scoring_copy
from edgeprune.task import Task, call

TEMPERATURE = 200.0


def grasp(model: nn.Module, names: Sequence[str], batches: Sequence[tuple[Any, Any]], task: Task) -> Scores:
    """weight * (Hessian-gradient product) of each named parameter, over |total| + 1e-10; the largest are kept.

    Outputs that are one tensor (logits) are divided by a temperature of 200 (authors' code). `g` is the gradient over
    all batches.
    """
    model = scoring_copy(model)
    weights = [model.get_parameter(name) for name in names]
    gradient = [torch.zeros_like(w) for w in weights]
    for inputs, targets in batches:
        for total, part in zip(
            gradient, torch.autograd.grad(_loss(model, inputs, targets, task), weights), strict=True
        ):
            total += part
    products = [torch.zeros_like(w) for w in weights]
    for inputs, targets in batches:
        graph = torch.autograd.grad(_loss(model, inputs, targets, task), weights, create_graph=True)
        flow = torch.stack([(g * fixed).sum() for g, fixed in zip(graph, gradient, strict=True)]).sum()
        for total, part in zip(products, torch.autograd.grad(flow, weights), strict=True):
            total += part
    raw = [w.detach() * hg for w, hg in zip(weights, products, strict=True)]
    whole = abs(sum(float(values.sum()) for values in raw)) + 1e-10
    return {name: values / whole for name, values in zip(names, raw, strict=True)}


def _loss(model: nn.Module, inputs: Any, targets: Any, task: Task) -> Tensor:
    outputs = call(model, inputs)
    return task.loss(outputs / TEMPERATURE if isinstance(outputs, Tensor) else outputs, targets)
