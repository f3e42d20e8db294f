"""Files that take several batches and image sizes: they answer what the network answers at the ends and between."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from converters import ConversionError, Options, convert
from converters.artifact import SUFFIXES, Format
from converters.dynamic import ranges, variants
from converters.errors import ConverterError
from converters.parity import RULES, parity, to_file
from converters.session import open_artifact
from tests.converters.conftest import Digits

FORMATS: tuple[Format, ...] = ("executorch", "coreml", "onnx")


@pytest.mark.parametrize("format", FORMATS)
def test_any_batch_and_any_size(format: Format, digits: Digits, tmp_path: Path) -> None:
    options = Options(max_batch=5, sides=(8, 20), allow_portable=False)
    artifact = convert(digits.model, digits.val[0], format, tmp_path / f"net{SUFFIXES[format]}", options)
    assert artifact.inputs[0].shape == (-1, 1, -1, -1)
    assert artifact.inputs[0].ranges == ((1, 5), (1, 1), (8, 20), (8, 20))
    session = open_artifact(artifact)
    images = torch.cat([x for (x,) in digits.val[:5]])
    for batch, height, width in ((1, 8, 8), (5, 8, 8), (3, 20, 11), (2, 13, 17)):
        x = F.interpolate(images[:batch], (height, width), mode="bilinear")
        with torch.no_grad():
            expected = digits.model(x)
        (found,) = session.run(to_file(artifact, (x,)))
        assert found.shape == (batch, 10)
        assert (torch.from_numpy(found) - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "quantize"),
    [("executorch", "int8"), ("executorch", "fp16"), ("onnx", "fp16"), ("coreml", "int8-weights")],
)
def test_reduced_files_keep_their_open_batch(format: Format, quantize: str, digits: Digits, tmp_path: Path) -> None:
    options = Options(quantize=quantize, calibration=digits.calibration, max_batch=4)  # type: ignore[arg-type]
    artifact = convert(digits.model, digits.val[0], format, tmp_path / f"net{SUFFIXES[format]}", options)
    (batches,) = variants(digits.val[:100], options).values()
    assert [len(x) for (x,) in batches] == [4, 4]
    session = open_artifact(artifact)
    agreed = 0
    for start in range(0, 200, 4):
        x = torch.cat([sample[0] for sample in digits.val[start : start + 4]])
        with torch.no_grad():
            expected = digits.model(x).argmax(1)
        agreed += int((torch.from_numpy(session.run(to_file(artifact, (x,)))[0]).argmax(1) == expected).sum())
    assert agreed / 200 >= (RULES[artifact.precision].agreement or 1.0)
    assert parity(artifact, digits.model, digits.val, labels=digits.labels).passed


def test_executorch_refuses_more_than_it_was_made_for(digits: Digits, tmp_path: Path) -> None:
    artifact = convert(digits.model, digits.val[0], "executorch", tmp_path / "net.pte", Options(max_batch=2))
    session = open_artifact(artifact)
    with pytest.raises(RuntimeError):
        session.run([torch.cat([x for (x,) in digits.val[:3]]).numpy()])


def test_variants_are_real_inputs_at_the_ends(digits: Digits) -> None:
    found = variants(digits.val[:3], Options(max_batch=4, sides=(8, 16)))
    assert list(found) == ["a batch of 4", "images of 8 pixels", "images of 16 pixels"]
    first, second = (sample[0] for sample in found["a batch of 4"])
    assert torch.equal(first[:3], torch.cat([x for (x,) in digits.val[:3]]))
    assert torch.equal(second[:2], first[1:3])
    assert torch.equal(found["images of 8 pixels"][1][0], digits.val[1][0])
    assert [tuple(x.shape) for (x,) in found["images of 16 pixels"]] == [(1, 1, 16, 16)] * 3
    assert ranges((1, 7), Options(max_batch=4, sides=(8, 16))) == ((1, 4), (7, 7))


@pytest.mark.parametrize(
    ("format", "options", "reason", "cure"),
    [
        ("litert", Options(max_batch=4), "fixed shapes", "onnx"),
        ("litert", Options(sides=(8, 16)), "fixed shapes", "one file a size"),
        ("onnx", Options(max_batch=0), "batches of 1 to 0", "1 or more"),
        ("onnx", Options(sides=(16, 8)), "sides of (16, 8)", "smaller"),
        ("coreml", Options(max_batch=2, image=((0.5,), (0.5,))), "one image", "--max-batch"),
    ],
)
def test_what_a_format_does_not_offer_is_refused(format: Format, options: Options, reason: str, cure: str) -> None:
    with pytest.raises(ConverterError) as caught:
        options.check(format)
    assert reason in caught.value.message
    assert cure in caught.value.cure


def test_a_network_that_fixes_its_size_is_refused(digits: Digits, tmp_path: Path) -> None:
    fixed = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 10))
    with pytest.raises(
        ConversionError, match=r"does not take every shape of batches to 1 and sides \(8, 16\)"
    ) as caught:
        convert(fixed, digits.val[0], "onnx", tmp_path / "net.onnx", Options(sides=(8, 16)))
    assert "--sides" in caught.value.cure
    assert not (tmp_path / "net.onnx").exists()
