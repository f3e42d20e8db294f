"""Fashion-MNIST as a mobile network's input: a few real pictures, three channels, 96 pixels.

`benchmarks/pictures.py:few` is a data spec for runs that train nothing: 640 pictures for scores and sensitivities.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import TensorDataset

from edgeprune.sources.data import load_data

FASHION = "fashion-mnist:/usr/share/datasets/fashion-mnist"
SPEC = f"{Path(__file__)}:few"
PIXELS, TRAIN, VAL = 96, 512, 128


def few() -> dict[str, TensorDataset]:
    """The first pictures of train and val."""
    data = load_data(FASHION)
    found = {}
    for name, split, count in (("train", data.train, TRAIN), ("val", data.val, VAL)):
        assert isinstance(split, TensorDataset)
        images, labels = split.tensors
        found[name] = TensorDataset(enlarged(images[:count]), labels[:count])
    return found


def enlarged(images: Tensor) -> Tensor:
    """(N, 1, 28, 28) -> (N, 3, 96, 96)."""
    large = interpolate(images, size=(PIXELS, PIXELS), mode="bilinear", antialias=True)
    return torch.cat([large] * 3, 1)
