"""An example input for tracing, where there are no data: its shape is all that matters."""

from collections.abc import Sequence

import torch
from torch import Tensor

from edgeprune.input_shape import read_input_shape

DEFAULT_SHAPE = "3x224x224"


def example_inputs(shapes: Sequence[str]) -> tuple[Tensor, ...]:
    """One float32 tensor (1, C, H, W) of noise a shape, such as "3x224x224" or "1,3,224,224". Raises UsageError."""
    return tuple(_noise(text, seed) for seed, text in enumerate(shapes or (DEFAULT_SHAPE,)))


def _noise(text: str, seed: int) -> Tensor:
    return torch.randn(1, *read_input_shape(text), generator=torch.Generator().manual_seed(seed))
