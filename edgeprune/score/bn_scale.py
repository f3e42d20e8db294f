"""Batch-norm scale factors (network slimming: Liu et al. 2017, section 3.1)."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.score.group import by_entry, owner, parameters_of, prunable
from edgeprune.score.magnitude import magnitude

if TYPE_CHECKING:
    from edgeprune.graph import Coupling

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def bn_scale(model: nn.Module, coupling: "Coupling") -> dict[str, Tensor]:
    """Per group (units,): |gamma| averaged over the unit's channels and the norm layers in the group. Needs no data.

    Not normalised, so that groups compare as in the paper. A group without a norm layer gets its L1 score.
    """
    parameters = parameters_of(model)
    scores, plain = {}, magnitude(model, coupling, p=1)
    for group in prunable(coupling):
        each = [
            by_entry(parameters[m.param].abs(), m.axis).mean(1)[m.index.cpu()].mean(1)
            for m in group.members
            if m.param in parameters and m.param.endswith("weight") and isinstance(owner(model, m.param), NORMS)
        ]
        scores[group.name] = torch.stack(each).mean(0) if each else plain[group.name]
    return scores
