"""From labels to channel groups: connected components are the units; units with the same member slices are a group."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from edgeprune.graph.balance import best_units
from edgeprune.graph.coupling import ChannelGroup, Coupling, ParamSlice
from edgeprune.graph.labels import walk
from edgeprune.graph.layers import AxisPart, list_layers
from edgeprune.graph.space import LabelSpace
from edgeprune.graph.trace import Trace, parameters_of


@dataclass(frozen=True)
class _Line:
    """Component of every entry of one parameter axis. Lines of the same `key` have the same components."""

    param: str
    axis: int
    ids: Tensor
    producer: bool

    @cached_property
    def key(self) -> bytes:
        return self.ids.contiguous().numpy().tobytes()


def find_groups(trace: Trace) -> Coupling:
    """The channel groups of a traced network, with every frozen group's reason."""
    space = LabelSpace()
    labels = walk(trace.program, space, trace.tied)
    if trace.train_program is not None:
        walk(trace.train_program, space, trace.tied)
    component = space.components()
    frozen = {int(c): reason for marked, reason in reversed(space.frozen) for c in component[marked]}
    lines = _lines(space, component, frozen)
    size = int(component.max()) + 1
    groups, ids = _groups(lines, frozen, size)
    balance = _balance(space, component, groups, ids)
    coupling = Coupling(groups, (), (), _shapes(trace), {}, balance, labels, component, ids)
    _freeze_unbalanced(coupling)
    _freeze_broken(coupling)
    owner = _owner(ids, size)
    for name, group in groups.items():
        if group.frozen is not None:
            owner[ids[name]] = -1

    def parts(vector: Tensor) -> tuple[AxisPart, ...]:
        return _parts(component[vector], owner, groups)

    names = {placeholder: trace.tied.get(name, name) for name, placeholder in parameters_of(trace.program).items()}
    coupling.layers = list_layers(trace.program, names, labels, parts, trace.batch)
    known = {line.key: line.ids for line in lines}
    by_key = {key: _parts(components, owner, groups) for key, components in known.items()}
    for line in lines:
        coupling.axis_parts.setdefault(line.param, {})[line.axis] = by_key[line.key]
    unknown = sorted({reason for _, reason in space.frozen if "without a label rule" in reason})
    coupling.notes = (
        *trace.notes,
        *(f"channels keep their width: one {reason}" for reason in unknown),
        *(f"{name} keeps its {g.channels} channels: it {g.frozen}" for name, g in groups.items() if g.frozen),
        *(
            f"{name} is pruned by whole convolution groups of {g.channels_per_unit} channels: a group keeps its width"
            for name, g in groups.items()
            if g.frozen is None and g.channels_per_unit > 1
        ),
    )
    return coupling


def _lines(space: LabelSpace, component: Tensor, frozen: dict[int, str]) -> list[_Line]:
    direct = {param for param, axis in space.ranges if axis is None}
    lines = []
    for item in space.ranges.values():
        ids = component[item.base : item.base + item.size]
        if item.axis is not None:
            lines.append(_Line(item.param, item.axis, ids, item.producer))
            if item.param in direct:
                _mark(frozen, ids, f"uses {item.param} both as a layer's weight and by itself")
            continue
        axis = _only_axis(ids.reshape(item.shape))
        if axis is None:
            _mark(frozen, ids, f"meets {item.param} along more than one axis")
        else:
            line = ids.reshape(item.shape).movedim(axis, 0).reshape(item.shape[axis], -1)[:, 0]
            lines.append(_Line(item.param, axis, line, False))
    return lines


def _mark(frozen: dict[int, str], ids: Tensor, reason: str) -> None:
    for c in torch.unique(ids).tolist():
        frozen.setdefault(c, reason)


def _only_axis(ids: Tensor) -> int | None:
    """The one axis along which the components differ."""
    axes = [d for d in range(ids.dim()) if not torch.equal(ids, ids.narrow(d, 0, 1).expand_as(ids))]
    return axes[0] if len(axes) == 1 else None


def _groups(lines: list[_Line], frozen: dict[int, str], size: int) -> tuple[dict[str, ChannelGroup], dict[str, Tensor]]:
    """Groups by name, and the component of every unit of each; components are numbered below `size`."""
    kind, maker = _kinds(lines, frozen, size)
    makers: dict[str, int] = {}
    ids: dict[str, Tensor] = {}
    for number, line in enumerate(lines):
        if not line.producer:
            continue
        units = _by_appearance(line.ids)
        units = units[maker[units] == number]
        for same in _by_appearance(kind[units]):
            name = _unique(line.param.rpartition(".")[0] or line.param, makers)
            makers[name], ids[name] = number, units[kind[units] == same]
    members = _members(lines, ids, size)
    groups = {}
    for name, units in ids.items():
        line = lines[makers[name]]
        per_unit = next(s for s in members[name] if (s.param, s.axis) == (line.param, line.axis)).index.shape[1]
        reason = frozen.get(int(units[0]))
        if len(units) == 1 and reason is None:
            reason = "has channels that are all tied to each other" if per_unit > 1 else "has a single unit"
        groups[name] = ChannelGroup(name, len(units), per_unit, members[name], reason)
    return groups, ids


def _kinds(lines: list[_Line], frozen: dict[int, str], size: int) -> tuple[Tensor, Tensor]:
    """Per component: its kind (alike are those with as many entries on every line, and frozen for the same reason),
    and the first line that makes it, -1 if none does. Every line splits the kinds of the components on it.
    """
    kind, maker = torch.zeros(size, dtype=torch.long), torch.full((size,), -1)
    reasons = {reason: number for number, reason in enumerate(dict.fromkeys(frozen.values()), 1)}
    for component, reason in frozen.items():
        kind[component] = reasons[reason]
    taken, seen = len(reasons) + 1, set[bytes]()
    for number, line in enumerate(lines):
        if line.key in seen and not line.producer:  # splits nothing more
            continue
        seen.add(line.key)
        present, counts = torch.unique(line.ids, return_counts=True)
        refined = torch.unique(kind[present] * (len(line.ids) + 1) + counts, return_inverse=True)[1]
        kind[present] = taken + refined
        taken += int(refined.max()) + 1
        if line.producer:
            maker[present[maker[present] < 0]] = number
    return kind, maker


def _by_appearance(values: Tensor) -> Tensor:
    """The distinct values in the order in which they come first."""
    present, inverse = torch.unique(values, return_inverse=True)
    first = torch.full_like(present, len(values)).scatter_reduce_(0, inverse, torch.arange(len(values)), "amin")
    ordered: Tensor = present[torch.argsort(first)]
    return ordered


def _members(lines: list[_Line], ids: dict[str, Tensor], size: int) -> dict[str, tuple[ParamSlice, ...]]:
    """The slices of every group: those of a line lie together once it is sorted by groups and their units."""
    names, rank = list(ids), torch.full((size,), -1)
    units = torch.cat([torch.zeros(0, dtype=torch.long), *ids.values()])
    rank[units] = torch.arange(len(units))
    ends = torch.cumsum(torch.tensor([len(ids[name]) for name in names]), 0)
    members: dict[str, list[ParamSlice]] = {name: [] for name in names}
    known: dict[bytes, list[tuple[str, Tensor]]] = {}
    for line in lines:
        if line.key not in known:
            ranks = rank[line.ids]
            order = torch.argsort(ranks, stable=True)[int((ranks < 0).sum()) :]
            owner, counts = torch.unique_consecutive(
                torch.bucketize(ranks[order], ends, right=True), return_counts=True
            )
            known[line.key] = [
                (names[number], entries.reshape(len(ids[names[number]]), -1))
                for number, entries in zip(owner.tolist(), torch.split(order, counts.tolist()), strict=True)
            ]
        for name, index in known[line.key]:
            members[name].append(ParamSlice(line.param, line.axis, index))
    return {name: tuple(slices) for name, slices in members.items()}


def _unique(name: str, taken: Collection[str]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}#{number}"
    return candidate


def _balance(
    space: LabelSpace, component: Tensor, groups: dict[str, ChannelGroup], ids: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Rows with rows @ kept = 0 for every group whose shares must be equal; groups bound to each other are frozen."""
    owner, unit = _owner(ids, int(component.max()) + 1), torch.zeros(int(component.max()) + 1, dtype=torch.long)
    for units in ids.values():
        unit[units] = torch.arange(len(units))
    names, pending = list(groups), []
    for share in space.proportions:
        ends = torch.cat([component[share.segment], component[share.whole]])
        weights = torch.full((len(ends),), len(share.whole))
        weights[len(share.segment) :] = -len(share.segment)
        present, inverse = torch.unique(ends, return_inverse=True)
        sums = torch.zeros_like(present).index_add_(0, inverse, weights)
        present, sums = present[sums != 0], sums[sums != 0]
        touched = [names[number] for number in torch.unique(owner[present]).tolist() if number >= 0]
        rows = {}
        for name in touched:
            mine = owner[present] == names.index(name)
            rows[name] = torch.zeros(groups[name].units, dtype=torch.long)
            rows[name][unit[present[mine]]] = sums[mine]
        if rows:
            pending.append((rows, share.reason))
    kept: dict[str, list[Tensor]] = {}
    changed = True
    while changed:
        changed, kept = False, defaultdict(list)
        for rows, reason in pending:
            bound = [name for name in rows if groups[name].frozen is None]
            together = (
                f"must keep equal shares with {{}} other groups in {reason}, and no common width below dense is sure"
            )
            unequal = len(bound) == 1 and int(rows[bound[0]].sum()) != 0
            for name in bound if len(bound) > 1 or unequal else ():
                groups[name] = replace(groups[name], frozen=together.format(max(len(bound) - 1, 1)))
                changed = True
            if len(bound) == 1 and not unequal:
                kept[bound[0]].append(rows[bound[0]])
    return {name: torch.unique(torch.stack(group_rows), dim=0) for name, group_rows in kept.items()}


def _owner(ids: dict[str, Tensor], size: int) -> Tensor:
    """The number of the group of every component, -1 if it has none."""
    owner = torch.full((size,), -1)
    for number, units in enumerate(ids.values()):
        owner[units] = number
    return owner


def _freeze_unbalanced(coupling: Coupling) -> None:
    for name, rows in coupling.balance.items():
        group = coupling.groups[name]
        zero = torch.zeros(group.units)
        if group.frozen is None and all(best_units(zero, u, rows) is None for u in range(1, group.units)):
            reason = "must keep equal shares in nested chunks, which no smaller width can"
            coupling.groups[name] = replace(group, frozen=reason)


def _freeze_broken(coupling: Coupling) -> None:
    """Freeze the groups whose removal leaves a ragged tensor, seen by removing units at random (fixed seed)."""
    generator = torch.Generator().manual_seed(0)
    names, owner = list(coupling.components), _owner(coupling.components, int(coupling.component.max()) + 1)
    owners = [torch.unique(owner[coupling.component[labels]]).tolist() for _, labels in coupling.grids]
    on_grids = {names[number] for found in owners for number in found if number >= 0}
    for name, group in coupling.prunable.items():
        scores = torch.rand(group.units, generator=generator)
        if name not in on_grids:
            continue
        menu = coupling.counts(group, 1) if name in coupling.balance else (max(1, group.units // 2),)
        kept = coupling.select({name: scores}, {name: menu[(len(menu) - 1) // 2]})
        broken = coupling.broken_nodes(coupling.mask(kept))
        if broken:
            reason = f"leaves a ragged tensor at {broken[0]}"
            coupling.groups[name] = replace(group, frozen=reason)


def _parts(ids: Tensor, owner: Tensor, groups: dict[str, ChannelGroup]) -> tuple[AxisPart, ...]:
    """The components along an axis, by group; `owner` is -1 where a channel always stays."""
    names: list[str] = list(groups)
    parts = []
    for number, total in zip(*(t.tolist() for t in torch.unique(owner[ids], return_counts=True)), strict=True):
        name = names[number] if number >= 0 else None
        parts.append(AxisPart(name, 1 if name is None else total // groups[name].units, total))
    return tuple(parts)


def _shapes(trace: Trace) -> dict[str, tuple[int, ...]]:
    """Shapes of all trainable parameters, each once."""
    state = trace.program.state_dict
    return {n: tuple(p.shape) for n, p in state.items() if isinstance(p, nn.Parameter) and n not in trace.tied}
