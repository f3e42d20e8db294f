"""What is masked, in a form that server and clients share: single weights, as in the paper, or coupled channels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeprune.graph import Coupling
from edgeprune.schedule.masks import Alive, ChannelMasks, Masks, WeightMasks
from edgeprune.score.group import parameters_of

State = dict[str, Tensor]


@dataclass(frozen=True)
class Masking:
    """Masks of the weights of a network, or of the units of some channel groups (`coupling` and `groups`).

    A channel keeps the weights it had while it is masked, and the server remembers them; a weight comes back as 0.
    """

    coupling: Coupling | None = None
    groups: tuple[str, ...] = ()

    def masks(self, network: nn.Module) -> Masks:
        """Nothing masked yet."""
        return WeightMasks(network) if self.coupling is None else ChannelMasks(network, self.coupling, self.groups)

    def dead(self, alive: Alive, state: Mapping[str, Tensor], groups: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Tensor name -> bool, entries of a state dict that belong to what is masked: these are not sent.

        `groups`: only what belongs to these layers or groups.
        """
        chosen = set(alive if groups is None else groups)
        if self.coupling is None:
            return {name: ~alive[name] for name in alive if name in chosen and not bool(alive[name].all())}
        found: dict[str, Tensor] = {}
        for name in self.groups:
            gone = ~alive[name]
            if name not in chosen or not bool(gone.any()):
                continue
            for member in self.coupling.groups[name].members:
                if member.param in state:
                    mask = found.setdefault(member.param, torch.zeros(state[member.param].shape, dtype=torch.bool))
                    mask.index_fill_(member.axis, member.index[gone].flatten(), True)
        return found

    def slopes(self, masks: Masks) -> dict[str, Tensor]:
        """Slope of the loss along every mask, signed, masked ones included, from the last backward pass."""
        if isinstance(masks, ChannelMasks):
            return masks.gate_slopes()
        parameters = parameters_of(masks.network)
        found = {}
        for name in masks.alive:
            gradient = parameters[name].grad
            found[name] = torch.zeros_like(parameters[name]) if gradient is None else gradient.detach().clone()
        return found

    def strengths(self, state: Mapping[str, Tensor], alive: Alive) -> dict[str, Tensor]:
        """|w| of single weights; of channels the sum of |w| over the weights that belong to them, over their number."""
        if self.coupling is None:
            return {name: state[name].abs() for name in alive}
        found = {}
        for name in self.groups:
            total = torch.zeros(len(alive[name]), dtype=torch.float64)
            for member in self.coupling.groups[name].members:
                tensor = state.get(member.param)
                if tensor is None or tensor.ndim < 2:
                    continue
                total += tensor.double().abs().movedim(member.axis, 0).flatten(1).mean(1)[member.index].sum(1)
            found[name] = total
        return found
