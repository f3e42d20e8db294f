"""Every surgery against its oracle: pruned equals masked dense, and a wrong surgery is noticed."""

import copy
import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeprune.graph import SurgeryError, TraceError, Widths, find_groups, prune, prune_proved, trace
from edgeprune.graph.proof import _Prover
from edgeprune.sources.cifar_resnet import CifarResNet


class Mixed(nn.Module):
    """Residual, depthwise, concat and squeeze-excite in one small network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.wide = nn.Sequential(nn.Conv2d(16, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.squeeze, self.excite = nn.Conv2d(24, 8, 1), nn.Conv2d(8, 24, 1)
        self.narrow = nn.Sequential(nn.Conv2d(24, 16, 1, bias=False), nn.BatchNorm2d(16))
        self.branch = nn.Conv2d(16, 8, 3, padding=1)
        self.head = nn.Linear(24 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.deep(self.wide(x))
        y = y * torch.sigmoid(self.excite(torch.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        x = x + self.narrow(y)
        x = torch.cat([x, torch.relu(self.branch(x))], 1)
        return self.head(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))


X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def mixed():
    model = Mixed().eval()
    traced = trace(model, (X,))
    return model, traced, find_groups(traced)


def test_groups_of_the_mixed_network(mixed):
    _, _, coupling = mixed
    widths = {name: group.units for name, group in coupling.prunable.items()}
    assert widths == {"stem.0": 16, "wide.0": 24, "squeeze": 8, "branch": 8}
    assert coupling.groups["head"].frozen


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_kept_subset_is_proved(mixed, data):
    model, traced, coupling = mixed
    kept = {
        name: torch.tensor(sorted(data.draw(st.sets(st.integers(0, group.units - 1), min_size=1), label=name)))
        for name, group in coupling.prunable.items()
    }
    pruned, _, proof = prune_proved(model, traced, coupling, kept)
    assert proof.ok
    assert not proof.frozen
    assert proof.max_rel_error <= 1e-9
    assert proof.miswired_rel_change > 1e-3
    assert sum(p.numel() for p in pruned.parameters()) == coupling.params({g: len(k) for g, k in kept.items()})


def test_a_wrong_surgery_is_noticed(mixed):
    """The oracle and a pruned network whose consumer reads its inputs in another order must disagree."""
    model, traced, coupling = mixed
    kept = {"wide.0": torch.arange(0, 24, 2), "stem.0": torch.arange(8)}
    prover = _Prover(model, traced, coupling, 0)
    pruned, error, reason = prover.attempt(kept)
    assert reason is None
    assert error <= 1e-9
    changes = prover.miswired(pruned, prover.consumers(kept))
    assert set(changes) == {"wide.0.weight", "squeeze.weight", "narrow.0.weight", "branch.weight", "head.weight"}
    assert min(changes.values()) > 1e-3


def test_the_original_is_untouched_and_ratio_zero_is_bit_identical(mixed):
    model, _, coupling = mixed
    before = copy.deepcopy(model.state_dict())
    pruned, widths = prune(model, coupling, {})
    assert all(torch.equal(a, b) for a, b in zip(before.values(), pruned.state_dict().values(), strict=True))
    prune(model, coupling, {"stem.0": torch.arange(8)})
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert not widths.kept


def test_widths_rebuild_the_pruned_network_from_json_without_tracing(mixed):
    model, _, coupling = mixed
    pruned, widths = prune(model, coupling, {"stem.0": torch.tensor([0, 3, 5, 9]), "branch": torch.arange(4)})
    again = Widths.from_json(json.dumps(json.loads(widths.to_json()))).apply(model)
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(again(x), pruned(x))
    fresh = Widths.from_json(widths.to_json()).apply(Mixed().eval())
    fresh.load_state_dict(pruned.state_dict())
    assert torch.equal(fresh(x), pruned(x))


def test_a_pruned_network_can_be_pruned_again(mixed):
    model, _, coupling = mixed
    once, _ = prune(model, coupling, {"wide.0": torch.arange(16)})
    traced = trace(once, (X,))
    second = find_groups(traced)
    assert second.groups["wide.0"].units == 16
    _, _, proof = prune_proved(once, traced, second, {"wide.0": torch.arange(8)})
    assert proof.ok


def test_illegal_kept_sets_are_refused(mixed):
    _, _, coupling = mixed
    scores = {"stem.0": torch.rand(16)}
    for counts in ({"stem.0": 0}, {"stem.0": 17}, {"nowhere": 3}, {"head": 2}):
        with pytest.raises(SurgeryError):
            coupling.select(scores, counts)


def test_select_keeps_the_best(mixed):
    _, _, coupling = mixed
    scores = torch.arange(16.0)
    assert coupling.select({"stem.0": scores}, {"stem.0": 4})["stem.0"].tolist() == [12, 13, 14, 15]


def test_menu_steps_in_multiples_and_always_offers_the_dense_width(mixed):
    _, _, coupling = mixed
    menu = coupling.menu(8)
    assert menu["wide.0"] == (8, 16, 24)
    assert menu["branch"] == (8,)


def test_resnet20_stage_is_one_group_and_is_proved():
    model = CifarResNet(20).eval()
    traced = trace(model, (torch.randn(1, 1, 28, 28),))
    coupling = find_groups(traced)
    assert len(coupling.prunable) == 3 + 9
    counts = {g: group.units // 2 for g, group in coupling.prunable.items()}
    kept = coupling.select({g: torch.rand(coupling.groups[g].units) for g in counts}, counts)
    _, _, proof = prune_proved(model, traced, coupling, kept)
    assert proof.ok
    assert coupling.macs(counts) < 0.27 * coupling.macs()


def test_resnet18_half_width_costs_what_is_published():
    from torchvision.models import resnet18

    coupling = find_groups(trace(resnet18().eval(), (torch.randn(1, 3, 224, 224),)))
    half = {g: group.units // 2 for g, group in coupling.prunable.items()}
    assert coupling.macs() / 1e9 == pytest.approx(1.814, abs=0.01)
    assert coupling.macs(half) / 1e9 == pytest.approx(0.487, abs=0.01)
    assert coupling.params() / 1e6 == pytest.approx(11.69, abs=0.01)
    assert coupling.params(half) / 1e6 == pytest.approx(3.06, abs=0.02)


def test_a_network_that_cannot_be_exported_names_the_place():
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(TraceError, match="test_proved_surgery"):
        trace(Branching(), (X,))
