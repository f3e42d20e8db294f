"""The coupling of a network: its channel groups, legal widths, and what widths cost in MACs and parameters."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from edgeprune.graph.balance import best_units
from edgeprune.graph.errors import SurgeryError
from edgeprune.graph.layers import AxisPart, Layer
from edgeprune.graph.space import core


@dataclass(frozen=True)
class ParamSlice:
    """The entries of one parameter axis that each unit owns: index is long, (units, k)."""

    param: str
    axis: int
    index: Tensor


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that can only be removed together, unit by unit; named after the module that first makes them.

    `channels_per_unit` counts on that module's output axis (a whole conv group of a grouped convolution: its width).
    `frozen` is the reason why no unit may go, or None.
    """

    name: str
    units: int
    channels_per_unit: int
    members: tuple[ParamSlice, ...]
    frozen: str | None = None

    @property
    def channels(self) -> int:
        return self.units * self.channels_per_unit


@dataclass
class Coupling:
    """All channel groups of one traced network. `counts` and `kept` name groups; a missing group is dense.

    `floors`: group -> fewest channels that `menu` offers, where the user protects some (see `protect`).
    """

    groups: dict[str, ChannelGroup]
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    axis_parts: dict[str, dict[int, tuple[AxisPart, ...]]]
    balance: dict[str, Tensor]
    labels: dict[str, Any]
    component: Tensor
    components: dict[str, Tensor] = field(default_factory=dict)
    floors: dict[str, int] = field(default_factory=dict)

    @property
    def prunable(self) -> dict[str, ChannelGroup]:
        return {name: group for name, group in self.groups.items() if group.frozen is None}

    def menu(self, multiple: int = 8) -> dict[str, tuple[int, ...]]:
        """Legal counts of every prunable group, ascending, in steps of `multiple` channels; dense is always one."""
        return {name: self.counts(group, multiple) for name, group in self.prunable.items()}

    def counts(self, group: ChannelGroup, multiple: int) -> tuple[int, ...]:
        """The legal counts of one group: its entry of `menu`."""
        width, least = group.channels_per_unit, self.floors.get(group.name, 1)
        steps = [u for u in range(1, group.units) if u * width % multiple == 0 and u * width >= least]
        rows = self.balance.get(group.name)
        if rows is not None:
            zero = torch.zeros(group.units)
            steps = [u for u in steps if best_units(zero, u, rows) is not None]
        return (*steps, group.units)

    def channels(self, layer: Layer, counts: dict[str, int]) -> tuple[int, int]:
        """(c_in, c_out) of a layer."""
        return _width(layer.in_parts, counts), _width(layer.out_parts, counts)

    def macs(self, counts: dict[str, int] | None = None) -> int:
        """Multiply-accumulates of conv and linear layers for one example."""
        counts = counts or {}
        return sum(layer.macs(*self.channels(layer, counts)) for layer in self.layers)

    def params(self, counts: dict[str, int] | None = None) -> int:
        """Trainable parameters, those that only training reaches included."""
        counts, total = counts or {}, 0
        for name, shape in self.shapes.items():
            size = 1
            for axis, entries in enumerate(shape):
                parts = self.axis_parts.get(name, {}).get(axis)
                size *= entries if parts is None else _width(parts, counts)
            total += size
        return total

    def select(self, scores: dict[str, Tensor], counts: dict[str, int]) -> dict[str, Tensor]:
        """The units to keep (sorted long): the highest scores, under counts and the equal shares of chunks and norms.

        Raises SurgeryError for an unknown or frozen group, a count outside 1..units, or one that no subset can meet.
        """
        kept = {}
        for name, count in counts.items():
            group = self._prunable(name)
            if not 1 <= count <= group.units:
                raise SurgeryError(f"group {name} has {group.units} units, not {count}", "take a count from menu()")
            rows = self.balance.get(name, torch.zeros(0, group.units))
            units = best_units(scores[name].detach().cpu().reshape(-1), count, rows)
            if units is None:
                raise SurgeryError(f"group {name} cannot keep {count} units in equal shares", "see menu()")
            kept[name] = units
        return kept

    def check(self, kept: dict[str, Tensor]) -> None:
        """Raise SurgeryError unless the kept set is legal: known units, rectangular at every node, shares equal."""
        for name, units in kept.items():
            group = self._prunable(name)
            if len(units) == 0 or len(torch.unique(units)) != len(units) or units.max() >= group.units:
                raise SurgeryError(f"group {name}: kept units must be distinct and below {group.units}", "see select()")
            mask = torch.zeros(group.units)
            mask[units] = 1
            rows = self.balance.get(name)
            if rows is not None and bool((rows.double() @ mask.double() != 0).any()):
                raise SurgeryError(f"group {name}: chunks or norm groups keep unequal shares", "see select()")
        broken = self.broken_nodes(self.mask(kept))
        if broken:
            raise SurgeryError(f"the kept channels form no tensor at {', '.join(broken)}", "take units from select()")

    def mask(self, kept: dict[str, Tensor]) -> Tensor:
        """Whether a label's channel stays: bool, one entry a label."""
        alive = torch.ones(int(self.component.max()) + 1, dtype=torch.bool)
        for name, units in kept.items():
            alive[self.components[name]] = False
            alive[self.components[name][units]] = True
        return alive[self.component]

    def broken_nodes(self, mask: Tensor) -> list[str]:
        """Nodes whose kept mask is not the outer product of one mask an axis."""
        return list(dict.fromkeys(name for name, labels in self.grids if not _rectangular(labels, mask)))

    @cached_property
    def grids(self) -> list[tuple[str, Tensor]]:
        """(node, labels) wherever labels differ along more than one axis: elsewhere any mask is such a product."""
        named = [(name, core(tensor)[0]) for name, labels in self.labels.items() for tensor in leaves(labels)]
        return [(name, labels) for name, labels in named if sum(size > 1 for size in labels.shape) > 1]

    def _prunable(self, name: str) -> ChannelGroup:
        group = self.groups.get(name)
        if group is None:
            raise SurgeryError(f"no channel group is called {name}", f"groups: {', '.join(self.groups)}")
        if group.frozen is not None:
            raise SurgeryError(f"group {name} cannot be pruned: {group.frozen}", "leave it out")
        return group


def _width(parts: tuple[AxisPart, ...], counts: dict[str, int]) -> int:
    return sum(
        p.channels if p.group is None or p.group not in counts else p.channels_per_unit * counts[p.group] for p in parts
    )


def leaves(labels: Any) -> list[Tensor]:
    """The label tensors of a node, which may have several outputs."""
    if isinstance(labels, Tensor):
        return [labels]
    return [leaf for part in labels for leaf in leaves(part)] if isinstance(labels, tuple) else []


def _rectangular(labels: Tensor, mask: Tensor) -> bool:
    kept = mask[labels]
    product = torch.ones_like(kept)
    for axis in range(kept.dim()):
        product &= kept.any(dim=tuple(d for d in range(kept.dim()) if d != axis), keepdim=True)
    return bool(torch.equal(product, kept))
