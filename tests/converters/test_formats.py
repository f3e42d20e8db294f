"""Every format from one network with generic weights: the file holds its widths and weights, and computes it."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from converters import Artifact, ConversionError, InspectionError, WriteError, check_smaller, convert, inspect
from converters.artifact import SUFFIXES, Format, sha256
from converters.fold import export_folded
from converters.parity import as_exact_as, compare, parity
from converters.weights import check_weights

FORMATS: tuple[Format, ...] = ("litert", "executorch", "coreml", "onnx")


class SmallResNet(nn.Module):
    """A ResNet-8 in miniature: a stem, one block with a strided shortcut, one depthwise layer, a head."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv, self.conv_bn = nn.Conv2d(width, width, 3, 2, padding=1, bias=False), nn.BatchNorm2d(width)
        self.short = nn.Conv2d(width, width, 1, 2, bias=False)
        self.deep, self.deep_bn = nn.Conv2d(width, width, 3, padding=1, groups=width), nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        x = torch.relu(self.conv_bn(self.conv(x)) + self.short(x))
        x = torch.relu(self.deep_bn(self.deep(x)))
        return self.fc(x.mean((2, 3)))


def generic(module: nn.Module, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    for child in module.modules():
        if isinstance(child, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(child.weight)
            if child.bias is not None:
                nn.init.normal_(child.bias)  # converters drop a bias of zeros
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (child.weight, child.running_var):
                if tensor is not None:
                    nn.init.uniform_(tensor, 0.5, 1.5)
            nn.init.normal_(child.running_mean)
            if child.bias is not None:
                nn.init.normal_(child.bias)
    return module


def samples(n: int, *shape: int) -> list[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(1, *shape, generator=generator) + i,) for i in range(n)]


# by hand, batch norms folded: stem, conv, depthwise and fc have biases, the shortcut's is added by some formats (zeros)
PARAMS = (16 * 27 + 16) + (16 * 16 * 9 + 16) + 16 * 16 + (16 * 9 + 16) + (5 * 16 + 5)
SHAPES = [(5, 16), (16, 1, 3, 3), (16, 3, 3, 3), (16, 16, 1, 1), (16, 16, 3, 3)]


@pytest.fixture(scope="module")
def small() -> nn.Module:
    return generic(SmallResNet(16))


@pytest.fixture(scope="module", params=FORMATS)
def pair(request: pytest.FixtureRequest, small: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> list[Artifact]:
    folder, suffix = tmp_path_factory.mktemp("files"), SUFFIXES[request.param]
    nets = {"dense": small, "half": generic(SmallResNet(8))}
    example = samples(1, 3, 16, 16)[0]
    return [convert(net, example, request.param, folder / f"{name}{suffix}") for name, net in nets.items()]


def test_file_holds_the_known_widths_and_parameters(pair: list[Artifact]) -> None:
    found = inspect(pair[0].path, pair[0].format)
    assert sorted(found.weight_shapes) == SHAPES
    assert sorted(found.widths) == [5, 16, 16, 16, 16]
    assert found.params in (PARAMS, PARAMS + 16)
    assert found.size_bytes >= 4 * PARAMS
    assert not any("batch_norm" in op.lower() for op in found.ops)
    if found.format == "executorch":
        assert found.delegated is not None
        assert found.delegated["XNNDepthwiseConv2d"] == 1
        assert found.delegated_share is not None
        assert 0.8 < found.delegated_share <= 1.0


def test_artifact_describes_the_file(pair: list[Artifact]) -> None:
    artifact = pair[0]
    assert [spec.shape for spec in artifact.inputs] == [(1, 3, 16, 16)]
    assert [spec.shape for spec in artifact.outputs] == [(1, 5)]
    assert artifact.sha256 == sha256(artifact.path)
    assert artifact.precision == "float32"


def test_half_width_is_smaller_and_the_same_file_is_not(pair: list[Artifact]) -> None:
    dense, half = (inspect(artifact.path, artifact.format) for artifact in pair)
    assert check_smaller(dense, half) == []
    assert len(check_smaller(dense, dense)) == 3  # parameters, bytes, no layer narrower
    assert any("more than the dense" in failure for failure in check_smaller(half, dense))


def test_weights_match_and_a_changed_one_is_noticed(pair: list[Artifact], small: nn.Module) -> None:
    example = samples(1, 3, 16, 16)[0]
    assert check_weights(pair[0], small, example).passed
    other = copy.deepcopy(small)
    with torch.no_grad():
        other.get_submodule("conv").weight[3, 2, 1, 1] += 0.01
    assert not check_weights(pair[0], other, example).passed


def test_parity_passes_and_a_changed_weight_is_noticed(pair: list[Artifact], small: nn.Module) -> None:
    result = parity(pair[0], small, samples(3, 3, 16, 16))
    assert result.passed, result.reason
    assert result.inputs == 3
    other = copy.deepcopy(small)
    with torch.no_grad():
        other.get_submodule("conv").weight[:, :, 1, 1] += 0.01  # one element may sit in a dead channel
    assert "differs" in parity(pair[0], other, samples(3, 3, 16, 16)).reason
    assert not parity(pair[0], small, samples(1, 3, 16, 16)).passed


def test_compare_refuses_what_proves_nothing() -> None:
    follows = [[np.array([1.0, 2.0])], [np.array([2.0, 1.0])]]
    assert compare(follows, follows).passed
    tiny = [[1e-6 * sample[0]] for sample in follows]
    assert "near zero" in compare(tiny, tiny).reason
    constant = [follows[0], follows[0]]
    assert "hardly depends" in compare(constant, constant).reason
    assert "not finite" in compare([[np.array([np.nan])]] * 2, [[np.array([1.0])]] * 2).reason
    assert "shape" in compare(follows, [[np.zeros(3)], [np.zeros(3)]]).reason
    off = [[sample[0] + 2e-3] for sample in follows]  # 2e-3 of a largest value of 2
    assert compare(follows, off).max_rel_error == pytest.approx(1e-3)
    assert not compare(follows, off).passed


def test_a_float32_file_may_round_twice_as_much_as_torch_does_but_no_more() -> None:
    exact = [[np.array([1.0, 2.0])], [np.array([2.0, 1.0])]]
    torch32 = [[np.array([1.0006, 2.0])], [np.array([2.0, 1.0])]]  # 3e-4 of the largest value
    near, far = ([[np.array([1.0, 2.0 - error])], [np.array([2.0, 1.0])]] for error in (1.0e-3, 1.4e-3))
    for found, passes in ((near, True), (far, False)):
        result = compare(torch32, found)
        assert not result.passed
        assert as_exact_as(result, exact, torch32, found).passed is passes
    assert as_exact_as(compare(torch32, near), exact, torch32, near).max_rel_error == pytest.approx(5e-4)


def test_a_network_that_magnifies_rounding_without_end_proves_nothing() -> None:
    exact = [[np.array([1.0, 2.0])], [np.array([2.0, 1.0])]]
    torch32, found = ([[np.array([1.0, 2.0 - error])], [np.array([2.0, 1.0])]] for error in (0.4, 0.6))
    result = as_exact_as(compare(torch32, found), exact, torch32, found)  # 3e-1 is within twice torch's own 2e-1
    assert not result.passed
    assert "torch's own float32 is 2.0e-01 from float64" in result.reason


def test_a_network_that_magnifies_rounding_is_judged_by_float64(tmp_path: Path) -> None:
    class Exact(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return ((x * 2 + 30000.0) + 30000.0) - 60000.0  # the same in float64, off by 4e-4 in float32

    inputs, files = samples(3, 2, 4, 4), {}
    for network in (Exact(), Rounded()):
        path = tmp_path / f"{type(network).__name__}.onnx"
        files[type(network)] = convert(network, inputs[0], "onnx", path)
    result = parity(files[Exact], Rounded(), inputs)
    assert result.passed, result.reason
    assert result.max_rel_error < 1e-6
    assert "differs" in parity(files[Rounded], Exact(), inputs).reason


def test_folding_keeps_the_function_and_the_model() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.alone = nn.BatchNorm2d(6), nn.BatchNorm2d(6, affine=False)
            self.up, self.up_bn = nn.ConvTranspose2d(6, 12, 2, 2, groups=3), nn.BatchNorm2d(12)
            self.fc, self.fc_bn = nn.Linear(12, 4, bias=False), nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            x = self.alone(torch.relu(self.first(x)))
            x = self.up_bn(self.up(x))
            return {"b": x, "a": self.fc_bn(self.fc(x.mean((2, 3))))}

    model = generic(Odd()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (x,) = samples(1, 6, 5, 5)[0]
    folded = export_folded(model, (x,))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any("batch_norm" in str(node.target) for node in folded.graph.nodes)
    expected = model.eval()(x)
    for found, name in zip(folded(x), ("b", "a"), strict=True):
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-5)


def test_errors_leave_nothing_behind(tmp_path: Path, small: nn.Module) -> None:
    class Unsupported(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.svd(x)[1]

    class Untraceable(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    example = samples(1, 3, 16, 16)[0]
    with pytest.raises(ConversionError, match="svd"):
        convert(Unsupported(), example, "litert", tmp_path / "a.tflite")
    with pytest.raises(ConversionError, match="cannot trace"):
        convert(Untraceable(), example, "litert", tmp_path / "a.tflite")
    with pytest.raises(ConversionError, match="not a name"):
        convert(small, example, "litert", tmp_path / "a.bin")
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteError):
        convert(small, example, "litert", tmp_path / "file" / "a.tflite")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_of_another_kind_is_refused(format: Format, tmp_path: Path) -> None:
    path = tmp_path / "junk"
    with pytest.raises(InspectionError, match="no file"):
        inspect(path, format)
    path.write_bytes(b"not a model at all")
    with pytest.raises(InspectionError, match="is not a"):
        inspect(path, format)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_mobilenet_v2(format: Format, tmp_path: Path) -> None:
    from torchvision.models import mobilenet_v2

    model, inputs = generic(mobilenet_v2()), samples(2, 3, 96, 96)
    artifact = convert(model, inputs[0], format, tmp_path / f"net{SUFFIXES[format]}")
    found = inspect(artifact.path, format)
    assert found.params == 3_504_872 - 34_112 // 2  # gamma, beta -> one bias: half of the batch norms' parameters go
    assert found.delegated_share in (None, 1.0)
    assert check_weights(artifact, model, inputs[0]).passed
    assert parity(artifact, model, inputs).passed
