"""LiteRT by onnx2tf: the same network, the same answers, in both layouts and in int8; nothing is fetched."""

import subprocess
import sys
from pathlib import Path

import pytest

from converters import ConversionError, MissingExtra, Options, convert, inspect
from converters.onnx2tf_environment import find, versions
from converters.parity import parity
from tests.converters.conftest import Digits
from tests.converters.test_formats import SmallResNet, samples

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def environment() -> None:
    done = subprocess.run(["make", "onnx2tf"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("nhwc", "quantize"), [(False, "none"), (True, "none"), (False, "int8"), (True, "int8")])
def test_it_computes_the_same_network(nhwc: bool, quantize: str, digits: Digits, tmp_path: Path) -> None:
    options = Options(quantize=quantize, calibration=digits.calibration, nhwc=nhwc, via="onnx2tf")
    artifact = convert(digits.model, digits.val[0], "litert", tmp_path / "net.tflite", options)
    result = parity(artifact, digits.model, digits.val, labels=digits.labels)
    assert result.passed, result.reason
    assert artifact.inputs[0].shape == (1, 8, 8, 1) if nhwc else (1, 1, 8, 8)
    assert artifact.versions["onnx2tf"] == versions()["onnx2tf"] == "1.28.8"
    assert sorted(inspect(artifact.path).widths) == [10, *[16] * 3, *[32] * 3, *[64] * 3]


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_it_runs_without_a_network(digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a namespace without any network interface, where the machine lets us make one."""
    inside = ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody make a network namespace")
    fenced = tmp_path / "bin" / "onnx2tf"
    fenced.parent.mkdir()
    fenced.write_text(f'#!/bin/sh\nexec {" ".join(inside)} "{find()}" "$@"\n')
    fenced.chmod(0o755)
    monkeypatch.setenv("EDGEPRUNE_ONNX2TF", str(fenced))
    artifact = convert(digits.model, digits.val[0], "litert", tmp_path / "net.tflite", Options(via="onnx2tf"))
    assert parity(artifact, digits.model, digits.val[:8]).passed


def test_a_missing_or_failing_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, example = SmallResNet(8).eval(), samples(1, 3, 8, 8)[0]
    monkeypatch.setenv("EDGEPRUNE_ONNX2TF", str(tmp_path / "gone"))
    with pytest.raises(MissingExtra, match="gone") as caught:
        convert(model, example, "litert", tmp_path / "net.tflite", Options(via="onnx2tf"))
    assert "make onnx2tf" in caught.value.cure
    broken = tmp_path / "onnx2tf"
    broken.write_text(f'#!{sys.executable}\nraise SystemExit("ERROR: no such operator: Frobnicate")\n')
    broken.chmod(0o755)
    monkeypatch.setenv("EDGEPRUNE_ONNX2TF", str(broken))
    with pytest.raises(ConversionError, match="Frobnicate"):
        convert(model, example, "litert", tmp_path / "net.tflite", Options(via="onnx2tf"))
    assert not (tmp_path / "net.tflite").exists()
