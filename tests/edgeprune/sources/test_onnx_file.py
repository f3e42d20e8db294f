"""ONNX files as torch modules: they answer the same, take batches, train, and can be pruned."""

from pathlib import Path

import pytest
import torch
from torch import nn

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
