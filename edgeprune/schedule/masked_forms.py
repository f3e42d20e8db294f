"""The papers' own masked forms, of single weights: a registry by name, for the recipes that define one (`--masked`).

Masks set once (global magnitude, PERP), at initialisation (SNIP, GraSP, SynFlow), or in rounds (SAP); those that change
in the training are in `masked.py`. Every form tells which of its published properties hold. Nothing gets faster.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgeprune.allocate.grasp import grasp
from edgeprune.allocate.masks import global_mask
from edgeprune.allocate.pq_index import adaptive_prune, pq_index
from edgeprune.allocate.snip import snip
from edgeprune.allocate.synflow import synflow
from edgeprune.errors import UsageError
from edgeprune.recover.finetune import Epoch
from edgeprune.recover.ladder import head_of
from edgeprune.recover.perp import Perp
from edgeprune.recover.scratch import reinitialise
from edgeprune.recover.work import Length, Work
from edgeprune.schedule.fedtiny import MaskedFedTiny
from edgeprune.schedule.masked import Masked
from edgeprune.schedule.masked_network import (
    MaskedNetwork,
    Property,
    density,
    exact_layers,
    exact_total,
    kept_minimum,
    silent,
)
from edgeprune.schedule.masks import Alive, WeightMasks, strongest
from edgeprune.schedule.sap import Held, turn_up
from edgeprune.schedule.updates import prune_globally, prune_to
from edgeprune.sources.batches import calibration_batches


def _share(value: float) -> None:
    if not 0 < value <= 1:
        raise UsageError(f"density {value:g}", "give a share in (0, 1], such as 10%")


@dataclass(frozen=True)
class OneShot:
    """Global magnitude pruning at once, with a floor of `minimum` percent of all weights a layer; then training."""

    density: float = 0.1
    minimum: float = 0.05

    def __post_init__(self) -> None:
        _share(self.density)

    def check(self, length: Length) -> None:
        """Any length of training will do."""

    def __call__(self, work: Work) -> MaskedNetwork:
        """Mask a copy of the dense network, train what is left."""
        network = copy.deepcopy(work.dense)
        masks = WeightMasks(network)
        masks.apply(prune_globally(masks.magnitudes(), self.density, self.minimum))
        work.reestimate(network)
        done = work.finetune(network, companion=Held(masks))
        promised = [silent(network, masks.alive), exact_total(masks.alive, self.density)]
        promised += [kept_minimum(masks.alive, self.minimum)] if self.minimum > 0 else []
        return MaskedNetwork(network, masks.alive, done.history, tuple(promised))


@dataclass(frozen=True)
class MaskedPerp:
    """Magnitude pruning of every layer but the head, which PERP trains whole; then only a rung is trained, and adapters
    are masked and merged.
    """

    density: float = 0.5
    rung: str = "lora"
    adapter: Literal["mask", "scale", "lora-prune"] = "mask"
    rank: int = 16
    strength: float = 32.0

    def __post_init__(self) -> None:
        _share(self.density)
        self._perp()

    def _perp(self) -> Perp:
        return Perp(self.rung, self.adapter, self.rank, self.strength)

    def check(self, length: Length) -> None:
        """Any length of training will do."""

    def __call__(self, work: Work) -> MaskedNetwork:
        """Mask a copy of the dense network, train the rung."""
        network = copy.deepcopy(work.dense)
        head = head_of(network, work.example_inputs)
        masks = WeightMasks(network, without=[] if head is None else [head])
        scores = masks.magnitudes()
        masks.apply(prune_to(scores, {n: s.numel() - round((1 - self.density) * s.numel()) for n, s in scores.items()}))
        alive = masks.alive
        done = self._perp()(work, network)
        share = done.facts["trained_share"]
        promised = (
            silent(network, alive),
            exact_layers(alive, self.density),
            Property("only a part of the parameters is trained", share < 1, f"{share:.2%}"),
        )
        return MaskedNetwork(network, alive, done.history, promised, done.facts)


@dataclass(frozen=True)
class AtInit:
    """Fresh weights, a mask by `by` before any training, then training of what is left.

    `shuffled`: the same number of weights in every layer, but which ones is drawn by lot: PreCropping's finding is
    that this costs nothing, so that only the densities of the layers matter.
    """

    density: float = 0.1
    by: Literal["synflow", "snip", "grasp", "magnitude"] = "synflow"
    shuffled: bool = False

    def __post_init__(self) -> None:
        _share(self.density)

    def check(self, length: Length) -> None:
        """Raise UsageError without any training: fresh weights know nothing."""
        if length.epochs < 1:
            raise UsageError("training from fresh weights has 0 epochs", "give --epochs")

    def __call__(self, work: Work) -> MaskedNetwork:
        """Draw, mask, train."""
        network = copy.deepcopy(work.dense)
        reinitialise(network, work.seed)
        masks = WeightMasks(network)
        alive = self.masks(network, work, list(masks.alive), masks.magnitudes())
        masks.apply(shuffle(alive, work.seed) if self.shuffled else alive)
        done = work.finetune(network, companion=Held(masks), teacher=None, alpha=0.0)
        wanted = round(self.density * sum(mask.numel() for mask in alive.values()))
        found = sum(int(mask.sum()) for mask in masks.alive.values())
        promised = [
            silent(network, masks.alive),
            Property("density, but for equal scores", abs(found - wanted) <= len(alive), f"{found}, {wanted} asked"),
        ]
        if self.by == "synflow":  # SNIP's and GraSP's may be, at extreme densities
            empty = [name for name, mask in masks.alive.items() if not bool(mask.any())]
            promised.append(Property("no layer is empty", not empty, ", ".join(empty) or f"{len(alive)} layers"))
        layers = {name: float(mask.double().mean()) for name, mask in masks.alive.items()}
        return MaskedNetwork(network, masks.alive, done.history, tuple(promised), {"layer_densities": layers})

    def masks(self, network: nn.Module, work: Work, names: list[str], magnitudes: dict[str, Tensor]) -> Alive:
        """The mask of fresh weights."""
        if self.by == "synflow":
            return synflow(network, names, work.example_inputs, self.density)
        if self.by == "magnitude":
            return prune_globally(magnitudes, self.density)
        batches = calibration_batches(work.data, 128, 128, work.seed, class_balanced=self.by == "grasp")
        return global_mask({"snip": snip, "grasp": grasp}[self.by](network, names, batches, work.task), self.density)


def shuffle(alive: Alive, seed: int) -> Alive:
    """As many alive in every layer, drawn by lot."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].reshape(mask.shape)
        for name, mask in alive.items()
    }


@dataclass(frozen=True)
class Rounds:
    """SAP over all weights together: each round trains, prunes what the PQ index leaves free, and puts the survivors
    back to where they started; then what is left is trained once more. The density follows from the index.

    The paper has 15 to 30 rounds of 200 epochs; here the epochs of the recipe are shared out, so there are few rounds.
    """

    rounds: int = 4
    p: float = 0.5
    q: float = 1.0
    eta: float = 0.0
    gamma: float = 1.0
    beta: float = 0.9

    def __post_init__(self) -> None:
        if self.rounds < 1 or not 0 < self.p < self.q or not 0 <= self.beta < 1:
            raise UsageError(
                f"rounds {self.rounds}, p {self.p:g}, q {self.q:g}, beta {self.beta:g}",
                "rounds >= 1, 0 < p < q, 0 <= beta < 1",
            )

    def check(self, length: Length) -> None:
        """Raise UsageError if a round would have no epoch."""
        if length.epochs <= self.rounds:
            raise UsageError(
                f"{self.rounds} rounds and a last training need {self.rounds + 1} epochs, and have {length.epochs}",
                "give more --epochs",
            )

    def __call__(self, work: Work) -> MaskedNetwork:
        """Run the rounds, then train the survivors."""
        network, each = copy.deepcopy(work.dense), work.training.epochs // (self.rounds + 1)
        history: list[Epoch] = []

        def train(masks: WeightMasks, epochs: int) -> None:
            done = work.finetune(network, epochs=epochs, companion=Held(masks), since=epochs, resume_path=None)
            history.extend(replace(e, epoch=len(history) + i) for i, e in enumerate(done.history[1:], start=1))

        masks, found = sap_rounds(network, lambda masks: train(masks, each), self)
        train(masks, work.training.epochs - each * self.rounds)
        densities = [share for _, share in found] + [density(masks.alive)]
        gaps = [abs(densities[i + 1] - densities[i] * (1 - self.free(index))) for i, (index, _) in enumerate(found)]
        size = sum(mask.numel() for mask in masks.alive.values())
        indices = [index for index, _ in found]
        promised = (
            silent(network, masks.alive),
            Property("rounds remove what the PQ index leaves free", max(gaps) <= 2 / size, f"gap {max(gaps):.1e}"),
        )
        facts: dict[str, Any] = {"pq_index": indices, "densities": densities}
        facts["pq_index_turns_up_in_round"] = turn_up(indices)
        return MaskedNetwork(network, masks.alive, tuple(history), promised, facts)

    def free(self, index: float) -> float:
        """Share of the weights that an index leaves free (methods.md section 7)."""
        p, q = self.p, self.q
        kept = float((1 + self.eta) ** (-q / (q - p)) * (1 - index) ** (p * q / (q - p)))
        return min(self.beta, max(0.0, self.gamma * (1 - kept)))


def sap_rounds(
    network: nn.Module, train: Callable[[WeightMasks], None], settings: Rounds
) -> tuple[WeightMasks, list[tuple[float, float]]]:
    """The masks, and (PQ index, density) after the training of each round, before its pruning.

    Every round trains (`train(masks)` holds them), prunes, and puts the survivors back to the values that the network
    had at the start.
    """
    initial = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    masks, found, own = WeightMasks(network), [], settings
    for _ in range(own.rounds):
        train(masks)
        masks.release()
        scores, alive = masks.magnitudes(), masks.alive
        values = torch.cat([scores[name][mask] for name, mask in alive.items()])
        found.append((pq_index(values, own.p, own.q), density(alive)))
        gone = adaptive_prune(values, own.p, own.q, eta=own.eta, gamma=own.gamma, beta=own.beta)
        flat = torch.cat([torch.where(mask, scores[name], -1.0).flatten() for name, mask in alive.items()])
        kept = torch.split(strongest(flat, len(values) - gone), [mask.numel() for mask in alive.values()])
        network.load_state_dict(initial)
        masks.forget()
        masks.apply({name: part.reshape(alive[name].shape) for name, part in zip(alive, kept, strict=True)})
    return masks, found


MASKED: dict[str, Callable[..., Any]] = {
    "gradual": Masked,
    "one-shot": OneShot,
    "perp": MaskedPerp,
    "at-init": AtInit,
    "rounds": Rounds,
    "fedtiny": MaskedFedTiny,
}
