from types import SimpleNamespace

import pytest
import torch

from edgeprune.allocate.global_ import global_
from edgeprune.allocate.rules import Global, PQIndex, Question
from edgeprune.errors import BudgetNotMet, UsageError

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


def test_wrong_settings() -> None:
    with pytest.raises(UsageError, match="0 < p < q"):
        PQIndex(p=1.0, q=0.5)
    with pytest.raises(UsageError, match="floor"):
        Global(share=2.0)
