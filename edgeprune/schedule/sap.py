"""SAP: rounds of training and pruning, by as much as the PQ index says (Diao et al. 2023; methods.md section 7)."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.allocate.pq_index import adaptive_prune, pq_index
from edgeprune.errors import UsageError
from edgeprune.recover.finetune import Epoch
from edgeprune.recover.work import Length, Start, Work
from edgeprune.schedule.masks import Alive, ChannelMasks, Masks, strongest


@dataclass(frozen=True)
class SAP:
    """Each round: train the masked network, rank its channels, remove from every group the share that the PQ index of
    its scores leaves free, put the survivors' weights back to what they were at the start (`rewind`).

    No group goes below the width of the search, and every round goes at least its even part of the way there: the
    budget is measured, so the total is not SAP's own (ours). Norms of channels are much more alike than weights are:
    their index is near 0, and mostly the even pace decides. `p`, `q`, `eta`, `gamma`, `beta`: see `adaptive_prune`.
    The rounds have `share` of the epochs; the paper has 15 to 30 rounds of 200 epochs each, which is why there are few
    here. The start is the trained dense network, not a random one.
    """

    rounds: int = 3
    share: float = 0.6
    p: float = 0.5
    q: float = 1.0
    eta: float = 0.0
    gamma: float = 1.0
    beta: float = 0.9
    rewind: bool = True

    def __post_init__(self) -> None:
        if self.rounds < 1 or not 0 < self.share <= 1 or not 0 < self.p < self.q or not 0 <= self.beta < 1:
            raise UsageError(
                f"rounds {self.rounds}, share {self.share:g}, p {self.p:g}, q {self.q:g}, beta {self.beta:g}",
                "rounds >= 1, 0 < share <= 1, 0 < p < q, 0 <= beta < 1",
            )

    def check(self, length: Length) -> None:
        """Raise UsageError if a round would have no epoch."""
        if self._epochs(length.epochs) < 1:
            raise UsageError(
                f"{self.rounds} rounds of pruning need {self.rounds} epochs or more, and have "
                f"{int(self.share * length.epochs)} of {length.epochs}",
                "give more --epochs, or --schedule one_shot",
            )

    def _epochs(self, epochs: int) -> int:
        return int(self.share * epochs) // self.rounds

    def __call__(self, work: Work) -> Start:
        """Run the rounds, then remove what is masked."""
        network, initial = copy.deepcopy(work.dense), work.dense.state_dict()
        masks = ChannelMasks(network, work.coupling, work.kept)
        epochs = self._epochs(work.training.epochs)
        history: list[Epoch] = []
        rounds: list[dict[str, Any]] = []
        for number in range(1, self.rounds + 1):
            held = Held(masks)
            place = work.checkpoint and work.checkpoint.with_name(f"{work.checkpoint.stem}-{number}.checkpoint")
            done = work.finetune(network, epochs=epochs, companion=held, since=epochs, resume_path=place)
            history += [replace(e, epoch=len(history) + i) for i, e in enumerate(done.history[1:], start=1)]
            masks.release()
            scores = work.rank(network)
            alive, index = masks.alive, joint_index(scores, masks.alive, self.p, self.q)
            last = number == self.rounds
            masks.apply(_legal(work, scores, alive) if last else self.round(work, scores, alive, number))
            rounds.append({"pq_index": index, "units": sum(int(mask.sum()) for mask in masks.alive.values())})
            if self.rewind:
                _rewind(network, initial, masks)
        masks.release()
        kept = {name: mask.nonzero().flatten() for name, mask in masks.alive.items()}
        slim, widths = work.remove(network, kept)
        turn = turn_up([entry["pq_index"] for entry in rounds])
        return Start(slim, widths, tuple(history), {"rounds": rounds, "pq_index_turns_up_in_round": turn})

    def round(self, work: Work, scores: dict[str, Tensor], alive: Alive, number: int) -> Alive:
        """Who is alive after round 1..: as few as the PQ index allows, never fewer than the search wants."""
        found = {}
        for name, count in work.counts.items():
            own = scores[name][alive[name]]
            free = adaptive_prune(own, self.p, self.q, eta=self.eta, gamma=self.gamma, beta=self.beta)
            units = len(alive[name])
            pace = units - round((units - count) * number / self.rounds)
            ranked = scores[name].double().masked_fill(~alive[name], -torch.inf)
            found[name] = strongest(ranked, max(count, min(len(own) - free, pace)))
        return found


def _legal(work: Work, scores: dict[str, Tensor], alive: Alive) -> Alive:
    """The final number of every group, of those that are alive, under the equal shares of chunks and norms."""
    first = {}
    for name, mask in alive.items():
        own = scores[name].double()
        first[name] = torch.where(mask, own - own.min() + 1, own - own.max() - 1)
    found = {name: torch.zeros_like(mask) for name, mask in alive.items()}
    for name, units in work.coupling.select(first, work.counts).items():
        found[name][units] = True
    return found


class Held:
    """Masks that stay as they are while a network trains."""

    def __init__(self, masks: Masks) -> None:
        self.masks = masks

    def before_step(self, step: int) -> None:
        """Nothing."""

    def after_step(self, step: int, optimizer: torch.optim.SGD) -> None:  # noqa: ARG002
        """Hold the masks."""
        self.masks.hold(optimizer)

    def state(self) -> dict[str, Tensor]:
        """The masks."""
        return self.masks.state()

    def restore(self, state: dict[str, Tensor]) -> None:
        """The masks of a checkpoint."""
        self.masks.restore(state)


def joint_index(scores: dict[str, Tensor], alive: Alive, p: float, q: float) -> float:
    """The PQ index of all alive units, each group divided by its mean so that groups compare."""
    parts = [scores[name][mask].double() for name, mask in alive.items()]
    return pq_index(torch.cat([part / part.mean().clamp_min(1e-30) for part in parts]), p, q)


def turn_up(indices: Sequence[float]) -> int | None:
    """The round (from 1) in which the index rises again after it fell: from there on pruning costs. None: not yet."""
    fallen = False
    for number in range(1, len(indices)):
        if indices[number] < indices[number - 1]:
            fallen = True
        elif fallen and indices[number] > indices[number - 1]:
            return number + 1
    return None


@torch.no_grad()
def _rewind(network: nn.Module, initial: dict[str, Tensor], masks: ChannelMasks) -> None:
    """All weights and statistics as they were at the start, under the masks of now."""
    alive = masks.alive
    masks.release()
    network.load_state_dict(initial)
    masks.forget()
    masks.apply(alive)
