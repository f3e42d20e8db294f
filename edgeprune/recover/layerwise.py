"""Layer-wise reconstruction: each layer's trainable parameters learn to answer what the dense layer answered (PERP).

Minimises || f_dense(X_dense) - f_pruned(X_pruned) ||^2 layer by layer, in the order of the forward pass, with the
inputs that the already repaired network sees. No labels and no gradient through the network: one layer at a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.graph import Widths, switched
from edgeprune.recover.taps import layer_order, until

STEPS, LR = 100, 5e-4  # the authors' learning rate; the number of steps is ours


@dataclass(frozen=True)
class Repaired:
    """One layer: mean squared error against the dense layer's answers, before and after."""

    name: str
    before: float
    after: float


def reconstruct_layers(
    dense: nn.Module,
    pruned: nn.Module,
    widths: Widths,
    inputs: Iterable[Any],
    *,
    steps: int = STEPS,
    lr: float = LR,
) -> tuple[Repaired, ...]:
    """Train, in place, the parameters of each layer of `pruned` that require a gradient (AdamW, linear decay).

    So with `edgeprune.recover.ladder.climbed` around it, it is the biases or the adapters that are fitted. Layers are
    convolutions and linear layers that run once. A layer that did not get better keeps its parameters.
    """
    batches = list(inputs)
    repaired = []
    with switched(dense, training=False), switched(pruned, training=False):
        for name in layer_order(pruned, batches[0]):
            layer, original = pruned.get_submodule(name), dense.get_submodule(name)
            trained = [parameter for parameter in layer.parameters() if parameter.requires_grad]
            if trained:
                weight = f"{name}.weight"
                rows = widths.kept.get(weight, {}).get(0)
                with torch.no_grad():
                    seen = [until(pruned, layer.register_forward_pre_hook, batch) for batch in batches]
                    wanted = [_kept(until(dense, original.register_forward_hook, b), layer, rows) for b in batches]
                repaired.append(_repair(name, layer, trained, seen, wanted, steps, lr))
    return tuple(repaired)


def _kept(answer: Tensor, layer: nn.Module, rows: tuple[int, ...] | None) -> Tensor:
    return (
        answer if rows is None else answer.index_select(1 if isinstance(layer, nn.Conv2d) else -1, torch.tensor(rows))
    )


def _repair(
    name: str, layer: nn.Module, trained: list[nn.Parameter], seen: list[Tensor], wanted: list[Tensor], steps: int,
    lr: float,
) -> Repaired:  # fmt: skip
    def error() -> float:
        with torch.no_grad():
            parts = [(layer(x) - y).square().mean() * len(x) for x, y in zip(seen, wanted, strict=True)]
        return float(sum(parts)) / sum(len(x) for x in seen)

    before, kept = error(), [parameter.detach().clone() for parameter in trained]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for step in range(steps):
        x, y = seen[step % len(seen)], wanted[step % len(seen)]
        loss = (layer(x) - y).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    optimizer.zero_grad(set_to_none=True)
    after = error()
    if after > before:
        with torch.no_grad():
            for parameter, value in zip(trained, kept, strict=True):
                parameter.copy_(value)
        after = before
    return Repaired(name, before, after)
