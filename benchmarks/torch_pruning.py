"""The best general pruner, Torch-Pruning (extra `bench`), as a fair rival: its ratio is bisected against the clock."""

import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
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


SETTINGS = {  # tried in this order until one reaches the budget
    "50%": [Setting("Torch-Pruning, uniform L2, multiples of 8", False, 8)],
    "33%": [
        Setting("Torch-Pruning, global L2, multiples of 4", True, 4),
        Setting("Torch-Pruning, uniform L2, multiples of 4", False, 4),
    ],
}


def prune(model: nn.Module, example: Tensor, ratio: float, setting: Setting) -> nn.Module:
    """A pruned copy at a channel ratio; the classifier's outputs are kept."""
    import torch_pruning as tp

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


def widest_within(
    model: nn.Module, example: Tensor, budget: float, settings: list[Setting]
) -> tuple[nn.Module, float, Setting]:
    """The slowest network found that measures at most `budget` of the dense latency: (network, ratio, setting).

    The ratio of the first setting is bisected; where that finds nothing (with global ranking a layer that would vanish
    is left whole, and latency goes up again), that of the next. Raises ValueError when none reaches the budget.
    """
    with tempfile.TemporaryDirectory() as folder:
        dense = converters.convert(model, (example,), "litert", Path(folder) / "dense.tflite")
        for setting in settings:
            low, high, within = 0.0, 0.95, []
            for step in range(_STEPS):
                ratio = (low + high) / 2
                candidate = prune(model, example, ratio, setting)
                with torch.inference_mode():
                    candidate(example)
                file = converters.convert(candidate, (example,), "litert", Path(folder) / f"{step}.tflite")
                measured = host.compare(dense, file, rounds=3, memory=False)[2].median
                print(f"    {setting.name}: ratio {ratio:.3f} takes {measured:.3f} of dense", flush=True)
                if measured <= budget:
                    within.append((measured, ratio, candidate))
                low, high = (low, ratio) if measured <= budget else (ratio, high)
            if within:
                _, ratio, network = max(within, key=lambda found: found[0])
                return network, ratio, setting
        raise ValueError(f"Torch-Pruning reaches no network within {budget:.0%}")
