"""OBS repair: hand-worked cases, exactness where it must be exact, never worse than plain deletion, and real digits."""

import pytest
import torch
from torch import nn

from edgeprune.graph import Widths, find_groups, prune, trace
from edgeprune.recover.reconstruct import reconstruct
from edgeprune.score import score
from edgeprune.sources.batches import calibration_batches, loaders
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model
from edgeprune.task import Classification


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.make, self.read = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.read(self.make(x))  # type: ignore[no-any-return]


def without(model: nn.Module, units: list[int], gone: tuple[str, str] = ("make", "read")) -> tuple[nn.Module, Widths]:
    maker = model.get_submodule(gone[0])
    kept = tuple(i for i in range(maker.weight.shape[0]) if i not in units)  # type: ignore[union-attr,index]
    entries = {f"{gone[0]}.weight": {0: kept}, f"{gone[1]}.weight": {1: kept}}
    if maker.bias is not None:
        entries[f"{gone[0]}.bias"] = {0: kept}
    state = model.state_dict()
    names = ("out_features", "in_features") if isinstance(maker, nn.Linear) else ("out_channels", "in_channels")
    attributes = {gone[0]: {names[0]: len(kept)}, gone[1]: {names[1]: len(kept)}}
    widths = Widths(entries, {name: tuple(state[name].shape) for name in entries}, attributes)  # type: ignore[arg-type]
    return widths.apply(model), widths


def test_uncorrelated_inputs_leave_the_inherited_weights() -> None:
    torch.manual_seed(0)
    model = TwoLayers()
    with torch.no_grad():  # the six hidden channels see the columns of an orthogonal matrix: H is a multiple of I
        model.make.weight.copy_(torch.eye(6, 5))
        model.make.bias.zero_()
    x = torch.cat([torch.eye(5), -torch.eye(5)])
    pruned, widths = without(model, [0])
    before = pruned.get_parameter("read.weight").clone()
    reconstruct(model, pruned, widths, [x], damp=0.0)
    torch.testing.assert_close(pruned.get_parameter("read.weight")[:, :4], before[:, :4])


def test_the_least_squares_weights_by_hand() -> None:
    """Samples (1, 1) and (1, 3), W = [2, 1]: keeping channel 0, W' = <W X, X_0> / <X_0, X_0>."""
    model = nn.Sequential()
    model.add_module("make", nn.Linear(2, 2, bias=False))
    model.add_module("read", nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model.get_parameter("make.weight").copy_(torch.eye(2))
        model.get_parameter("read.weight").copy_(torch.tensor([[2.0, 1.0]]))
    pruned, widths = without(model, [1])
    reconstruct(model, pruned, widths, [torch.tensor([[1.0, 1.0], [1.0, 3.0]])], damp=0.0)
    assert pruned.get_parameter("read.weight").item() == pytest.approx((3 * 1 + 5 * 1) / 2)


def test_a_channel_that_others_make_up_goes_without_a_trace() -> None:
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("make", nn.Conv2d(2, 6, 3, padding=1, bias=False))
    model.add_module("read", nn.Conv2d(6, 4, 3, padding=1, stride=2))
    with torch.no_grad():
        weight = model.get_parameter("make.weight")
        weight[3] = 2 * weight[0] - weight[5]
    x = torch.randn(8, 2, 9, 9)
    pruned, widths = without(model, [3])
    assert (pruned(x) - model(x)).abs().max() > 0.05
    assert reconstruct(model, pruned, widths, [x[:4], x[4:]], damp=1e-9) == ("read",)
    torch.testing.assert_close(pruned(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_never_worse_than_plain_deletion(seed: int) -> None:
    torch.manual_seed(seed)
    model = TwoLayers()
    x = torch.randn(40, 5) @ torch.randn(5, 5)
    plain, widths = without(model, [1, 4])
    repaired, _ = without(model, [1, 4])
    reconstruct(model, repaired, widths, [x])
    expected = model(x)
    assert (repaired(x) - expected).square().sum() < (plain(x) - expected).square().sum()


def test_ratio_zero_changes_nothing() -> None:
    torch.manual_seed(0)
    model = TwoLayers()
    same = Widths().apply(model)
    assert reconstruct(model, same, Widths(), [torch.randn(4, 5)]) == ()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))


def test_on_digits_it_wins_back_what_deletion_lost(trained) -> None:
    data = load_data("builtin:digits")
    dense = load_model("builtin:resnet8", trained).eval()
    task = Classification(10, data.class_names)
    _, val, _ = loaders(data)
    batches = [x for x, _ in calibration_batches(data, 256)]
    coupling = find_groups(trace(dense, (batches[0][:1],)))
    counts = {name: max(1, group.units * 5 // 8) for name, group in coupling.prunable.items()}
    plain, widths = prune(dense, coupling, coupling.select(score("l2", dense, coupling, []), counts))

    def accuracy(inputs: list[torch.Tensor]) -> float:
        repaired = widths.apply(dense)
        assert len(reconstruct(dense, repaired, widths, inputs)) >= 8
        return float(task.evaluate(repaired, val)["accuracy"])

    lost = float(task.evaluate(plain, val)["accuracy"])
    own = accuracy(batches)
    noise = accuracy([torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(4)])
    assert own > lost + 0.1
    assert noise > lost
    assert own >= noise
