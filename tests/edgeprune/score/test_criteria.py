"""The criteria on channel groups: aggregation over producers, hand-worked numbers, finite differences."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.score import CRITERIA, score
from edgeprune.score.group import by_mean, min_max
from edgeprune.task import Classification

TASK = Classification(3)


@dataclass(frozen=True)
class Slice:
    param: str
    axis: int
    index: Tensor


@dataclass(frozen=True)
class Group:
    name: str
    units: int
    members: tuple[Slice, ...]
    frozen: str | None = None


class Residual(nn.Module):
    """stem and inner write to one trunk of 6 channels; the inner width is 4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn0 = nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.first, self.bn1 = nn.Conv2d(6, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.second, self.bn2 = nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        trunk = self.bn0(self.stem(x)).relu()
        trunk = trunk + self.bn2(self.second(self.bn1(self.first(trunk)).relu()))
        return self.fc(nn.functional.adaptive_avg_pool2d(trunk, 2).flatten(1))


def generic(seed: int = 0) -> Residual:
    torch.manual_seed(seed)
    model = Residual().double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
    return model.eval()


def one_each(n: int) -> Tensor:
    return torch.arange(n).view(n, 1)


def norm(name: str, n: int) -> list[Slice]:
    return [Slice(f"{name}.{part}", 0, one_each(n)) for part in ("weight", "bias", "running_mean", "running_var")]


COUPLING = SimpleNamespace(
    groups={
        "stem": Group(
            "stem",
            6,
            (
                Slice("stem.weight", 0, one_each(6)),
                *norm("bn0", 6),
                Slice("first.weight", 1, one_each(6)),
                Slice("second.weight", 0, one_each(6)),
                *norm("bn2", 6),
                Slice("fc.weight", 1, torch.arange(24).view(6, 4)),
            ),
        ),
        "first": Group(
            "first",
            4,
            (Slice("first.weight", 0, one_each(4)), *norm("bn1", 4), Slice("second.weight", 1, one_each(4))),
        ),
        "fc": Group("fc", 3, (Slice("fc.weight", 0, one_each(3)), Slice("fc.bias", 0, one_each(3))), "network output"),
    }
)


def batches(n: int = 2, seed: int = 1) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(8, 1, 8, 8, generator=generator).double(), torch.randint(0, 3, (8,), generator=generator))
        for _ in range(n)
    ]


@pytest.mark.parametrize("name", list(CRITERIA))
def test_every_criterion_scores_every_open_group_and_leaves_the_model(name: str) -> None:
    model = generic().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.stem.weight.requires_grad_(False)
    model.bn1.eval()
    found = score(name, model, COUPLING, batches(), TASK)
    assert {key: value.shape for key, value in found.items()} == {"stem": (6,), "first": (4,)}
    for value in found.values():
        assert torch.isfinite(value).all()
        assert value.unique().numel() == value.numel()
        assert not value.requires_grad
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert model.training
    assert not model.bn1.training
    assert not model.stem.weight.requires_grad
    assert model.first.weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", [name for name in CRITERIA if name != "random"])
def test_permuting_a_group_permutes_its_scores(name: str) -> None:
    model, order = generic(), torch.tensor([3, 0, 5, 1, 4, 2])
    before = score(name, model, COUPLING, batches(), TASK)
    state = model.state_dict()
    for member in COUPLING.groups["stem"].members:
        tensor, index = state[member.param], member.index[order].flatten()
        tensor.copy_(tensor.index_select(member.axis, index).clone())
    after = score(name, model, COUPLING, batches(), TASK)
    assert torch.allclose(after["stem"], before["stem"][order], rtol=1e-6)
    assert torch.allclose(after["first"], before["first"], rtol=1e-6)


@pytest.mark.parametrize(("name", "p"), [("l1", 1), ("l2", 2)])
def test_magnitude_by_hand(name: str, p: int) -> None:
    model = generic()
    stem = model.stem.weight.detach().flatten(1).norm(p, dim=1)
    second = model.second.weight.detach().flatten(1).norm(p, dim=1)
    found = score(name, model, COUPLING, [])
    assert torch.allclose(found["stem"], (stem / stem.mean() + second / second.mean()) / 2)


def test_units_of_several_channels_have_the_norm_of_all() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False))
    model[0].weight.data = torch.tensor([3.0, 1.0, 4.0, 1.0]).view(4, 1, 1, 1)
    group = Group("0", 2, (Slice("0.weight", 0, torch.tensor([[0, 2], [1, 3]])),))
    found = score("l2", model, SimpleNamespace(groups={"0": group}), [])["0"]
    assert (found[0] / found[1]).item() == pytest.approx(5 / 2**0.5)


def test_transposed_convolutions_produce_on_axis_1() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ConvTranspose2d(2, 3, 1, bias=False))
    model[1].weight.data = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]).view(2, 3, 1, 1)
    groups = {
        "0": Group("0", 2, (Slice("0.weight", 0, one_each(2)), Slice("1.weight", 0, one_each(2)))),
        "1": Group("1", 3, (Slice("1.weight", 1, one_each(3)),)),
    }
    model[0].weight.data = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    found = score("l1", model, SimpleNamespace(groups=groups), [])
    assert found["1"].tolist() == pytest.approx([0.5, 1.0, 1.5])
    assert found["0"].tolist() == pytest.approx([0.5, 1.5])


def test_bn_scale_by_hand_and_where_there_is_none() -> None:
    model = generic()
    found = score("bn-scale", model, COUPLING, [])
    assert torch.allclose(found["stem"], (model.bn0.weight.abs() + model.bn2.weight.abs()).detach() / 2)
    bare = nn.Sequential(nn.Conv2d(1, 2, 1))
    group = SimpleNamespace(groups={"0": Group("0", 2, (Slice("0.weight", 0, one_each(2)),))})
    assert torch.equal(score("bn-scale", bare, group, [])["0"], score("l1", bare, group, [])["0"])


def mean_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> float:
    with torch.no_grad():
        return TASK.loss(model(batch[0]), batch[1]).item()


def test_taylor_is_the_slope_of_the_loss_along_a_units_scale() -> None:
    data, h = batches(2), 1e-6
    found = score("taylor", generic(), COUPLING, data, TASK)
    for name, group in COUPLING.groups.items():
        if group.frozen:
            continue
        for unit in range(group.units):
            scaled = generic()
            for member in group.members:
                if "running" not in member.param:
                    entries = scaled.get_parameter(member.param).data.movedim(member.axis, 0)
                    entries[member.index[unit]] *= 1 - h
            slopes = [(mean_loss(scaled, b) - mean_loss(generic(), b)) / h for b in data]
            expected = sum(abs(slope) for slope in slopes) / 2
            assert found[name][unit].item() == pytest.approx(expected, rel=1e-3, abs=1e-7)


def test_beta_rank_averages_its_producers_after_min_max() -> None:
    model = generic()
    found = score("beta-rank", model, COUPLING, batches())
    assert found["first"].min() == 0
    assert found["first"].max() == 1
    alone = {
        name: score("beta-rank", model, SimpleNamespace(groups={"g": Group("g", 6, (member,))}), batches())["g"]
        for name, member in (
            ("stem", COUPLING.groups["stem"].members[0]),
            ("second", COUPLING.groups["stem"].members[6]),
        )
    }
    assert torch.allclose(found["stem"], (alone["stem"] + alone["second"]) / 2)


def test_beta_rank_directions_differ() -> None:
    code, paper = (score("beta-rank", generic(), COUPLING, batches(), direction=d) for d in ("code", "paper"))
    assert not torch.allclose(code["stem"], paper["stem"], atol=0.05)


def test_class_balanced_does_not_care_how_often_a_class_occurs() -> None:
    generator, model = torch.Generator().manual_seed(2), generic()
    rare, often = (
        torch.randn(4, 1, 8, 8, generator=generator).double(),
        torch.rand(4, 1, 8, 8, generator=generator).double(),
    )
    y = torch.tensor([0] * 4 + [1] * 4)
    even = [(torch.cat([rare, often]), y)]
    uneven = [*even, *[(often, y[4:])] * 5]
    balanced, plain = (
        [score("beta-rank", model, COUPLING, data, class_balanced=flag)["first"] for data in (even, uneven)]
        for flag in (True, False)
    )
    assert torch.allclose(*balanced, rtol=1e-6)
    assert not torch.allclose(*plain, rtol=1e-2)


def test_random_follows_its_seed() -> None:
    first, again, other = (score("random", generic(), COUPLING, [], seed=seed)["stem"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_equal_scores_do_not_divide_by_nothing() -> None:
    assert min_max(torch.ones(3)).tolist() == [0.5] * 3
    assert by_mean(torch.zeros(3)).tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("name", "settings", "said", "cure"),
    [
        ("beta_rank", {}, "unknown criterion 'beta_rank'", "did you mean beta-rank?"),
        ("l1", {"direction": "code"}, "l1 has no setting 'direction'", "no settings"),
        ("beta-rank", {"direction": "up"}, "direction 'up' is unknown", "code or paper"),
        ("taylor", {}, "needs a task", "l1"),
    ],
)
def test_what_is_asked_wrongly_is_said(name: str, settings: dict, said: str, cure: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        score(name, generic(), COUPLING, batches(), None, **settings)
    assert cure in caught.value.cure
