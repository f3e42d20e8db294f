"""Pruning at initialisation: only the widths are inherited, training starts from fresh weights."""

from torch import nn

from edgeprune.recover.scratch import reinitialise


def at_init(pruned: nn.Module, seed: int) -> tuple[str, ...]:
    """Draw all weights anew, in place (PreCropping, step D). Returns the parameters that could not be drawn."""
    return reinitialise(pruned, seed)
