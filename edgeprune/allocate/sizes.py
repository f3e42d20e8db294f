"""Weights and MACs of one layer at given widths. Works on numbers and on NumPy arrays that broadcast."""

from math import prod
from typing import Any

from edgeprune.graph import Layer

TIED = ("depthwise", "grouped")  # ops whose two widths move together


def weights(layer: Layer, c_in: Any, c_out: Any) -> Any:
    """Weight entries at these widths, without bias. Grouped convolutions keep their channels per group."""
    if layer.op in TIED:
        return prod(layer.kernel) * (dense_channels(layer)[0] // layer.groups) * (c_out + 0.0 * c_in)
    return prod(layer.kernel) * c_in * c_out / layer.groups


def macs(layer: Layer, c_in: Any, c_out: Any) -> Any:
    """Multiply-accumulates of one image at these widths."""
    pixels = prod(layer.in_hw if layer.op == "conv_transpose2d" else layer.out_hw)
    return layer.repeats * pixels * weights(layer, c_in, c_out)


def dense_channels(layer: Layer) -> tuple[int, int]:
    """(c_in, c_out) of the unpruned layer."""
    return sum(part.channels for part in layer.in_parts), sum(part.channels for part in layer.out_parts)
