"""A converter that gets one layer wrong: the bisection has to name that layer, by the path in the user's model."""

import importlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from converters import Options, convert
from converters.artifact import SUFFIXES, Format
from converters.divergence import first_divergence
from converters.parity import parity
from tests.converters.conftest import Digits
from tests.converters.test_formats import generic, samples


class Branches(nn.Module):
    """Two branches that meet again, the second wider: a fault in one is invisible from the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.left = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1))
        self.right = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(torch.relu(self.left(x) + self.right(x)).mean((2, 3)))


def break_layer(monkeypatch: pytest.MonkeyPatch, format: Format, layer: str) -> None:
    """Let the writer of a format read one weight of that layer wrongly."""
    backend = importlib.import_module(f"converters.{format}")
    write = backend.write

    def faulty(graph_module: fx.GraphModule, example: tuple[Tensor, ...], path: Path, options: Options) -> None:
        weights = dict(graph_module.named_parameters())
        if f"{layer}.weight" in weights:
            weights[f"{layer}.weight"].data *= 1.05
        write(graph_module, example, path, options)

    monkeypatch.setattr(backend, "write", faulty)


@pytest.mark.parametrize(
    ("format", "layer"),
    [("onnx", "stem.0"), ("onnx", "left.0"), ("onnx", "left.3"), ("onnx", "right.2"), ("onnx", "head"),
     ("litert", "left.3"), ("coreml", "right.0")],
)  # fmt: skip
def test_the_layer_that_went_wrong_is_named(
    format: Format, layer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, inputs = generic(Branches()).eval(), samples(3, 3, 8, 8)
    break_layer(monkeypatch, format, layer)
    artifact = convert(model, inputs[0], format, tmp_path / f"net{SUFFIXES[format]}")
    assert "differs" in parity(artifact, model, inputs).reason
    found = first_divergence(model, inputs, format)
    assert found is not None
    assert found.module_path == layer
    assert 0.001 < found.error < 0.2
    assert found.conversions <= 6  # of 13 operations
    assert layer in str(found)


def test_a_right_file_diverges_nowhere() -> None:
    assert first_divergence(generic(Branches()).eval(), samples(3, 3, 8, 8), "onnx") is None


def test_int8_names_the_layer_whose_range_was_cut(digits: Digits) -> None:
    """Calibrated on images that are nearly black, the very first layer saturates."""
    dark = [(0.02 * x - 0.8,) for (x,) in digits.calibration[:8]]
    found = first_divergence(digits.model, digits.val, "litert", Options(quantize="int8", calibration=dark))
    assert found is not None
    assert found.module_path == "conv1"
