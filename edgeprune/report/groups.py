"""Channel groups for people (a table), for programs (JSON), and for Model Explorer (node data)."""

from typing import Any

import torch
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.graph import ChannelGroup, Coupling
from edgeprune.graph.coupling import leaves
from edgeprune.graph.space import core

_COLOURS = ("#bcd7f5", "#f7d9a8", "#c8e6c2", "#e3c9ee", "#f5c2c2", "#c5ece7", "#eee7a8", "#d8cfc4")


def groups_entry(coupling: Coupling) -> list[dict[str, Any]]:
    """One dict a group: name, channels, units, channels_per_unit, makers, readers, frozen (a reason or null)."""
    return [
        {
            "name": group.name,
            "channels": group.channels,
            "units": group.units,
            "channels_per_unit": group.channels_per_unit,
            "makers": makers(coupling, group),
            "readers": readers(coupling, group),
            "frozen": group.frozen,
        }
        for group in coupling.groups.values()
    ]


def makers(coupling: Coupling, group: ChannelGroup) -> list[str]:
    """Layers whose output channels the group holds: more than one when additions or depthwise layers tie them."""
    return _layers(coupling, group, output=True)


def readers(coupling: Coupling, group: ChannelGroup) -> list[str]:
    """Layers whose input channels the group holds."""
    return _layers(coupling, group, output=False)


def _layers(coupling: Coupling, group: ChannelGroup, *, output: bool) -> list[str]:
    own = {(member.param, member.axis) for member in group.members}
    found = []
    for layer in coupling.layers:
        makes, reads = (1, 0) if layer.op == "conv_transpose2d" else (0, 1)
        if (layer.weight, makes if output else reads) in own:
            found.append(layer.weight.rpartition(".")[0])
    return list(dict.fromkeys(found))


def render_groups(coupling: Coupling) -> RenderableType:
    """The groups as a Rich renderable, 80 columns wide at most."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("group", overflow="fold", max_width=28)
    table.add_column("channels", justify="right")
    table.add_column("made by", overflow="fold")
    for group in coupling.groups.values():
        made = makers(coupling, group)
        also = [name for name in made if name != group.name]
        text = Text(f"{group.name} and {len(also)} more tied to it: {_few(also)}" if also else group.name)
        if group.channels_per_unit > 1:
            text.append(f"; in steps of {group.channels_per_unit}")
        if group.frozen is not None:
            text.append(f"\nfrozen: it {group.frozen}", style="yellow")
        table.add_row(Text(group.name), str(group.channels), text)
    prunable, total = len(coupling.prunable), len(coupling.groups)
    head = Text(f"{total} channel groups, {prunable} can be pruned, {total - prunable} keep their width.", style="bold")
    return Group(head, table)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def node_data(coupling: Coupling) -> dict[str, Any]:
    """Model Explorer's node data for the exported network: every node with the groups its channels belong to."""
    owner = {int(c): name for name, ids in coupling.components.items() for c in ids}
    colour = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(coupling.groups)}
    results = {}
    for node, labels in coupling.labels.items():
        found: dict[str, None] = {}
        for tensor in leaves(labels):
            if tensor.numel():
                components = torch.unique(coupling.component[core(tensor)[0]])
                found.update(dict.fromkeys(owner[c] for c in components.tolist() if c in owner))
        if found:
            results[node] = {"value": ", ".join(found), "bgColor": colour[next(iter(found))]}
    return {"graph": {"results": results}}
