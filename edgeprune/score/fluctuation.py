"""FLAP: how much a channel fluctuates where it is read, since its mean can move into a bias (methods.md section 10)."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.input_statistics import InputStatistics, input_statistics
from edgeprune.score.group import owner, per_unit, prunable
from edgeprune.z_scores import standardise

if TYPE_CHECKING:
    from edgeprune.graph import ChannelGroup, Coupling, ParamSlice

METRICS = ("wifv", "ifv", "wifn")


def fluctuation(
    model: nn.Module, coupling: "Coupling", batches: Iterable[tuple[Any, Any]], *, metric: str = "wifv"
) -> dict[str, Tensor]:
    """Per group (units,): the metric of its input channels, summed over the layers that read them, as z-scores.

    "wifv" (default): Var(x_j) ||W_:j||^2, over all kernel positions. "ifv": Var(x_j). "wifn": mean_i |W_ij| times the
    root mean square of x_j. Inputs are those of the dense network; variances are over images and positions. A group
    that no linear layer or ungrouped convolution reads, scores 0. Raises UsageError without batches.
    """
    if metric not in METRICS:
        raise UsageError(f"unknown metric {metric!r} of FLAP", f"use {', '.join(METRICS)}")
    groups = {group.name: readers(model, group) for group in prunable(coupling)}
    layers = dict.fromkeys(member.param.rpartition(".")[0] for members in groups.values() for member in members)
    statistics = input_statistics(model, layers, batches)
    if layers and not any(found.n for found in statistics.values()):
        raise UsageError("flap needs calibration data", "give data, or use l1")
    return {
        name: standardise(read_metric(model, members, statistics, metric, coupling.groups[name].units))
        for name, members in groups.items()
    }


def readers(model: nn.Module, group: "ChannelGroup") -> list["ParamSlice"]:
    """The members along which layers sum the group's channels: axis 1 of linear and ungrouped convolution weights."""
    return [m for m in group.members if m.axis == 1 and m.param.endswith("weight") and _sums(owner(model, m.param))]


def _sums(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) and layer.groups == 1)


def read_metric(
    model: nn.Module,
    members: Iterable["ParamSlice"],
    statistics: Mapping[str, InputStatistics],
    metric: str,
    units: int,
    *,
    squared: bool = False,
) -> Tensor:
    """The metric of each unit (units,), summed over channels and readers; `squared` before the sum, as for heads."""
    total = torch.zeros(units, dtype=torch.float64)
    for member in members:
        name = member.param.rpartition(".")[0]
        weight = model.get_parameter(member.param).detach().cpu()
        each = channel_metric(weight, statistics[name], metric)
        total += per_unit(each.square() if squared else each, member.index)
    return total


def channel_metric(weight: Tensor, statistics: InputStatistics, metric: str) -> Tensor:
    """The metric of every input channel of one layer with weight (outputs, channels, ...): (channels,), float64."""
    if metric == "ifv":
        return statistics.variance
    matrix = weight.double().transpose(0, 1).flatten(1)
    if metric == "wifn":
        return matrix.abs().mean(1) * statistics.norm
    return statistics.variance * matrix.square().sum(1)
