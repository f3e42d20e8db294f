"""L1 and L2 norms of the filters (Li et al. 2017, section 3.1; He et al. 2018)."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.score.group import by_entry, by_mean, parameters_of, per_unit, producers, prunable

if TYPE_CHECKING:
    from edgeprune.graph import Coupling


def filter_norms(weight: Tensor, axis: int, p: int) -> Tensor:
    """Norm of order p (1 or 2) of each output filter of a weight: (entries of the axis,)."""
    norms: Tensor = torch.linalg.vector_norm(by_entry(weight, axis), ord=p, dim=1)
    return norms


def magnitude(model: nn.Module, coupling: "Coupling", *, p: int) -> dict[str, Tensor]:
    """Per group (units,): the filter norms of every producer divided by their mean, then averaged over producers.

    A unit of several channels has the p-norm of all of them. Needs no data.
    """
    parameters = parameters_of(model)
    scores = {}
    for group in prunable(coupling):
        each = [
            by_mean(per_unit(filter_norms(parameters[m.param], m.axis, p) ** p, m.index) ** (1 / p))
            for m in producers(model, group)
        ]
        scores[group.name] = torch.stack(each).mean(0)
    return scores
