"""From labels to channel groups: connected components are the units; units with the same member slices are a group."""

from collections import defaultdict
from dataclasses import dataclass, replace

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
    """Component of every entry of one parameter axis."""

    param: str
    axis: int
    ids: Tensor
    producer: bool


def find_groups(trace: Trace) -> Coupling:
    """The channel groups of a traced network, with every frozen group's reason."""
    space = LabelSpace()
    labels = walk(trace.program, space, trace.tied)
    if trace.train_program is not None:
        walk(trace.train_program, space, trace.tied)
    component = space.components()
    frozen = {int(c): reason for marked, reason in reversed(space.frozen) for c in component[marked]}
    lines = _lines(space, component, frozen)
    groups, ids = _groups(lines, frozen)
    balance = _balance(space, component, groups, ids)
    coupling = Coupling(groups, (), (), _shapes(trace), {}, balance, labels, component, ids)
    _freeze_unbalanced(coupling)
    _freeze_broken(coupling)
    owner = {int(c): name for name, group in groups.items() if group.frozen is None for c in ids[name]}

    def parts(vector: Tensor) -> tuple[AxisPart, ...]:
        return _parts(component[vector], owner, groups)

    names = {placeholder: trace.tied.get(name, name) for name, placeholder in parameters_of(trace.program).items()}
    coupling.layers = list_layers(trace.program, names, labels, parts, trace.batch)
    for line in lines:
        coupling.axis_parts.setdefault(line.param, {})[line.axis] = _parts(line.ids, owner, groups)
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


def _groups(lines: list[_Line], frozen: dict[int, str]) -> tuple[dict[str, ChannelGroup], dict[str, Tensor]]:
    """Groups by name, and the component of every unit of each."""
    signature: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, line in enumerate(lines):
        present, counts = torch.unique(line.ids, return_counts=True)
        for c, count in zip(present.tolist(), counts.tolist(), strict=True):
            signature[c].append((number, count))
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        for c in dict.fromkeys(line.ids.tolist()) if line.producer else ():
            first = next(n for n, _ in signature[c] if lines[n].producer)
            if first == number:
                alike[(*signature[c], frozen.get(c))].append(c)
    groups: dict[str, ChannelGroup] = {}
    ids: dict[str, Tensor] = {}
    for key, units in alike.items():
        slices = [entry for entry in key if isinstance(entry, tuple)]
        reason = frozen.get(units[0])
        maker, per_unit = next((lines[n], count) for n, count in slices if lines[n].producer)
        if len(units) == 1 and reason is None:
            reason = "has channels that are all tied to each other" if per_unit > 1 else "has a single unit"
        name = _unique(maker.param.rpartition(".")[0] or maker.param, groups)
        members = tuple(_slice(lines[n], units, count) for n, count in slices)
        groups[name] = ChannelGroup(name, len(units), per_unit, members, reason)
        ids[name] = torch.tensor(units)
    return groups, ids


def _unique(name: str, taken: dict[str, ChannelGroup]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}#{number}"
    return candidate


def _slice(line: _Line, units: list[int], count: int) -> ParamSlice:
    rank = torch.full((int(max(int(line.ids.max()), *units)) + 1,), len(units))
    rank[torch.tensor(units)] = torch.arange(len(units))
    order = torch.argsort(rank[line.ids], stable=True)[: len(units) * count]
    return ParamSlice(line.param, line.axis, order.reshape(len(units), count))


def _balance(
    space: LabelSpace, component: Tensor, groups: dict[str, ChannelGroup], ids: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Rows with rows @ kept = 0 for every group whose shares must be equal; groups bound to each other are frozen."""
    pending = []
    for share in space.proportions:
        row = torch.zeros(len(component), dtype=torch.long)
        row.index_add_(0, component[share.segment], torch.full((len(share.segment),), len(share.whole)))
        row.index_add_(0, component[share.whole], torch.full((len(share.whole),), -len(share.segment)))
        if row.any():
            pending.append((row, share.reason))
    rows: dict[str, list[Tensor]] = {}
    changed = True
    while changed:
        changed, rows = False, defaultdict(list)
        for row, reason in pending:
            bound = [n for n, group in groups.items() if group.frozen is None and bool(row[ids[n]].any())]
            together = (
                f"must keep equal shares with {{}} other groups in {reason}, and no common width below dense is sure"
            )
            unequal = len(bound) == 1 and int(row[ids[bound[0]]].sum()) != 0
            for name in bound if len(bound) > 1 or unequal else ():
                groups[name] = replace(groups[name], frozen=together.format(max(len(bound) - 1, 1)))
                changed = True
            if len(bound) == 1 and not unequal:
                rows[bound[0]].append(row[ids[bound[0]]])
    return {name: torch.unique(torch.stack(group_rows), dim=0) for name, group_rows in rows.items()}


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
    for name, group in list(coupling.prunable.items()):
        menu = coupling.menu(1)[name] if name in coupling.balance else (max(1, group.units // 2),)
        scores = torch.rand(group.units, generator=generator)
        kept = coupling.select({name: scores}, {name: menu[(len(menu) - 1) // 2]})
        broken = coupling.broken_nodes(coupling.mask(kept))
        if broken:
            reason = f"leaves a ragged tensor at {broken[0]}"
            coupling.groups[name] = replace(group, frozen=reason)


def _parts(ids: Tensor, owner: dict[int, str], groups: dict[str, ChannelGroup]) -> tuple[AxisPart, ...]:
    counts: dict[str | None, int] = {}
    present, number = torch.unique(ids, return_counts=True)
    for c, count in zip(present.tolist(), number.tolist(), strict=True):
        counts[owner.get(c)] = counts.get(owner.get(c), 0) + count
    return tuple(AxisPart(n, 1 if n is None else total // groups[n].units, total) for n, total in counts.items())


def _shapes(trace: Trace) -> dict[str, tuple[int, ...]]:
    """Shapes of all trainable parameters, each once."""
    state = trace.program.state_dict
    return {n: tuple(p.shape) for n, p in state.items() if isinstance(p, nn.Parameter) and n not in trace.tied}
