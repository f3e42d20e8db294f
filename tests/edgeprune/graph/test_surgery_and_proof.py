"""Small networks, one rule each: groups worked out by hand, exact surgery, and proofs that can fail."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune.graph import SurgeryError, TraceError, Widths, find_groups, prove, prune, prune_proved, trace
from edgeprune.graph import proof as proofs
from edgeprune.sources.cifar_resnet import CifarResNet


class Mixed(nn.Module):
    """Residual, depthwise, concat, squeeze-excite and flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.expand, self.depthwise = nn.Conv2d(8, 12, 1), nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.squeeze, self.excite = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.project, self.branch = nn.Conv2d(12, 8, 1), nn.Conv2d(8, 6, 1)
        self.fc = nn.Linear(14 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(x)))
        y = F.relu(self.depthwise(self.expand(x)))
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        x = x + self.project(y)
        return self.fc(F.adaptive_avg_pool2d(torch.cat([x, self.branch(x)], 1), 2).flatten(1))


def grouped(model: nn.Module, *inputs: Tensor) -> Any:
    traced = trace(model, inputs)
    return traced, find_groups(traced)


IMAGE = torch.randn(1, 3, 8, 8)
MIXED = Mixed()
TRACED, COUPLING = grouped(MIXED, IMAGE)


def test_groups_are_those_worked_out_by_hand() -> None:
    assert {n: g.units for n, g in COUPLING.prunable.items()} == {"stem": 8, "expand": 12, "squeeze": 4, "branch": 6}
    assert COUPLING.groups["fc"].frozen
    owned = {(m.param, m.axis, m.index.shape[1]) for m in COUPLING.groups["stem"].members}
    assert {("stem.weight", 0, 1), ("bn.running_var", 0, 1), ("project.bias", 0, 1), ("fc.weight", 1, 4)} <= owned
    assert COUPLING.menu(4) == {"stem": (4, 8), "expand": (4, 8, 12), "squeeze": (4,), "branch": (4, 6)}


PROVER = proofs._Prover(MIXED, TRACED, COUPLING, 0)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_kept_subset_is_exact(data: st.DataObject) -> None:
    """Equality only: whether a mis-wiring shows depends on the subset (two kept squeeze channels may hide it)."""
    kept = {}
    for name, group in COUPLING.prunable.items():
        units = data.draw(st.sets(st.integers(0, group.units - 1), min_size=1, max_size=group.units))
        kept[name] = torch.tensor(sorted(units))
    _, error, reason = PROVER.attempt(kept)
    assert reason is None
    assert error < 1e-9


def test_half_of_every_group_is_proved() -> None:
    kept = {name: torch.arange(0, group.units, 2) for name, group in COUPLING.prunable.items()}
    result = prove(MIXED, TRACED, COUPLING, kept)
    assert result.ok
    assert result.frozen == {}
    assert result.miswired_rel_change > 1e-3


def test_a_wrong_surgery_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consumer's kept inputs are in the wrong order."""
    kept = {"stem": torch.tensor([0, 2, 5, 6])}
    right = proofs.make_widths

    def wrong(*args: Any) -> Widths:
        widths = right(*args)
        if "expand.weight" in widths.kept:
            widths.kept["expand.weight"][1] = widths.kept["expand.weight"][1][::-1]
        return widths

    monkeypatch.setattr(proofs, "make_widths", wrong)
    result = prove(MIXED, TRACED, COUPLING, kept)
    assert "differs from the masked dense network" in result.frozen["stem"]


def test_ratio_zero_changes_no_bit_and_the_model_is_untouched() -> None:
    before = {name: tensor.clone() for name, tensor in MIXED.state_dict().items()}
    all_units = {name: torch.arange(group.units) for name, group in COUPLING.prunable.items()}
    pruned, widths = prune(MIXED, COUPLING, all_units)
    prune(MIXED, COUPLING, {"stem": torch.tensor([1, 2])})
    assert widths == Widths()
    for name, tensor in before.items():
        assert torch.equal(pruned.state_dict()[name], tensor)
        assert torch.equal(MIXED.state_dict()[name], tensor)


def test_widths_rebuild_the_network_without_tracing() -> None:
    kept = {"stem": torch.tensor([0, 2, 5]), "expand": torch.tensor([1, 4, 7, 11])}
    pruned, widths = prune(MIXED, COUPLING, kept)
    rebuilt = Widths.from_json(widths.to_json()).apply(Mixed())
    rebuilt.load_state_dict(pruned.state_dict())
    assert torch.equal(rebuilt.eval()(IMAGE), pruned.eval()(IMAGE))
    assert (rebuilt.depthwise.groups, rebuilt.bn.num_features, rebuilt.fc.in_features) == (4, 3, (3 + 6) * 4)
    with pytest.raises(SurgeryError, match="belong to a model"):
        widths.apply(pruned)
    with pytest.raises(SurgeryError, match="not a widths file"):
        Widths.from_json("{}")


def test_illegal_kept_sets_are_refused() -> None:
    for kept in ({"stem": torch.tensor([0, 0])}, {"stem": torch.tensor([8])}, {"fc": torch.tensor([0])}):
        with pytest.raises(SurgeryError):
            prune(MIXED, COUPLING, kept)


def test_pruned_resnet_is_traced_and_pruned_again() -> None:
    model, x = CifarResNet(8), torch.randn(1, 1, 16, 16)
    for _ in range(2):
        traced, coupling = grouped(model, x)
        counts = {name: max(1, group.units // 2) for name, group in coupling.prunable.items()}
        scores = {name: torch.rand(group.units) for name, group in coupling.prunable.items()}
        model, _, proof = prune_proved(model, traced, coupling, coupling.select(scores, counts))
        assert proof.ok
    assert model.conv1.out_channels == 4


class Norms(nn.Module):
    """GroupNorm keeps equal shares; LayerNorm, a shared module and a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.gn = nn.Conv2d(3, 16, 3), nn.GroupNorm(4, 16)
        self.shared, self.ln = nn.Conv2d(16, 16, 1), nn.LayerNorm(16)
        self.up = nn.ConvTranspose2d(16, 10, 2, 2)
        self.out = nn.Conv2d(10, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.relu(self.gn(self.a(x)))
        x = self.shared(F.relu(self.shared(x)))
        x = self.ln(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return {"out": F.interpolate(self.out(self.up(x)), size=(24, 24), mode="bilinear")}


def test_norms_shared_modules_and_dict_outputs() -> None:
    model = Norms()
    traced, coupling = grouped(model, IMAGE)
    assert coupling.menu(1)["a"] == (4, 8, 12, 16)
    scores = {name: torch.arange(group.units).float() for name, group in coupling.prunable.items()}
    kept = coupling.select(scores, {"a": 8, "up": 6})
    assert kept["a"].tolist() == [2, 3, 6, 7, 10, 11, 14, 15]
    _, _, proof = prune_proved(model, traced, coupling, kept)
    assert proof.ok
    assert proof.frozen == {}


class Two(nn.Module):
    """Two inputs; one width is written in the code, one op has no rule."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 1)
        self.d, self.fc = nn.Conv2d(8, 8, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        z = self.c(F.relu(self.a(x) + self.b(y)))
        z = self.d(z.view(1, 8, 8, 8))
        return self.fc(torch.cummax(z, 1).values.mean((2, 3)))


def test_literal_widths_and_unknown_ops_are_frozen_with_a_reason() -> None:
    model = Two()
    traced, coupling = grouped(model, IMAGE, IMAGE[:, :1])
    assert "cummax" in (coupling.groups["d"].frozen or "")
    assert any("cummax" in note for note in coupling.notes)
    kept = {"a": torch.arange(4), "c": torch.arange(4)}
    pruned, _, proof = prune_proved(model, traced, coupling, kept)
    assert proof.ok
    assert "written in its code" in proof.frozen["c"]
    assert (pruned.b.out_channels, pruned.c.out_channels) == (4, 8)


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x  # the line to be named


def test_what_does_not_export_names_the_line() -> None:
    with pytest.raises(TraceError, match=r"test_surgery_and_proof\.py:\d+") as caught:
        trace(Branches(), (IMAGE,))
    assert "x.sum() > 0" in caught.value.message
    assert caught.value.cure


def test_modes_are_left_alone() -> None:
    model = Mixed().train()
    model.bn.eval()
    traced, coupling = grouped(model, IMAGE)
    pruned, _ = prune(model, coupling, {"stem": torch.arange(4)})
    assert traced.batch == 1
    assert model.training
    assert pruned.training
    assert not model.bn.training
    assert not pruned.bn.training
