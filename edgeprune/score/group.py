"""From layers to channel groups: which members of a group produce its channels, and how their scores become one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from edgeprune.graph import ChannelGroup, Coupling, ParamSlice

OUT_AXIS: dict[type[nn.Module], int] = {nn.Conv1d: 0, nn.Conv2d: 0, nn.Conv3d: 0, nn.Linear: 0, nn.ConvTranspose2d: 1}


def prunable(coupling: "Coupling") -> list["ChannelGroup"]:
    """The groups that are not frozen, in the coupling's order."""
    return [group for group in coupling.groups.values() if group.frozen is None]


def owner(model: nn.Module, param: str) -> nn.Module:
    """The module a parameter belongs to."""
    return model.get_submodule(param.rpartition(".")[0])


def producers(model: nn.Module, group: "ChannelGroup") -> list["ParamSlice"]:
    """The members that make the group's channels: output axes of convolution and linear weights.

    A group that has none (its channels come from a bare parameter) is produced by its members of two axes or more, and
    failing these by all of its members.
    """
    found = [
        member
        for member in group.members
        if member.param.endswith("weight") and OUT_AXIS.get(type(owner(model, member.param))) == member.axis
    ]
    if found:
        return found
    shapes = {name: parameter.ndim for name, parameter in model.named_parameters(remove_duplicate=False)}
    bare = [member for member in group.members if member.param in shapes]
    return [member for member in bare if shapes[member.param] > 1] or bare


def by_entry(tensor: Tensor, axis: int) -> Tensor:
    """A tensor as (entries of the axis, everything else), float64 on the CPU and without gradient."""
    return tensor.detach().to("cpu", torch.float64).movedim(axis, 0).reshape(tensor.shape[axis], -1)


def per_unit(entries: Tensor, index: Tensor) -> Tensor:
    """Scores of an axis (entries,) summed over the entries of each unit: index (units, k) -> (units,)."""
    return entries[index.cpu()].sum(1)


def min_max(scores: Tensor) -> Tensor:
    """Scores (units,) moved to [0, 1]; all 0.5 where they are all equal."""
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else torch.full_like(scores, 0.5)


def by_mean(scores: Tensor) -> Tensor:
    """Scores (units,) divided by their mean; all 0 if they are."""
    mean = scores.mean()
    return scores / mean if mean > 0 else torch.zeros_like(scores)


def parameters_of(model: nn.Module) -> Mapping[str, nn.Parameter]:
    """All parameters by name, tied ones under each of their names."""
    return dict(model.named_parameters(remove_duplicate=False))
