"""SynFlow (Tanaka et al. 2020): weights on many strong paths from input to output; needs no data.

R = sum of the outputs of the network with all parameters replaced by their magnitude, fed with ones; the score is
|dR/dw o w|. Biases and running means are zero (they are at initialisation, where the paper works), so that R stays a
sum over paths on trained networks too; bounded activations become ReLU, which passes positive values unchanged.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.allocate.masks import Scores, global_mask
from edgeprune.task import call, output_tensors

ROUNDS = 100
_ACTIVATIONS = (nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU, nn.LeakyReLU, nn.ELU, nn.Hardtanh)


def synflow(
    model: nn.Module, names: Sequence[str], example_inputs: tuple[Tensor, ...], density: float
) -> dict[str, Tensor]:
    """Boolean masks of the named parameters at `density`, after 100 rounds of pruning on an exponential schedule.

    `example_inputs` give shapes only (batch 1 is used). float64, eval mode.
    """
    network = linearised(model)
    ones = tuple(torch.ones_like(x[:1], dtype=torch.float64) for x in example_inputs)
    weights = {name: network.get_parameter(name) for name in names}
    masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
    for k in range(1, ROUNDS + 1):
        scores = flow_scores(network, weights, ones)
        # A weight that is gone scores -1, below every weight that is still there.
        masks = global_mask({n: torch.where(masks[n], s, -1.0) for n, s in scores.items()}, density ** (k / ROUNDS))
        with torch.no_grad():
            for name, w in weights.items():
                w.mul_(masks[name])
    return masks


def flow_scores(network: nn.Module, weights: dict[str, nn.Parameter], ones: Any) -> Scores:
    """dR/dw o w of a linearised network."""
    outputs = output_tensors(call(network, ones))
    total = torch.stack([out.sum() for out in outputs]).sum()
    gradients = torch.autograd.grad(total, list(weights.values()))
    return {name: (g * w).detach() for (name, w), g in zip(weights.items(), gradients, strict=True)}


def linearised(model: nn.Module) -> nn.Module:
    """A float64 copy in eval mode: magnitudes for weights, zeros for biases and running means."""
    network = copy.deepcopy(model).double().eval()
    _replace(network, lambda module: nn.ReLU() if isinstance(module, _ACTIVATIONS) else module)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("bias", "running_mean")):
                tensor.zero_()
            elif tensor.is_floating_point():
                tensor.abs_()
    return network


def _replace(module: nn.Module, change: Callable[[nn.Module], nn.Module]) -> None:
    for name, child in module.named_children():
        _replace(child, change)
        if change(child) is not child:
            setattr(module, name, change(child))
