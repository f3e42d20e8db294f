"""What a converted file holds, in the same words for every format."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.artifact import TensorSpec

Array = npt.NDArray[np.generic]


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

    `params` counts the elements of all float constants, each stored tensor once. `ops` counts operations by the
    format's own names; `delegated` those inside a delegate's partitions (None: the format decides when it loads).
    """

    layers: tuple[FileLayer, ...]
    params: int
    ops: dict[str, int]
    delegated: dict[str, int] | None
    transposes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
