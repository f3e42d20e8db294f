"""Standard deviations of a layer's input patches and of its outputs, at every output position, over many batches."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Scored = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


class Deviations:
    """Running sums of one layer call: n images, outputs x and x^2 (C, H, W), patch means of x and x^2 (groups, H, W).

    Updating with two batches is the same as with the two concatenated.
    """

    def __init__(self) -> None:
        self.n = 0
        self.outputs: Tensor | float = 0.0
        self.outputs_squared: Tensor | float = 0.0
        self.patches: Tensor | float = 0.0
        self.patches_squared: Tensor | float = 0.0

    def update(self, layer: Scored, inputs: Tensor, outputs: Tensor) -> None:
        """Adds a batch: inputs (N, C_in, H, W) and outputs (N, C_out, H', W') before any normalisation."""
        if isinstance(layer, nn.Linear):
            inputs, outputs = _as_image(inputs), _as_image(outputs)
        self.n += len(outputs)
        self.outputs = self.outputs + outputs.sum(0).double()
        self.outputs_squared = self.outputs_squared + outputs.square().sum(0).double()
        self.patches = self.patches + patch_means(layer, inputs.sum(0, keepdim=True)).squeeze(0)
        self.patches_squared = self.patches_squared + patch_means(layer, inputs.square().sum(0, keepdim=True)).squeeze(
            0
        )

    def output_sd(self) -> Tensor:
        """Population standard deviation over the images, of every output: (C_out, positions)."""
        return _sd(self.outputs, self.outputs_squared, self.n)

    def input_sd(self) -> Tensor:
        """Population standard deviation over images and patch, zero padding included: (groups, positions)."""
        return _sd(self.patches, self.patches_squared, self.n)


def patch_means(layer: Scored, inputs: Tensor) -> Tensor:
    """Mean of the input over each output's receptive field: (N, C_in, H, W) -> (N, groups, H', W'), float64.

    The field is the layer's own: its kernel, stride, padding, dilation, and the input channels of the conv group.
    """
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    n, channels, *space = inputs.shape
    means = inputs.reshape(n, groups, channels // groups, *space).mean(2).double()
    if isinstance(layer, nn.Linear):
        return means
    kernel = torch.ones(groups, 1, *layer.kernel_size, dtype=means.dtype, device=means.device)
    if isinstance(layer, nn.ConvTranspose2d):
        settings: dict[str, Any] = {
            "stride": layer.stride,
            "padding": layer.padding,
            "output_padding": layer.output_padding,
            "dilation": layer.dilation,
            "groups": groups,
        }
        reached = F.conv_transpose2d(torch.ones_like(means), kernel, **settings)
        return F.conv_transpose2d(means, kernel, **settings) / reached.clamp_min(1)
    padding: Any = layer.padding
    if layer.padding_mode != "zeros":
        means, padding = F.pad(means, layer._reversed_padding_repeated_twice, mode=layer.padding_mode), 0
    sums: Tensor = F.conv2d(means, kernel, stride=layer.stride, padding=padding, dilation=layer.dilation, groups=groups)
    return sums / kernel[0].numel()


def _as_image(tensor: Tensor) -> Tensor:
    return tensor.reshape(len(tensor), -1, tensor.shape[-1]).transpose(1, 2).unsqueeze(3)


def _sd(total: Tensor | float, squared: Tensor | float, n: int) -> Tensor:
    mean = torch.as_tensor(total) / n
    return (torch.as_tensor(squared) / n - mean.square()).clamp_min(0).sqrt().flatten(1).cpu()
