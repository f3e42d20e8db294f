"""Batch-norm re-estimation."""

import torch
from torch import nn

from edgeprune.recover.batchnorm import reestimate


def test_statistics_are_the_plain_average_over_batches() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3)).eval()
    batches = [(2 + 3 * torch.randn(16, 3, 4, 4), None) for _ in range(4)]
    reestimate(model, batches)
    means = torch.stack([x.mean((0, 2, 3)) for x, _ in batches])
    variances = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x, _ in batches])
    assert torch.allclose(model[0].running_mean, means.mean(0), atol=1e-5)
    assert torch.allclose(model[0].running_var, variances.mean(0), atol=1e-4)


def test_nothing_else_changes() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.Dropout(0.5), nn.InstanceNorm2d(4))
    model.train()
    model[2].eval()
    before = {name: value.clone() for name, value in model.named_parameters()}
    reestimate(model, [(torch.randn(8, 1, 6, 6), None)])
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert [module.training for module in model] == [True, True, False, True]
    assert model[1].momentum == 0.3
    assert int(model[1].num_batches_tracked) == 1


def test_a_net_after_a_change_of_scale_is_mended() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)).train()
    data = torch.randn(64, 1, 8, 8)
    reestimate(model, [(data, None)])
    expected = model.eval()(data)
    model[0].weight.data *= 3
    assert not torch.allclose(model(data), expected, atol=0.1)
    reestimate(model, [(data, None)])
    assert torch.allclose(model(data), expected, atol=1e-3)
