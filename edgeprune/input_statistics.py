"""Mean, variance and norm of every input channel of single layers, over all batches and positions."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.observe import show

READERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class InputStatistics:
    """Running mean and sum of squared deviations a channel (channels,), float64, by Chan's merge of batches.

    Updating with two batches is the same as with the two concatenated.
    """

    def __init__(self, channels: int) -> None:
        self.n = 0
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self.deviations = torch.zeros(channels, dtype=torch.float64)

    def update(self, columns: Tensor) -> None:
        """Adds observations (channels, n)."""
        x = columns.double()
        n, mean = x.shape[1], x.mean(1)
        total, shift = self.n + n, mean - self.mean
        self.deviations += (x - mean[:, None]).square().sum(1) + shift.square() * self.n * n / total
        self.mean += shift * n / total
        self.n = total

    @property
    def variance(self) -> Tensor:
        """Population variance (channels,)."""
        return self.deviations / max(self.n, 1)

    @property
    def norm(self) -> Tensor:
        """Root mean square (channels,): ||x_j||_2 / sqrt(n)."""
        return (self.variance + self.mean.square()).sqrt()


def channel_columns(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer's input as (channels, observations): the last axis of a linear layer, the second of a convolution."""
    return x.movedim(-1 if isinstance(layer, nn.Linear) else 1, 0).flatten(1)


def input_statistics(
    model: nn.Module, layers: Iterable[str], batches: Iterable[tuple[Any, Any]]
) -> dict[str, InputStatistics]:
    """The statistics of the inputs of each of the layers, in eval mode; the model is left as it was.

    A layer that runs several times in a forward pass is observed each time; one that never ran has n = 0.
    """
    found = {}
    hooks = []
    for name in layers:
        layer = model.get_submodule(name)
        assert isinstance(layer, READERS)
        channels = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
        found[name] = InputStatistics(channels)

        def observe(module: nn.Module, taken: tuple[Tensor, ...], name: str = name) -> None:
            found[name].update(channel_columns(module, taken[0]).cpu())

        hooks.append(layer.register_forward_pre_hook(observe))
    show(model, batches, hooks)
    return found
