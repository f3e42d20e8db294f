"""What a mobile engineer gets wrong, or finds missing: named, with what to do, and nothing half-written."""

import errno
import importlib.metadata
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from converters import ConversionError, MissingExtra, WriteError, convert
from converters.artifact import SUFFIXES, Format
from converters.errors import ConverterError
from edgeprune.errors import explain
from tests.converters.conftest import Digits

FORMATS: tuple[Format, ...] = ("litert", "executorch", "coreml", "onnx")
EXAMPLE = (torch.ones(1, 1, 8, 8),)


class Singular(nn.Module):
    """An operation that no mobile format holds."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svdvals(x)


class Sign(nn.Module):
    """Control flow that depends on the numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Network(nn.Module):
    """A convolution, and deep inside something odd."""

    def __init__(self, odd: nn.Module) -> None:
        super().__init__()
        self.conv, self.blocks = nn.Conv2d(1, 4, 3), nn.Sequential(nn.ReLU(), nn.Sequential(odd))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.conv(x))


def refused(module: nn.Module, format: Format, folder: Path, inputs: tuple[Tensor, ...] = EXAMPLE) -> ConverterError:
    """The error of a conversion that leaves nothing behind; its exit code is one that a user can act on."""
    with pytest.raises(ConverterError) as caught:
        convert(module, inputs, format, folder / f"net{SUFFIXES[format]}")
    assert list(folder.iterdir()) == []
    problem = explain(caught.value)
    assert problem is not None
    assert problem.exit_code in (2, 3)
    assert problem.cure
    return caught.value


@pytest.mark.parametrize("format", FORMATS)
def test_an_operation_that_the_format_lacks(format: Format, tmp_path: Path) -> None:
    error = refused(Network(Singular()), format, tmp_path)
    assert isinstance(error, ConversionError)
    assert "svd" in str(error.op)
    assert error.module_path == "blocks.1.0"
    assert "blocks.1.0" in error.message
    assert "Take the decomposition out of the network" in error.cure


def test_complex_numbers_are_named_by_what_makes_them(tmp_path: Path) -> None:
    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft2(x).real

    error = refused(Network(Spectrum()), "litert", tmp_path)
    assert isinstance(error, ConversionError)
    assert (error.op, error.module_path) == ("aten.fft_fft2", "blocks.1.0")
    assert "fixed matrix of cosines" in error.cure
    assert "\\n" not in error.message


class Bicubic(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x, scale_factor=2, mode=self.mode)


def test_the_workaround_that_is_named_works(tmp_path: Path) -> None:
    error = refused(Network(Bicubic("bicubic")), "coreml", tmp_path)
    assert isinstance(error, ConversionError)
    assert (error.op, error.module_path) == ("aten.upsample_bicubic2d", "blocks.1.0")
    assert 'mode="bilinear"' in error.cure
    convert(Network(Bicubic("bilinear")), EXAMPLE, "coreml", tmp_path / "net.mlpackage")


def test_an_operation_without_a_known_workaround(tmp_path: Path) -> None:
    class Inverse(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.erfinv(torch.tanh(x))

    error = refused(Network(Inverse()), "onnx", tmp_path)
    assert isinstance(error, ConversionError)
    assert (error.op, error.module_path) == ("aten.erf_inv", "blocks.1.0")  # torch names its own decomposition so
    assert "\x1b" not in error.message
    assert "Replace that operation" in error.cure


def test_control_flow_that_depends_on_the_numbers(tmp_path: Path) -> None:
    error = refused(Network(Sign()), "onnx", tmp_path)
    assert "cannot trace the model at test_bad_input.py:" in error.message
    assert "control flow" in error.cure


def test_inputs_that_the_network_does_not_take(digits: Digits, tmp_path: Path) -> None:
    error = refused(digits.model, "onnx", tmp_path, (torch.ones(1, 3, 8, 8),))
    assert "[1, 3, 8, 8]" in error.message
    assert "inputs" in error.cure
    error = refused(digits.model, "onnx", tmp_path, (*EXAMPLE, *EXAMPLE))
    assert "2 inputs" in error.message


def test_calibration_inputs_of_another_shape(digits: Digits, tmp_path: Path) -> None:
    from converters import Options

    options = Options(quantize="int8", calibration=[(torch.ones(1, 1, 9, 9),)])
    with pytest.raises(ConversionError, match=r"calibration inputs have the shapes \(1, 1, 9, 9\)") as caught:
        convert(digits.model, EXAMPLE, "litert", tmp_path / "net.tflite", options)
    assert "(1, 1, 8, 8)" in caught.value.cure
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("format", "distribution"),
    [("litert", "litert-torch"), ("executorch", "executorch"), ("coreml", "coremltools"), ("onnx", "onnxscript")],
)
def test_an_extra_that_is_missing(
    format: Format, distribution: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name == distribution:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    error = refused(Network(nn.Identity()), format, tmp_path)
    assert isinstance(error, MissingExtra)
    assert distribution in error.message
    assert error.cure == f'pip install "edgeprune[{format}]"'


@pytest.mark.parametrize(("number", "told"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")])
def test_a_disk_that_takes_nothing(number: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", failing)
    error = refused(Network(nn.ReLU()), "onnx", tmp_path)
    assert isinstance(error, WriteError)
    assert told in error.message
    assert "Free some space" in error.cure
