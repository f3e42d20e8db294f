"""The loss of narrowing one group, as a function of its width: measured at a few widths, monotone between them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from edgeprune.search.problem import Array

TIE_BREAK = 1e-6  # of the largest loss: among equal losses the wider network is preferred
LEAST_SCALE, MOST_SCALE = 0.2, 5.0


@dataclass(frozen=True)
class Curve:
    """Loss over width. `knots` maps widths to losses and holds the dense width with loss 0."""

    knots: Mapping[int, float]

    def __call__(self, widths: Iterable[int]) -> Array:
        """Loss at each width: never rising with the width, zero at the dense one.

        Monotone cubic (PCHIP) between the knots; below them it grows with the square of the channels removed.
        """
        x = np.array(sorted(self.knots), dtype=np.float64)
        y = np.maximum.accumulate(np.array([self.knots[int(w)] for w in x])[::-1])[::-1]
        at = np.array(list(widths), dtype=np.float64)
        values = np.full(at.shape, y[0]) if len(x) == 1 else PchipInterpolator(x, y)(np.clip(at, x[0], x[-1]))
        below = at < x[0]
        if below.any() and len(x) > 1:
            values = np.where(below, y[0] * ((x[-1] - at) / (x[-1] - x[0])) ** 2, values)
        return np.asarray(values + TIE_BREAK * max(float(y[0]), 1e-6) * (1.0 - at / x[-1]))

    def diverging(self) -> "Curve":
        """slope x (dense / width - 1) over the same widths, through the mildest knot that was measured.

        What an untrained network loses levels off once a group is ruined, what training cannot win back does not: a
        group of few channels is a bottleneck. So mild narrowing gives the slope, and the rest is extrapolated.
        """
        dense, least = max(self.knots), min(self.knots)
        mildest = max((w for w in self.knots if w < dense), default=dense)
        if mildest == dense:
            return self
        slope = max(self.knots[mildest], 1e-12) / (dense / mildest - 1)
        return Curve({w: slope * (dense / w - 1) for w in range(least, dense + 1)})

    def rescaled(self, here: int, moves: Mapping[int, float], mix: float) -> "Curve":
        """The curve after the loss was measured to change by `moves[w]` when the width goes from `here` to w.

        Each side of `here` keeps its shape and is scaled to its measured change, `mix` of the way (in the logarithm;
        0: not at all, 1: fully), by at most a factor of 5.
        """
        dense = max(self.knots)
        widths = sorted({*self.knots, *moves, here})
        old = dict(zip(widths, self(widths), strict=True))
        scale = {-1: 1.0, 1: 1.0}
        for w, change in moves.items():
            side, expected = (-1 if w < here else 1), old[w] - old[here]
            if abs(expected) > 1e-12:
                scale[side] = float(np.clip(change / expected, LEAST_SCALE, MOST_SCALE)) ** mix
        new = {w: scale[-1 if w < here else 1] * (old[w] - old[here]) for w in widths}
        return Curve({w: max(0.0, float(value - new[dense])) for w, value in new.items()})
