"""How near to the budget the next candidate aims, and when one is near enough.

The end of a candidate's confidence interval has to keep the budget, so the median aims lower by the usual half-width of
such intervals: less than a per cent on a quiet machine, several on a busy one.
"""

from statistics import median

from edgeprune.search.limits import Measured

TOP = 0.985  # of the budget: where the upper end of the interval should come to lie
NARROW = 0.985  # median / upper end, before anything was measured
LEAST = 0.95  # of the budget: a median below it leaves room, and the search goes on
EDGE, LEAST_AT_EDGE = 0.99, 0.90  # where the upper end reaches EDGE, noise leaves no more room than this


def keeps(measured: Measured, budget: float) -> bool:
    """True when the whole interval lies within the budget."""
    return measured.upper <= budget


def fills(measured: Measured, budget: float) -> bool:
    """True when the interval lies within the budget and leaves no room worth another candidate."""
    least = LEAST_AT_EDGE if measured.upper >= EDGE * budget else LEAST
    return keeps(measured, budget) and measured.ms >= least * budget


class Aim:
    """The share of the budget that the next candidate's predicted latency should take."""

    def __init__(self) -> None:
        self._narrow, self._margin = [NARROW], 0.0

    @property
    def share(self) -> float:
        """In (0, 1): `TOP`, less the half-width that intervals had so far."""
        return (TOP - self._margin) * median(self._narrow)

    def observe(self, measured: Measured) -> None:
        """Learn how wide intervals are."""
        self._narrow.append(measured.ms / measured.upper)

    def lower(self) -> None:
        """Aim a per cent of the budget lower: the last candidate missed where its prediction could not be corrected."""
        self._margin += 0.01
