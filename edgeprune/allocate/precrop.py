"""PreCropping (Cai et al., arXiv 2203.02549): layer densities become channel widths, then meet a budget exactly.

A convolution whose input and output are r_in and r_out wide has density r_in * r_out, and a width is shared by all
layers that touch it, so densities cannot all be met: reference/methods.md 2.3, steps B1 to B3 (our specification; the
authors' code is not public).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
from scipy.optimize import lsq_linear

from edgeprune.allocate.fit import Cost, Counts, Menus, snap, widest
from edgeprune.allocate.sizes import TIED, dense_channels, macs
from edgeprune.errors import UsageError
from edgeprune.graph import AxisPart, Coupling, Layer

LayerSize = Callable[[Layer, Any, Any], Any]
RULES = ("least-squares", "min", "mean", "geometric-mean")
BALANCE = 0.3  # mu: without it the widths alternate wide, narrow, wide, narrow
SHRINKAGE = 1e-3


@dataclass(frozen=True)
class Target:
    """One layer's wish: `density`, weighed by `size` (its weights or MACs: whichever the budget is about).

    `into`, `out`: share of each group in the input and the output axis; what is missing to 1 cannot be pruned.
    `tied`: depthwise and grouped layers, whose density is one width ratio, not a product of two.
    """

    density: float
    size: float
    into: Mapping[str, float]
    out: Mapping[str, float]
    tied: bool = False


def targets(coupling: Coupling, menus: Menus, densities: Mapping[str, float], size: LayerSize = macs) -> list[Target]:
    """The wishes of all layers, from densities by layer name; `size` is `sizes.macs` or `sizes.weights`."""
    return [
        Target(
            density=densities[layer.name],
            size=float(size(layer, *dense_channels(layer))),
            into=_shares(layer.in_parts, menus),
            out=_shares(layer.out_parts, menus),
            tied=layer.op in TIED,
        )
        for layer in coupling.layers
    ]


def ratios(wishes: Sequence[Target], rule: str = "least-squares", balance: float = BALANCE) -> dict[str, float]:
    """Width ratio in (0, 1] of each group.

    "min", "mean", "geometric-mean": of sqrt(density) over the layers that touch the group (B1; the paper takes the
    smaller). "least-squares" (B2, ours): bounded least squares of log widths against log densities,
    plus `balance` times the squared difference of the two widths where both can be pruned.
    """
    groups = sorted({g for wish in wishes for g in (*wish.into, *wish.out)})
    if rule == "least-squares":
        return _least_squares(wishes, groups, balance)
    if rule not in RULES:
        raise UsageError(f"no rule is called {rule!r}", f"choose from {', '.join(RULES)}")
    wanted: dict[str, list[float]] = {g: [] for g in groups}
    for wish in wishes:
        density = max(wish.density, 1e-6)
        for g in {*wish.into, *wish.out}:
            wanted[g].append(density if wish.tied else density**0.5)
    if rule == "min":
        return {g: min(values) for g, values in wanted.items()}
    if rule == "mean":
        return {g: sum(values) / len(values) for g, values in wanted.items()}
    return {g: exp(sum(map(log, values)) / len(values)) for g, values in wanted.items()}


def _least_squares(wishes: Sequence[Target], groups: Sequence[str], balance: float) -> dict[str, float]:
    column = {g: i for i, g in enumerate(groups)}
    whole = sum(wish.size for wish in wishes)
    matrix: list[np.ndarray] = []
    right: list[float] = []
    for wish in wishes:
        into, out = np.zeros(len(groups)), np.zeros(len(groups))
        for side, shares in ((into, wish.into), (out, wish.out)):
            for g, share in shares.items():
                side[column[g]] += share
        weight = (wish.size / whole) ** 0.5
        matrix.append(weight * (out if wish.tied else into + out))
        right.append(weight * log(max(wish.density, 1e-6)))
        if not wish.tied and wish.into and wish.out:
            matrix.append((balance * wish.size / whole) ** 0.5 * (into - out))
            right.append(0.0)
    matrix += list(SHRINKAGE**0.5 * np.eye(len(groups)))
    right += [0.0] * len(groups)
    u = lsq_linear(np.array(matrix), np.array(right), bounds=(-np.inf, 0.0)).x
    return {g: exp(float(u[i])) for g, i in column.items()}


def rescaled(ratio: Mapping[str, float], units: Mapping[str, int], cost: Cost, budget: float) -> dict[str, float]:
    """B3 before rounding: widths min(1, t * ratio) * units for the t at which the cost is the budget.

    `cost` must take fractional widths. Raises BudgetNotMet when zero widths cost more.
    """

    def build(t: float) -> dict[str, float]:
        return {g: min(1.0, t * r) * units[g] for g, r in ratio.items()}

    widths: dict[str, float] = widest(build, cost, budget, high=1.0 / min(ratio.values()), steps=100)
    return widths


def precrop(ratio: Mapping[str, float], menus: Menus, cost: Cost, budget: float) -> Counts:
    """B3 with rounding: the widest multiple of the ratios, rounded to the menus, with cost <= budget.

    Raises BudgetNotMet when the narrowest widths cost more.
    """

    def build(t: float) -> Counts:
        return {g: snap(menu, min(1.0, t * ratio.get(g, 1.0)) * menu[-1]) for g, menu in menus.items()}

    counts: Counts = widest(build, cost, budget, high=1.0 / min([*ratio.values(), 1.0]))
    return counts


def _shares(parts: Iterable[AxisPart], menus: Mapping[str, Any]) -> dict[str, float]:
    parts = list(parts)
    whole = sum(part.channels for part in parts)
    shares: dict[str, float] = {}
    for part in parts:
        if part.group is not None and part.group in menus:
            shares[part.group] = shares.get(part.group, 0.0) + part.channels / whole
    return shares
