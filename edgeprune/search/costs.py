"""Resources that are sums over layers (MACs, file size, latency), and their rows in the width problem.

A layer's cost is a function f(c_in, c_out) of its two widths. Where an axis is fed by several groups (a concat), its
width is a sum, and f is expanded around the current widths x0, y0 into terms over one group or one pair of groups:

    f = f(x0, y0) + sum_p df_p + sum_q df_q + sum_pq ddf_pq

with df the change by one group alone and ddf what a pair adds. That is exact when each axis has one group, and for
several groups when f is linear in each width (MACs, weights); a staircase is met again after every solution.
"""

from collections.abc import Callable, Iterable, Mapping
from math import prod

import numpy as np

from edgeprune.allocate import sizes
from edgeprune.graph import AxisPart, Coupling, Layer
from edgeprune.search.problem import Array, Factor, Row

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


def row(
    coupling: Coupling, menus: Menus, cost: LayerCost, around: Counts, *, name: str, budget: float, const: float = 0.0
) -> Row:
    """The row `const + sum over layers of cost <= budget`, expanded around the widths `around` (see above)."""
    factors: list[Factor] = []
    for layer in coupling.layers:
        base, terms = expand(layer, menus, cost, coupling.channels(layer, dict(around)), around)
        const += base
        factors += terms
    return Row(name, budget, const, tuple(factors))


def expand(
    layer: Layer, menus: Menus, cost: LayerCost, here: tuple[int, int], around: Counts
) -> tuple[float, list[Factor]]:
    """f(x0, y0) and the terms of one layer over its prunable groups."""
    x0, y0 = (np.float64(c) for c in here)
    tied = layer.op in sizes.TIED
    ins = {} if tied else _shifts(layer.in_parts, menus, around)
    outs = _shifts(layer.out_parts, menus, around)

    def f(dx: Array, dy: Array) -> Array:
        return cost(layer, x0 + (dy if tied else dx), y0 + dy)

    zero = np.zeros(1)
    base = float(f(zero, zero)[0])
    factors = [Factor((p,), f(dx, zero) - base) for p, dx in ins.items()]
    factors += [Factor((q,), f(zero, dy) - base) for q, dy in outs.items()]
    for p, dx in ins.items():
        for q, dy in outs.items():
            if p == q:
                factors.append(Factor((p,), f(dx, dy) - f(dx, zero) - f(zero, dy) + base))
            else:
                left, right = dx[:, None], dy[None, :]
                pair = f(left, right) - f(left, zero[None]) - f(zero[:, None], right) + base
                factors.append(Factor((p, q), pair))
    return base, factors


def _shifts(parts: Iterable[AxisPart], menus: Menus, around: Counts) -> dict[str, Array]:
    """By how many channels each menu entry of each group moves an axis away from its current width."""
    shifts: dict[str, Array] = {}
    for part in parts:
        if part.group is not None and part.group in menus:
            menu = np.array(menus[part.group], dtype=np.float64)
            here = around.get(part.group, part.channels // part.channels_per_unit)
            shift = (menu - here) * part.channels_per_unit
            shifts[part.group] = shifts.get(part.group, 0.0) + shift
    return shifts
