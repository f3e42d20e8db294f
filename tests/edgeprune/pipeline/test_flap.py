"""FLAP on a small transformer of our own: whole heads and neurons go, and exactly what was asked for is left."""

import copy
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.graph import ChannelGroup, ProofError, Widths, find_groups, trace
from edgeprune.graph.heads import find_heads, widths_of_heads
from edgeprune.pipeline.flap import flap, prune_heads_and_neurons


class Block(nn.Module):
    """Pre-norm attention and MLP; `by_count` writes the number of heads down, which no pruning can change."""

    def __init__(self, width: int, heads: int, hidden: int, *, packed: bool, by_count: bool) -> None:
        super().__init__()
        self.dim, self.num_heads, self.by_count = width // heads, heads, by_count
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        if packed:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out, self.up, self.down = nn.Linear(width, width), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.n1(x)
        n, t, _ = x.shape
        if hasattr(self, "qkv"):
            q, k, v = self.qkv(y).reshape(n, t, 3, self.num_heads, self.dim).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            shape = (n, t, 4, self.dim) if self.by_count else (n, t, -1, self.dim)
            q, k, v = (layer(y).reshape(shape).transpose(1, 2) for layer in (self.q, self.k, self.v))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.n2(x))))  # type: ignore[no-any-return]


class Net(nn.Module):
    def __init__(self, *, packed: bool = False, by_count: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Linear(6, 32)
        self.blocks = nn.Sequential(*(Block(32, 4, 24, packed=packed, by_count=by_count) for _ in range(2)))
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(x)).mean(1))  # type: ignore[no-any-return]


EXAMPLE = (torch.zeros(1, 7, 6),)
DATA = [(torch.randn(16, 7, 6, generator=torch.Generator().manual_seed(1)), None)]


@pytest.mark.parametrize("packed", [False, True])
def test_heads_are_found(packed: bool) -> None:
    heads = find_heads(find_groups(trace(Net(packed=packed).eval(), EXAMPLE)))
    assert len(heads) == 2
    for group in heads.values():
        assert (group.units, group.channels_per_unit) == (4, 8)
        for member in group.members:  # head h owns rows 8 h to 8 h + 7 of each of its parts
            assert {int(entry) % 32 // 8 for entry in member.index[2]} == {2}


@pytest.mark.parametrize("packed", [False, True])
def test_removed_heads_and_neurons_are_those_whose_outputs_are_zeroed(packed: bool) -> None:
    """The oracle is the dense network with the output projection blind to heads 1 and 3, and `down` to neuron 5."""
    model = Net(packed=packed).eval()
    coupling = find_groups(trace(model, EXAMPLE))
    first, second = find_heads(coupling)
    neurons = torch.tensor([i for i in range(24) if i != 5])
    kept = {first: torch.tensor([0, 2]), second: torch.arange(4), "blocks.1.up": neurons}
    widths = widths_of_heads(model, coupling, kept)
    pruned = Widths.from_json(widths.to_json()).apply(model)
    masked = copy.deepcopy(model)
    blocks = masked.blocks
    with torch.no_grad():
        blocks[0].out.weight[:, 8:16] = 0  # type: ignore[union-attr,index]
        blocks[0].out.weight[:, 24:] = 0  # type: ignore[union-attr,index]
        blocks[1].down.weight[:, 5] = 0  # type: ignore[union-attr,index]
        torch.testing.assert_close(pruned(DATA[0][0]), masked(DATA[0][0]), rtol=1e-5, atol=1e-6)
        assert not torch.allclose(pruned(DATA[0][0]), model(DATA[0][0]), atol=1e-3)
    assert pruned.get_parameter("blocks.0.out.weight").shape == (32, 16)
    assert pruned.get_parameter("blocks.1.out.weight").shape == (32, 32)
    assert (model.blocks[0].num_heads, pruned.blocks[0].num_heads) == (4, 2)  # type: ignore[union-attr,index]


def constant() -> nn.Module:
    """Head 1 of block 0 gives a constant (its values do not depend on x), and so do 20 neurons of block 1."""
    model = Net().eval()
    blocks = model.blocks
    with torch.no_grad():
        blocks[0].v.weight[8:16] = 0  # type: ignore[union-attr,index]
        blocks[1].up.weight[:20] = 0  # type: ignore[union-attr,index]
    return model


@pytest.mark.parametrize("bias", [True, False])
def test_what_never_moves_can_go_without_a_trace(bias: bool) -> None:
    model, whole = constant(), 2 * (4 * 8 * (4 * 32 + 3) + 24 * (2 * 32 + 1))
    gone = 8 * (4 * 32 + 3) + 20 * (2 * 32 + 1)  # weights and biases that the head and the neurons own

    def rank(groups: Mapping[str, ChannelGroup], heads: Mapping[str, ChannelGroup]) -> dict[str, Tensor]:
        scores = {name: torch.ones(group.units) for name, group in groups.items()}
        scores["blocks.0.v"][1] = scores["blocks.1.up"][:20] = 0.0
        assert set(heads) == {"blocks.0.v", "blocks.1.v"}
        return scores

    done = prune_heads_and_neurons(model, EXAMPLE, rank, DATA, share=1 - gone / whole, bias=bias)
    assert done.kept["blocks.0.v"].tolist() == [0, 2, 3]
    assert done.kept["blocks.1.up"].tolist() == [20, 21, 22, 23]
    assert sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in done.network.parameters()) == gone
    assert done.max_rel_error < 1e-12
    with torch.no_grad():
        equal = torch.allclose(done.network(DATA[0][0]), model(DATA[0][0]), rtol=1e-4, atol=1e-5)
    assert equal == bias


def test_what_never_moves_goes_first_in_its_group() -> None:
    model = constant()
    kept = flap(model, EXAMPLE, DATA, share=0.8).kept
    assert 1 not in kept["blocks.0.v"].tolist()
    assert set(kept["blocks.1.up"].tolist()) >= {20, 21, 22, 23} or len(kept["blocks.1.up"]) < 4
    only = flap(model, EXAMPLE, DATA, share=0.01).kept
    assert all(len(units) == 1 for units in only.values()), "the best unit of every group stays"


def test_the_share_is_met_to_half_a_unit() -> None:
    model = Net().eval()
    done = flap(model, EXAMPLE, DATA, share=0.6)
    owned = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in done.network.parameters())
    whole = 2 * (4 * 8 * (4 * 32 + 3) + 24 * (2 * 32 + 1))
    assert abs(owned / whole - 0.4) <= 8 * (4 * 32 + 3) / whole / 2 + 1e-9


def test_what_cannot_be_done_is_told() -> None:
    with pytest.raises(UsageError, match="neither attention heads nor MLP"):
        flap(nn.Sequential(nn.Conv2d(1, 4, 3)), (torch.zeros(1, 1, 5, 5),), [(torch.zeros(1, 1, 5, 5), None)])
    with pytest.raises(UsageError, match="calibration data"):
        flap(Net(), EXAMPLE, [])
    with pytest.raises((ProofError, RuntimeError)):
        flap(Net(by_count=True).eval(), EXAMPLE, DATA, share=0.5)
