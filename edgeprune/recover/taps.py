"""What single layers take and give in a forward pass, and in which order they run."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.task import call


class _Reached(Exception):
    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value


def calls_in_order(network: nn.Module, batch: Any) -> list[str]:
    """Every run of a linear layer or 2-d convolution in one forward pass, by name, in order."""
    calls: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            call(network, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def layer_order(network: nn.Module, batch: Any) -> list[str]:
    """Layers that can be fitted, in the order in which they run; those that run more than once are left out.

    Linear layers, and convolutions of one group with zero padding.
    """
    calls = calls_in_order(network, batch)
    return [n for n in dict.fromkeys(calls) if calls.count(n) == 1 and _can_fit(network.get_submodule(n))]


def _can_fit(layer: nn.Module) -> bool:
    return not isinstance(layer, nn.Conv2d) or (layer.groups == 1 and layer.padding_mode == "zeros")


def until(network: nn.Module, register: Callable[..., Any], batch: Any) -> Tensor:
    """What a layer takes (pre-hook) or gives (hook); the forward pass ends there."""

    def stop(_module: nn.Module, taken: tuple[Tensor, ...], given: Tensor | None = None) -> None:
        raise _Reached(taken[0] if given is None else given)

    hook = register(stop)
    try:
        call(network, batch)
    except _Reached as reached:
        return reached.value
    finally:
        hook.remove()
    raise AssertionError("the layer did not run")
