"""Whole attention heads as channel groups: what one head owns in the weights that make it and the one that reads it.

The groups of a coupling hold "dim i of every head"; their transpose is "every dim of head h". They are alternatives:
a group of dims and the heads of the same attention are not to be pruned together.
"""

from dataclasses import replace

from torch import Tensor, nn

from edgeprune.graph.coupling import ChannelGroup, Coupling, ParamSlice
from edgeprune.graph.surgery import make_widths
from edgeprune.graph.widths import Widths

_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "heads")
_SIZES = ("all_head_size", "attn_dim", "inner_dim")


def find_heads(coupling: Coupling) -> dict[str, ChannelGroup]:
    """The heads of every attention whose parts are linear layers, by the name of the values' group.

    Such an attention has a group of several channels a unit that one weight reads (the values), and beside it, made
    in the same module, one group that none reads (queries and keys). Where one layer makes all three, and their dims
    are tied, it is one group with three parts.
    """
    split = [group for group in coupling.groups.values() if all(m.index.shape[1] > 1 for m in group.members)]
    read = {group.name: [m for m in group.members if m.axis == 1] for group in split}
    found = {}
    for group in split:
        beside = [other for other in split if not read[other.name] and _place(other) == _place(group)]
        if len(read[group.name]) != 1:
            continue
        units = read[group.name][0].index.shape[1]
        packed = group.members[0].index.shape[1] == 3 * units
        if len(beside) != (0 if packed else 1):
            continue
        members = (*group.members, *(member for other in beside for member in other.members))
        if all(m.index.shape[1] % units == 0 for m in members):
            found[group.name] = ChannelGroup(group.name, units, group.units, tuple(_by_head(m, units) for m in members))
    return found


def widths_of_heads(model: nn.Module, coupling: Coupling, kept: dict[str, Tensor]) -> Widths:
    """Widths that keep those units: `kept` names attentions of `find_heads`, and other channel groups if need be.

    The numbers of heads that the modules of attentions know are corrected too. Nothing is proved here.
    """
    heads = find_heads(coupling)
    widths = make_widths(model, replace(coupling, groups={**coupling.groups, **heads}), kept)
    for name in kept.keys() & heads.keys():
        group, left = heads[name], len(kept[name])
        module = model.get_submodule(_place(group))
        known = dict.fromkeys(_COUNTS, group.units) | dict.fromkeys(_SIZES, group.channels)
        new = dict.fromkeys(_COUNTS, left) | dict.fromkeys(_SIZES, left * group.channels_per_unit)
        patches = {key: new[key] for key, value in known.items() if getattr(module, key, None) == value}
        if patches and left < group.units:
            widths.attributes.setdefault(_place(group), {}).update(patches)
    return widths


def _place(group: ChannelGroup) -> str:
    """The module that holds the layer which makes a group."""
    return group.members[0].param.rpartition(".")[0].rpartition(".")[0]


def _by_head(member: ParamSlice, units: int) -> ParamSlice:
    """(dims, parts x heads) to (heads, parts x dims): entries ascend, so heads are the fastest of the columns."""
    dims, columns = member.index.shape
    index = member.index.reshape(dims, columns // units, units).permute(2, 1, 0)
    return ParamSlice(member.param, member.axis, index.reshape(units, -1))
