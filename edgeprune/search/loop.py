"""The closed loop: solve, build, measure, correct the cost model by what was measured, solve again.

Design section 4: candidates are timed before any training, for float latency depends on shapes only.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from edgeprune.graph import Coupling
from edgeprune.search.aim import Aim, fills, keeps
from edgeprune.search.candidates import best_widths, finer
from edgeprune.search.costs import Menus
from edgeprune.search.curves import Curve
from edgeprune.search.limits import Latency, Limit, Measured
from edgeprune.search.predictor import LayerTime
from edgeprune.search.problem import Choice, Infeasible
from edgeprune.search.sensitivity import Sensitivity
from edgeprune.task import Task

MAX_ROUNDS = 12
FINER_STEPS = (4, 1)


Measure = Callable[[Choice, dict[str, Tensor]], Measured]


@dataclass(frozen=True)
class WidthSearch:
    """What the search takes for the loss of narrowing a group.

    `curves`: "diverging" takes the slope of the divergence at mild narrowing and extrapolates as dense / width - 1
    (ours; see `Curve.diverging`); "measured" is the divergence of untrained pruned networks, measured again around the
    solution.
    """

    curves: Literal["diverging", "measured"] = "diverging"


@dataclass(frozen=True)
class Round:
    """One candidate. `loss` is what candidates are compared by (see `WidthSearch`)."""

    number: int
    counts: Choice
    predicted_ms: float
    measured: Measured | None
    loss: float
    step: str

    def within(self, budget_ms: float) -> bool:
        """True when the measurement meets the budget."""
        return self.measured is not None and keeps(self.measured, budget_ms)

    def inside(self, budget_ms: float) -> bool:
        """True when the measurement meets the budget and uses it."""
        return self.measured is not None and fills(self.measured, budget_ms)


@dataclass(frozen=True)
class Floor:
    """The narrowest network: its widths, predicted latency, and the measured one where the loop had to ask."""

    counts: Choice
    predicted_ms: float
    measured_ms: float | None


@dataclass
class SearchResult:
    """The winner and how it was found. `kept` maps groups to kept unit indices; `reason` says why the loop ended.

    `layers`: predicted times of every layer, dense and in the winner, where a latency was asked for.
    """

    counts: Choice
    kept: dict[str, Tensor]
    met: bool
    reason: str
    rounds: list[Round]
    floor: Floor | None
    predicted: dict[str, float]
    measured: Measured | None
    seconds: float
    images: int
    evaluations: int
    curves: dict[str, Curve] = field(default_factory=dict)
    layers: list[tuple[LayerTime, LayerTime]] = field(default_factory=list)


def search(
    model: nn.Module,
    coupling: Coupling,
    scores: Mapping[str, Tensor],
    task: Task,
    calibration: Sequence[Any],
    *,
    latency: Latency | None = None,
    limits: Sequence[Limit] = (),
    measure: Measure | None = None,
    multiple: int = 8,
    seconds: float = 40.0,
    how: WidthSearch = WidthSearch(),
    refinements: int = 2,
    max_rounds: int = MAX_ROUNDS,
    on_round: Callable[[Round], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """The widths of least loss that are measured to meet `latency` and predicted to meet `limits`.

    `scores`: group -> importance of its units, higher is kept. `calibration`: batches of network inputs.
    `measure(counts, kept)` builds, converts and times a candidate; without it the widths are only predicted.
    `seconds` bounds the sensitivity measurements (not the candidates' builds). Never raises for a budget out of reach:
    the result then has `met=False`, the floor and the reason.
    """
    started = time.perf_counter()
    menus = coupling.menu(multiple)
    sensitivity = Sensitivity(model, coupling, scores, task, calibration, menus, seconds=0.6 * seconds)
    curves = sensitivity.curves(on_progress)
    if how.curves == "diverging":
        curves, refinements = {g: curve.diverging() for g, curve in curves.items()}, 0
    loop = _Loop(coupling, scores, menus, curves, sensitivity, latency, limits, measure, on_round, how)
    try:
        loop.refine(refinements, 0.4 * seconds)
    except Infeasible as error:
        if not loop.reachable(error.choice):
            return loop.result(f"the floor is above the budget: {error.message}", started)
    return loop.result(loop.run(max_rounds), started)


class _Loop:
    def __init__(
        self,
        coupling: Coupling,
        scores: Mapping[str, Tensor],
        menus: Menus,
        curves: dict[str, Curve],
        sensitivity: Sensitivity,
        latency: Latency | None,
        limits: Sequence[Limit],
        measure: Measure | None,
        on_round: Callable[[Round], None] | None,
        how: WidthSearch,
    ) -> None:
        self.how = how
        self.coupling, self.scores, self.menus, self.curves = coupling, dict(scores), menus, curves
        self.sensitivity, self.latency, self.measure, self.on_round = sensitivity, latency, measure, on_round
        self.limits: list[Limit] = [*([latency] if latency is not None else []), *limits]
        self.rounds: list[Round] = []
        self.floor: Floor | None = None
        self.aim = Aim()
        if latency is not None:
            latency.aim()

    def solve(self) -> Choice:
        shares = {self.latency.name: self.aim.share} if self.latency is not None else {}
        return best_widths(self.menus, self.curves, self.limits, shares, [r.counts for r in self.rounds])

    def loss(self, counts: Choice) -> float:
        """What candidates are compared by: the curves' sum, or the divergence of the whole untrained candidate."""
        if self.how.curves == "measured":
            return self.sensitivity.loss(counts)
        return sum(float(curve([counts.get(g, self.menus[g][-1])])[0]) for g, curve in self.curves.items())

    def refine(self, times: int, seconds: float) -> None:
        """Re-measure the curves around the solution, and keep those whose whole solution diverges least."""
        if not times:
            return
        best = self.curves
        least = self.sensitivity.loss(self.solve())
        for _ in range(times):
            self.curves = self.sensitivity.refine(self.curves, self.solve(), seconds / times)
            loss = self.sensitivity.loss(self.solve())
            if loss < least:
                best, least = self.curves, loss
        self.curves = best

    def reachable(self, narrowest: Choice) -> bool:
        """True when the narrowest network, measured, meets the budget although its prediction does not."""
        if self.latency is None or self.measure is None:
            self.floor = Floor(narrowest, self.latency.predict(narrowest) if self.latency else float("nan"), None)
            return False
        floor = self.try_out(narrowest, "floor")
        assert floor.measured is not None
        self.floor = Floor(narrowest, floor.predicted_ms, floor.measured.ms)
        return floor.within(self.latency.budget)

    def try_out(self, counts: Choice, step: str) -> Round:
        kept = self.coupling.select(self.scores, counts)
        counts = {g: len(units) for g, units in kept.items()}
        predicted = self.latency.predict(counts) if self.latency is not None else float("nan")
        measured = self.measure(counts, kept) if self.measure is not None and self.latency is not None else None
        if measured is not None and self.latency is not None:
            self.latency.observe(counts, measured)
            self.aim.observe(measured)
        done = Round(len(self.rounds) + 1, counts, predicted, measured, self.loss(counts), step)
        self.rounds.append(done)
        if self.on_round is not None:
            self.on_round(done)
        return done

    def run(self, max_rounds: int) -> str:
        """Rounds until one is measured inside the window; the reason for stopping."""
        while len(self.rounds) < max_rounds:
            try:
                counts, step = self.solve(), "solve"
            except Infeasible as error:
                if self.best() is None and not self.reachable(error.choice):
                    return f"the floor is above the budget: {error.message}"
                counts, step = None, ""
            if counts is None or any(counts == r.counts for r in self.rounds):
                found = self.finer()
                if found is None:
                    return self.no_finer()
                counts, step = found
            done = self.try_out(counts, step)
            if self.latency is None or done.measured is None:
                return "predicted, not measured"
            share = done.measured.upper / self.latency.budget
            if done.inside(self.latency.budget):
                return f"timed at {share:.1%} of the budget"
            if share > 1 and step != "solve":
                self.aim.lower()
        return f"{max_rounds} rounds"

    def finer(self) -> tuple[Choice, str] | None:
        """A candidate one fine step wider than the best one, on predictions scaled to what that one measured."""
        best = self.best()
        if best is None or best.measured is None or self.latency is None:
            return None
        tried = [r.counts for r in self.rounds]
        predicted = self.latency.predict(best.counts)
        least, shares = {self.latency.name: predicted}, {self.latency.name: predicted / best.measured.upper}
        for step in FINER_STEPS:
            fine = self.coupling.menu(step)
            found = finer(best.counts, self.menus, fine, self.curves, self.limits, shares, least)
            if found is not None and found not in tried:
                return found, f"finer by {step}"
        return None

    def no_finer(self) -> str:
        best = self.best()
        if best is None or best.measured is None or self.latency is None:
            return "no candidate met the budget"
        return f"{best.measured.upper / self.latency.budget:.0%} of the budget: no finer step"

    def best(self) -> Round | None:
        """The round of least loss among those inside the window, else among those that meet the budget."""
        if self.latency is None or self.measure is None:
            return self.rounds[-1] if self.rounds else None
        budget = self.latency.budget
        met = [r for r in self.rounds if r.within(budget)]
        inside = [r for r in met if r.inside(budget)]
        return min(inside or met, key=lambda r: r.loss, default=None)

    def closest(self) -> Round:
        return min(self.rounds, key=lambda r: r.measured.upper if r.measured is not None else r.predicted_ms)

    def result(self, reason: str, started: float) -> SearchResult:
        best = self.best()
        winner = best or (self.closest() if self.rounds else None)
        counts = winner.counts if winner is not None else (self.floor.counts if self.floor is not None else {})
        return SearchResult(
            counts=counts,
            kept=self.coupling.select(self.scores, counts),
            met=best is not None and (self.measure is not None or self.latency is None),
            reason=reason,
            rounds=self.rounds,
            floor=self.floor,
            predicted={limit.name: limit.predict(counts) for limit in self.limits},
            measured=winner.measured if winner is not None else None,
            seconds=time.perf_counter() - started,
            images=self.sensitivity.images,
            evaluations=self.sensitivity.evaluations,
            curves=self.curves,
        )
