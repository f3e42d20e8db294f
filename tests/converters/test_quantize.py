"""Reduced files of a trained network: judged through their runtimes on real digits, and by the arithmetic of int8."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from converters import ConversionError, MissingExtra, Options, convert, inspect
from converters.artifact import SUFFIXES, Format
from converters.inspection import read
from converters.parity import RULES, compare, parity
from tests.converters.conftest import Digits
from tests.converters.test_formats import SmallResNet, generic, samples

REDUCED: list[tuple[Format, str, float]] = [  # the size of the file, at most, as a share of the float32 file's
    ("litert", "fp16", 0.6),
    ("litert", "int8", 0.4),
    ("litert", "int8-weights", 0.4),
    ("executorch", "fp16", 1.01),  # XNNPACK keeps the weights of convolutions in float32
    ("executorch", "int8", 0.4),
    ("coreml", "fp16", 0.6),
    ("coreml", "int8", 0.4),
    ("coreml", "int8-weights", 0.4),
    ("coreml", "palettize", 0.4),
    ("onnx", "fp16", 0.6),
    ("onnx", "int8", 0.4),
]


@pytest.fixture(scope="module")
def whole(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Bytes of the float32 files."""
    folder = tmp_path_factory.mktemp("whole")
    example = digits.val[0]
    return {
        fmt: convert(digits.model, example, fmt, folder / f"net{suffix}").size_bytes for fmt, suffix in SUFFIXES.items()
    }


@pytest.mark.parametrize(("format", "quantize", "share"), REDUCED)
def test_a_reduced_file_is_smaller_and_answers_alike(
    format: Format, quantize: str, share: float, digits: Digits, whole: dict[str, int], tmp_path: Path
) -> None:
    options = Options(quantize=quantize, calibration=digits.calibration)
    artifact = convert(digits.model, digits.val[0], format, tmp_path / f"net{SUFFIXES[format]}", options)
    result = parity(artifact, digits.model, digits.val, labels=digits.labels)
    assert result.passed, result.reason
    assert result.inputs == len(digits.val)
    assert result.agreement >= RULES[artifact.precision].agreement
    assert result.accuracy >= result.reference_accuracy - 0.01
    assert 20 < result.snr_db < 100  # close to the network, and yet not float32
    assert artifact.size_bytes <= share * whole[format]
    assert inspect(artifact.path).widths == (16, 16, 16, 32, 32, 32, 64, 64, 64, 10)
    assert inspect(artifact.path).params == 77_418


@pytest.mark.parametrize("format", ["litert", "executorch", "coreml", "onnx"])
def test_int8_weights_are_rounded_per_output_channel(format: Format, digits: Digits, tmp_path: Path) -> None:
    path = tmp_path / f"net{SUFFIXES[format]}"
    convert(digits.model, digits.val[0], format, path)
    floats = [layer.weight for layer in read(path, format).layers]
    convert(digits.model, digits.val[0], format, path, Options(quantize="int8", calibration=digits.calibration[:4]))
    for exact, rounded in zip(floats, (layer.weight for layer in read(path, format).layers), strict=True):
        rows, found = exact.reshape(len(exact), -1), rounded.reshape(len(exact), -1)
        steps = np.abs(rows).max(axis=1, keepdims=True) / 127
        # Half a step of the channel's own; Core ML rounds weight, step and product to float16, 127 x 2^-11 steps each.
        assert (np.abs(rows - found) <= (0.69 if format == "coreml" else 0.51) * steps).all()
        assert (np.abs(rows - found).max(axis=1) > 0).all()


def test_a_useless_calibration_fails_the_check(digits: Digits, tmp_path: Path) -> None:
    dark = [(0.01 * x,) for (x,) in digits.calibration[:8]]
    options = Options(quantize="int8", calibration=dark)
    artifact = convert(digits.model, digits.val[0], "litert", tmp_path / "net.tflite", options)
    result = parity(artifact, digits.model, digits.val, labels=digits.labels)
    assert not result.passed
    assert "top-1 answers" in result.reason or "hardly depends" in result.reason


def test_rules_by_hand() -> None:
    # four inputs, two classes; torch says 0 1 1 0, the file 0 1 1 1: three of four agree
    ours = [np.array([[2.0, 1.0]]), np.array([[1.0, 2.0]]), np.array([[0.0, 3.0]]), np.array([[1.5, 1.0]])]
    theirs = [*ours[:3], np.array([[1.5, 2.0]])]
    expected, found = [[x] for x in ours], [[x] for x in theirs]
    result = compare(expected, found, RULES["int8"], labels=[0, 1, 1, 0])
    assert (result.agreement, result.accuracy, result.reference_accuracy) == (0.75, 0.75, 1.0)
    assert "75.0% of the top-1" in result.reason
    assert "25.0 points" in result.reason
    # signal 4 + 1 + 1 + 4 + 9 + 2.25 + 1 = 22.25, noise (2 - 1)^2 = 1
    assert result.snr_db == pytest.approx(10 * np.log10(22.25))
    assert result.max_rel_error == pytest.approx(1 / 3)
    better = compare(expected, found, RULES["int8"], labels=[0, 1, 1, 1])  # wrong where torch is wrong costs nothing
    assert better.accuracy == 1.0
    assert "points" not in better.reason
    regression = [[np.array([[1.0]])], [np.array([[2.0]])]]
    off = [[np.array([[1.3]])], [np.array([[2.0]])]]
    assert "signal to noise 17.4 dB" in compare(regression, off, RULES["int8"]).reason  # 10 log10(5 / 0.09)
    half = [[1.005 * x] for x in ours]
    assert compare(expected, half, RULES["float16"]).passed
    assert not compare(expected, half, RULES["float32"]).passed
    deaf = [[ours[0]]] * 4
    assert "of the file hardly depends" in compare(expected, deaf, RULES["int8"]).reason


def test_nhwc_input_has_no_transpose(tmp_path: Path) -> None:
    model, inputs = generic(SmallResNet(16)).eval(), samples(3, 3, 16, 24)
    artifact = convert(model, inputs[0], "litert", tmp_path / "net.tflite", Options(nhwc=True))
    assert artifact.inputs[0].layout == "NHWC"
    assert artifact.inputs[0].shape == (1, 16, 24, 3)
    assert inspect(artifact.path).transposes == 0
    assert parity(artifact, model, inputs).passed
    artifact = convert(model, inputs[0], "litert", tmp_path / "net.tflite")
    assert inspect(artifact.path).transposes == 1


class Wave(nn.Module):
    """A network with an operation that XNNPACK does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.wave = nn.Conv2d(3, 4, 3), Sine()

    def forward(self, x: Tensor) -> Tensor:
        return self.wave(self.conv(x))


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.atan(x)


def test_portable_kernels_are_refused_unless_allowed(tmp_path: Path) -> None:
    model, inputs, path = generic(Wave()).eval(), samples(2, 3, 6, 6), tmp_path / "net.pte"
    with pytest.raises(ConversionError, match="atan") as caught:
        convert(model, inputs[0], "executorch", path, Options(allow_portable=False))
    assert caught.value.module_path == "wave"
    assert "--allow-portable" in caught.value.cure
    assert not path.exists()
    artifact = convert(model, inputs[0], "executorch", path)
    assert "aten::atan" in inspect(path).ops_by_backend["portable"]
    assert inspect(path).delegated_share < 1
    assert parity(artifact, model, inputs).passed


def test_backends_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, example, path = generic(SmallResNet(16)).eval(), samples(1, 3, 16, 16)[0], tmp_path / "net.pte"
    for delegate, name in (("vulkan", "VulkanBackend"), ("coreml", "CoreMLBackend")):
        convert(model, example, "executorch", path, Options(delegate=delegate, allow_portable=False))
        assert name in inspect(path).ops_by_backend
        assert path.stat().st_size > 4 * sum(p.numel() for p in model.parameters())  # float32, as its label says
        path.unlink()
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    with pytest.raises(MissingExtra, match="qnn backend is not in this install") as caught:
        convert(model, example, "executorch", path, Options(delegate="qnn"))
    assert "QNN_SDK_ROOT" in caught.value.cure
    assert not path.exists()


def test_int8_without_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="representative inputs"):
        convert(SmallResNet(), samples(1, 3, 8, 8)[0], "litert", tmp_path / "net.tflite", Options(quantize="int8"))
