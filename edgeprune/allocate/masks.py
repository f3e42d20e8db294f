"""Weight scores to layer densities: one global mask, and the share of each layer it keeps."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

Scores = dict[str, Tensor]


def global_mask(scores: Mapping[str, Tensor], density: float) -> dict[str, Tensor]:
    """Boolean masks that keep the `density` share of all entries with the highest scores (Tanaka et al., prune.py)."""
    flat = torch.cat([values.flatten() for values in scores.values()])
    dropped = round((1.0 - density) * flat.numel())
    threshold = flat.kthvalue(dropped).values if dropped > 0 else torch.tensor(-torch.inf, dtype=flat.dtype)
    return {name: values > threshold for name, values in scores.items()}


def densities_of(masks: Mapping[str, Tensor]) -> dict[str, float]:
    """Share of kept entries of each mask."""
    return {name: float(mask.double().mean()) for name, mask in masks.items()}


def scoring_copy(model: nn.Module) -> nn.Module:
    """A copy whose batch norms use the batch (an untrained network has no other statistics) and nothing is dropped."""
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    return model
