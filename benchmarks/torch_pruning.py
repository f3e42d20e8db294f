"""The best general pruner, Torch-Pruning, as a fair rival: its ratio is bisected against the clock."""

import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import torch_pruning as tp
from torch import Tensor, nn

import converters
import profilers.host as host

_STEPS = 8


@dataclass(frozen=True)
class Setting:
    """How Torch-Pruning ranks (`l2` or `taylor`-free magnitude), spreads (global or not) and rounds widths."""

    name: str
    global_pruning: bool
    round_to: int


SETTINGS = {
    "50%": Setting("Torch-Pruning, uniform L2, multiples of 8", False, 8),
    "33%": Setting("Torch-Pruning, global L2, multiples of 4", True, 4),
}


def prune(model: nn.Module, example: Tensor, ratio: float, setting: Setting) -> nn.Module:
    """A pruned copy at a channel ratio; the classifier's outputs are kept."""
    pruned = copy.deepcopy(model)
    classifier = [module for module in pruned.modules() if isinstance(module, nn.Linear)][-1]
    pruner = tp.pruner.MagnitudePruner(
        pruned,
        example,
        importance=tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=ratio,
        global_pruning=setting.global_pruning,
        round_to=setting.round_to,
        ignored_layers=[classifier],
    )
    pruner.step()
    for parameter in pruned.parameters():
        parameter.grad = None
    return pruned.eval()


def widest_within(model: nn.Module, example: Tensor, budget: float, setting: Setting) -> tuple[nn.Module, float]:
    """The slowest network found whose measured latency is at most `budget` of the dense one's: (network, ratio).

    The ratio is bisected. Latency is not always monotone in it (a group that would vanish is left whole), so if that
    finds nothing, ratios from 5 % to 95 % are tried one by one. Raises ValueError when none of them is fast enough.
    """
    with tempfile.TemporaryDirectory() as folder:
        dense = converters.convert(model, (example,), "litert", Path(folder) / "dense.tflite")
        tried: dict[float, tuple[nn.Module, float]] = {}

        def share(ratio: float) -> float:
            candidate = prune(model, example, ratio, setting)
            with torch.inference_mode():
                candidate(example)
            file = converters.convert(candidate, (example,), "litert", Path(folder) / f"{len(tried)}.tflite")
            measured = host.compare(dense, file, rounds=3, memory=False)[2].median
            print(f"    {setting.name}: ratio {ratio:.3f} takes {measured:.3f} of dense", flush=True)
            tried[ratio] = (candidate, measured)
            return measured

        low, high = 0.0, 0.95
        for _ in range(_STEPS):
            ratio = (low + high) / 2
            low, high = (low, ratio) if share(ratio) <= budget else (ratio, high)
        if all(measured > budget for _, measured in tried.values()):
            for percent in range(5, 100, 5):
                share(percent / 100)
        within = {ratio: found for ratio, found in tried.items() if found[1] <= budget}
        if not within:
            raise ValueError(f"{setting.name} reaches no network within {budget:.0%}")
        ratio = max(within, key=lambda r: within[r][1])
        return within[ratio][0], ratio
