"""The reference interpreter against torch: small networks whose programs hold each operation, with generic weights."""

import copy
from pathlib import Path
from typing import Any

import coremltools
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformer, SwinTransformerBlock, SwinTransformerBlockV2

from converters import ConversionError, Options, convert, inspect
from converters.errors import NotInterpreted
from converters.mil import OPS, MilSession
from converters.mil_arguments import Arguments
from converters.mil_program import MilProgram
from converters.parity import parity
from converters.weights import check_weights
from tests.converters.test_formats import SmallResNet, generic, samples


class Pools(nn.Module):
    """Poolings whose windows hang over the edge, by ceil mode and by padding, counted and not."""

    def forward(self, x: Tensor) -> Tensor:
        a = F.max_pool2d(x, 3, 2, 1)
        b = F.avg_pool2d(x, 3, 2, 1)
        c = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        d = F.max_pool2d(x, 2, 2, ceil_mode=True)
        return torch.cat([a, b, c, d], dim=1)


class Activations(nn.Module):
    """One of each."""

    def __init__(self) -> None:
        super().__init__()
        self.prelu = nn.PReLU(6)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu6(x) + F.hardswish(x) - F.hardsigmoid(x)
        b = F.silu(x) * torch.sigmoid(x) + F.gelu(x) + F.gelu(x, approximate="tanh")
        c = torch.tanh(x) + F.leaky_relu(x, 0.1) + self.prelu(x) + torch.clamp(x, -0.5, 0.7)
        d = torch.softmax(x, dim=1) / (1 + x.abs().sqrt()) + torch.exp(-x.square()) ** 1.5
        return a + b + c + d + torch.maximum(x, -x) * torch.minimum(x, 2 * x) + x.amax((2, 3), keepdim=True)


class Shapes(nn.Module):
    """Channel shuffle, split, slices with strides, padding, stacking, matmul."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        a, b = x.chunk(2, dim=1)
        c1, c2, c3 = torch.split(x, [1, 2, 3], dim=1)
        y = torch.cat([a * 2, b, c1[:, :, :, :], c3, c2[:, 1:]], dim=1)[:, :, 1:-1:2, ::2]
        y = F.pad(y, (1, 2, 0, 1), value=0.25).squeeze(0).unsqueeze(0)
        y = F.interpolate(F.interpolate(y, scale_factor=2, mode="nearest"), scale_factor=2, mode="bilinear")
        return (y @ y.transpose(2, 3)).sum(dim=3)[:, :, 1]


class Shuffle(nn.Module):
    """ShuffleNet's shuffle after a concat, which coremltools turns into an interleaved concat."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.next = nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.left(x), self.right(x)], dim=1)
        n, c, h, w = x.shape
        return self.next(x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))


class Layers(nn.Module):
    """Grouped, dilated, transposed and one-dimensional layers, a batch norm that cannot be folded, a layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(6)
        self.grouped = nn.Conv2d(6, 12, 3, padding="same", dilation=2, groups=3)
        self.up = nn.ConvTranspose2d(12, 6, 3, 2, padding=1, output_padding=1, groups=2)
        self.ln, self.line = nn.LayerNorm(6), nn.Conv1d(6, 8, 3, padding=1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(torch.relu(self.grouped(torch.relu(self.norm(x)))))
        x = self.ln(x.flatten(2).transpose(1, 2)).transpose(1, 2)
        return self.fc(self.line(x).mean(2))


class Chosen(nn.Module):
    """Comparisons, choices, rows picked by a table of places and written to others, repeated."""

    def forward(self, x: Tensor) -> Tensor:
        place = torch.tensor([[0, -1, 2], [2, 1, 0]])
        a = torch.where(x.relu() == 0, x, -2 * x) + torch.where(x.clamp(max=1) != 1, 0.5, x)
        b = a[:, :, place].flatten(2, 3)
        a[:, 1:3, 2] = x[:, 3:5, 1]
        return torch.cat([a, b], 2).repeat(1, 1, 1, 2) / F.normalize(x, dim=1).abs().add(1).sum()


def windows(block: Any) -> nn.Module:
    """torchvision's Swin: windows in place, then shifted ones, whose mask is computed in the network."""
    return SwinTransformer([4, 4], 8, [2], [2], [2, 2], stochastic_depth_prob=0.0, num_classes=5, block=block)


NETWORKS = {
    "pools": Pools,
    "activations": Activations,
    "shapes": Shapes,
    "shuffle": Shuffle,
    "layers": Layers,
    "chosen": Chosen,
    "resnet": lambda: SmallResNet(16),
    "swin": lambda: windows(SwinTransformerBlock),
    "swin v2": lambda: windows(SwinTransformerBlockV2),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_program_computes_what_torch_computes(network, tmp_path: Path) -> None:
    model = generic(network()).eval()
    pictures = isinstance(model, SmallResNet | SwinTransformer)
    channels, edge = (3, 16) if pictures else (6, 9 if isinstance(model, Pools) else 8)
    inputs = samples(3, channels, edge, edge)
    artifact = convert(model, inputs[0], "coreml", tmp_path / "net.mlpackage")
    result = parity(artifact, model, inputs)
    assert result.passed, result.reason
    assert result.max_rel_error < 1e-5


def test_float16_rounds_and_compressed_weights_are_read(tmp_path: Path) -> None:
    model = generic(SmallResNet(48)).eval()  # 48 * 48 * 9 weights: more than are left alone
    inputs, another = samples(8, 3, 16, 16), copy.deepcopy(model)
    another.fc.weight.data *= 2
    sizes, errors = [], []
    for quantize in ("none", "fp16", "int8-weights", "palettize"):
        artifact = convert(model, inputs[0], "coreml", tmp_path / "net.mlpackage", Options(quantize=quantize))
        result = parity(artifact, model, inputs)
        assert result.passed, result.reason
        assert check_weights(artifact, model, inputs[0]).passed
        assert "fc.weight" in check_weights(artifact, another, inputs[0]).reason
        assert inspect(artifact.path).params == inspect(artifact.path, "coreml").params > 48 * 48 * 9
        sizes.append(artifact.size_bytes)
        errors.append(result.max_rel_error)
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert 1e-5 < errors[1] < 1e-2


def scales(path: Path) -> dict[str, tuple[float, int]]:
    """Scale and zero point of every `quantize` of a program, by the name of what it reads."""
    program = MilProgram(path)
    return {
        op.inputs["input"].arguments[0].name: (
            float(program.constant(op, "scale")),
            int(program.constant(op, "zero_point") or 0),
        )
        for op in program.operations
        if op.type == "quantize"
    }


def test_int8_activations_span_what_all_of_the_calibration_shows(tmp_path: Path) -> None:
    """coremltools by itself keeps the range of the last sample alone."""
    model, path = generic(SmallResNet(16)).eval(), tmp_path / "net.mlpackage"
    wide, narrow = (
        torch.linspace(-3, 2.1, 3 * 16 * 16).view(1, 3, 16, 16),
        torch.linspace(-1, 1, 768).view(1, 3, 16, 16),
    )
    convert(model, (narrow,), "coreml", path, Options(quantize="int8", calibration=[(wide,), (narrow,)]))
    found = scales(path)
    assert len(found) >= 5  # before every convolution, addition and linear layer
    (entry,) = (name for name in found if name.startswith("args_0"))
    assert found[entry][0] == pytest.approx(5.1 / 255, rel=1e-3)
    assert found[entry][1] == 22  # -128 + 3 / 5.1 * 255
    assert coremltools.utils.load_spec(str(path)).mlProgram.functions["main"].opset == "CoreML7"  # iOS 17


def test_int8_rounds_and_clamps_by_hand() -> None:
    zero = torch.tensor(3, dtype=torch.int8)
    x = torch.tensor([0.24, 0.26, -100.0, 100.0])
    steps = OPS["quantize"](Given(input=x, scale=torch.tensor(0.5), zero_point=zero, output_dtype="int8"))
    assert steps.tolist() == [3, 4, -128, 127]
    back = OPS["dequantize"](Given(input=steps.to(torch.int8), scale=torch.tensor(0.5), zero_point=zero))
    assert back.tolist() == [0.0, 0.5, -65.5, 62.0]


class Given(Arguments):
    """The arguments of an operation that no program holds."""

    def __init__(self, **values: Any) -> None:
        self.given = values

    def __call__(self, slot: str, default: Any = None) -> Any:
        return self.given.get(slot, default)

    @property
    def type(self) -> str:
        return "op"


def test_gather_and_scatter_as_core_mls_documentation_defines_them() -> None:
    data = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    places = torch.tensor([[-1, 0], [1, 1]], dtype=torch.int16)
    assert OPS["gather"](Given(x=data, indices=places, axis=1)).tolist() == [[[3, 1], [2, 2]], [[6, 4], [5, 5]]]
    assert OPS["gather"](Given(x=data, indices=torch.tensor(1))).tolist() == [4, 5, 6]
    rows = Given(data=data, indices=torch.tensor([-1]), updates=torch.tensor([[7, 8, 9]]), mode="update")
    assert OPS["scatter"](rows).tolist() == [[1, 2, 3], [7, 8, 9]]
    for op, slot, value in (("scatter", "mode", "add"), ("gather", "batch_dims", 1)):
        with pytest.raises(NotInterpreted, match=f"no {slot}={value} of op"):
            OPS[op](Given(x=data, data=data, indices=places, **{slot: value}))


@pytest.mark.parametrize("quantize", ["none", "fp16", "int8", "int8-weights", "palettize"])
def test_an_image_input_takes_pixels(quantize: str, tmp_path: Path) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    model, path = generic(SmallResNet(16)).eval(), tmp_path / "net.mlpackage"
    pixels = [torch.from_numpy(image[:16, :16].copy()).permute(2, 0, 1)[None] for image in load_sample_images().images]
    inputs = [((x / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1),) for x in pixels]
    artifact = convert(
        model, inputs[0], "coreml", path, Options(quantize=quantize, image=(mean, std), calibration=inputs)
    )
    assert inspect(path).inputs[0].dtype == "image"
    assert parity(artifact, model, inputs).passed
    found = MilSession(path).run([pixels[1].float().numpy()])[0]
    expected = model(*inputs[1]).detach().numpy()
    assert abs(found - expected).max() <= {"none": 1e-4, "fp16": 1e-2}.get(quantize, 5e-2) * abs(expected).max()
    with pytest.raises(ConversionError, match="litert has no image inputs"):
        convert(model, inputs[0], "litert", tmp_path / "net.tflite", Options(image=(mean, std)))


@pytest.mark.parametrize("image", [None, ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))])
def test_on_a_mac_core_ml_itself_is_asked(image: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform and `MLModel.predict` are faked, nothing else: names, order and pictures are real."""
    model = generic(SmallResNet(16)).eval()
    pixels = [torch.randint(0, 256, (1, 3, 16, 16)).float() for _ in range(3)]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in image or ((0.0,) * 3, (1 / 255,) * 3))
    inputs = [((x / 255 - mean) / std,) for x in pixels]
    artifact = convert(model, inputs[0], "coreml", tmp_path / "net.mlpackage", Options(image=image))
    asked = []

    class Model:
        def __init__(self, path: str) -> None:
            self.session, self.spec = MilSession(Path(path)), coremltools.utils.load_spec(path)

        def get_spec(self) -> Any:
            return self.spec

        def predict(self, values: dict[str, Any]) -> dict[str, Any]:
            (value,) = values.values()
            asked.append(type(value).__name__)
            if image is not None:
                value = np.asarray(value, np.float32).transpose(2, 0, 1)[None]
            return {self.spec.description.output[0].name: self.session.run([value])[0]}

    monkeypatch.setattr(coremltools.models, "MLModel", Model)
    monkeypatch.setattr("sys.platform", "darwin")
    assert parity(artifact, model, inputs).passed
    assert asked == ["ndarray" if image is None else "Image"] * 3


def test_an_argument_it_takes_no_notice_of_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = generic(SmallResNet(16)).eval(), samples(2, 3, 16, 16)
    artifact = convert(model, inputs[0], "coreml", tmp_path / "net.mlpackage")
    monkeypatch.setitem(OPS, "conv", lambda a: F.conv2d(a.x, a("weight"), a("bias"), a.ints("strides")))
    with pytest.raises(NotInterpreted, match="dilations, groups, pad_type of conv"):
        parity(artifact, model, inputs)


def test_an_unknown_operation_is_named_and_nothing_is_claimed(tmp_path: Path) -> None:
    class Sorted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.topk(x.flatten(1), 3)[0]

    artifact = convert(Sorted(), samples(1, 3, 4, 4)[0], "coreml", tmp_path / "net.mlpackage")
    with pytest.raises(NotInterpreted, match="topk"):
        MilSession(artifact.path)
    inputs = samples(2, 3, 4, 4)
    with pytest.raises(ConversionError, match=r"the range of every value.*topk") as caught:
        convert(Sorted(), inputs[0], "coreml", tmp_path / "int8.mlpackage", Options("int8", inputs))
    assert "int8-weights" in caught.value.cure
    assert not (tmp_path / "int8.mlpackage").exists()


def test_batch_norms_that_stay_keep_their_scale(tmp_path: Path) -> None:
    """Behind a ReLU they cannot be folded; coremltools would scale each by 1 - 5e-6."""
    stack = generic(nn.Sequential(*(layer for _ in range(40) for layer in (nn.ReLU(), nn.BatchNorm2d(8))))).eval()
    inputs = samples(3, 8, 6, 6)
    artifact = convert(stack, inputs[0], "coreml", tmp_path / "net.mlpackage")
    assert "batch_norm" not in inspect(artifact.path).ops
    result = parity(artifact, stack, inputs)
    assert result.passed, result.reason
    assert result.max_rel_error < 1e-5
