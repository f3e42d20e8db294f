"""What each layer costs at each pair of widths on this target: sampled on a grid of widths, interpolated between.

A layer's time is close to bilinear in (c_in, c_out), with stairs where the runtime pads output channels to its tile
(reference: XNNPACK computes MR x NR tiles). So c_out is rounded up to `STAIR` before interpolation, and the grid
holds only multiples of it, besides the dense width.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from edgeprune.allocate.sizes import TIED, dense_channels
from edgeprune.graph import AxisPart, Coupling, Layer
from edgeprune.search.costs import Menus
from edgeprune.search.problem import Array
from profilers.layers import LayerKey

STAIR = 8
MAX_PROBES = 400
SPOT_CHECKS, DRIFT = 12, 1.15  # of what the store knows, so many are timed again; a typical factor above is too much


class Prober(Protocol):
    """Measures single layers on the target."""

    def time_ms(self, keys: Sequence[LayerKey]) -> list[float]:
        """Milliseconds of each layer."""
        ...


class LayerStore(Protocol):
    """Keeps layer costs of one device, runtime and thread count."""

    def get(self, keys: Sequence[LayerKey]) -> Mapping[LayerKey, float]:
        """The milliseconds of those keys that are known."""
        ...

    def put(self, costs: Mapping[LayerKey, float]) -> None:
        """Keep milliseconds."""
        ...


class CostTable:
    """Milliseconds of every layer of a network at every width on its menus; "measured" at the grid points only.

    `probed` counts the layers measured now, `reused` those that the store already knew. Unless `believe` is set, a few
    of these are timed again: `drift` is the typical factor between then and now (1.0: none; None: nothing was
    compared). Above `DRIFT` the store tells of other conditions, a busy machine or a hot phone, and all is measured
    now; below, it is left as it was, so that a resumed search sees the same costs.
    """

    def __init__(
        self,
        coupling: Coupling,
        menus: Menus,
        prober: Prober,
        store: LayerStore | None = None,
        max_probes: int = MAX_PROBES,
        *,
        believe: bool = False,
    ) -> None:
        self._axes = _grids(coupling, menus, max_probes)
        keys = {layer: _keys(layer, *self._axes[layer]) for layer in coupling.layers}
        wanted = sorted({key for grid in keys.values() for key in grid}, key=repr)
        known = dict(store.get(wanted)) if store is not None else {}
        missing = [key for key in wanted if key not in known]
        timed = _timed(prober, missing if believe else [*missing, *_spots(known)])
        self.drift = _drift(known, timed)
        if self.drift is not None and self.drift > DRIFT:
            missing = wanted
            timed |= _timed(prober, [key for key in wanted if key not in timed])
        fresh = {key: timed[key] for key in missing}
        if store is not None and fresh:
            store.put(fresh)
        self.probed, self.reused = len(missing), len(wanted) - len(missing)
        known |= fresh
        self._ms: dict[Layer, Array] = {}
        for layer, grid in keys.items():
            ins, outs = self._axes[layer]
            self._ms[layer] = layer.repeats * np.array([known[key] for key in grid], dtype=np.float64).reshape(
                len(ins), len(outs)
            )

    def grid(self, layer: Layer) -> tuple[list[int], list[int], Array]:
        """What was measured of a layer: widths in, widths out, and milliseconds (in, out)."""
        ins, outs = self._axes[layer]
        return list(ins), list(outs), self._ms[layer]

    def ms(self, layer: Layer, c_in: Array, c_out: Array) -> Array:
        """Milliseconds at (c_in, c_out), which broadcast; outside the grid the nearest edge is taken."""
        ins, outs = self._axes[layer]
        stairs = np.minimum(np.ceil(np.asarray(c_out) / STAIR) * STAIR, np.maximum(outs[-1], c_out))
        x, y = np.broadcast_arrays(np.asarray(c_in, dtype=np.float64), stairs)
        grid = self._ms[layer]
        i, a = _bracket(ins, x)
        j, b = _bracket(outs, y)
        i1, j1 = np.minimum(i + 1, len(ins) - 1), np.minimum(j + 1, len(outs) - 1)
        low = (1 - b) * grid[i, j] + b * grid[i, j1]
        high = (1 - b) * grid[i1, j] + b * grid[i1, j1]
        return np.asarray((1 - a) * low + a * high)


def _timed(prober: Prober, keys: Sequence[LayerKey]) -> dict[LayerKey, float]:
    return dict(zip(keys, prober.time_ms(keys), strict=True)) if keys else {}


def _spots(known: Mapping[LayerKey, float]) -> list[LayerKey]:
    """Of the slower half, evenly spread: the times of tiny layers are mostly noise."""
    slower = sorted(known, key=lambda key: -known[key])[: -(-len(known) // 2)]
    return slower[:: -(-len(slower) // SPOT_CHECKS)] if slower else []


def _drift(known: Mapping[LayerKey, float], fresh: Mapping[LayerKey, float]) -> float | None:
    """The median over layers of the factor between both times, whichever is larger."""
    factors = [max(fresh[k] / known[k], known[k] / fresh[k]) for k in fresh if min(fresh[k], known.get(k, 0.0)) > 0]
    return float(np.median(factors)) if factors else None


def _bracket(points: Sequence[int], x: Array) -> tuple[np.ndarray, Array]:
    """The grid cell and the position in it, within [0, 1], of each x."""
    axis = np.asarray(points, dtype=np.float64)
    i = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, max(0, len(axis) - 2))
    span = np.diff(axis, append=axis[-1] + 1.0)[i]
    return i, np.clip((x - axis[i]) / span, 0.0, 1.0)


def _grids(coupling: Coupling, menus: Menus, max_probes: int) -> dict[Layer, tuple[list[int], list[int]]]:
    """Grid widths of both axes of each layer: as many points an axis as keep the probes below `max_probes`."""
    for points in range(16, 1, -1):
        axes = {layer: _axes(layer, menus, points) for layer in coupling.layers}
        keys = {key for layer in coupling.layers for key in _keys(layer, *axes[layer])}
        if len(keys) <= max_probes:
            break
    return axes


def _axes(layer: Layer, menus: Menus, points: int) -> tuple[list[int], list[int]]:
    outs = _points(layer.out_parts, menus, points)
    return (outs[-1:] if layer.op in TIED else _points(layer.in_parts, menus, points)), outs


def _points(parts: Iterable[AxisPart], menus: Menus, points: int) -> list[int]:
    """Widths to sample on an axis: all multiples of the stair if they are few, else evenly spread, ends included."""
    parts = list(parts)
    dense = sum(part.channels for part in parts)
    least = sum(
        part.channels if part.group not in menus else menus[part.group or ""][0] * part.channels_per_unit
        for part in parts
    )
    if least == dense:
        return [dense]
    stairs = range(-(-least // STAIR) * STAIR, dense, STAIR)
    spread = np.linspace(least, dense, points)
    chosen = stairs if len(stairs) < points else (-(-int(c) // STAIR) * STAIR for c in spread)
    return sorted({least, dense, *(c for c in chosen if least <= c <= dense)})


def _keys(layer: Layer, ins: Sequence[int], outs: Sequence[int]) -> list[LayerKey]:
    """The probes of a layer's grid, row by row."""
    if layer.op in TIED:
        return [layer_key(layer, c, c) for c in outs]
    return [layer_key(layer, c_in, c_out) for c_in in ins for c_out in outs]


def layer_key(layer: Layer, c_in: int, c_out: int) -> LayerKey:
    """The layer at other widths, as the profiler knows it."""
    dense_in, dense_out = dense_channels(layer)
    groups = layer.groups * c_out // dense_out if layer.op in TIED else layer.groups
    return LayerKey(
        op=layer.op,
        c_in=dense_in // layer.groups * groups if layer.op in TIED else c_in,
        c_out=c_out,
        in_hw=layer.in_hw,
        out_hw=layer.out_hw,
        kernel=layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=groups,
    )
