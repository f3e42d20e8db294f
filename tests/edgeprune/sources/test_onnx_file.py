"""ONNX files as torch modules: they answer the same, take batches, train, and can be pruned."""

from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import converters
from converters.parity import parity
from edgeprune.errors import UsageError
from edgeprune.graph import find_groups, prune_proved, trace
from edgeprune.sources.models import load_model

onnx = pytest.importorskip("onnx")


class Small(nn.Module):
    """A residual block, depthwise layer, pooling, flatten by view, matrix product with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(),
            nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False), nn.BatchNorm2d(32), nn.ReLU6(),
            nn.Conv2d(32, 16, 1, bias=False), nn.BatchNorm2d(16),
        )  # fmt: skip
        self.matrix = nn.Parameter(torch.randn(16, 24) / 4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = (x + self.block(x)).mean((2, 3))
        x = torch.relu(x @ self.matrix)
        return self.head(self.drop(x.view(x.shape[0], -1)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=["dynamo", "with norms"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    network = Small()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.bias, -0.5, 0.5)
    path = tmp_path_factory.mktemp(str(request.param).replace(" ", "-")) / "small.onnx"
    x = (torch.randn(1, 1, 12, 12),)
    if request.param == "dynamo":  # folds batch norms
        torch.onnx.export(network.eval(), x, path, dynamo=True, verbose=False)
    else:
        keep = torch.onnx.TrainingMode.PRESERVE
        torch.onnx.export(network.eval(), x, path, dynamo=False, training=keep, do_constant_folding=False)
    return network, path


def test_it_answers_what_the_original_answers_for_any_batch(exported: tuple[nn.Module, Path]) -> None:
    network, path = exported
    loaded = load_model(str(path))
    for batch in (1, 4):
        x = torch.randn(batch, 1, 12, 12)
        expected = network(x)
        assert expected.std() > 0.01
        torch.testing.assert_close(loaded(x), expected, rtol=1e-4, atol=1e-5)


def test_it_is_grouped_and_pruned_like_the_original(exported: tuple[nn.Module, Path]) -> None:
    network, path = exported
    x = torch.randn(1, 1, 12, 12)
    coupling = find_groups(trace(network, (x,)))
    loaded = load_model(str(path))
    traced = trace(loaded, (x,))
    same = find_groups(traced)
    assert sorted(g.channels for g in same.prunable.values()) == sorted(g.channels for g in coupling.prunable.values())
    counts = {name: menu[0] for name, menu in same.menu(8).items()}
    scores = {name: torch.rand(same.groups[name].units) for name in counts}
    pruned, _, proof = prune_proved(loaded, traced, same, same.select(scores, counts))
    assert proof.ok
    assert not proof.frozen
    assert pruned(torch.randn(3, 1, 12, 12)).shape == (3, 10)
    assert same.macs(counts) < 0.5 * same.macs()


def test_it_trains_with_batch_norm_and_dropout_switched(exported: tuple[nn.Module, Path]) -> None:
    loaded = load_model(str(exported[1])).train()
    before = [m.running_mean.clone() for m in loaded.modules() if isinstance(m, nn.BatchNorm2d)]  # type: ignore[union-attr]
    x = torch.randn(8, 1, 12, 12)
    loaded(x).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in loaded.parameters())
    norms = [m for m in loaded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == (0 if "dynamo" in str(exported[1]) else 4)
    assert all(not torch.equal(m.running_mean, r) for m, r in zip(norms, before, strict=True))  # type: ignore[arg-type]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    helper = onnx.helper
    node = helper.make_node("STFT", ["x", "step"], ["y"])
    tensor = onnx.TensorProto
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", tensor.FLOAT, [1, 64, 1])],
        [helper.make_tensor_value_info("y", tensor.FLOAT, [1, 7, 33, 2])],
        [helper.make_tensor("step", tensor.INT64, [], [8])],
    )
    file = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(file))
    with pytest.raises(UsageError, match="STFT"):
        load_model(str(file))


@pytest.mark.parametrize("content", [b"", b"\x80\x04not onnx", b"PK\x03\x04"])
def test_a_file_that_is_no_onnx_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(UsageError, match=r"x\.onnx"):
        load_model(str(tmp_path / "x.onnx"))
    with pytest.raises(UsageError, match="no file"):
        load_model(str(tmp_path / "none.onnx"))


KERAS = Path(__file__).parent / "files" / "keras_digits.onnx"  # see make_keras_digits.py beside it


def runtime(path: Path, x: torch.Tensor) -> torch.Tensor:
    """The oracle: what ONNX Runtime answers to pictures (N, H, W, C)."""
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.tensor(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


@pytest.fixture(scope="module")
def digits() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Those that the network was trained on, and the last 500: pictures (N, C, H, W) in [0, 1] and labels."""
    data = load_digits()
    x, y = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16, torch.tensor(data.target)
    return {"train": (x[:1297], y[:1297]), "test": (x[1297:], y[1297:])}


def right(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return float((network.eval()(x).argmax(1) == y).double().mean())


def test_a_keras_file_answers_as_in_onnx_runtime_with_channels_first(digits) -> None:
    network, (x, y) = load_model(str(KERAS)), digits["test"]
    torch.testing.assert_close(network(x), runtime(KERAS, x.permute(0, 2, 3, 1)), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(network(x[:1]), network(x)[:1], rtol=1e-4, atol=1e-6)
    assert right(network, x, y) > 0.9
    kinds = [type(m).__name__ for m in network.modules()]
    assert (kinds.count("Conv2d"), kinds.count("Linear"), kinds.count("OnnxReshape")) == (5, 2, 0)


def test_a_keras_file_is_pruned_trained_and_converted(digits, tmp_path: Path) -> None:
    network, (x, y) = load_model(str(KERAS)), digits["train"]
    traced = trace(network, (x[:1],))
    coupling = find_groups(traced)
    assert {g.channels for g in coupling.prunable.values()} == {16, 32, 48}
    assert sum(g.channels for g in coupling.prunable.values()) == 16 + 16 + 32 + 48
    counts = {name: min(m, key=lambda u: abs(u - m[-1] / 2)) for name, m in coupling.menu(8).items()}
    scores = {name: torch.arange(coupling.groups[name].units).double() for name in counts}
    pruned, _, proof = prune_proved(network, traced, coupling, coupling.select(scores, counts))
    assert proof.ok
    assert not proof.frozen
    before = right(pruned, *digits["test"])
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(pruned.train().parameters(), lr=5e-3)
    for _ in range(6):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.nll_loss(pruned(x[batch]).clamp_min(1e-9).log(), y[batch]).backward()
            optimizer.step()
    assert right(pruned, *digits["test"]) > max(0.85, before)
    artifact = converters.convert(pruned.eval(), (x[:1],), "litert", tmp_path / "keras.tflite")
    assert parity(artifact, pruned, [(image[None],) for image in x[:3]]).passed


def test_pictures_with_channels_last_and_matrix_products_as_tensorflow_writes_them(tmp_path: Path) -> None:
    """Transpose, Conv, Relu, Transpose back, Reshape with a number in it, MatMul and Add; any batch."""
    helper, generator = onnx.helper, torch.Generator().manual_seed(0)
    numbers = {
        "kernel": torch.randn(16, 3, 3, 3, generator=generator) / 5,
        "dense": torch.randn(16 * 36, 10, generator=generator) / 24,
        "bias": torch.randn(10, generator=generator),
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "kernel"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Transpose", ["r"], ["back"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["back", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "dense"], ["m"]),
        helper.make_node("Add", ["m", "bias"], ["y"]),
    ]
    tensor = onnx.TensorProto
    values = [onnx.numpy_helper.from_array(value.numpy(), name) for name, value in numbers.items()]
    values.append(helper.make_tensor("flat", tensor.INT64, [2], [-1, 16 * 36]))
    image = helper.make_tensor_value_info("image", tensor.FLOAT, ["n", 8, 8, 3])
    out = helper.make_tensor_value_info("y", tensor.FLOAT, ["n", 10])
    graph = helper.make_graph(nodes, "g", [image], [out], values)
    path = tmp_path / "rgb.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), str(path))
    x = torch.randn(5, 3, 8, 8, generator=generator)
    loaded = load_model(str(path))
    torch.testing.assert_close(loaded(x), runtime(path, x.permute(0, 2, 3, 1)), rtol=1e-4, atol=1e-5)
    traced = trace(loaded, (x[:1],))
    coupling = find_groups(traced)
    assert coupling.macs() == 6 * 6 * 16 * 27 + 16 * 36 * 10
    (name,) = coupling.prunable
    pruned, _, proof = prune_proved(loaded, traced, coupling, {name: torch.arange(8)})
    assert proof.ok
    assert not proof.frozen
    assert pruned(x).shape == (5, 10)
    assert sum(p.numel() for p in pruned.parameters()) == 8 * 27 + 8 * 36 * 10 + 10
