"""Bias compensation: what removed channels gave on average goes into a bias (FLAP; methods.md section 10).

The change of output o is the sum over removed inputs c of mean(x_c) * sum_ij W[o, c, i, j]: exact for constant
channels, except where zero padding meets the border of the image.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.graph import Widths, switched
from edgeprune.input_statistics import READERS, input_statistics
from edgeprune.task import call, device_of, relative_error, to_device


@dataclass(frozen=True)
class Compensated:
    """Layers whose bias took the change, those whose batch norm did, and those that have neither and lost it."""

    biases: tuple[str, ...]
    norms: tuple[str, ...]
    lost: tuple[str, ...]


def compensate(dense: nn.Module, pruned: nn.Module, widths: Widths, batches: Iterable[tuple[Any, Any]]) -> Compensated:
    """Changes biases and running means of `pruned`, in place, by the mean inputs that the dense network saw.

    Readers are linear layers and ungrouped convolutions. A layer without bias moves the running mean of the batch norm
    that takes its output, and only it; where there is none, the change is lost, since a new bias would be another
    architecture.
    """
    batches = list(batches)
    layers = [
        name
        for name, layer in dense.named_modules()
        if isinstance(layer, READERS)
        and (isinstance(layer, nn.Linear) or layer.groups == 1)
        and 1 in widths.kept.get(f"{name}.weight", {})
    ]
    statistics = input_statistics(dense, layers, batches)
    after = _norms_after(pruned, layers, batches[0][0]) if batches else {}
    biases, norms, lost = [], [], []
    with torch.no_grad():
        for name in layers:
            layer = pruned.get_submodule(name)
            change = _change(dense.get_parameter(f"{name}.weight"), widths, name, statistics[name].mean)
            if isinstance(layer.bias, Tensor):
                layer.bias += change.to(layer.bias)
                biases.append(name)
            elif name in after:
                running = after[name].running_mean
                assert running is not None
                running -= change.to(running)
                norms.append(name)
            else:
                lost.append(name)
    return Compensated(tuple(biases), tuple(norms), tuple(lost))


def _change(weight: Tensor, widths: Widths, name: str, mean: Tensor) -> Tensor:
    axes = widths.kept[f"{name}.weight"]
    removed = torch.ones(weight.shape[1], dtype=torch.bool)
    removed[list(axes[1])] = False
    matrix = weight.detach().cpu().double().flatten(2).sum(2) if weight.ndim > 2 else weight.detach().cpu().double()
    change = matrix[:, removed] @ mean[removed]
    return change[list(axes[0])] if 0 in axes else change


def _norms_after(network: nn.Module, layers: list[str], inputs: Any) -> dict[str, _BatchNorm]:
    """Layer -> the batch norm that alone takes its output, found by moving both: the answer must not change."""
    given: dict[int, tuple[str, Tensor]] = {}
    found: dict[str, _BatchNorm] = {}

    def left(name: str) -> Any:
        return lambda _module, _taken, output: given.__setitem__(id(output), (name, output))

    def entered(module: _BatchNorm, taken: tuple[Tensor, ...]) -> None:
        if id(taken[0]) in given and module.running_mean is not None:
            found[given[id(taken[0])][0]] = module

    hooks = [network.get_submodule(name).register_forward_hook(left(name)) for name in layers]
    hooks += [m.register_forward_pre_hook(entered) for m in network.modules() if isinstance(m, _BatchNorm)]
    inputs = to_device(inputs, device_of(network))
    with torch.no_grad(), switched(network, training=False):
        try:
            plain = call(network, inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return {name: norm for name, norm in found.items() if _takes_all(network, name, norm, inputs, plain)}


def _takes_all(network: nn.Module, name: str, norm: _BatchNorm, inputs: Any, plain: Any) -> bool:
    """Whether a constant on the layer's output is undone by the same constant on the norm's running mean."""
    layer, running = network.get_submodule(name), norm.running_mean
    assert running is not None
    kept = running.clone()
    hook = layer.register_forward_hook(lambda _module, _taken, output: output + 1.0)
    try:
        running += 1.0
        return float(relative_error(call(network, inputs), plain)) < 1e-8
    finally:
        running.copy_(kept)
        hook.remove()
