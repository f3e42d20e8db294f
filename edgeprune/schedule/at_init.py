"""Pruning at initialisation: only the widths are inherited, training starts from fresh weights."""

from torch import nn

from edgeprune.recover.scratch import reinitialise


def at_init(pruned: nn.Module, seed: int) -> nn.Module:
    """Draw all weights anew from `seed` (PreCropping, step D)."""
    return reinitialise(pruned, seed)
