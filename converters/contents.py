"""What a converted file holds, in the same words for every format."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from converters.artifact import TensorSpec

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FileLayer:
    """One convolution or linear layer of a file.

    `weight` is in one layout for all formats: (outputs, inputs per group, kernel height, kernel width), or
    (outputs, inputs) for a linear layer. `bias` is (outputs,) or None.
    """

    op: str  # "conv2d" | "depthwise" | "conv_transpose2d" | "linear"
    weight: Array
    bias: Array | None


@dataclass(frozen=True)
class Contents:
    """All that one file says about itself.

    `params` counts the elements of all float constants that have an axis, each stored tensor once. `ops` counts
    operations by the format's own names, outside and inside delegates; `delegated` those inside (None: the runtime
    decides when it loads the file).
    """

    layers: tuple[FileLayer, ...]
    params: int
    ops: dict[str, int]
    delegated: dict[str, int] | None
    transposes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def transposed_weight(weight: Array, groups: int) -> Array:
    """A transposed convolution, (inputs, outputs per group, h, w) in torch and Core ML, as FileLayer has it."""
    inputs, outputs_per_group, *kernel = weight.shape
    grouped = weight.reshape(groups, inputs // groups, outputs_per_group, *kernel).swapaxes(1, 2)
    return grouped.reshape(groups * outputs_per_group, inputs // groups, *kernel)
