"""Generic weights: a network whose every channel matters, so that a wrong surgery shows.

Freshly initialised networks answer almost nothing (an untrained MobileNetV2: 2e-9) and any tolerance passes there.
"""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

_ENOUGH = 4  # values a channel, for statistics of its own


def generic_copy(model: nn.Module, seed: int) -> nn.Module:
    """A float64 CPU copy in eval mode: Kaiming weights, norm scales and variances in [0.5, 1.5], random shifts."""
    generator = torch.Generator().manual_seed(seed)
    result = copy.deepcopy(model).to("cpu", torch.float64)
    for module in result.modules():
        module.training = False
    with torch.no_grad():
        for name, tensor in [*result.named_parameters(), *result.named_buffers()]:
            if tensor.is_floating_point() and (isinstance(tensor, nn.Parameter) or _is_statistic(name)):
                tensor.copy_(_draw(name.rpartition(".")[2], tensor, generator))
    return result


def calibrate(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Refer the generic running statistics to the network's activations, so that no signal fades with depth.

    Constants (shifts) would drown it otherwise: in an EfficientNet an early mis-wiring would move the output by 1e-5.
    """

    def refer(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        channels = arguments[0].transpose(0, 1).flatten(1)
        if channels.shape[1] < _ENOUGH:
            channels = channels.reshape(1, -1)
        variance = channels.var(1, unbiased=False)
        variance = variance.clamp(min=max(0.01 * float(variance.mean()), 1e-6))
        mean, var = module.get_buffer("running_mean"), module.get_buffer("running_var")
        mean.copy_(channels.mean(1) + mean * variance.sqrt())
        var.mul_(variance)

    norms = [m for m in model.modules() if isinstance(m._buffers.get("running_var"), Tensor)]
    handles = [norm.register_forward_pre_hook(_once(refer)) for norm in norms]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()


def _once(change: Callable[[nn.Module, tuple[Tensor, ...]], None]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """A module that is called twice is changed by its first call."""
    done = False

    def hook(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        nonlocal done
        if not done:
            change(module, arguments)
        done = True

    return hook


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
