from types import SimpleNamespace

import pytest
import torch
from torch import nn

from edgeprune.allocate.densities import NAMES
from edgeprune.allocate.global_ import global_
from edgeprune.allocate.rules import Global, PQIndex, PreCropping, Question
from edgeprune.errors import BudgetNotMet, UsageError
from edgeprune.graph import find_groups, trace
from edgeprune.task import Classification

UNITS = {"a": 32, "b": 32, "c": 4}
GROUPS = {name: SimpleNamespace(channels_per_unit=1) for name in UNITS}
# After division by the mean, b has nothing above .5 but its first channels.
SCORES = {
    "a": torch.linspace(1, 2, 32),
    "b": torch.tensor([100.0] * 2 + [1.0] * 30),
    "c": torch.tensor([9.0, 0.1, 0.1, 0.1]),
}
MENUS = {name: tuple(range(1, units + 1)) for name, units in UNITS.items()}


def question() -> Question:
    coupling = SimpleNamespace(groups=GROUPS)
    return Question(torch.nn.Identity(), coupling, SCORES, MENUS)  # type: ignore[arg-type]


def total(counts) -> float:
    return float(sum(counts.values()))


@pytest.mark.parametrize("budget", [20, 35, 60])
def test_without_a_floor_it_is_plain_global_ranking(budget) -> None:
    assert Global()(question())(total, budget) == global_(SCORES, MENUS, total, budget)


def test_every_group_keeps_its_floor_and_the_budget_holds() -> None:
    plain = Global()(question())(total, 40)
    assert plain["b"] == 2, "without the floor this group would collapse"
    floored = Global(minimum=8, share=0.1)(question())(total, 40)
    assert floored["b"] == 8
    assert floored["c"] == 4, "a group below the floor stays dense"
    assert total(floored) <= 40
    assert Global(share=0.5)(question())(total, 60)["b"] == 16
    with pytest.raises(BudgetNotMet):
        Global(minimum=8)(question())(total, 19)


def test_the_pq_index_gives_more_to_groups_whose_channels_are_alike() -> None:
    counts = PQIndex()(question())(total, 40)
    assert total(counts) <= 40
    assert counts["b"] / counts["a"] == pytest.approx(11 / 32, abs=0.05)  # ((2 * 10 + 30) / 32)^2 / (230 / 32) = .34


def chain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("about_macs", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_all_densities_of_precropping_can_be_selected(name: str, about_macs: bool) -> None:
    network, inputs = chain(), (torch.zeros(1, 1, 8, 8),)
    coupling = find_groups(trace(network, inputs))
    torch.manual_seed(1)
    batches = [(torch.rand(20, 1, 8, 8), torch.arange(20) % 10)]
    asked = Question(
        network, coupling, {}, coupling.menu(1), inputs, batches, Classification(10), about_macs, density=0.4
    )
    cost = coupling.macs if about_macs else coupling.params
    counts = PreCropping(name)(asked)(cost, 0.4 * cost())
    assert 0.25 * cost() < cost(counts) <= 0.4 * cost()
    assert set(counts) == set(coupling.prunable)


def test_wrong_settings() -> None:
    with pytest.raises(UsageError, match="0 < p < q"):
        PQIndex(p=1.0, q=0.5)
    with pytest.raises(UsageError, match="floor"):
        Global(share=2.0)
