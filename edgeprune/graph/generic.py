"""Generic weights: a network whose every channel matters, so that a wrong surgery shows.

Freshly initialised networks answer almost nothing (an untrained MobileNetV2: 2e-9) and any tolerance passes there.
"""

import copy
import math

import torch
from torch import Tensor, nn


def generic_copy(model: nn.Module, seed: int) -> nn.Module:
    """A float64 CPU copy in eval mode: Kaiming weights, norm scales and variances in [0.5, 1.5], random shifts and means."""
    generator = torch.Generator().manual_seed(seed)
    result = copy.deepcopy(model).to("cpu", torch.float64)
    for module in result.modules():
        module.training = False
    with torch.no_grad():
        for name, tensor in [*result.named_parameters(), *result.named_buffers()]:
            if tensor.is_floating_point() and (isinstance(tensor, nn.Parameter) or _is_statistic(name)):
                tensor.copy_(_draw(name.rpartition(".")[2], tensor, generator))
    return result


def generic_inputs(inputs: tuple[Tensor, ...], seed: int) -> tuple[Tensor, ...]:
    """Standard normal float64 inputs of the same shapes; integer inputs stay."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(x.shape, generator=generator, dtype=torch.float64) if x.is_floating_point() else x.cpu()
        for x in inputs
    )


def _is_statistic(name: str) -> bool:
    return name.rpartition(".")[2] in {"running_mean", "running_var"}


def _draw(kind: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    normal = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    if tensor.dim() >= 2 and tensor.numel() > max(tensor.shape):
        return normal * math.sqrt(2 / max(1, math.prod(tensor.shape[1:])))
    if kind in {"bias", "running_mean"}:
        return 0.3 * normal
    return 0.5 + torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
