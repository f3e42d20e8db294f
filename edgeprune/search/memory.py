"""Predicted peak memory: all weights, and at each program step the activations that are alive (batch 1, float32).

Conservative where the runtime may do better: element-wise ops and reshapes write over their input, everything else
gets a tensor of its own that lives until its last use. Each step is one row of the width problem; steps whose live
tensors are all alive at another step are left out.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from torch import Tensor, fx

from edgeprune.graph import AxisPart, Coupling, Trace
from edgeprune.search import costs
from edgeprune.search.costs import Counts, Menus
from edgeprune.search.problem import Factor, Row

MIB = 2.0**20
IN_PLACE = {
    *("batch_norm", "relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "sigmoid", "gelu", "leaky_relu"),
    *("elu", "dropout", "clamp", "flatten", "view", "reshape", "unsqueeze", "squeeze", "contiguous", "clone", "detach"),
}
LAYER_OPS = {"conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "linear"}


@dataclass(frozen=True)
class Buffer:
    """One activation: MiB that stay at any width, and MiB per kept unit of each group."""

    fixed: float
    per_unit: tuple[tuple[str, float], ...]

    def mib(self, counts: Counts, dense: Counts) -> float:
        """Its size at `counts`."""
        return self.fixed + sum(mib * counts.get(g, dense[g]) for g, mib in self.per_unit)


@dataclass(frozen=True)
class MemoryLimit:
    """Peak memory, MiB. `rest` is what the dense network was measured to hold beyond its predicted peak."""

    coupling: Coupling
    steps: tuple[tuple[Buffer, ...], ...]
    budget: float
    rest: float = 0.0
    name: str = "memory_mib"

    def predict(self, counts: Counts) -> float:
        """Predicted peak, MiB."""
        dense = {name: group.units for name, group in self.coupling.groups.items()}
        weights = costs.total(self.coupling, costs.file_bytes, counts) / MIB
        return self.rest + weights + max((sum(b.mib(counts, dense) for b in step) for step in self.steps), default=0.0)

    def rows(self, menus: Menus, share: float = 1.0) -> Sequence[Row]:
        """One row a step."""
        weights = costs.row(self.coupling, menus, costs.file_bytes, name="", budget=0.0)
        shared = tuple(Factor(f.vars, f.cost / MIB) for f in weights.factors)
        dense = {name: group.units for name, group in self.coupling.groups.items()}
        rows = []
        for number, step in enumerate(self.steps):
            const, slopes = self.rest + weights.const / MIB, defaultdict[str, float](float)
            for buffer in step:
                const += buffer.fixed
                for g, mib in buffer.per_unit:
                    if g in menus:
                        slopes[g] += mib
                    else:
                        const += mib * dense[g]
            live = tuple(Factor((g,), slope * np.array(menus[g], dtype=np.float64)) for g, slope in slopes.items())
            name, budget = f"{self.name} at step {number}", share * self.budget
            rows.append(Row(name, budget, const, shared + live, weights.sums))
        return rows


def memory_limit(
    coupling: Coupling, trace: Trace, budget_mib: float, dense_measured_mib: float | None = None
) -> MemoryLimit:
    """The limit for a traced network; `dense_measured_mib` anchors the prediction at the dense network's peak."""
    limit = MemoryLimit(coupling, _steps(coupling, trace), budget_mib)
    rest = 0.0 if dense_measured_mib is None else dense_measured_mib - limit.predict({})
    return MemoryLimit(coupling, limit.steps, budget_mib, rest)


def _steps(coupling: Coupling, trace: Trace) -> tuple[tuple[Buffer, ...], ...]:
    nodes = [n for n in trace.program.graph.nodes if n.op in ("placeholder", "call_function")]
    parameters = {*trace.program.graph_signature.inputs_to_parameters, *trace.program.graph_signature.inputs_to_buffers}
    nodes = [n for n in nodes if n.name not in parameters and isinstance(n.meta.get("val"), Tensor)]
    parts = _channel_parts(coupling, trace, nodes)
    position = {node: i for i, node in enumerate(nodes)}
    home: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        source = next((n for n in node.all_input_nodes if n in position), None)
        home[node] = home[source] if source is not None and _op(node) in IN_PLACE else node
    last: dict[fx.Node, int] = {}
    for node in nodes:
        uses = [position[user] for user in node.users if user in position]
        ends = [*uses, position[node], *([len(nodes)] if any(u.op == "output" for u in node.users) else [])]
        last[home[node]] = max(last.get(home[node], 0), *ends)
    live = [frozenset(n for n in last if position[n] <= i <= last[n]) for i in range(len(nodes))]
    largest = {alive for alive in live if not any(alive < other for other in live)}
    buffers = {node: _buffer(node, parts[node], trace.batch) for node in last}
    return tuple(tuple(buffers[n] for n in nodes if n in alive) for alive in sorted(largest, key=live.index))


def _op(node: fx.Node) -> str:
    name = str(node.target).split(".")
    return name[1].rstrip("_") if len(name) > 1 else name[0]


def _channel_parts(coupling: Coupling, trace: Trace, nodes: Sequence[fx.Node]) -> dict[fx.Node, tuple[AxisPart, ...]]:
    """The channel axis of each activation as parts; what no rule explains counts as dense."""
    owners = trace.program.graph_signature.inputs_to_parameters
    layers = defaultdict(list)
    for layer in coupling.layers:
        layers[layer.weight].append(layer)
    parts: dict[fx.Node, tuple[AxisPart, ...]] = {}
    for node in nodes:
        channels = node.meta["val"].shape[1] if node.meta["val"].dim() > 1 else 1
        sources = [parts[n] for n in node.all_input_nodes if n in parts]
        found: tuple[AxisPart, ...] = (AxisPart(None, 1, channels),)
        weight = owners.get(node.args[1].name) if _op(node) in LAYER_OPS and isinstance(node.args[1], fx.Node) else None
        if weight is not None and layers[trace.tied.get(weight, weight)]:
            same = layers[trace.tied.get(weight, weight)]
            found = (same.pop(0) if len(same) > 1 else same[0]).out_parts
        elif _op(node) == "cat":
            found = tuple(part for source in sources for part in source)
        elif sources:
            found = next((s for s in sources if sum(part.channels for part in s) == channels), found)
        if sum(part.channels for part in found) == channels:
            parts[node] = found
        else:
            parts[node] = (AxisPart(None, 1, channels),)
    return parts


def _buffer(node: fx.Node, parts: Sequence[AxisPart], batch: int) -> Buffer:
    shape = node.meta["val"].shape
    channel = 4.0 * prod(shape) / max(1, batch) / max(1, sum(part.channels for part in parts)) / MIB
    slopes: dict[str, float] = defaultdict(float)
    for part in parts:
        if part.group is not None:
            slopes[part.group] += channel * part.channels_per_unit
    return Buffer(channel * sum(part.channels for part in parts if part.group is None), tuple(slopes.items()))
