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


def prune(model: nn.Module, example: Tensor, ratio: float, setting: Setting, most: float = 1.0) -> nn.Module:
    """A pruned copy at a channel ratio, no layer losing more than `most`; the classifier's outputs stay."""
    pruned = copy.deepcopy(model)
    classifier = [module for module in pruned.modules() if isinstance(module, nn.Linear)][-1]
    pruner = tp.pruner.MagnitudePruner(
        pruned,
        example,
        importance=tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=ratio,
        max_pruning_ratio=most,
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

    The ratio is bisected. Where that finds nothing (a layer that would vanish is left whole, and latency goes up
    again), it is bisected once more with no layer losing more than 75 %. Raises ValueError when that finds nothing too.
    """
    with tempfile.TemporaryDirectory() as folder:
        dense = converters.convert(model, (example,), "litert", Path(folder) / "dense.tflite")
        tried: list[tuple[nn.Module, float, float]] = []

        def share(ratio: float, most: float) -> float:
            candidate = prune(model, example, ratio, setting, most)
            with torch.inference_mode():
                candidate(example)
            file = converters.convert(candidate, (example,), "litert", Path(folder) / f"{len(tried)}.tflite")
            measured = host.compare(dense, file, rounds=3, memory=False)[2].median
            print(f"    {setting.name}: ratio {ratio:.3f} takes {measured:.3f} of dense", flush=True)
            tried.append((candidate, ratio, measured))
            return measured

        for most in (1.0, 0.75):
            low, high = 0.0, 0.95
            for _ in range(_STEPS):
                ratio = (low + high) / 2
                low, high = (low, ratio) if share(ratio, most) <= budget else (ratio, high)
            within = [found for found in tried if found[2] <= budget]
            if within:
                network, ratio, _ = max(within, key=lambda found: found[2])
                return network, ratio
        raise ValueError(f"{setting.name} reaches no network within {budget:.0%}")
