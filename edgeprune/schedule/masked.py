"""The papers' own masked forms, of single weights, to hold published properties against.

The network keeps its shape: nothing here makes it faster.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeprune.allocate.pq_index import adaptive_prune, pq_index
from edgeprune.schedule.cubic import cosine, cubic, update_steps
from edgeprune.schedule.masks import Alive, WeightMasks, strongest
from edgeprune.schedule.updates import prune_globally, prune_to, regenerate


@dataclass(frozen=True)
class Masked:
    """How masks of weights change in a training: `updates` of them, the last after `end` of the steps.

    Gradual magnitude pruning (Zhu and Gupta) is the default: every layer to the same sparsity; what is stored may
    return. Global ranking: `globally`. GraNet: `globally`, `regrow` and `forget` (what goes is 0 when it comes back),
    from `initial` density, final after `pruned` of the updates.
    """

    density: float
    initial: float = 1.0
    updates: int = 10
    end: float = 0.75
    globally: bool = False
    regrow: float = 0.0
    regrow_last: float = 0.0
    pruned: float = 1.0
    forget: bool = False


class MaskedTraining:
    """The companion of a training that prunes single weights."""

    def __init__(self, network: nn.Module, settings: Masked, steps: int) -> None:
        self.masks, self.settings = WeightMasks(network), settings
        self.steps = update_steps(settings.updates, int(settings.end * steps))
        self.growth: dict[str, Tensor] = {}
        self.densities: list[float] = []

    def before_step(self, step: int) -> None:
        """The gradients that say what would grow."""
        if step in self.steps and self.settings.regrow > 0:
            self.growth = self.masks.slopes()

    def after_step(self, step: int, optimizer: torch.optim.SGD) -> None:
        """Hold the masks; at an update, set new ones."""
        self.masks.hold(optimizer)
        if step not in self.steps:
            return
        progress, own = (self.steps.index(step) + 1) / len(self.steps), self.settings
        sparsity = cubic(progress / own.pruned, initial=1 - own.initial, final=1 - own.density)
        self.masks.release()
        scores = self.masks.magnitudes()
        if own.globally:
            alive = prune_globally(scores, 1 - sparsity)
        else:
            alive = prune_to(scores, {n: s.numel() - round(sparsity * s.numel()) for n, s in scores.items()})
        if own.regrow > 0:
            share = cosine(progress, initial=own.regrow, final=own.regrow_last)
            alive = regenerate(alive, scores, self.growth, share)
        self.masks.apply(alive, forget=own.forget)
        self.masks.hold(optimizer)
        self.densities.append(density(alive))

    def state(self) -> dict[str, Tensor]:
        """The masks."""
        return self.masks.state()

    def restore(self, state: dict[str, Tensor]) -> None:
        """The masks of a checkpoint."""
        self.masks.restore(state)


def density(alive: Alive) -> float:
    """Share of the weights that are alive."""
    return sum(int(mask.sum()) for mask in alive.values()) / sum(mask.numel() for mask in alive.values())


def sap_rounds(
    network: nn.Module,
    train: Callable[[WeightMasks], None],
    rounds: int,
    *,
    p: float = 0.5,
    q: float = 1.0,
    gamma: float = 1.0,
    beta: float = 0.9,
) -> list[tuple[float, float]]:
    """SAP over all weights together: (PQ index, density) after the training of each round, before its pruning.

    Every round trains (`train(masks)` holds them), prunes what the index leaves free, and puts the survivors back to
    the values that the network had at the start.
    """
    initial = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    masks, found = WeightMasks(network), []
    for _ in range(rounds):
        train(masks)
        masks.release()
        scores, alive = masks.magnitudes(), masks.alive
        values = torch.cat([scores[name][mask] for name, mask in alive.items()])
        found.append((pq_index(values, p, q), density(alive)))
        gone = adaptive_prune(values, p, q, gamma=gamma, beta=beta)
        flat = torch.cat([torch.where(mask, scores[name], -1.0).flatten() for name, mask in alive.items()])
        kept = torch.split(strongest(flat, len(values) - gone), [mask.numel() for mask in alive.values()])
        network.load_state_dict(initial)
        masks.forget()
        masks.apply({name: part.reshape(alive[name].shape) for name, part in zip(alive, kept, strict=True)})
    return found
