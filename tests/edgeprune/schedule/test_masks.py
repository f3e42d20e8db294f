import copy

import pytest
import torch

from edgeprune.graph import prune
from edgeprune.schedule.masks import ChannelMasks, WeightMasks, strongest


@pytest.fixture
def masked(dense, traced):
    """(network, masks) with every other unit of every group masked."""
    network, coupling = copy.deepcopy(dense), traced[1]
    masks = ChannelMasks(network, coupling, coupling.prunable)
    masks.apply({name: torch.arange(group.units) % 2 == 0 for name, group in coupling.prunable.items()})
    return network, masks


def test_the_masked_network_is_the_one_without_these_channels(masked, traced, digits) -> None:
    network, masks = masked
    images = digits.val.tensors[0][:32]
    kept = {name: mask.nonzero().flatten() for name, mask in masks.alive.items()}
    slim, _ = prune(network, traced[1], kept)
    with torch.no_grad():
        expected, found = slim.eval()(images), network.eval()(images)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_released_it_is_the_dense_network_bit_by_bit(masked, dense) -> None:
    network, masks = masked
    masks.release()
    state = network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in dense.state_dict().items())


def test_what_is_masked_does_not_move_and_has_no_momentum(masked, digits) -> None:
    network, masks = masked
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    images, labels = digits.train.tensors
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images[:64]), labels[:64]).backward()
        optimizer.step()
        masks.hold(optimizer)
    weight, bn = network.conv3.weight, network.bn3.weight
    assert torch.equal(weight[1::2], before["conv3.weight"][1::2])
    assert torch.equal(bn[1::2], before["bn3.weight"][1::2])
    assert not bool(network.fc.weight[:, 1::2].any()), "nobody reads a masked channel"
    assert not bool(optimizer.state[weight]["momentum_buffer"][1::2].any())
    assert not torch.equal(weight[::2, ::2], before["conv3.weight"][::2, ::2]), "the others learn"


def test_the_gradient_of_a_gate_is_that_of_the_loss(masked, traced, digits) -> None:
    """Central differences, in float64: open the gate of one masked channel by h."""
    network, masks = masked
    network.double()
    coupling, alive = traced[1], masks.alive
    images, labels = digits.train.tensors[0][:64].double(), digits.train.tensors[1][:64]
    masks = ChannelMasks(network, coupling, coupling.prunable)
    dense = copy.deepcopy(network.state_dict())
    masks.apply(alive)

    def loss() -> torch.Tensor:
        network.eval()
        return torch.nn.functional.cross_entropy(network(images), labels)

    dense["fc.weight"][:, 1::2] = torch.randn(10, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network.load_state_dict(dense)
    masks.forget()
    masks.apply(alive)
    network.zero_grad()
    loss().backward()
    (name,) = [name for name, group in coupling.prunable.items() if group.units == 16]
    found = masks.gate_gradients()[name]
    for unit in (1, 7, 4):  # two masked ones and one that is alive
        with torch.no_grad():
            own, column, h = network.fc.weight[:, unit].clone(), dense["fc.weight"][:, unit], 1e-5
            network.fc.weight[:, unit] = own + h * column
            above = loss()
            network.fc.weight[:, unit] = own - h * column
            slope = float(above - loss()) / (2 * h)
            network.fc.weight[:, unit] = own
        assert float(found[unit]) == pytest.approx(abs(slope), rel=1e-4)
        assert abs(slope) > 1e-6, "a gradient of nothing proves nothing"


def test_weights_come_back_as_they_were_or_as_zero(dense) -> None:
    network = copy.deepcopy(dense)
    masks = WeightMasks(network)
    assert set(masks.alive) == {"conv1.weight", "conv2.weight", "conv3.weight", "fc.weight"}
    own = masks.magnitudes()
    masks.apply({name: strongest(m, m.numel() // 4) for name, m in own.items()})
    assert int((network.conv3.weight != 0).sum()) == network.conv3.weight.numel() // 4
    assert all(torch.equal(own[name], m) for name, m in masks.magnitudes().items()), "they are still ranked"
    masks.release()
    assert torch.equal(network.conv3.weight, dense.conv3.weight)
    masks.apply({name: strongest(m, m.numel() // 4) for name, m in own.items()}, forget=True)
    masks.release()
    assert int((network.conv3.weight != 0).sum()) == network.conv3.weight.numel() // 4


def test_a_checkpoint_holds_the_masks(masked, dense, traced) -> None:
    network, masks = masked
    other = copy.deepcopy(network)
    again = ChannelMasks(other, traced[1], traced[1].prunable)
    again.restore(masks.state())
    again.release()
    assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in dense.state_dict().items())
