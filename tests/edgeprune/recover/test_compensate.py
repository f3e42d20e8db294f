"""Bias compensation: exact for constant channels, in a bias and in a running mean, and nowhere else."""

import copy

import pytest
import torch
from torch import Tensor, nn

from edgeprune.graph import Widths, find_groups, prune, trace
from edgeprune.recover.compensate import compensate


class Net(nn.Module):
    """`one` makes channels that `two` reads; channel 2 of them is constant."""

    def __init__(self, *, bias: bool, norm: bool, branch: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3, bias=bias)
        self.norm = nn.BatchNorm2d(5) if norm else nn.Identity()
        self.branch = branch
        with torch.no_grad():
            self.one.weight[2] = 0
            self.one.bias[2] = 1.7  # type: ignore[index]
            if norm:
                self.norm.running_mean.normal_()
                self.norm.running_var.uniform_(0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.one(x).relu())
        out = self.norm(y)
        return out + y.relu() if self.branch else out  # type: ignore[no-any-return]


def without_the_constant(model: nn.Module) -> tuple[nn.Module, Widths, Tensor]:
    x = torch.randn(8, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    coupling = find_groups(trace(model, (x[:1],)))
    pruned, widths = prune(model, coupling, {"one": torch.tensor([0, 1, 3])})
    return pruned, widths, x


@pytest.mark.parametrize(("bias", "norm"), [(True, False), (True, True), (False, True)])
def test_exact_on_constant_channels(bias: bool, norm: bool) -> None:
    model = Net(bias=bias, norm=norm).eval()
    pruned, widths, x = without_the_constant(model)
    before = copy.deepcopy(pruned.state_dict())
    with torch.no_grad():
        assert not torch.allclose(pruned(x), model(x), atol=1e-2)
        done = compensate(model, pruned, widths, [(x, None)])
        torch.testing.assert_close(pruned(x), model(x), rtol=1e-5, atol=1e-5)
    moved = {name for name, tensor in pruned.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"two.bias"} if bias else {"norm.running_mean"}
    assert (done.biases, done.norms, done.lost) == ((("two",), (), ()) if bias else ((), ("two",), ()))


@pytest.mark.parametrize("model", [Net(bias=False, norm=False), Net(bias=False, norm=True, branch=True)])
def test_a_change_that_finds_no_place_is_told(model: nn.Module) -> None:
    """Without a norm, and where something else reads the layer's output beside the norm."""
    pruned, widths, x = without_the_constant(model.eval())
    before = copy.deepcopy(pruned.state_dict())
    done = compensate(model, pruned, widths, [(x, None)])
    assert (done.biases, done.norms, done.lost) == ((), (), ("two",))
    assert all(torch.equal(tensor, before[name]) for name, tensor in pruned.state_dict().items())


def test_the_mean_by_hand() -> None:
    """Inputs 1 and 3 through the identity: W = [2, 5] keeps channel 0, the bias 1 becomes 1 + 5 * 2."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[1].weight.copy_(torch.tensor([[2.0, 5.0]]))
        model[1].bias.fill_(1.0)
    entries = {"0.weight": {0: (0,)}, "1.weight": {1: (0,)}}
    attributes = {"0": {"out_features": 1}, "1": {"in_features": 1}}
    widths = Widths(entries, {"0.weight": (2, 2), "1.weight": (1, 2)}, attributes)  # type: ignore[arg-type]
    pruned = widths.apply(model)
    compensate(model, pruned, widths, [(torch.tensor([[7.0, 1.0], [7.0, 3.0]]), None)])
    assert pruned[1].bias.item() == 11.0  # type: ignore[index,union-attr]
