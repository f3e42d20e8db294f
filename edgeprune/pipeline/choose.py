"""The search stage: score the channels, choose the widths in the closed loop, prove the surgery."""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from edgeprune.errors import BudgetNotMet, EnvironmentProblem
from edgeprune.files import write_text
from edgeprune.graph import Coupling, ProofError, Trace, Widths, prune_proved
from edgeprune.pipeline.allotted import allot
from edgeprune.pipeline.candidates import Candidates
from edgeprune.pipeline.fates import channels, evidence, fates
from edgeprune.pipeline.files import NetworkFiles, measured_format
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.judge import MIB
from edgeprune.pipeline.quantize import file_shrinkage, memory_shrinkage
from edgeprune.pipeline.state import DenseStage, SearchStage
from edgeprune.pipeline.timings import Timings
from edgeprune.pipeline.watch import watch_search
from edgeprune.quantity import Limit as Asked
from edgeprune.registry import make
from edgeprune.result import GroupNote, Groups, LayerCost, SearchRound, SearchSummary
from edgeprune.run import Run
from edgeprune.score import score
from edgeprune.search.cost_table import DRIFT, CostTable
from edgeprune.search.limits import Latency, LatencyLimit, Limit, file_size_limit, macs_limit
from edgeprune.search.loop import SearchResult, WidthSearch, search
from edgeprune.search.memory import memory_limit
from edgeprune.search.predictor import LayerTime, Predictor
from edgeprune.sources.batches import calibration_batches
from edgeprune.targets.target import Target
from profilers.store import Store

_SCORING_IMAGES = 256
_CALIBRATION_IMAGES = 1024
_BATCH = 64


def search_stage(
    job: Job,
    run: Run,
    traced: Trace,
    coupling: Coupling,
    dense: DenseStage,
    files: NetworkFiles,
    scale: float,
    attempt: int,
) -> tuple[SearchStage, Widths]:
    """Widths that meet `scale` times the budget. Raises BudgetNotMet, with the floor, when none can."""
    widths_file = run.path / "state" / f"widths-{attempt}.json"
    found = run.done(f"search-{attempt}")
    if found is not None:
        return SearchStage(**found), Widths.from_json(widths_file.read_text(encoding="utf-8"))
    scores = channel_scores(job, coupling)
    before = job.targets.notes
    search_by = partial(_search, job, Timings(run), traced, coupling, dense, files, scores, scale, attempt)
    outcome, multiple = _search_in_steps(job, dense, search_by)
    job.progress.note(f"widths chosen: {outcome.reason}")
    _, widths, proof = prune_proved(job.model, traced, coupling, outcome.kept)
    counts = {group: count for group, count in outcome.counts.items() if group not in proof.frozen}
    if not any(units < coupling.groups[group].units for group, units in counts.items()):
        raise ProofError("no group could be pruned and proved", "see `edgeprune groups`; please report the model")
    stage = SearchStage(
        counts=counts,
        widths=channels(coupling, counts),
        groups=fates(coupling, multiple, counts, proof),
        macs=coupling.macs(counts),
        params=coupling.params(counts),
        proof=evidence(proof),
        summary=_summary(job, coupling, outcome, dense, multiple),
        notes=[*_surprises(coupling), *(f"searching: {n}" for n in job.targets.notes if n not in before)],
    )
    write_text(widths_file, widths.to_json())
    run.finish(f"search-{attempt}", stage.model_dump())
    return stage, widths


def channel_scores(job: Job, coupling: Coupling, network: nn.Module | None = None) -> dict[str, Tensor]:
    """Importance of every unit of every group by the recipe's criterion, on training images.

    `network` (default: the dense one) has the dense network's architecture.
    """
    choice = job.recipe.score
    balanced = bool(choice.settings.get("class_balanced"))
    batches = calibration_batches(job.data, _SCORING_IMAGES, _BATCH, job.config.seed, class_balanced=balanced)
    scores: dict[str, Tensor] = score(
        choice.name,
        job.model if network is None else network,
        coupling,
        batches,
        job.task,
        seed=job.config.seed,
        **choice.settings,
    )
    return scores


def make_predictor(job: Job, target: Target, coupling: Coupling, dense_ms: float, multiple: int) -> Predictor:
    """The cost table of a target, read from the store where it is known and measured where not, as a predictor.

    The table holds float32 layers: for another number format it gives the shape of the costs, `dense_ms` their scale.
    """
    trips, started = target.trips, time.monotonic()
    with target.prober() as prober:
        table = CostTable(coupling, coupling.menu(multiple), prober, target.layer_costs(Store()))
    took = f", {time.monotonic() - started:.1f} s"
    if trips is not None and target.trips is not None:
        took += f", {target.trips - trips} adb round trips on {target.name}"
    job.progress.note(f"cost table: {table.probed} layers {target.kind} now, {table.reused} known from before{took}")
    if table.drift is not None and table.drift > DRIFT:
        job.progress.note(f"the layers known from before were typically off by {table.drift - 1:.0%}: all timed anew")
    return Predictor(coupling, table, dense_ms)


def budget_limits(
    job: Job, traced: Trace, coupling: Coupling, dense: DenseStage, files: NetworkFiles, scale: float
) -> list[Limit]:
    """All limits but latency, absolute, for the solver.

    Relative ones refer to the float32 file; what the dense network takes in the run's own number format is where the
    cost models start.
    """
    limits: list[Limit] = []
    full, shipped = (kind[measured_format(job)].artifact.size_bytes for kind in (files.full, files.shipped))
    for limit in job.budget.limits:
        if limit.kind == "macs":
            limits.append(macs_limit(coupling, limit.absolute(dense.macs)))
        elif limit.kind == "file_size":
            times = file_shrinkage(job)
            asked = times * scale * limit.absolute(full)
            limits.append(file_size_limit(coupling, asked, round(times * shipped)))
        elif limit.kind == "memory":
            look = next((r for r in dense.first_look if r.kind == "memory" and r.achieved and r.ratio), None)
            if look is None or not look.achieved or not look.ratio:
                raise EnvironmentProblem("Peak memory cannot be measured on this machine.", "Leave out --memory.")
            times = memory_shrinkage(job)
            asked = times * scale * limit.absolute(look.achieved / look.ratio) / MIB
            limits.append(memory_limit(coupling, traced, asked, times * look.achieved / MIB))
    return limits


def _search_in_steps(job: Job, dense: DenseStage, search_by: Callable[[int], SearchResult]) -> tuple[SearchResult, int]:
    """The first search, from coarse to fine steps of the widths, that meets the budget; else the closest one.

    Raises BudgetNotMet, with the floor, when no step has a candidate.
    """
    missed: list[tuple[SearchResult, int]] = []
    for multiple in job.config.multiples():
        outcome = search_by(multiple)
        if outcome.met:
            return outcome, multiple
        if outcome.floor is None and outcome.rounds:
            missed.append((outcome, multiple))
        if multiple != job.config.multiples()[-1]:
            job.progress.note(f"nothing in multiples of {multiple} meets the budget ({outcome.reason}): finer steps")
    if not missed:
        problem = _below_floor(job, outcome, dense, multiple)
        raise BudgetNotMet(problem, "Give a larger budget; --plan shows what is in reach.")
    return min(missed, key=lambda pair: pair[0].measured.upper if pair[0].measured else math.inf)


def _search(
    job: Job,
    timings: Timings,
    traced: Trace,
    coupling: Coupling,
    dense: DenseStage,
    files: NetworkFiles,
    scores: dict[str, Tensor],
    scale: float,
    attempt: int,
    multiple: int,
) -> SearchResult:
    asked = job.budget.get("latency")
    limits = budget_limits(job, traced, coupling, dense, files, scale)
    with ExitStack() as stack:
        latency, measure = None, None
        if asked is not None and dense.latency_ms is not None:
            latency = _latency(job, coupling, dense, scale, asked, multiple)
            artifact = files.full[job.config.runtime].artifact
            each_ms = dense.each_ms or [dense.latency_ms]
            candidates = Candidates(
                job,
                coupling,
                artifact,
                each_ms,
                relative=asked.relative,
                statistic=asked.statistic,
                latency=latency,
                timings=timings,
            )
            measure = stack.enter_context(candidates).measure

        again = f"-{attempt + 1}" if attempt else ""
        on_round = watch_search(job, coupling, latency, f"search{again}-by-{multiple}")
        if job.recipe.allocate.name != "latency":
            found = allot(job, coupling, scores, multiple, latency, limits, measure, on_round)
            return replace(found, layers=_layers(latency, found))
        balanced = job.guard is not None  # rare classes count as much as common ones where none may be left behind
        batches = calibration_batches(job.data, _CALIBRATION_IMAGES, _BATCH, job.config.seed, class_balanced=balanced)
        found = search(
            job.model,
            coupling,
            scores,
            job.task,
            [inputs for inputs, _ in batches],
            latency=latency,
            limits=limits,
            measure=measure,
            multiple=multiple,
            how=make(job.recipe.allocate, {"latency": WidthSearch}),
            on_round=on_round,
            on_progress=lambda done, total: job.progress.advance(done, total, "sensitivity"),
        )
        return replace(found, layers=_layers(latency, found))


def _layers(latency: Latency | None, found: SearchResult) -> list[tuple[LayerTime, LayerTime]]:
    """Every layer's predicted time on the first target, dense and in the winner."""
    if latency is None:
        return []
    predictor = latency.parts[0].predictor
    return list(zip(predictor.breakdown({}), predictor.breakdown(found.counts), strict=True))


def _latency(job: Job, coupling: Coupling, dense: DenseStage, scale: float, asked: Asked, multiple: int) -> Latency:
    """The latency budget on every target, with a predictor for each."""
    targets, full = job.targets.all, dense.each_ms or [dense.latency_ms or 0.0]
    shipped = dense.each_shipped_ms or full
    parts = []
    for number, (target, ms, shipped_ms) in enumerate(zip(targets, full, shipped, strict=True)):
        predictor = make_predictor(job, target, coupling, shipped_ms, multiple)
        name = f"latency_ms {target.name}" if number else "latency_ms"
        parts.append(LatencyLimit(predictor, scale * asked.absolute(ms), name))
    return Latency(tuple(parts))


def _below_floor(job: Job, outcome: SearchResult, dense: DenseStage, multiple: int) -> str:
    text = f"No network meets {job.budget}"
    if outcome.floor is None:
        return f"{text}: {outcome.reason}."
    floor = outcome.floor
    ms, source = floor.predicted_ms, "predicted"
    if floor.measured_ms is not None:
        ms, source = floor.measured_ms, job.targets.all[0].kind
    if not math.isfinite(ms):
        return f"{text}: {outcome.reason}."
    share = f", {ms / dense.latency_ms:.0%} of dense" if dense.latency_ms else ""
    return (
        f"{text}. The floor, all groups at their narrowest in multiples of {multiple}, is {ms:.3f} ms "
        f"({source}{share})."
    )


def _surprises(coupling: Coupling) -> list[str]:
    """The notes that do not merely repeat why a group is frozen: groups carry those reasons themselves."""
    return [note for note in coupling.notes if " keeps its " not in note]


def _summary(job: Job, coupling: Coupling, outcome: SearchResult, dense: DenseStage, multiple: int) -> SearchSummary:
    floor = outcome.floor
    return SearchSummary(
        allocate=job.recipe.allocate.name,
        score=job.recipe.score.name,
        multiple=multiple,
        rounds=[
            SearchRound(
                predicted_ms=_finite(r.predicted_ms),
                measured_ms=r.measured.ms if r.measured else None,
                measured_ratio=r.measured.ms / dense.latency_ms if r.measured and dense.latency_ms else None,
                macs=coupling.macs(r.counts),
                loss=_finite(r.loss),
                widths=r.counts,
            )
            for r in outcome.rounds
        ],
        candidates_measured=sum(r.measured is not None for r in outcome.rounds),
        seconds=outcome.seconds,
        floor_ms=(floor.measured_ms or _finite(floor.predicted_ms)) if floor else None,
        floor_kind=("measured" if floor.measured_ms else "predicted") if floor else None,
        reason=outcome.reason,
        layers=[
            LayerCost(
                name=a.name,
                op=a.op,
                dense_channels=(a.c_in, a.c_out),
                channels=(b.c_in, b.c_out),
                dense_ms=a.ms,
                predicted_ms=b.ms,
            )
            for a, b in outcome.layers
        ],
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def unpruned(coupling: Coupling) -> SearchStage:
    """The stage of a dense network that meets the budget as it is."""
    frozen = [
        GroupNote(name=name, dense=group.channels, kept=group.channels, reason=group.frozen)
        for name, group in coupling.groups.items()
        if group.frozen is not None
    ]
    summary = SearchSummary(
        allocate="none",
        score="none",
        multiple=1,
        rounds=[],
        candidates_measured=0,
        seconds=0.0,
        floor_ms=None,
        reason="the dense network meets the budget",
    )
    return SearchStage(
        counts={},
        widths=channels(coupling, {}),
        groups=Groups(pruned=[], frozen=frozen, clamped=[]),
        macs=coupling.macs(),
        params=coupling.params(),
        proof={},
        summary=summary,
        notes=_surprises(coupling),
    )
