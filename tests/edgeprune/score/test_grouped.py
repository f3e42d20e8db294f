"""The grouped score by hand: every member slice counts, each aggregate and each normaliser."""

import pytest
import torch
from torch import nn

from edgeprune.errors import UsageError
from edgeprune.graph import Coupling, find_groups, trace
from edgeprune.score import score
from edgeprune.task import Classification


@pytest.fixture
def network() -> tuple[nn.Module, Coupling]:
    """Two hidden units: [1, -2 | bias 3] read by 4, and [-5, 6 | bias 0] read by -8."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [-5.0, 6.0]]))
        model[0].bias.copy_(torch.tensor([3.0, 0.0]))
        model[2].weight.copy_(torch.tensor([[4.0, -8.0]]))
    return model, find_groups(trace(model.eval(), (torch.randn(1, 2),)))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"aggregate": "sum", "normalise": "none"}, [10, 19]),
        ({"aggregate": "mean", "normalise": "none"}, [2.5, 4.75]),
        ({"aggregate": "max", "normalise": "none"}, [4, 8]),
        ({"aggregate": "l2", "normalise": "none"}, [30**0.5, 125**0.5]),
        ({"criterion": "l2", "aggregate": "sum", "normalise": "none"}, [30, 125]),
        ({"aggregate": "sum", "normalise": "mean"}, [10 / 14.5, 19 / 14.5]),
        ({"aggregate": "sum", "normalise": "sum"}, [10 / 29, 19 / 29]),
        ({"aggregate": "sum", "normalise": "max"}, [10 / 19, 1]),
    ],
)
def test_by_hand(network: tuple[nn.Module, Coupling], settings: dict[str, str], expected: list[float]) -> None:
    found = score("grouped", *network, [], None, **settings)
    torch.testing.assert_close(found["0"], torch.tensor(expected, dtype=torch.float64))


def test_snip_is_weight_times_slope() -> None:
    """With logits (4h, 0), h = relu(2x), x = 1: dL/dz = p - onehot = (s - 1, 1 - s), s = 1 / (1 + e^-8)."""
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0], [0.0]]))
        model[2].weight.copy_(torch.tensor([[4.0, 0.0], [0.0, 0.0]]))
    coupling = find_groups(trace(model.eval(), (torch.ones(1, 1),)))
    batch = (torch.ones(1, 1), torch.tensor([0]))
    found = score(
        "grouped", model, coupling, [batch], Classification(2, ("a", "b")), criterion="snip", normalise="none"
    )
    gap = 1 - 1 / (1 + torch.exp(torch.tensor(-8.0, dtype=torch.float64)))
    torch.testing.assert_close(
        found["0"], torch.stack([8 * gap + 8 * gap, torch.zeros_like(gap)]), rtol=1e-4, atol=1e-7
    )


def test_unknown_settings_and_missing_data_are_told(network: tuple[nn.Module, Coupling]) -> None:
    for settings in ({"criterion": "l7"}, {"aggregate": "median"}, {"normalise": "rank"}):
        with pytest.raises(UsageError, match="grouped"):
            score("grouped", *network, [], None, **settings)
    with pytest.raises(UsageError, match="task"):
        score("grouped", *network, [], None, criterion="snip")
