"""An example input for tracing, where there are no data: its shape is all that matters."""

from collections.abc import Sequence

import torch
from torch import Tensor

from edgeprune.errors import UsageError

DEFAULT_SHAPE = "3x224x224"


def example_inputs(shapes: Sequence[str]) -> tuple[Tensor, ...]:
    """One float32 tensor (1, C, H, W) of noise a shape, such as "3x224x224" or "1,3,224,224". Raises UsageError."""
    return tuple(_noise(text, seed) for seed, text in enumerate(shapes or (DEFAULT_SHAPE,)))


def _noise(text: str, seed: int) -> Tensor:
    try:
        shape = [int(part) for part in text.lower().replace(",", "x").split("x")]
        if len(shape) == 4 and shape[0] == 1:
            shape = shape[1:]  # the batch was written too
        if min(shape) < 1:
            raise ValueError(text)
    except ValueError as error:
        raise UsageError(f"--input-shape {text!r} is no shape.", "Write it without the batch: 3x224x224.") from error
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed))
