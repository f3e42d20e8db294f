"""The closed loop on real graphs and real data, with a target whose clock is a formula."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from edgeprune.graph import Coupling, Trace, find_groups, prune, trace
from edgeprune.search import costs
from edgeprune.search.cost_table import CostTable
from edgeprune.search.curves import Curve
from edgeprune.search.limits import Latency, LatencyLimit, Measured, file_size_limit, macs_limit
from edgeprune.search.loop import Round, WidthSearch, search
from edgeprune.search.memory import MemoryLimit, memory_limit
from edgeprune.search.predictor import Predictor
from edgeprune.search.problem import Problem
from edgeprune.search.sensitivity import Sensitivity, batch_statistics
from edgeprune.sources.cifar_resnet import CifarResNet
from edgeprune.task import Classification
from profilers.layers import LayerKey

TASK = Classification(10, [str(i) for i in range(10)])


def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32)[:, None] / 16 - 0.3, torch.tensor(data.target)


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Trace, Coupling, dict[str, Tensor], list[Tensor]]:
    """A ResNet-8 trained on digits for a few seconds, its coupling, L1-like scores and calibration inputs."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x, y = digits()
    model = CifarResNet(8).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(60):
        pick = torch.randint(0, 1500, (64,), generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        TASK.loss(model(x[pick]), y[pick]).backward()
        optimiser.step()
    model.eval()
    traced = trace(model, (x[:2],))
    coupling = find_groups(traced)
    parameters = dict(model.named_parameters())
    scores = {}
    for name, group in coupling.prunable.items():
        total = torch.zeros(group.units)
        for member in group.members:
            moved = (
                parameters[member.param].detach().abs().movedim(member.axis, 0) if member.param in parameters else None
            )
            if moved is not None and moved.dim() > 1:
                total += moved.flatten(1).sum(1)[member.index].sum(1)
        scores[name] = total
    return model, traced, coupling, scores, [x[:128]]


class Prober:
    def time_ms(self, keys: Sequence[LayerKey]) -> list[float]:
        return [1e-3 + 1e-7 * key.macs() for key in keys]


class Target:
    """A clock that the cost table does not know: dearer layers, adds, overhead; it counts its measurements."""

    def __init__(self, coupling: Coupling, table: CostTable) -> None:
        self.coupling, self.table, self.count = coupling, table, 0

    def ms(self, counts: Mapping[str, int]) -> float:
        elements = costs.total(self.coupling, costs.activations, counts)
        return 0.02 + 1.3 * costs.total(self.coupling, self.table.ms, counts) + 1e-6 * elements

    def __call__(self, counts: Mapping[str, int], kept: Mapping[str, Tensor]) -> Measured:
        assert {g: len(units) for g, units in kept.items()} == counts
        self.count += 1
        ms = self.ms(counts)
        return Measured(ms, ms * 1.001)


class CheapWhenNarrow(Target):
    """A clock on which narrow networks cost less than the cost table, scaled to the dense one, predicts."""

    def ms(self, counts: Mapping[str, int]) -> float:
        return super().ms(counts) ** 3


def run(
    trained: Any, share: float, multiple: int = 8, clock: type[Target] = Target, **settings: Any
) -> tuple[Any, Target, float]:
    model, _, coupling, scores, inputs = trained
    table = CostTable(coupling, coupling.menu(multiple), Prober())
    target = clock(coupling, table)
    dense = target.ms({})
    limit = Latency((LatencyLimit(Predictor(coupling, table, dense), share * dense),))
    settings = {"seconds": 4.0, "measure": target, **settings}
    result = search(model, coupling, scores, TASK, inputs, latency=limit, multiple=multiple, **settings)
    return result, target, dense


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_the_loop_lands_in_the_window(trained: Any, share: float) -> None:
    rounds: list[Round] = []
    result, target, dense = run(trained, share, on_round=rounds.append)
    assert result.met
    assert rounds == result.rounds
    assert len(rounds) == target.count <= 12
    assert target.ms(result.counts) <= share * dense
    assert result.reason.startswith("timed at") or "no finer step" in result.reason
    model, _, coupling, _, inputs = trained
    pruned, _ = prune(model, coupling, result.kept)
    assert pruned(inputs[0][:2]).shape == (2, 10)


class MostlyOverhead(Target):
    """Another phone: half of the dense network's time is not saved by narrower layers."""

    def ms(self, counts: Mapping[str, int]) -> float:
        return 0.5 * (super().ms({}) + super().ms(counts))


def test_one_network_meets_the_budget_on_two_targets(trained: Any) -> None:
    """The second phone decides: on the first alone a wider network would do."""
    model, _, coupling, scores, inputs = trained
    table = CostTable(coupling, coupling.menu(8), Prober())
    clocks = [Target(coupling, table), MostlyOverhead(coupling, table)]
    share = 0.8
    limits = [
        LatencyLimit(Predictor(coupling, table, clock.ms({})), share * clock.ms({}), name)
        for clock, name in zip(clocks, ("latency_ms", "latency_ms second"), strict=True)
    ]
    latency = Latency(tuple(limits))

    def measure(counts: Mapping[str, int], kept: Mapping[str, Tensor]) -> Measured:  # noqa: ARG001
        each = [clock.ms(counts) for clock in clocks]
        return Measured(latency.worst(each), latency.worst([ms * 1.001 for ms in each]), tuple(each))

    result = search(model, coupling, scores, TASK, inputs, latency=latency, measure=measure, seconds=4.0)
    assert result.met
    used = [clock.ms(result.counts) / (share * clock.ms({})) for clock in clocks]
    assert max(used) <= 1
    assert used[1] > used[0]
    assert used[1] > 0.9
    alone, _, _ = run(trained, share)
    assert clocks[1].ms(alone.counts) > share * clocks[1].ms({})


def test_a_floor_above_the_budget_is_measured_and_said(trained: Any) -> None:
    result, target, _ = run(trained, 0.05)
    assert not result.met
    assert "floor" in result.reason
    assert result.floor is not None
    assert result.floor.measured_ms == pytest.approx(target.ms(result.floor.counts))
    assert result.counts == result.floor.counts


class Noisy(Target):
    """A clock whose first answer has an interval from far below the budget into the window."""

    def __call__(self, counts: Mapping[str, int], kept: Mapping[str, Tensor]) -> Measured:
        found = super().__call__(counts, kept)
        return Measured(0.2 * found.ms, found.upper) if self.count == 1 else found


def test_an_interval_that_ends_in_the_window_by_noise_does_not_end_the_search(trained: Any) -> None:
    result, target, dense = run(trained, 0.5, clock=Noisy)
    assert target.count > 1
    assert result.met
    assert result.measured.ms > 0.9 * 0.5 * dense or "no finer step" in result.reason
    assert result.counts != result.rounds[0].counts


def test_from_a_floor_below_the_budget_finer_steps_fill_it(trained: Any) -> None:
    """The floor is predicted to miss and measured to meet: the room above it is used."""
    _, _, coupling, _, _ = trained
    clock = CheapWhenNarrow(coupling, CostTable(coupling, coupling.menu(8), Prober()))
    floor = {group: menu[0] for group, menu in coupling.menu(8).items()}
    share = 1.2 * clock.ms(floor) / clock.ms({})
    result, target, dense = run(trained, share, clock=CheapWhenNarrow)
    assert result.floor is not None
    assert result.floor.predicted_ms > share * dense > result.floor.measured_ms
    assert result.met
    used = target.ms(result.counts) / (share * dense)
    assert 0.95 <= used <= 1.0 or (used > 1 / 1.2 and "no finer step" in result.reason)


def test_finer_steps_fill_the_budget(trained: Any) -> None:
    result, target, dense = run(trained, 0.8, multiple=16)
    assert result.met
    share = target.ms(result.counts) / (0.8 * dense)
    assert share >= 0.95 or "no finer step" in result.reason
    assert share <= 1.0


def test_budgets_without_a_clock(trained: Any) -> None:
    model, traced, coupling, scores, inputs = trained
    limits = [
        macs_limit(coupling, 0.5 * coupling.macs({})),
        file_size_limit(coupling, 150_000, 340_000),
        memory_limit(coupling, traced, 0.3),
    ]
    result = search(model, coupling, scores, TASK, inputs, limits=limits, seconds=3.0)
    assert result.met
    assert result.reason == "predicted, not measured"
    assert all(limit.predict(result.counts) <= limit.budget * (1 + 1e-6) for limit in limits)
    assert coupling.macs(result.counts) == pytest.approx(result.predicted["macs"])


def test_macs_agree_with_the_graph(trained: Any) -> None:
    _, _, coupling, _, _ = trained
    for counts in ({}, {group: menu[0] for group, menu in coupling.menu(8).items()}):
        assert costs.total(coupling, costs.macs, counts) == coupling.macs(counts)


def test_memory_by_hand_and_rows(trained: Any) -> None:
    _, traced, coupling, _, _ = trained
    limit = memory_limit(coupling, traced, 1.0)
    weights = costs.total(coupling, costs.file_bytes, {}) / 2**20
    # First block at 8x8: its input is kept for the shortcut beside one or two maps of 16 channels.
    assert limit.predict({}) - weights == pytest.approx(3 * 16 * 64 * 4 / 2**20)
    anchored: MemoryLimit = memory_limit(coupling, traced, 1.0, dense_measured_mib=5.0)
    assert anchored.predict({}) == pytest.approx(5.0)
    menus = coupling.menu(8)
    counts = {group: menu[0] for group, menu in menus.items()}
    rows = limit.rows(menus)
    problem = Problem(menus, {g: np.zeros(len(m)) for g, m in menus.items()}, tuple(rows))
    assert max(problem.costs(problem.indices(counts))) == pytest.approx(limit.predict(counts))


def test_sensitivity_prunes_physically_and_leaves_the_model_alone(trained: Any) -> None:
    model, _, coupling, scores, inputs = trained
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    menus = coupling.menu(8)
    sensitivity = Sensitivity(model, coupling, scores, TASK, inputs, menus, seconds=2.0)
    assert sensitivity.loss({}) == pytest.approx(0.0, abs=1e-6)
    narrow = {group: menu[0] for group, menu in menus.items()}
    assert sensitivity.loss(narrow) > sensitivity.loss({next(iter(menus)): 8}) > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module.training for module in model.modules())


def test_batch_statistics_equal_re_estimated_ones() -> None:
    norm = nn.BatchNorm2d(3).eval()
    x = 2 + 3 * torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with batch_statistics(norm):
        y = norm(x)
    assert torch.allclose(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert int(norm.num_batches_tracked) == 0


def test_curves_never_rise_and_end_at_zero() -> None:
    curve = Curve({8: 1.0, 16: 0.3, 32: 0.5, 64: 0.0})
    values = curve(range(1, 65))
    assert np.all(np.diff(values) <= 0)
    assert values[-1] == 0


def test_rescaled_curves_meet_the_measured_change() -> None:
    curve = Curve({8: 1.0, 32: 0.2, 64: 0.0})
    new = curve.rescaled(32, {8: 1.6, 64: -0.1}, mix=1.0)
    low, here, dense = new([8, 32, 64])
    assert low - here == pytest.approx(1.6, rel=1e-3)
    assert dense - here == pytest.approx(-0.1, rel=1e-3)


def test_diverging_curves_by_hand() -> None:
    """Slope at 12 of 16: 0.1 / (16 / 12 - 1) = 0.3; what was measured at 8 and 4 levels off and is not used."""
    curve = Curve({16: 0.0, 12: 0.1, 8: 0.5, 4: 0.55}).diverging()
    assert curve([16, 12, 8, 4]) == pytest.approx([0.0, 0.1, 0.3, 0.9], abs=1e-5)


def test_the_loop_with_measured_curves(trained: Any) -> None:
    result, target, dense = run(trained, 0.4, how=WidthSearch(curves="measured"))
    assert result.met
    assert 0.9 * 0.4 * dense < target.ms(result.counts) <= 0.4 * dense


def test_losses_diverge_as_a_group_vanishes(trained: Any) -> None:
    result, target, dense = run(trained, 0.4, multiple=4)
    assert result.met
    assert target.ms(result.counts) <= 0.4 * dense
    for name, curve in result.curves.items():
        menu = np.array(trained[2].menu(4)[name])
        if len(menu) > 1:  # slope x (dense / width - 1): the shape is the same for every group
            shape = curve(menu) / curve([menu[0]])
            assert shape == pytest.approx((menu[-1] / menu - 1) / (menu[-1] / menu[0] - 1), abs=1e-4)
