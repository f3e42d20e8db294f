"""Every criterion on the groups of a traced network, and what the choice of channels is worth on real data."""

import pytest
import torch
from torch import nn

from edgeprune.graph import Coupling, find_groups, prune, trace
from edgeprune.recover.batchnorm import reestimate
from edgeprune.recover.finetune import finetune
from edgeprune.score import CRITERIA, score
from edgeprune.sources.batches import calibration_batches, loaders
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model
from edgeprune.task import Classification

TASK = Classification(10)


@pytest.fixture(scope="module")
def mobilenet() -> tuple[nn.Module, Coupling]:
    torch.manual_seed(0)
    model = load_model("torchvision:mobilenet_v2", num_classes=10).eval()
    return model, find_groups(trace(model, (torch.randn(1, 3, 64, 64),)))


@pytest.mark.parametrize("name", list(CRITERIA))
def test_a_depthwise_network_is_scored_whole(name: str, mobilenet: tuple[nn.Module, Coupling]) -> None:
    model, coupling = mobilenet
    batch = (torch.randn(4, 3, 64, 64), torch.arange(4))
    scores = score(name, model, coupling, [batch], TASK)
    assert set(coupling.menu(8)) <= set(scores)
    for group, values in scores.items():
        assert values.shape == (coupling.groups[group].units,)
        assert torch.isfinite(values).all()


def test_keeping_the_best_channels_beats_keeping_the_worst() -> None:
    torch.manual_seed(0)
    data = load_data("builtin:digits")
    model = load_model("builtin:resnet8")
    train, val, _ = loaders(data, 64)
    assert finetune(model, train, val, TASK, epochs=6, lr=0.2).best > 0.9
    coupling = find_groups(trace(model, (torch.randn(1, 1, 8, 8),)))
    counts = {name: menu[-1] * 5 // 8 for name, menu in coupling.menu(1).items()}
    batches = calibration_batches(data, 256)
    for name in ("beta-rank", "l1", "l2", "taylor"):
        scores = score(name, model, coupling, batches, TASK)
        reached = []
        for sign in (1, -1):
            kept = coupling.select({group: sign * values for group, values in scores.items()}, counts)
            pruned, _ = prune(model, coupling, kept)
            reestimate(pruned, batches)
            reached.append(TASK.evaluate(pruned, val)["accuracy"])
        assert reached[0] > reached[1] + 0.05, name
