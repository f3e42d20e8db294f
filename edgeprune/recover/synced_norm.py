"""Batch norm over a batch that lies in several processes (ours: torch's SyncBatchNorm refuses tensors on the CPU).

Each process sends count, mean and sum of squared deviations of its share. They are put together by the rule of Chan,
Golub and LeVeque (1979): neither large means nor uneven shares cost precision. Gradients flow through the exchange.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class SyncedBatchNorm(TorchFunctionMode):
    """Inside the block every `F.batch_norm` in training takes its statistics from all processes, whoever calls it:
    nn.BatchNorm2d, a subclass with a forward of its own, or the user's code. All processes have to run the same calls.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.batch_norm:
            return batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class _Sum(torch.autograd.Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:  # noqa: ARG004
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:  # noqa: ARG004
        total = slopes[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def total(own: Tensor) -> Tensor:
    """The sum over all processes."""
    summed: Tensor = _Sum.apply(own)
    return summed


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` of (N, C, ...), its statistics those of the batches of all processes together."""
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    x = input if input.dtype == torch.float64 else input.float()
    around = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    mean = x.mean(around)
    deviation = (x - mean.view(shape)).square().sum(around)
    own = torch.stack([torch.full_like(mean, x.numel() / x.shape[1]), mean, deviation])
    rank, world = dist.get_rank(), dist.get_world_size()
    everyone = torch.stack([own if other == rank else torch.zeros_like(own) for other in range(world)])
    counts, means, deviations = total(everyone).unbind(1)
    count = counts.sum(0)
    mean = (counts * means).sum(0) / count
    var = (deviations + counts * (means - mean).square()).sum(0) / count
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            running_var.lerp_((var * count / (count - 1).clamp_min(1)).to(running_var.dtype), momentum)
    scale = (var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    out = (x - mean.view(shape)) * scale.view(shape)
    out = out if bias is None else out + bias.view(shape)
    return out.to(input.dtype)
