"""FLAP on a transformer: whole heads and MLP neurons go by fluctuation, their means move into biases; no training.

An et al., AAAI 2024 (methods.md section 10): the metric of heads is squared, z-scores compare all groups, a unit costs
the weights it owns. Here every group keeps its best unit (ours), and every surgery is compared with the dense network
whose removed inputs are set to zero.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.allocate.adaptive import adaptive
from edgeprune.errors import UsageError
from edgeprune.graph import ChannelGroup, ProofError, Widths, find_groups, trace
from edgeprune.graph.heads import find_heads, widths_of_heads
from edgeprune.input_statistics import READERS, input_statistics
from edgeprune.recover.compensate import Compensated, compensate
from edgeprune.score.fluctuation import read_metric, readers
from edgeprune.task import call, output_tensors
from edgeprune.z_scores import standardise

Metric = Callable[[ChannelGroup, bool], Tensor]  # a group and whether it is one of heads, to (units,)


@dataclass(frozen=True)
class Flapped:
    """The pruned network and how it came about. `kept`: group -> kept units; groups not named were not candidates."""

    network: nn.Module
    widths: Widths
    kept: dict[str, Tensor]
    compensated: Compensated | None
    max_rel_error: float

    def __str__(self) -> str:
        lines = [f"{name}: {len(units)} kept" for name, units in self.kept.items()]
        return "\n".join([*lines, f"surgery proved to {self.max_rel_error:.1e}"])


def flap(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    batches: Iterable[tuple[Any, Any]],
    *,
    share: float = 0.8,
    metric: str = "wifv",
    bias: bool = True,
) -> Flapped:
    """Heads and MLP neurons removed until `share` of the weights they own is left. The model is not touched.

    `batches` of (inputs, targets): calibration data; targets are not looked at. Raises UsageError if there is nothing
    to remove or no data, ProofError if the network without the units does not answer like the one with their inputs
    zeroed.
    """
    batches = list(batches)
    if not batches:
        raise UsageError("flap needs calibration data", "give batches of inputs")

    def by_fluctuation(groups: Mapping[str, ChannelGroup], heads: Mapping[str, ChannelGroup]) -> dict[str, Tensor]:
        members = {name: readers(model, group) for name, group in groups.items()}
        layers = dict.fromkeys(member.param.rpartition(".")[0] for found in members.values() for member in found)
        statistics = input_statistics(model, layers, batches)
        return {
            name: standardise(read_metric(model, members[name], statistics, metric, group.units, squared=name in heads))
            for name, group in groups.items()
        }

    return prune_heads_and_neurons(model, example_inputs, by_fluctuation, batches, share=share, bias=bias)


def prune_heads_and_neurons(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    rank: Callable[[Mapping[str, ChannelGroup], Mapping[str, ChannelGroup]], dict[str, Tensor]],
    batches: list[tuple[Any, Any]],
    *,
    share: float,
    bias: bool,
) -> Flapped:
    """The same with any ranking: `rank(all groups, those that are heads)` gives comparable scores (units,) a group."""
    coupling = find_groups(trace(model, example_inputs))
    heads = find_heads(coupling)
    neurons = {
        name: group
        for name, group in coupling.prunable.items()
        if name not in heads and _read_by_linear_alone(model, group)
    }
    groups = {**heads, **neurons}
    if not groups:
        raise UsageError(
            "the network has neither attention heads nor MLP neurons that can be removed",
            "use another recipe; `edgeprune groups` shows what is frozen, and why",
        )
    owned = {name: _weights(coupling.shapes, group) for name, group in groups.items()}
    kept = adaptive(rank(groups, heads), owned, share)
    widths = widths_of_heads(model, coupling, kept)
    network = widths.apply(model)
    error = _difference(model, network, groups, kept, batches[0][0])
    compensated = compensate(model, network, widths, batches) if bias else None
    return Flapped(network, widths, kept, compensated, error)


def _read_by_linear_alone(model: nn.Module, group: ChannelGroup) -> bool:
    """Made and read by linear layers, one each, and nothing else: the hidden width of an MLP."""
    weights = [m for m in group.members if m.param.endswith("weight")]
    plain = all(isinstance(model.get_submodule(m.param.rpartition(".")[0]), nn.Linear) for m in group.members)
    return plain and sorted(m.axis for m in weights) == [0, 1]


def _weights(shapes: Mapping[str, tuple[int, ...]], group: ChannelGroup) -> float:
    """Parameters that one unit owns."""
    total = 0.0
    for member in group.members:
        size = torch.Size(shapes[member.param]).numel()
        total += member.index.shape[1] * size / shapes[member.param][member.axis]
    return total


def _difference(
    model: nn.Module, pruned: nn.Module, groups: Mapping[str, ChannelGroup], kept: Mapping[str, Tensor], inputs: Any
) -> float:
    """Largest relative difference to the dense network whose removed inputs are zero, float64; raises ProofError."""
    dense, slim = copy.deepcopy(model).double().eval(), copy.deepcopy(pruned).double().eval()
    inputs = _double(inputs)
    for name, units in kept.items():
        gone = torch.ones(groups[name].units, dtype=torch.bool)
        gone[units] = False
        for member in readers(dense, groups[name]):
            layer = dense.get_submodule(member.param.rpartition(".")[0])
            assert isinstance(layer, READERS)
            alive = torch.ones(layer.weight.shape[1], dtype=torch.bool)
            alive[member.index[gone].flatten()] = False
            with torch.no_grad():
                layer.weight[:, ~alive] = 0
    with torch.no_grad():
        pairs = zip(output_tensors(call(slim, inputs)), output_tensors(call(dense, inputs)), strict=True)
        error = max(float((a - b).abs().max() / b.abs().max().clamp_min(1e-30)) for a, b in pairs)
    if not error < 1e-9:
        raise ProofError(
            f"without these heads and neurons the network differs by {error:.1e} from the one with their inputs zeroed",
            "write the attention with the head's width, not the number of heads: x.reshape(n, t, -1, width)",
        )
    return error


def _double(inputs: Any) -> Any:
    if isinstance(inputs, Tensor):
        return inputs.double() if inputs.is_floating_point() else inputs
    if isinstance(inputs, tuple | list):
        return tuple(_double(item) for item in inputs)
    return inputs
