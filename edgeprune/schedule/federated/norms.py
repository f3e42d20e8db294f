"""Batch-norm statistics of data that nobody sees whole: taken by each client, merged by the server."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.task import call

Statistics = dict[str, Tensor]  # "bn1.running_mean": (C,), "bn1.running_var": (C,)


def norm_names(network: nn.Module) -> list[str]:
    """The batch norms with running statistics, by path."""
    return [path for path, m in network.named_modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]


def local_statistics(network: nn.Module, batches: Iterable[tuple[Any, Any]]) -> tuple[Statistics, int]:
    """Mean and population variance of what every batch norm takes, over all batches, and the number of images.

    Layers see each other's outputs normalised by the batch, as in training; no weight and no buffer moves.
    """
    norms = {path: network.get_submodule(path) for path in norm_names(network)}
    sums: dict[str, list[Tensor | float]] = {}
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    training = {name: module.training for name, module in network.named_modules()}

    def watch(path: str) -> Any:
        def hook(_module: nn.Module, taken: tuple[Tensor, ...]) -> None:
            x = taken[0].detach().double().transpose(0, 1).flatten(1)
            first, second, count = x.sum(1), x.square().sum(1), float(x.shape[1])
            have = sums.get(path, [torch.zeros_like(first), torch.zeros_like(first), 0.0])
            sums[path] = [have[0] + first, have[1] + second, have[2] + count]

        return hook

    hooks = [norm.register_forward_pre_hook(watch(path)) for path, norm in norms.items()]
    images = 0
    try:
        network.eval()
        for norm in norms.values():
            norm.train()
        with torch.no_grad():
            for inputs, targets in batches:
                call(network, inputs)
                images += len(targets)
    finally:
        for hook in hooks:
            hook.remove()
        for name, buffer in network.named_buffers():
            buffer.copy_(before[name])
        for name, module in network.named_modules():
            module.training = training[name]
    found = {}
    for path, (first, second, count) in sums.items():
        mean = torch.as_tensor(first) / count
        found[f"{path}.running_mean"] = mean
        found[f"{path}.running_var"] = (torch.as_tensor(second) / count - mean.square()).clamp_min(0)
    return found, images


def merge(statistics: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> Statistics:
    """As if all data lay in one place: var = sum w (var_k + mean_k^2) - mean^2, with weights that add up to 1.

    Averaging the variances alone forgets how far apart the clients' means are.
    """
    shares = [weight / sum(weights) for weight in weights]
    found = {}
    for name in statistics[0]:
        if not name.endswith("running_mean"):
            continue
        variance = name.removesuffix("mean") + "var"
        means = torch.stack([entry[name].double() for entry in statistics])
        variances = torch.stack([entry[variance].double() for entry in statistics])
        each = torch.tensor(shares, dtype=torch.float64).view(-1, *[1] * (means.ndim - 1))
        found[name] = (each * means).sum(0)
        found[variance] = ((each * (variances + means.square())).sum(0) - found[name].square()).clamp_min(0)
    return found
