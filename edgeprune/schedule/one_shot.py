"""One-shot pruning: the pruned network starts from the trained weights it inherited."""

from torch import nn


def one_shot(pruned: nn.Module, seed: int) -> tuple[str, ...]:  # noqa: ARG001 - the signature all schedules share
    """Keep the inherited weights: nothing to do, nothing left out."""
    return ()
