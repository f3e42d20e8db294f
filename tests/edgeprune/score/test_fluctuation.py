"""FLAP's metric: by hand, from a stream as from one batch, and what removing a channel really costs."""

import pytest
import torch
from torch import Tensor, nn

from edgeprune.allocate.adaptive import adaptive
from edgeprune.errors import UsageError
from edgeprune.graph import find_groups, trace
from edgeprune.input_statistics import InputStatistics, input_statistics
from edgeprune.score import score
from edgeprune.score.fluctuation import channel_metric
from edgeprune.z_scores import standardise

Batches = list[tuple[Tensor, Tensor]]


def labelled(*inputs: Tensor) -> Batches:
    return [(x, torch.zeros(len(x), dtype=torch.long)) for x in inputs]


def observed(x: Tensor) -> InputStatistics:
    found = InputStatistics(x.shape[0])
    found.update(x)
    return found


def test_the_metrics_by_hand() -> None:
    """Channel 0 sees 1, 3 (mean 2, variance 1), channel 1 sees 2, 2; columns of W: (3, 4) and (1, -1)."""
    statistics = observed(torch.tensor([[1.0, 3.0], [2.0, 2.0]]))
    weight = torch.tensor([[3.0, 1.0], [4.0, -1.0]])
    assert channel_metric(weight, statistics, "ifv").tolist() == [1.0, 0.0]
    assert channel_metric(weight, statistics, "wifv").tolist() == [25.0, 0.0]
    norms = [3.5 * 5**0.5, 1.0 * 2.0]  # mean |W| times the root of (1 + 9) / 2, and of 4
    assert channel_metric(weight, statistics, "wifn").tolist() == pytest.approx(norms)


def test_a_stream_is_one_batch() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    x = torch.randn(40, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 5, 0.1]).view(3, 1, 1)
    stream = input_statistics(model, ["0"], labelled(x[:7], x[7:8], x[8:]))["0"]
    whole = input_statistics(model, ["0"], labelled(x))["0"]
    assert stream.n == whole.n == 40 * 25
    torch.testing.assert_close(stream.mean, whole.mean)
    torch.testing.assert_close(stream.variance, whole.variance)
    torch.testing.assert_close(whole.variance, x.double().movedim(1, 0).flatten(1).var(1, correction=0))
    torch.testing.assert_close(whole.norm, x.double().square().mean((0, 2, 3)).sqrt())


def test_z_scores() -> None:
    z = standardise(torch.tensor([1.0, 2.0, 6.0]).double())
    assert float(z.mean()) == pytest.approx(0)
    assert float(z.std(correction=0)) == pytest.approx(1)
    assert standardise(torch.ones(3)).tolist() == [0, 0, 0]


class Two(nn.Module):
    """1x1 convolutions 3 > 4 > 5 with a ReLU: `two` reads the four channels that `one` makes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).relu())  # type: ignore[no-any-return]


def test_the_metric_is_the_error_of_a_compensated_removal() -> None:
    """For a 1x1 convolution the expected squared error of output is exactly Var(x_c) ||W_:c||^2."""
    model = Two().double().eval()
    x = torch.randn(20, 3, 6, 6, generator=torch.Generator().manual_seed(1)).double()
    statistics = input_statistics(model, ["two"], labelled(x))["two"]
    metric = channel_metric(model.two.weight, statistics, "wifv")
    with torch.no_grad():
        hidden, plain = model.one(x).relu(), model(x)
        for c in range(4):
            without = hidden.clone()
            without[:, c] = statistics.mean[c]
            error = (model.two(without) - plain).square().sum(1).mean()
            assert float(error) == pytest.approx(float(metric[c]), rel=1e-9)


def test_the_score_of_a_group_is_its_readers() -> None:
    model = Two().eval()
    x = torch.randn(20, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    coupling = find_groups(trace(model, (x[:1],)))
    found = score("flap", model, coupling, labelled(x))
    statistics = input_statistics(model, ["two"], labelled(x))["two"]
    torch.testing.assert_close(found["one"], standardise(channel_metric(model.two.weight, statistics, "wifv")))
    variance = score("flap", model, coupling, labelled(x), metric="ifv")["one"]
    torch.testing.assert_close(variance, standardise(statistics.variance))


def test_no_data_and_unknown_metric() -> None:
    model = Two().eval()
    coupling = find_groups(trace(model, (torch.zeros(1, 3, 6, 6),)))
    with pytest.raises(UsageError, match="calibration data"):
        score("flap", model, coupling, [])
    with pytest.raises(UsageError, match="metric 'wanda'"):
        score("flap", model, coupling, [], metric="wanda")


def test_adaptive_allocation_by_hand() -> None:
    """Units of "a" cost 4, of "b" 1: total 11. In order of score: a1 (4), b2 (5), b0 (6), a0 (10), b1 (11)."""
    scores = {"a": torch.tensor([0.1, 3.0]), "b": torch.tensor([0.5, -1.0, 2.0])}
    costs = {"a": 4.0, "b": 1.0}
    for share, a, b in ((1.0, [0, 1], [0, 1, 2]), (0.6, [1], [0, 2]), (0.45, [1], [2]), (0.01, [1], [2])):
        kept = adaptive(scores, costs, share)
        assert {name: units.tolist() for name, units in kept.items()} == {"a": a, "b": b}, share
    assert adaptive({"a": torch.tensor([-9.0, -8.0]), "b": scores["b"]}, costs, 0.3)["a"].tolist() == [1]
    with pytest.raises(UsageError, match="share 0"):
        adaptive(scores, costs, 0)
