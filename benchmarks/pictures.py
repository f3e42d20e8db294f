"""Cuts of Fashion-MNIST as data specs.

`benchmarks/pictures.py:few` is a mobile network's input for runs that train nothing: 640 pictures for scores and
sensitivities, three channels, 96 pixels. `benchmarks/pictures.py:twenty_thousand` is what ResNet-20 trains on.
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


def twenty_thousand() -> dict[str, TensorDataset]:
    """The first 20,000 training pictures as they are, with all of val and test."""
    data = load_data(FASHION)
    assert isinstance(data.train, TensorDataset)
    assert isinstance(data.val, TensorDataset)
    assert isinstance(data.test, TensorDataset)
    images, labels = data.train.tensors
    return {"train": TensorDataset(images[:20_000], labels[:20_000]), "val": data.val, "test": data.test}


def enlarged(images: Tensor) -> Tensor:
    """(N, 1, 28, 28) -> (N, 3, 96, 96)."""
    large = interpolate(images, size=(PIXELS, PIXELS), mode="bilinear", antialias=True)
    return torch.cat([large] * 3, 1)
