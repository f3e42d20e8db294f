"""Random scores: the control every criterion has to beat."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.score.group import prunable

if TYPE_CHECKING:
    from edgeprune.graph import Coupling


def chance(coupling: "Coupling", *, seed: int = 0) -> dict[str, Tensor]:
    """Per group (units,): uniform numbers in [0, 1), by the seed."""
    generator = torch.Generator().manual_seed(seed)
    return {
        group.name: torch.rand(group.units, generator=generator, dtype=torch.float64) for group in prunable(coupling)
    }
