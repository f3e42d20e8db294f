"""Predicted latency of a whole network, corrected by every network that was measured.

    ms = overhead + layers * sum(layer ms of the cost table) + elements * sum(output elements of layers)

The three coefficients start from a prior (the table explains most, element-wise ops and overhead the rest) and are
fitted by ridge regression on relative errors, none below zero, so that one measurement already moves them sensibly and
twelve fix them.
Networks near the target count most.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from edgeprune.graph import Coupling, Layer
from edgeprune.search import costs
from edgeprune.search.cost_table import CostTable
from edgeprune.search.costs import Counts, Menus
from edgeprune.search.problem import Array, Row

NOISE = 0.01  # least relative error of a measured median
DRIFT = 0.10  # further relative error of the model for a network e times faster or slower than the target


@dataclass(frozen=True)
class LayerTime:
    """Predicted milliseconds of one layer at its current widths, with its share of the element-wise ops behind it."""

    name: str
    op: str
    c_in: int
    c_out: int
    ms: float


class Predictor:
    """Milliseconds of a network at given widths; `dense_ms` is the measured latency of the dense network."""

    def __init__(self, coupling: Coupling, table: CostTable, dense_ms: float) -> None:
        self.coupling = coupling
        self.table = table
        dense = self._features({})
        # Prior means and standard deviations, as shares of the dense latency: what the table leaves is shared out.
        rest = max(0.0, 1.0 - dense[1] / dense_ms)
        means = np.array([0.3 * rest, min(1.0, dense_ms / dense[1]) * dense[1] / dense_ms, 0.7 * rest])
        spread = np.array([0.05 + 0.15 * rest, 0.15, 0.05 + 0.3 * rest])
        unit = dense_ms / np.maximum(dense, 1e-12)
        self._prior, self._spread = means * unit, spread * unit
        self._seen: list[tuple[Array, float, float]] = []
        self._theta = self._prior
        self.target_ms = dense_ms
        self.observe({}, dense_ms)

    def _features(self, counts: Counts) -> Array:
        table = costs.total(self.coupling, self.table.ms, counts)
        return np.array([1.0, table, costs.total(self.coupling, costs.activations, counts)])

    def observe(self, counts: Counts, ms: float, noise: float = NOISE) -> None:
        """Learn that the network of these widths was measured at `ms`, with a relative standard error of `noise`."""
        self._seen.append((self._features(counts), ms, max(noise, NOISE)))
        self._fit()

    def aim(self, target_ms: float) -> None:
        """Say which latency matters: measured networks near it count most."""
        self.target_ms = target_ms
        self._fit()

    def _fit(self) -> None:
        features = np.array([x for x, _, _ in self._seen])
        measured, noise = np.array([(ms, error) for _, ms, error in self._seen]).T
        sigma = (noise + DRIFT * np.abs(np.log(measured / self.target_ms))) * measured
        matrix = np.vstack([features / sigma[:, None], np.diag(1 / self._spread)]) * self._spread
        right = np.concatenate([measured / sigma, self._prior / self._spread])
        self._theta = nnls(matrix, right)[0] * self._spread

    def predict(self, counts: Counts) -> float:
        """Predicted milliseconds at `counts` (group -> units kept; missing: dense)."""
        return float(self._features(counts) @ self._theta)

    def layer_ms(self, layer: Layer, c_in: Array, c_out: Array) -> Array:
        """Predicted milliseconds of one layer and the element-wise ops behind it."""
        elements = costs.activations(layer, c_in, c_out)
        return np.asarray(self._theta[1] * self.table.ms(layer, c_in, c_out) + self._theta[2] * elements)

    def row(self, menus: Menus, budget_ms: float, name: str = "latency_ms") -> Row:
        """The latency row of the width problem, ms."""
        return costs.row(
            self.coupling,
            menus,
            self.layer_ms,
            name=name,
            budget=budget_ms,
            const=float(self._theta[0]),
        )

    def breakdown(self, counts: Counts) -> list[LayerTime]:
        """Where the milliseconds go, in the order of the forward pass."""
        rows = []
        for layer in self.coupling.layers:
            c_in, c_out = self.coupling.channels(layer, dict(counts))
            rows.append(LayerTime(layer.name, layer.op, c_in, c_out, costs.at(layer, self.layer_ms, c_in, c_out)))
        return rows
