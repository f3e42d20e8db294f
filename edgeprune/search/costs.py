"""Resources that are sums over layers (MACs, file size, latency), and their rows in the width problem.

A layer's cost is a function f(c_in, c_out) of its two widths. Where a concat feeds an axis, its width is a sum over
groups, and that sum is a variable of its own (problem.Sum): rows are exact.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from edgeprune.allocate import sizes
from edgeprune.graph import AxisPart, Coupling, Layer
from edgeprune.search.problem import Array, Factor, Row, Sum

LayerCost = Callable[[Layer, Array, Array], Array]
Menus = Mapping[str, tuple[int, ...]]
Counts = Mapping[str, int]


def macs(layer: Layer, c_in: Array, c_out: Array) -> Array:
    """Multiply-accumulates of one image through a layer of these widths."""
    return np.asarray(sizes.macs(layer, c_in, c_out))


def file_bytes(layer: Layer, c_in: Array, c_out: Array) -> Array:
    """Bytes of a layer in a float32 file: weights, and one bias per channel (batch norm is folded into it)."""
    return np.asarray(4.0 * (sizes.weights(layer, c_in, c_out) + c_out))


def activations(layer: Layer, c_in: Array, c_out: Array) -> Array:
    """Output elements of a layer: what element-wise ops behind it (adds, activations, gates) have to touch."""
    return np.asarray(layer.repeats * prod(layer.out_hw) * c_out + 0.0 * c_in)


def at(layer: Layer, cost: LayerCost, c_in: float, c_out: float) -> float:
    """The cost of a layer at one pair of widths."""
    return float(cost(layer, np.array([c_in], dtype=np.float64), np.array([c_out], dtype=np.float64))[0])


def total(coupling: Coupling, cost: LayerCost, counts: Counts) -> float:
    """Sum of a cost over all layers at `counts` (group -> units kept; missing: dense)."""
    return sum(at(layer, cost, *coupling.channels(layer, dict(counts))) for layer in coupling.layers)


def row(coupling: Coupling, menus: Menus, cost: LayerCost, *, name: str, budget: float, const: float = 0.0) -> Row:
    """The row `const + sum over layers of cost <= budget`."""
    factors: list[Factor] = []
    sums: dict[str, Sum] = {}
    for layer in coupling.layers:
        tied = layer.op in sizes.TIED
        out = _axis(layer.out_parts, menus)
        into = out if tied else _axis(layer.in_parts, menus)
        sums |= {axis.sum.name: axis.sum for axis in (into, out) if axis.sum is not None}
        if into.name is not None and out.name is not None and into.name != out.name:
            table = cost(layer, into.widths[:, None], out.widths[None, :])
            factors.append(Factor((into.name, out.name), table))
        elif into.name is not None or out.name is not None:
            factors.append(Factor((into.name or out.name or "",), cost(layer, into.widths, out.widths)))
        else:
            const += float(cost(layer, into.widths, out.widths)[0])
    return Row(name, budget, const, tuple(factors), tuple(sums.values()))


@dataclass(frozen=True)
class _Axis:
    """A channel axis: the variable that it depends on (None: fixed) and its width at each of that one's values."""

    name: str | None
    widths: Array
    sum: Sum | None = None


def _axis(parts: Iterable[AxisPart], menus: Menus) -> _Axis:
    fixed, weights = 0, dict[str, int]()
    for part in parts:
        if part.group is not None and part.group in menus:
            weights[part.group] = weights.get(part.group, 0) + part.channels_per_unit
        else:
            fixed += part.channels
    if not weights:
        return _Axis(None, np.array([fixed], dtype=np.float64))
    if len(weights) == 1:
        ((group, weight),) = weights.items()
        return _Axis(group, fixed + weight * np.array(menus[group], dtype=np.float64))
    one = Sum(tuple(weights.items()), fixed)
    return _Axis(one.name, one.values(menus).astype(np.float64), one)
