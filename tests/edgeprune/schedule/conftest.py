"""A small residual network trained on the digits, and the work of pruning it to half of its widths."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeprune.graph import Coupling, Trace, find_groups, prune_proved, trace
from edgeprune.recipe import Recovery
from edgeprune.recover.finetune import finetune
from edgeprune.recover.work import Work
from edgeprune.score import score
from edgeprune.sources.batches import loaders
from edgeprune.sources.data import Data, load_data
from edgeprune.task import Classification


class Small(nn.Module):
    """Eight channels with a residual sum, sixteen behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv3, self.bn3 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(x + self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(x)))
        return self.fc(x.mean((2, 3)))


@pytest.fixture(scope="session")
def digits() -> Data:
    return load_data("builtin:digits")


@pytest.fixture(scope="session")
def dense(digits: Data) -> nn.Module:
    torch.manual_seed(0)
    network = Small()
    train, val, _ = loaders(digits, 64, augment=False)
    finetune(network, train, val, Classification(10), epochs=3, lr=0.1)
    return network


@pytest.fixture(scope="session")
def traced(dense: nn.Module) -> tuple[Trace, Coupling]:
    graph = trace(dense, (torch.zeros(1, 1, 8, 8),))
    return graph, find_groups(graph)


@pytest.fixture
def work(dense: nn.Module, digits: Data, traced: tuple[Trace, Coupling]) -> Callable[..., Work]:
    """work(...) is the work of halving every group, two epochs, with changes."""
    graph, coupling = traced

    def rank(network: nn.Module) -> dict[str, Tensor]:
        return score("l1", network, coupling, [])

    counts = {name: group.units // 2 for name, group in coupling.prunable.items()}
    kept = coupling.select(rank(dense), counts)
    train, val, _ = loaders(digits, 64, augment=False)
    widths = prune_proved(dense, graph, coupling, kept)[1]

    def make(**changes: object) -> Work:
        whole = Work(
            dense=copy.deepcopy(dense),
            coupling=coupling,
            kept=kept,
            remove=lambda network, units: prune_proved(network, graph, coupling, units)[:2],
            rank=rank,
            data=digits,
            task=Classification(10),
            train=train,
            val=val,
            example_inputs=(torch.zeros(1, 1, 8, 8),),
            training=Recovery(epochs=2, lr=0.05),
            widths=widths,
            batch_size=64,
        )
        return replace(whole, **changes)

    return make
