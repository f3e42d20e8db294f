"""A ResNet-8 trained on scikit-learn's digits for some seconds: networks that learned nothing prove nothing."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

Sample = tuple[Tensor, ...]


@dataclass(frozen=True)
class Digits:
    """The trained network, and real inputs of batch size 1."""

    model: nn.Module
    calibration: list[Sample]
    val: list[Sample]  # val and test: 502 images never trained on
    labels: list[int]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    from benchmarks.train_baseline import train
    from edgeprune.sources.batches import calibration_batches
    from edgeprune.sources.data import load_data
    from edgeprune.sources.models import load_model

    weights: Path = tmp_path_factory.mktemp("digits") / "digits.safetensors"
    assert train("builtin:resnet8", "builtin:digits", 15, 0.1, 0, weights) > 0.9
    data = load_data("builtin:digits")
    images, labels = (torch.cat(pair) for pair in zip(data.val.tensors, data.test.tensors, strict=True))
    calibration = [(inputs,) for inputs, _ in calibration_batches(data, 64, batch_size=1)]
    model = load_model("builtin:resnet8", weights).eval()
    return Digits(model, calibration, [(image[None],) for image in images], labels.tolist())
