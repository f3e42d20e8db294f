"""Sharpness-aware minimisation: the gradient is taken at the worst place within rho (Foret et al., ICLR 2021)."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def sharpness_aware_step(
    parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor], rho: float
) -> float:
    """One step with the gradient at w + rho * g / ||g||; rho 0 is a plain step. Returns the loss at w.

    `loss()` runs the forward pass. Parameters without gradient are left alone.
    """
    moved = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer.zero_grad(set_to_none=True)
    first = loss()
    first.backward()  # type: ignore[no-untyped-call]
    if rho > 0:
        steps = _ascend(moved, rho)
        optimizer.zero_grad(set_to_none=True)
        loss().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for parameter, step in steps:
                parameter.sub_(step)
    optimizer.step()
    return first.item()


@torch.no_grad()
def _ascend(parameters: list[nn.Parameter], rho: float) -> list[tuple[nn.Parameter, Tensor]]:
    slopes = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
    norm = torch.stack([slope.norm() for _, slope in slopes]).norm().clamp_min(1e-12)
    steps = [(parameter, slope * (rho / norm)) for parameter, slope in slopes]
    for parameter, step in steps:
        parameter.add_(step)
    return steps
