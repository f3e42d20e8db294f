"""Files that take batches and images of several sizes: what torch.export is told, and the inputs that prove it."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from converters.options import Inputs, Options


def ranges(shape: Sequence[int], options: Options) -> tuple[tuple[int, int], ...]:
    """(least, most) of every axis of an input of this shape: the first is the batch, the last two of four the image."""
    found = [(n, n) for n in shape]
    if options.max_batch > 1:
        found[0] = (1, options.max_batch)
    if options.sides is not None and len(shape) == 4:
        found[2] = found[3] = options.sides
    return tuple(found)


def dynamic_shapes(inputs: Inputs, options: Options) -> tuple[dict[int, Any], ...] | None:
    """The argument of that name of torch.export; None where every shape is fixed."""
    if not options.dynamic:
        return None
    names = ("batch", "", "height", "width")
    return tuple(
        {
            axis: torch.export.Dim(names[axis], min=low, max=high)
            for axis, (low, high) in enumerate(ranges(x.shape, options))
            if low != high
        }
        for x in inputs
    )


def to_trace(inputs: Inputs, options: Options) -> Inputs:
    """The inputs to trace with: two of each, since torch.export takes a batch of 1 for one that never varies."""
    return tuple(x.repeat(2, *[1] * (x.ndim - 1)) for x in inputs) if options.max_batch > 1 else inputs


def export(module: torch.nn.Module, inputs: Inputs, options: Options) -> torch.export.ExportedProgram:
    """`torch.export.export` of a graph with the shapes that the options leave open."""
    return torch.export.export(module, to_trace(inputs, options), dynamic_shapes=dynamic_shapes(inputs, options))


def variants(samples: Sequence[Inputs], options: Options) -> dict[str, list[Inputs]]:
    """Real inputs, two or more, at the ends of what the options leave open, by what they are.

    Batches are put together of several samples, images are scaled.
    """
    found: dict[str, list[Inputs]] = {}
    if options.max_batch > 1:
        found[f"a batch of {options.max_batch}"] = [
            _batch([samples[(start + i) % len(samples)] for i in range(options.max_batch)]) for start in (0, 1)
        ]
    for side in options.sides or ():
        found[f"images of {side} pixels"] = [tuple(_scaled(x, side) for x in sample) for sample in samples]
    return found


def _batch(samples: Sequence[Inputs]) -> Inputs:
    return tuple(torch.cat(tensors) for tensors in zip(*samples, strict=True))


def _scaled(x: Tensor, side: int) -> Tensor:
    return F.interpolate(x, (side, side), mode="bilinear") if x.ndim == 4 else x
