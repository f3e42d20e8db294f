"""Linear mode connectivity and similarity of two networks that were trained from the same slim start."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError

POINTS = 11  # of the straight line, both ends included, as the authors take


@dataclass(frozen=True)
class Connectivity:
    """`errors` at `POINTS` places of the line from the first network to the second; `lmc`: 0 connected, < 0 barrier."""

    lmc: float
    errors: tuple[float, ...]


def connectivity(
    one: nn.Module,
    other: nn.Module,
    error: Callable[[nn.Module], float],
    adapt: Callable[[nn.Module], None] = lambda _: None,
) -> Connectivity:
    """LMC = (E(W1) + E(W2)) / 2 - E(t*), where t* is the place whose error is farthest from that mean.

    `error` of a network, lower is better. `adapt` is called on each network between the ends first: batch-norm
    statistics do not interpolate, and without taking them anew barriers appear that are none. Neither network is
    touched. Raises UsageError if they are not of one shape.
    """
    first, second = one.state_dict(), other.state_dict()
    if {n: t.shape for n, t in first.items()} != {n: t.shape for n, t in second.items()}:
        raise UsageError("the networks have different widths", "compare networks that keep the same channels")
    errors = []
    for step in range(POINTS):
        network, share = copy.deepcopy(one), step / (POINTS - 1)
        network.load_state_dict({name: _between(tensor, second[name], share) for name, tensor in first.items()})
        if 0 < step < POINTS - 1:
            adapt(network)
        errors.append(error(network))
    return Connectivity(lmc(errors), tuple(errors))


def lmc(errors: list[float]) -> float:
    """The mean error of both ends less the error that is farthest from it."""
    mean = (errors[0] + errors[-1]) / 2
    return mean - max(errors, key=lambda each: abs(each - mean))


def _between(a: Tensor, b: Tensor, share: float) -> Tensor:
    if not a.is_floating_point() or torch.equal(a, b):
        return b if share == 1 else a
    return a if share == 0 else b if share == 1 else torch.lerp(a, b, share)


def cka(one: Tensor, other: Tensor) -> float:
    """Linear CKA of two sets of features (N, any) of the same N >= 2 inputs (Kornblith et al. 2019, equation 5).

    1 for features that are equal up to rotation and scale. Biased upwards by few inputs: take 1000 or more.
    """
    x, y = (features.double().flatten(1) - features.double().flatten(1).mean(0) for features in (one, other))
    norms = float((x.T @ x).norm() * (y.T @ y).norm())
    return float((y.T @ x).square().sum()) / norms if norms > 0 else float("nan")
