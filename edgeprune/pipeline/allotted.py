"""The closed loop for allocations that follow a rule (edgeprune/allocate/rules.py)."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from edgeprune.allocate.rules import RULES, Question, Rule
from edgeprune.errors import BudgetNotMet
from edgeprune.graph import Coupling
from edgeprune.pipeline.job import Job
from edgeprune.registry import make
from edgeprune.search.aim import Aim
from edgeprune.search.limits import Latency, Limit
from edgeprune.search.loop import MAX_ROUNDS, Floor, Measure, Round, SearchResult
from edgeprune.sources.batches import calibration_batches

_SCORING_IMAGES = 256


def allot(
    job: Job,
    coupling: Coupling,
    scores: Mapping[str, Tensor],
    multiple: int,
    latency: Latency | None,
    limits: list[Limit],
    measure: Measure | None,
    on_round: Callable[[Round], None],
) -> SearchResult:
    """Widths by the recipe's rule; with a latency limit they are measured and the rule asked again, 12 times at most.

    All limits become one cost, the share of its limit that is used most, so that every rule needs one number only.
    """
    started = time.perf_counter()
    menus = coupling.menu(multiple)
    all_limits: list[Limit] = [*([latency] if latency else []), *limits]
    rule = _rule(job, coupling, scores, menus)
    rounds: list[Round] = []
    aim, reason = Aim(), "predicted, not measured"

    def used(counts: Mapping[str, float]) -> float:
        whole = {group: round(count) for group, count in counts.items()}
        return max(limit.predict(whole) / limit.budget for limit in all_limits)

    if latency is not None:
        latency.aim()
    for number in range(1, MAX_ROUNDS + 1):
        try:
            counts = rule(used, aim.share if latency else 1.0)
        except BudgetNotMet as error:
            reason = f"the floor is above the budget: {error.message}"
            break
        if any(counts == before.counts for before in rounds):
            reason = "no finer step of this rule"
            break
        kept = coupling.select(dict(scores), counts)
        measured = measure(counts, kept) if measure is not None and latency is not None else None
        predicted = latency.predict(counts) if latency else float("nan")
        rounds.append(Round(number, counts, predicted, measured, float("nan"), job.recipe.allocate.name))
        on_round(rounds[-1])
        if latency is None or measured is None:
            break
        latency.observe(counts, measured)
        aim.observe(measured)
        share = measured.upper / latency.budget
        reason = f"timed at {share:.1%} of the budget"
        if rounds[-1].inside(latency.budget):
            break
        if share > 1:
            aim.lower()
    return _result(coupling, scores, menus, latency, measure, rounds, reason, time.perf_counter() - started)


def _rule(job: Job, coupling: Coupling, scores: Mapping[str, Tensor], menus: Any) -> Rule:
    limits = job.budget.limits
    question = Question(
        model=job.model,
        coupling=coupling,
        scores=scores,
        menus=menus,
        example_inputs=job.example_inputs,
        batches=calibration_batches(job.data, _SCORING_IMAGES, 64, job.config.seed),
        task=job.task,
        about_macs=any(limit.kind in ("latency", "macs") for limit in limits),
        density=min((limit.value for limit in limits if limit.relative), default=0.25),
    )
    rule: Rule = make(job.recipe.allocate, RULES)(question)
    return rule


def _result(
    coupling: Coupling,
    scores: Mapping[str, Tensor],
    menus: Mapping[str, tuple[int, ...]],
    latency: Latency | None,
    measure: Measure | None,
    rounds: list[Round],
    reason: str,
    seconds: float,
) -> SearchResult:
    inside = [r for r in rounds if latency is None or r.within(latency.budget)]
    best = max(inside, key=lambda r: coupling.macs(r.counts), default=None)
    closest = min(rounds, key=lambda r: r.measured.upper if r.measured else r.predicted_ms, default=None)
    winner = best or closest
    narrowest = {group: menu[0] for group, menu in menus.items()}
    counts = winner.counts if winner else narrowest
    floor = Floor(narrowest, latency.predict(narrowest), None) if latency and winner is None else None
    return SearchResult(
        counts=counts,
        kept=coupling.select(dict(scores), counts),
        met=best is not None and (latency is None or measure is not None),
        reason=reason,
        rounds=rounds,
        floor=floor,
        predicted={},
        measured=winner.measured if winner else None,
        seconds=seconds,
        images=0,
        evaluations=0,
    )
