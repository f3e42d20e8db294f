"""Soft masks while a network trains: of coupled channels, or of single weights (a paper's own form).

What is masked does not act in the forward pass, gets no update and no momentum, and is stored: it is ranked again with
the others at every update and may come back as it was.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from edgeprune.graph import ChannelGroup, Coupling
from edgeprune.score.group import owner, parameters_of, producers

Alive = dict[str, Tensor]
_IN_AXIS: dict[type[nn.Module], int] = {nn.Conv1d: 1, nn.Conv2d: 1, nn.Conv3d: 1, nn.Linear: 1, nn.ConvTranspose2d: 0}


class Masks:
    """`alive`: name -> bool. Of every parameter: which entries are dead (frozen), and which of these are silent (0)."""

    def __init__(self, network: nn.Module, alive: Alive) -> None:
        self.network, self.alive = network, alive
        self._dead: dict[str, Tensor] = {}
        self._silent: dict[str, Tensor] = {}
        self._stored: dict[str, Tensor] = {}

    def entries(self, alive: Alive) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(dead, silent) entries by parameter name, bool and of the parameter's shape."""
        raise NotImplementedError

    @torch.no_grad()
    def release(self) -> None:
        """Put everything back that is stored: the network is dense again."""
        parameters = parameters_of(self.network)
        for name, dead in self._dead.items():
            parameters[name].copy_(torch.where(dead, self._stored[name], parameters[name]))

    def forget(self) -> None:
        """Drop what is stored: the weights of the network are the truth."""
        self._dead, self._silent, self._stored = {}, {}, {}

    @torch.no_grad()
    def apply(self, alive: Alive, *, forget: bool = False) -> None:
        """Mask what is not alive, and nothing else. `forget`: what is masked is stored as 0."""
        self.release()
        parameters = parameters_of(self.network)
        self.alive = {name: mask.clone() for name, mask in alive.items()}
        self._dead, self._silent = self.entries(self.alive)
        self._stored = {name: parameters[name].detach().clone() for name in self._dead}
        if forget:
            self._stored = {name: stored.masked_fill(self._dead[name], 0) for name, stored in self._stored.items()}
        self.hold()

    @torch.no_grad()
    def hold(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """After a step: dead entries as they were, silent ones 0, and none of them with momentum."""
        parameters = parameters_of(self.network)
        for name, dead in self._dead.items():
            frozen = self._stored[name].masked_fill(self._silent[name], 0)
            parameters[name].copy_(torch.where(dead, frozen, parameters[name]))
            moving = {} if optimizer is None else optimizer.state.get(parameters[name], {})
            if moving.get("momentum_buffer") is not None:
                moving["momentum_buffer"].masked_fill_(dead, 0)

    def state(self) -> dict[str, Tensor]:
        """The masks and what is stored, for a checkpoint."""
        return {
            **{f"alive/{name}": mask for name, mask in self.alive.items()},
            **{f"stored/{name}": stored for name, stored in self._stored.items()},
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The masks of a checkpoint, on a network whose weights were loaded already."""
        parameters = parameters_of(self.network)
        parts: dict[str, dict[str, Tensor]] = {"alive": {}, "stored": {}}
        for key, tensor in state.items():
            part, name = key.split("/", 1)
            parts[part][name] = tensor
        self.alive = {name: mask.to(self.alive[name].device) for name, mask in parts["alive"].items()}
        self._dead, self._silent = self.entries(self.alive)
        self._stored = {name: stored.to(parameters[name]) for name, stored in parts["stored"].items()}


class ChannelMasks(Masks):
    """Masks of the units of channel groups, (units,) each.

    A masked channel still runs, but nobody reads it: the columns that read it are 0. So its batch norm's statistics
    stay right, and the gradients of these columns tell what the channel would do (`gate_gradients`). A group that no
    layer reads is silenced where it is made.
    """

    def __init__(self, network: nn.Module, coupling: Coupling, groups: Iterable[str]) -> None:
        self.groups = {name: coupling.groups[name] for name in groups}
        self.readers = {name: _readers(network, group) for name, group in self.groups.items()}
        super().__init__(network, {n: torch.ones(group.units, dtype=torch.bool) for n, group in self.groups.items()})

    def entries(self, alive: Alive) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Every parameter entry of a masked unit is dead; those that read it are silent."""
        parameters = parameters_of(self.network)
        dead: dict[str, Tensor] = {}
        silent: dict[str, Tensor] = {}
        for name, group in self.groups.items():
            gone = ~alive[name]
            if not bool(gone.any()):
                continue
            for member in group.members:
                if member.param not in parameters:
                    continue
                like = parameters[member.param]
                for marked in (dead, silent):
                    marked.setdefault(member.param, torch.zeros_like(like, dtype=torch.bool))
                index = member.index[gone].flatten().to(like.device)
                dead[member.param].index_fill_(member.axis, index, True)
                if (member.param, member.axis) in self.readers[name]:
                    silent[member.param].index_fill_(member.axis, index, True)
        return dead, silent

    def gate_gradients(self) -> dict[str, Tensor]:
        """Per group (units,): the size of `gate_slopes`."""
        return {name: slopes.abs() for name, slopes in self.gate_slopes().items()}

    @torch.no_grad()
    def gate_slopes(self) -> dict[str, Tensor]:
        """Per group (units,): dL/dg of a gate g on each channel, 1 if it is alive and 0 if it is masked.

        That is the sum of w dL/dw over the stored weights that read it. From the gradients of the last backward pass.
        """
        parameters, found = parameters_of(self.network), {}
        for name, group in self.groups.items():
            total = torch.zeros(group.units, dtype=torch.float64)
            for member in group.members:
                parameter = parameters.get(member.param)
                if (member.param, member.axis) not in self.readers[name] or parameter is None or parameter.grad is None:
                    continue
                weight = torch.where(
                    self._dead.get(member.param, torch.zeros_like(parameter, dtype=torch.bool)),
                    self._stored.get(member.param, parameter),
                    parameter,
                )
                slopes = (weight * parameter.grad).double().cpu().movedim(member.axis, 0).flatten(1).sum(1)
                total += slopes[member.index].sum(1)
            found[name] = total
        return found


class WeightMasks(Masks):
    """Masks of single weights, of the parameter's shape: those of convolutions and linear layers but `without`."""

    def __init__(self, network: nn.Module, without: Sequence[str] = ()) -> None:
        weights = {
            f"{path}.weight".lstrip("."): module.weight
            for path, module in network.named_modules()
            if type(module) in _IN_AXIS and isinstance(module.weight, Tensor) and path not in without
        }
        super().__init__(network, {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()})

    def entries(self, alive: Alive) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """A masked weight is dead and silent."""
        gone = {name: ~mask for name, mask in alive.items() if not bool(mask.all())}
        return gone, gone

    def magnitudes(self) -> dict[str, Tensor]:
        """|w| of all weights, those that are stored included."""
        parameters = parameters_of(self.network)
        return {
            name: torch.where(self._dead[name], self._stored[name], parameters[name]).detach().abs()
            if name in self._dead
            else parameters[name].detach().abs()
            for name in self.alive
        }

    def slopes(self) -> dict[str, Tensor]:
        """|dL/dw| of all weights, masked ones included, from the last backward pass."""
        parameters = parameters_of(self.network)
        found = {name: parameters[name].grad for name in self.alive}
        return {n: torch.zeros_like(parameters[n]) if g is None else g.detach().abs() for n, g in found.items()}


def strongest(scores: Tensor, count: int) -> Tensor:
    """Bool mask, of the scores' shape, of the `count` highest; of equal ones, the first."""
    order = scores.flatten().argsort(descending=True, stable=True)[:count]
    mask = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[order] = True
    return mask.reshape(scores.shape)


def _readers(network: nn.Module, group: ChannelGroup) -> set[tuple[str, int]]:
    """(parameter, axis) of the members that read the group; of those that make it, where none does."""
    found = set()
    for member in group.members:
        module = owner(network, member.param) if member.param.endswith("weight") else None
        if module is not None and _IN_AXIS.get(type(module)) == member.axis and getattr(module, "groups", 1) == 1:
            found.add((member.param, member.axis))
    return found or {(member.param, member.axis) for member in producers(network, group)}
