"""Networks drawn at random from small blocks: any legal kept set is exact; the order of channels changes nothing."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune.graph import Coupling, find_groups, trace
from edgeprune.graph.generic import generic_copy
from edgeprune.graph.proof import TOLERANCE, _Prover

IMAGE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MOST_CHANNELS = 24


class Residual(nn.Module):
    def __init__(self, c: int, inner: int) -> None:
        super().__init__()
        self.a, self.bn, self.b = nn.Conv2d(c, inner, 3, padding=1), nn.BatchNorm2d(inner), nn.Conv2d(inner, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(F.relu(self.bn(self.a(x))))


class Excited(nn.Module):
    """Squeeze-excite."""

    def __init__(self, c: int, inner: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(c, inner, 1), nn.Conv2d(inner, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))).sigmoid()


class Dense(nn.Module):
    """Appends new channels to old ones."""

    def __init__(self, c: int, more: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(c, more, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, F.silu(self.a(x))], 1)


class Split(nn.Module):
    """Half goes through a convolution, then the halves are shuffled, as in ShuffleNetV2."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(c // 2, c // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        x = torch.cat([left, F.relu(self.a(right))], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Mixer(nn.Module):
    """Channels last: LayerNorm, two linear layers, a scale a channel."""

    def __init__(self, c: int, inner: int) -> None:
        super().__init__()
        self.norm, self.a, self.b = nn.LayerNorm(c), nn.Linear(c, inner), nn.Linear(inner, c)
        self.scale = nn.Parameter(torch.ones(c))

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(F.gelu(self.a(self.norm(x.permute(0, 2, 3, 1))))) * self.scale
        return x + y.permute(0, 3, 1, 2)


Block = Callable[[int, int], tuple[nn.Module, int]]  # channels, a number to choose by -> the block, channels after it

BLOCKS: dict[str, Block] = {
    "conv": lambda c, n: (nn.Conv2d(c, n, 3, padding=1), n),
    "norm": lambda c, _: (nn.BatchNorm2d(c), c),
    "relu": lambda c, _: (nn.ReLU(), c),
    "prelu": lambda c, _: (nn.PReLU(c), c),
    "depthwise": lambda c, _: (nn.Conv2d(c, c, 3, padding=1, groups=c), c),
    "grouped": lambda c, n: (nn.Conv2d(c, 2 * n, 1, groups=2), 2 * n) if c % 2 == 0 else (nn.ReLU(), c),
    "group_norm": lambda c, _: (nn.GroupNorm(2, c), c) if c % 2 == 0 else (nn.InstanceNorm2d(c, affine=True), c),
    "residual": lambda c, n: (Residual(c, n), c),
    "excited": lambda c, n: (Excited(c, n), c),
    "dense": lambda c, n: (Dense(c, n), c + n) if c < MOST_CHANNELS else (nn.ReLU(), c),
    "split": lambda c, _: (Split(c), c) if c % 2 == 0 else (nn.ReLU(), c),
    "mixer": lambda c, n: (Mixer(c, n), c),
    "unshuffle": lambda c, _: (
        (nn.Sequential(nn.PixelShuffle(2), nn.MaxPool2d(2)), c // 4) if c % 4 == 0 else (nn.ReLU(), c)
    ),
    "transposed": lambda c, n: (nn.Sequential(nn.ConvTranspose2d(c, n, 2, 2), nn.AvgPool2d(2)), n),
}


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """A first convolution, two to six blocks, a classifier on flattened maps."""
    channels = draw(st.sampled_from([6, 8, 12]))
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1)]
    for name in draw(st.lists(st.sampled_from(sorted(BLOCKS)), min_size=2, max_size=6)):
        block, channels = BLOCKS[name](channels, draw(st.sampled_from([4, 6, 8])))
        layers.append(block)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 5))


def drawn_units(data: st.DataObject, coupling: Coupling) -> dict[str, Tensor]:
    """For every group a legal width and the units that random scores choose."""
    counts = {name: data.draw(st.sampled_from(menu), label=name) for name, menu in coupling.menu(1).items()}
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000), label="scores"))
    scores = {name: torch.rand(coupling.groups[name].units, generator=generator) for name in counts}
    return coupling.select(scores, counts)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(networks(), st.data())
def test_any_legal_kept_set_is_exact(model: nn.Module, data: st.DataObject) -> None:
    traced = trace(model, (IMAGE,))
    coupling = find_groups(traced)
    kept = drawn_units(data, coupling)
    pruned, error, reason = _Prover(model, traced, coupling, 0, kept).attempt(kept)
    assert reason is None
    assert error <= TOLERANCE
    assert pruned is not None
    counts = {name: len(units) for name, units in kept.items()}
    assert sum(p.numel() for p in pruned.parameters()) == coupling.params(counts)


def permuted(model: nn.Module, coupling: Coupling, name: str, order: Tensor) -> nn.Module:
    """A copy whose units of one group stand in another order, in every parameter and buffer that knows them."""
    result = copy.deepcopy(model)
    tensors: dict[str, Any] = {**dict(result.named_parameters()), **dict(result.named_buffers())}
    for member in coupling.groups[name].members:
        tensor = tensors[member.param].data
        old = tensor.clone()
        tensor.index_copy_(
            member.axis, member.index.reshape(-1), old.index_select(member.axis, member.index[order].reshape(-1))
        )
    return result


@settings(max_examples=25, deadline=None, derandomize=True)
@given(networks(), st.integers(0, 1000))
def test_the_order_of_channels_changes_nothing(model: nn.Module, seed: int) -> None:
    """A group that forgot a member would move the output: an oracle that knows nothing of pruning."""
    coupling = find_groups(trace(model, (IMAGE,)))
    dense = generic_copy(model, 0)
    with torch.no_grad():
        expected = dense(IMAGE.double())
        for name in set(coupling.prunable) - set(coupling.balance):
            order = torch.randperm(coupling.groups[name].units, generator=torch.Generator().manual_seed(seed))
            found = permuted(dense, coupling, name, order)(IMAGE.double())
            assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max())), name
