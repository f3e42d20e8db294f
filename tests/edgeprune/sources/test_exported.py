"""`.pt2` files: the network comes back as layers, answers for any batch, is grouped and trained like the original."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import zoo
from edgeprune.graph import Proof, Widths, find_groups, prune_proved, trace
from edgeprune.sources.models import load_model
from edgeprune.sources.relative_shapes import blocks


def saved(network: nn.Module, x: Tensor, path: Path) -> nn.Module:
    torch.export.save(torch.export.export(network, (x,)), path)
    return load_model(str(path))


def kinds(network: nn.Module) -> dict[str, str]:
    """Layers with parameters or running statistics, with their settings."""
    owned = {n.rpartition(".")[0] for n, _ in [*network.named_parameters(), *network.named_buffers()]}
    return {n: repr(m) for n, m in network.named_modules() if n in owned and not list(m.children())}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "googlenet", "shufflenet_v2_x0_5", "convnext_tiny"])
def test_layers_answers_and_groups_are_the_originals(name: str, tmp_path: Path) -> None:
    network, x = zoo.make(name), torch.randn(1, 3, 64, 64)
    loaded = saved(network, x, tmp_path / "net.pt2")
    assert set(loaded.state_dict()) == {key for key in network.state_dict() if "aux" not in key}
    own = {n: text.replace("LayerNorm2d", "LayerNorm") for n, text in kinds(network).items() if "aux" not in n}
    assert kinds(loaded) == own
    with torch.no_grad():
        for batch in (1, 3):
            y = torch.randn(batch, 3, 64, 64)
            torch.testing.assert_close(loaded(y), network(y), rtol=1e-4, atol=1e-5)
    ours, theirs = find_groups(trace(loaded, (x,))), find_groups(trace(network, (x,)))
    assert ours.macs() == theirs.macs()
    for key, other in theirs.groups.items():
        if not key.startswith("aux"):
            assert (ours.groups[key].units, ours.groups[key].frozen is None) == (other.units, other.frozen is None)
            members = {(m.param, m.axis) for m in other.members if not m.param.startswith("aux")}
            assert {(m.param, m.axis) for m in ours.groups[key].members} == members


class Written(nn.Module):
    """Every layer in the table, functional dropout, sizes in numbers, attention heads, a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.act = nn.PReLU(16)
        self.norm = nn.GroupNorm(1, 16)
        self.up = nn.ConvTranspose2d(16, 24, 2, stride=2, output_padding=1, bias=False)
        self.line = nn.Conv1d(24, 16, 3, padding="same")
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.table = nn.Embedding(122, 16)
        self.qkv = nn.Linear(16, 48)
        self.ln = nn.LayerNorm(16)
        self.head = nn.Linear(16, 10)
        self.register_buffer("places", torch.arange(122))

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        y = self.norm(self.act(self.bn(self.conv(x))))
        y = functional.dropout2d(self.up(functional.max_pool2d(y, 3)), 0.1, self.training)
        y = functional.dropout(y, 0.25, self.training)
        y = self.line(y.view(n, 24, 121)).transpose(1, 2)
        y = torch.cat([self.token.expand(n, -1, -1), y], dim=1) + self.table(self.places)
        q, k, v = self.qkv(self.ln(y)).reshape(n, 122, 3, 2, 8).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, 122, 16)
        return self.head(y[:, 0] + y.mean(1))


@pytest.fixture
def written() -> nn.Module:
    torch.manual_seed(0)
    return Written().eval()


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("training", [False, True])
def test_every_layer_in_any_mode_and_batch(written: nn.Module, batch: int, training: bool, tmp_path: Path) -> None:
    x = torch.randn(batch, 3, 15, 15)
    loaded = saved(written.train(training), x, tmp_path / "net.pt2")
    assert not loaded.training
    assert kinds(loaded) == kinds(written)
    assert sorted(m.p for m in loaded.modules() if isinstance(m, (nn.Dropout, nn.Dropout2d))) == [0.1, 0.25]
    y = torch.randn(5, 3, 15, 15)
    torch.testing.assert_close(loaded(y), written.eval()(y), rtol=1e-4, atol=1e-5)
    pruned, _, proof = half(loaded, x)
    assert proof.ok
    assert set(proof.frozen) == set()
    assert pruned(y).shape == (5, 10)


def half(network: nn.Module, x: Tensor) -> tuple[nn.Module, Widths, Proof]:
    traced = trace(network, (x,))
    coupling = find_groups(traced)
    counts = {group: menu[0] for group, menu in coupling.menu(8).items()}
    scores = {group: torch.rand(coupling.groups[group].units) for group in counts}
    return prune_proved(network, traced, coupling, coupling.select(scores, counts))


def test_a_train_step_is_the_originals(tmp_path: Path) -> None:
    network = zoo.make("mobilenet_v3_small").double()
    loaded = saved(network, torch.randn(1, 3, 64, 64).double(), tmp_path / "net.pt2")
    before = loaded.state_dict()["features.0.1.running_mean"].clone()
    y, moved = torch.randn(6, 3, 64, 64).double(), []
    for module in [*loaded.modules(), *network.modules()]:
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # both would draw other numbers
    for model in (loaded, network):
        model.train()
        model(y).square().mean().backward()
        moved.append({n: p.grad for n, p in model.named_parameters()} | dict(model.named_buffers()))
    assert moved[0].keys() == moved[1].keys()
    for key, value in moved[0].items():
        torch.testing.assert_close(value, moved[1][key], rtol=1e-6, atol=1e-9)
    assert not torch.equal(moved[0]["features.0.1.running_mean"], before)


class InNumbers(nn.Module):
    """Widths written in the code of the forward pass, in three ways."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 24, 3), nn.Conv2d(24, 32, 3)
        self.head = nn.Linear(32 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.a(x)).reshape(-1, 16, 6 * 6).view(-1, 16, 6, 6)
        y = functional.relu(self.b(y)).permute(0, 2, 3, 1).reshape(-1, 24).view(-1, 4, 4, 24).permute(0, 3, 1, 2)
        return self.head(functional.relu(self.c(y)).view(-1, 32 * 4))


def test_widths_written_in_the_code_follow_in_the_graph(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = InNumbers().eval(), torch.randn(1, 3, 8, 8)
    _, _, stuck = half(network, x)
    assert stuck.frozen.keys() == {"a", "b", "c"}
    assert all("model.pt2" in reason for reason in stuck.frozen.values())
    loaded = saved(network, x, tmp_path / "net.pt2")
    pruned, widths, proof = half(loaded, x)
    assert proof.ok
    assert proof.frozen == {}
    assert pruned(torch.randn(4, 3, 8, 8)).shape == (4, 10)
    assert (pruned.a.out_channels, pruned.b.out_channels, pruned.head.in_features) == (8, 8, 8 * 4)
    again = Widths.from_json(widths.to_json()).apply(load_model(str(tmp_path / "net.pt2")))
    torch.testing.assert_close(again(x), pruned(x))


def test_dropout_is_switched(written: nn.Module, tmp_path: Path) -> None:
    x = torch.randn(2, 3, 15, 15)
    loaded = saved(written, x, tmp_path / "net.pt2")
    torch.testing.assert_close(loaded(x), loaded(x), rtol=0, atol=0)
    loaded.train()
    assert not torch.equal(loaded(x), loaded(x))


def test_blocks_of_axes() -> None:
    assert blocks([1, 512, 1, 1], [1, 512]) == [([0], [0]), ([1, 2, 3], [1])]
    assert blocks([2, 49, 96], [2, 49, 3, 2, 16]) == [([0], [0]), ([1], [1]), ([2], [2, 3, 4])]
    assert blocks([1, 8, 8, 7, 7, 5], [64, 49, 5]) == [([0, 1, 2], [0]), ([3, 4], [1]), ([5], [2])]
    assert blocks([64, 49, 5], [1, 8, 8, 7, 7, 5]) == [([0], [0, 1, 2]), ([1], [3, 4]), ([2], [5])]
    assert blocks([6, 4], [4, 6]) == [([0, 1], [0, 1])]
    assert blocks([4, 3], [4, 3, 1, 1]) == [([0], [0]), ([1], [1, 2, 3])]
    assert blocks([0, 3], [0]) == []
