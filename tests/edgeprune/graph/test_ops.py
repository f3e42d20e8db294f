"""One op or one way of wiring a test: its groups worked out by hand, halved, and proved against the masked network."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune.graph import Coupling, find_groups, prove, prune_proved, trace


class Net(nn.Module):
    """Modules and parameters by name, and a forward that uses them."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part if isinstance(part, nn.Module) else nn.Parameter(part))
        self.wiring = forward

    def forward(self, *inputs: Tensor) -> Any:
        return self.wiring(self, *inputs)


IMAGE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
SIGNAL, VOLUME = IMAGE.flatten(2), IMAGE.reshape(1, 3, 4, 4, 4)


def conv(c_in: int, c_out: int, kernel: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, **options)


def halved(model: nn.Module, *inputs: Tensor) -> tuple[nn.Module, Coupling]:
    """Half of every group, proved without putting anything back; the network also takes another batch and trains."""
    traced = trace(model, inputs)
    coupling = find_groups(traced)
    menu = coupling.menu(1)
    counts = {name: max(u for u in steps if u <= max(1, steps[-1] // 2)) for name, steps in menu.items()}
    scores = {name: torch.rand(coupling.groups[name].units) for name in counts}
    pruned, _, proof = prune_proved(model, traced, coupling, coupling.select(scores, counts))
    assert proof.ok
    assert proof.frozen == {}
    assert proof.max_rel_error < 1e-9
    assert proof.miswired_rel_change > 1e-3
    assert sum(p.numel() for p in pruned.parameters()) == coupling.params(counts)
    pruned.train()(*(torch.cat([x] * 4) for x in inputs))
    return pruned, coupling


def widths(coupling: Coupling) -> dict[str, int]:
    return {name: group.units for name, group in coupling.prunable.items()}


def reasons(coupling: Coupling) -> str:
    return " | ".join(f"{name}: {group.frozen}" for name, group in coupling.groups.items() if group.frozen)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_interpolate(mode: str) -> None:
    model = Net(lambda m, x: m.b(F.interpolate(m.a(x), scale_factor=2, mode=mode)), a=conv(3, 8), b=conv(8, 5))
    assert widths(halved(model, IMAGE)[1]) == {"a": 8}


def test_pixel_shuffle_removes_whole_blocks() -> None:
    model = Net(lambda m, x: m.b(F.relu(F.pixel_shuffle(m.a(x), 2))), a=conv(3, 16), b=conv(4, 5))
    pruned, coupling = halved(model, IMAGE)
    assert (coupling.groups["a"].units, coupling.groups["a"].channels_per_unit) == (4, 4)
    assert (pruned.a.out_channels, pruned.b.in_channels) == (8, 2)


def test_pixel_unshuffle() -> None:
    model = Net(lambda m, x: m.b(F.relu(F.pixel_unshuffle(m.a(x), 2))), a=conv(3, 8), b=conv(32, 5))
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8}
    assert pruned.b.in_channels == 16


def test_transposed_convolution() -> None:
    model = Net(
        lambda m, x: m.c(F.relu(m.b(F.relu(m.a(x))))), a=conv(3, 8), b=nn.ConvTranspose2d(8, 6, 2, 2), c=conv(6, 5)
    )
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8, "b": 6}
    assert (pruned.b.in_channels, pruned.b.out_channels) == (4, 3)


def test_one_dimension() -> None:
    parts = {"a": nn.Conv1d(3, 8, 3), "bn": nn.BatchNorm1d(8), "b": nn.Conv1d(8, 6, 3), "c": nn.Linear(6, 5)}
    model = Net(lambda m, x: m.c(m.b(F.max_pool1d(F.relu(m.bn(m.a(x))), 2)).mean(-1)), **parts)
    assert widths(halved(model, SIGNAL)[1]) == {"a": 8, "b": 6}


def test_three_dimensions() -> None:
    parts = {"a": nn.Conv3d(3, 8, 3, padding=1), "bn": nn.BatchNorm3d(8), "b": nn.Conv3d(8, 5, 1)}
    model = Net(lambda m, x: m.b(F.avg_pool3d(F.relu(m.bn(m.a(x))), 2)), **parts)
    assert widths(halved(model, VOLUME)[1]) == {"a": 8}


def test_group_norm_keeps_equal_shares() -> None:
    model = Net(lambda m, x: m.b(F.relu(m.gn(m.a(x)))), a=conv(3, 8), gn=nn.GroupNorm(2, 8), b=conv(8, 5))
    pruned, coupling = halved(model, IMAGE)
    assert coupling.menu(1)["a"] == (2, 4, 6, 8)
    assert (pruned.gn.num_groups, pruned.gn.num_channels) == (2, 4)


def test_layer_norm_over_the_channels() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.b(m.ln(m.a(x).permute(0, 2, 3, 1)))

    pruned, coupling = halved(Net(forward, a=conv(3, 8), ln=nn.LayerNorm(8), b=nn.Linear(8, 5)), IMAGE)
    assert widths(coupling) == {"a": 8}
    assert pruned.ln.normalized_shape == (4,)


def test_rms_norm_over_the_channels() -> None:
    model = Net(
        lambda m, x: m.b(m.norm(m.a(x).permute(0, 2, 3, 1))), a=conv(3, 8), norm=nn.RMSNorm(8), b=nn.Linear(8, 5)
    )
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8}
    assert pruned.norm.normalized_shape == (4,)


def test_the_larger_of_two_maps() -> None:
    model = Net(lambda m, x: m.c(torch.max(m.a(x), m.b(x))), a=conv(3, 8), b=conv(3, 8), c=conv(8, 5))
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8}
    assert pruned.b.out_channels == 4


@pytest.mark.parametrize(
    "reduction", [torch.sum, torch.mean, torch.amax, torch.amin, torch.prod, torch.var, torch.logsumexp]
)
def test_a_reduction_over_the_channels_sees_only_those_kept(reduction: Callable[..., Tensor]) -> None:
    model = Net(lambda m, x: m.b(reduction(m.a(x), dim=1, keepdim=True)), a=conv(3, 8), b=conv(1, 5))
    assert widths(halved(model, IMAGE)[1]) == {"a": 8}


def test_softmax_over_the_channels() -> None:
    model = Net(lambda m, x: m.b(m.a(x).softmax(1)), a=conv(3, 8), b=conv(8, 5))
    assert widths(halved(model, IMAGE)[1]) == {"a": 8}


def test_instance_norm() -> None:
    model = Net(
        lambda m, x: m.b(F.relu(m.norm(m.a(x)))), a=conv(3, 8), norm=nn.InstanceNorm2d(8, affine=True), b=conv(8, 5)
    )
    pruned, _ = halved(model, IMAGE)
    assert pruned.norm.num_features == 4


@pytest.mark.parametrize("slopes", [1, 8])
def test_prelu(slopes: int) -> None:
    model = Net(lambda m, x: m.b(m.act(m.a(x))), a=conv(3, 8), act=nn.PReLU(slopes), b=conv(8, 5))
    pruned, _ = halved(model, IMAGE)
    assert pruned.act.num_parameters == max(1, slopes // 2)


def test_einsum_with_a_weight() -> None:
    model = Net(lambda m, x: m.b(F.relu(torch.einsum("nchw,co->nohw", m.a(x), m.w))), a=conv(3, 8), w=torch.randn(8, 6),
                b=conv(6, 5))  # fmt: skip
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8, "w": 6}
    assert pruned.w.shape == (4, 3)
    assert coupling.macs() == 64 * (3 * 9 * 8 + 8 * 6 + 6 * 9 * 5)
    assert coupling.macs({"a": 4, "w": 3}) == 64 * (3 * 9 * 4 + 4 * 3 + 3 * 9 * 5)


def test_matmul_with_a_weight() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.b(F.relu(F.relu(m.a(x)).flatten(2).transpose(1, 2) @ m.w + m.shift))

    model = Net(forward, a=conv(3, 8), w=torch.randn(8, 6), shift=torch.randn(6), b=nn.Linear(6, 5))
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8, "w": 6}
    assert (tuple(pruned.w.shape), tuple(pruned.shift.shape)) == ((4, 3), (3,))
    assert coupling.macs() == 64 * (3 * 9 * 8 + 8 * 6 + 6 * 5)
    assert [(x.name, x.weight, x.in_axis) for x in coupling.layers] == [
        ("a", "a.weight", 1),
        ("w", "w", 0),
        ("b", "b.weight", 1),
    ]


def test_matmul_with_a_weight_on_the_left_and_one_a_head() -> None:
    """(o, c) @ (n, c, t); then a matrix for each of two heads, (2, c, e)."""

    def forward(m: Any, x: Tensor) -> Tensor:
        y = F.relu(m.left @ F.relu(m.a(x)).flatten(2))
        y = y.transpose(1, 2).reshape(x.shape[0], 2, 32, -1) @ m.heads
        return m.b(F.relu(y))

    parts = {"left": torch.randn(6, 8), "heads": torch.randn(2, 6, 4), "b": nn.Linear(4, 5)}
    pruned, coupling = halved(Net(forward, a=conv(3, 8), **parts), IMAGE)
    assert widths(coupling) == {"a": 8, "left": 6}  # what comes out has two channel axes: the heads, and theirs
    assert "heads: spans a tensor with two channel axes" in reasons(coupling)
    assert (tuple(pruned.left.shape), tuple(pruned.heads.shape)) == ((3, 4), (2, 3, 4))
    assert [(x.name, x.in_axis) for x in coupling.layers] == [("a", 1), ("left", 1), ("heads", 1), ("b", 1)]
    assert coupling.macs() == 64 * (3 * 9 * 8 + 8 * 6 + 6 * 4 + 4 * 5)


def test_a_product_wired_wrongly_is_noticed() -> None:
    """The only consumer is a matmul: the proof has to permute its inputs to be worth anything."""
    model = Net(lambda m, x: F.relu(m.a(x)).mean((2, 3)) @ m.w, a=conv(3, 8), w=torch.randn(8, 5))
    traced = trace(model, (IMAGE,))
    coupling = find_groups(traced)
    proof = prove(model, traced, coupling, {"a": torch.arange(4)})
    assert proof.ok
    assert 1e-3 < proof.miswired_rel_change < float("inf")


def test_matrix_product_of_two_activations() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        q, k, v = (part(x).flatten(2).transpose(1, 2) for part in (m.q, m.k, m.v))
        return m.out((q @ k.transpose(1, 2) / 8).softmax(-1) @ v)

    model = Net(forward, q=conv(3, 8), k=conv(3, 8), v=conv(3, 6), out=nn.Linear(6, 5))
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"q": 8, "v": 6}
    assert (pruned.k.out_channels, pruned.out.in_features) == (4, 3)


def test_attention_keeps_the_width_that_sets_its_scale() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        q, k, v = (part(x).flatten(2).transpose(1, 2) for part in (m.q, m.k, m.v))
        return m.out(F.scaled_dot_product_attention(q, k, v))

    _, coupling = halved(Net(forward, q=conv(3, 8), k=conv(3, 8), v=conv(3, 6), out=nn.Linear(6, 5)), IMAGE)
    assert widths(coupling) == {"v": 6}
    assert "q: sets the scale of attention" in reasons(coupling)


def test_a_module_used_twice() -> None:
    model = Net(lambda m, x: m.c(m.b(F.relu(m.b(m.a(x))))), a=conv(3, 8), b=conv(8, 8), c=conv(8, 5))
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8}
    assert (pruned.b.in_channels, pruned.b.out_channels) == (4, 4)


def test_tied_weights_stay_tied() -> None:
    b, c = conv(8, 8), conv(8, 8)
    c.weight = b.weight
    model = Net(lambda m, x: m.d(m.c(F.relu(m.b(F.relu(m.a(x)))))), a=conv(3, 8), b=b, c=c, d=conv(8, 5))
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8}
    assert pruned.b.weight is pruned.c.weight
    assert pruned.b.weight.shape[:2] == (4, 4)


def test_parameters_outside_modules() -> None:
    """A scale, a table of positions and a token, as in vision transformers."""

    def forward(m: Any, x: Tensor) -> Tensor:
        x = (m.a(x) * m.scale).flatten(2).transpose(1, 2)
        x = torch.cat([m.token.expand(x.shape[0], -1, -1), x], 1) + m.positions
        return m.b(F.gelu(x))[:, 0]

    model = Net(forward, a=conv(3, 8), scale=torch.ones(8, 1, 1), token=torch.randn(1, 1, 8),
                positions=torch.randn(1, 65, 8), b=nn.Linear(8, 5))  # fmt: skip
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8}
    assert [pruned.scale.shape[0], pruned.token.shape[2], pruned.positions.shape[2]] == [4, 4, 4]


def test_convolutional_block_attention() -> None:
    """CBAM (Woo et al., 2018): a gate a channel, then a gate a place, which ties no channels."""

    def forward(m: Any, x: Tensor) -> Tensor:
        x = m.a(x)
        gate = sum(m.wide(F.relu(m.thin(pool(x, 1)))) for pool in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d))
        x = x * gate.sigmoid()
        place = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return m.b(x * m.place(place).sigmoid())

    model = Net(forward, a=conv(3, 8), thin=conv(8, 4, 1), wide=conv(4, 8, 1), place=conv(2, 1, 7), b=conv(8, 5))
    assert widths(halved(model, IMAGE)[1]) == {"a": 8, "thin": 4}


def test_padded_shortcut_keeps_what_meets_the_zeros() -> None:
    """Option A of He et al. (2015): the channels that meet padding stay, the others go with the first stage."""

    def forward(m: Any, x: Tensor) -> Tensor:
        x = F.relu(m.a(x))
        y = m.c(F.relu(m.b(x)))
        return m.d(F.relu(y + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))))

    model = Net(forward, a=conv(3, 8), b=conv(8, 12, stride=2), c=conv(12, 12), d=conv(12, 5))
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8, "b": 12}
    assert (pruned.a.out_channels, pruned.c.out_channels, pruned.d.in_channels) == (4, 8, 8)
    assert "fixed" in reasons(coupling)


def test_shuffled_channels_go_in_rows() -> None:
    """Channel i of both halves: the shuffled network keeps two halves of equal width."""
    model = Net(lambda m, x: m.b(F.channel_shuffle(F.relu(m.a(x)), 2)), a=conv(3, 8), b=conv(8, 5))
    _, coupling = halved(model, IMAGE)
    assert (coupling.groups["a"].units, coupling.groups["a"].channels_per_unit) == (4, 2)


def test_grouped_convolutions_around_a_shuffle_cannot_lose_a_group() -> None:
    """Each group of the second convolution reads from every group of the first (ShuffleNet, Zhang et al., 2018)."""

    def forward(m: Any, x: Tensor) -> Tensor:
        x = F.relu(m.b(F.relu(m.a(x))))
        x = x.view(x.shape[0], 2, 4, 8, 8).transpose(1, 2).reshape(x.shape)
        return m.d(F.relu(m.c(x)))

    parts = {"a": conv(3, 8), "b": conv(8, 8, groups=2), "c": conv(8, 8, groups=2), "d": conv(8, 5)}
    coupling = find_groups(trace(Net(forward, **parts), (IMAGE,)))
    assert widths(coupling) == {}
    assert "a: has channels that are all tied to each other" in reasons(coupling)


def test_cross_covariance_is_frozen_and_named() -> None:
    """XCA (El-Nouby et al., 2021): attention between channels is a matrix with two channel axes."""

    def forward(m: Any, x: Tensor) -> Tensor:
        q, k, v = (part(x).flatten(2) for part in (m.q, m.k, m.v))
        return m.out(((q @ k.transpose(1, 2)).softmax(-1) @ v).transpose(1, 2))

    parts = {"q": conv(3, 8), "k": conv(3, 8), "v": conv(3, 8), "out": nn.Linear(8, 5)}
    coupling = find_groups(trace(Net(forward, **parts), (IMAGE,)))
    assert widths(coupling) == {}
    assert "q: spans a tensor with two channel axes in matmul at test_ops.py" in reasons(coupling)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_heads_that_only_training_reaches(momentum: float | None) -> None:
    def forward(m: Any, x: Tensor) -> Any:
        x = F.relu(m.bn(m.a(x)))
        out = m.b(F.relu(m.mid(x)))
        return (out, m.aux(F.relu(m.thin(x)))) if m.training else out

    model = Net(forward, a=conv(3, 8), bn=nn.BatchNorm2d(8, momentum=momentum), mid=conv(8, 8), b=conv(8, 5),
                thin=conv(8, 4, 1), aux=conv(4, 5))  # fmt: skip
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8, "mid": 8, "thin": 4}
    assert (pruned.thin.in_channels, pruned.aux.in_channels) == (4, 2)
    assert pruned.bn.momentum == model.bn.momentum == momentum


def test_training_that_does_not_export_keeps_what_it_needs() -> None:
    """Nothing is known of the head that only training reaches, so what feeds it stays."""

    def forward(m: Any, x: Tensor) -> Any:
        x = F.relu(m.a(x))
        out = m.b(F.relu(m.mid(x)))
        return (out, m.aux(x if float(x.sum()) > 0 else -x)) if m.training else out

    model = Net(forward, a=conv(3, 8), mid=conv(8, 8), b=conv(8, 5), aux=conv(8, 5))
    traced = trace(model, (IMAGE,))
    coupling = find_groups(traced)
    assert any("training-only parameters (aux.bias, aux.weight" in note for note in coupling.notes)
    kept = {"a": torch.arange(4), "mid": torch.arange(4)}
    pruned, _, proof = prune_proved(model, traced, coupling, kept)
    assert proof.ok
    assert "does not run when pruned" in proof.frozen["a"]
    assert (pruned.a.out_channels, pruned.mid.out_channels) == (8, 4)


def test_several_inputs_and_outputs() -> None:
    def forward(m: Any, x: Tensor, y: Tensor) -> Any:
        z = F.relu(m.a(x)) + m.b(y)
        return {"mask": m.c(z), "pair": (m.d(z.mean((2, 3))), z.mean((1, 2, 3)))}

    model = Net(forward, a=conv(3, 8), b=conv(1, 8), c=conv(8, 2), d=nn.Linear(8, 5))
    pruned, coupling = halved(model, IMAGE, IMAGE[:, :1])
    assert widths(coupling) == {"a": 8}
    found = pruned(IMAGE, IMAGE[:, :1])
    assert [tuple(y.shape) for y in (found["mask"], *found["pair"])] == [(1, 2, 8, 8), (1, 5), (1,)]


def test_an_output_keeps_its_channels() -> None:
    coupling = find_groups(trace(Net(lambda m, x: (m.a(x), m.b(m.a(x))), a=conv(3, 8), b=conv(8, 5)), (IMAGE,)))
    assert widths(coupling) == {}
    assert "a: is an output of the network" in reasons(coupling)


def test_gated_linear_unit() -> None:
    model = Net(lambda m, x: m.b(F.glu(m.a(x), 1)), a=conv(3, 16), b=conv(8, 5))
    pruned, coupling = halved(model, IMAGE)
    assert (coupling.groups["a"].units, coupling.groups["a"].channels) == (8, 16)
    assert (pruned.a.out_channels, pruned.b.in_channels) == (8, 4)


def test_embedding_table() -> None:
    model = Net(
        lambda m, x: m.b(F.gelu(m.a(m.table(x)))), table=nn.Embedding(10, 8), a=nn.Linear(8, 6), b=nn.Linear(6, 5)
    )
    pruned, coupling = halved(model, torch.arange(10)[None])
    assert widths(coupling) == {"table": 8, "a": 6}
    assert pruned.table.embedding_dim == 4


def test_indexed_table_of_biases() -> None:
    """Rows of a parameter picked by constant indices, as Swin's relative positions."""
    indices = torch.arange(64) % 9

    def forward(m: Any, x: Tensor) -> Tensor:
        return m.b(F.relu(m.a(x).flatten(2).transpose(1, 2) + m.table[indices]))

    model = Net(forward, a=conv(3, 8), table=torch.randn(9, 8), b=nn.Linear(8, 5))
    pruned, coupling = halved(model, IMAGE)
    assert widths(coupling) == {"a": 8}
    assert tuple(pruned.table.shape) == (9, 4)


def test_multi_head_attention_leaves_the_mlp_to_prune() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    model = Net(
        lambda m, x: m.b(m.layer(m.a(x).flatten(2).transpose(1, 2))), a=conv(3, 8), layer=layer, b=nn.Linear(8, 5)
    )
    traced = trace(model, (IMAGE,))
    coupling = find_groups(traced)
    assert coupling.groups["layer.linear1"].frozen is None
    pruned, _, proof = prune_proved(model, traced, coupling, {"layer.linear1": torch.arange(0, 16, 2)})
    assert proof.ok
    assert pruned.layer.linear2.in_features == 8
