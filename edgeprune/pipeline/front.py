"""Several latency budgets in one go: a run for each, and the front of accuracy over latency that they make."""

from pathlib import Path

from edgeprune.config import Config, each_budget
from edgeprune.errors import BudgetNotMet, UsageError
from edgeprune.files import write_text
from edgeprune.pipeline.optimize import optimize_config
from edgeprune.progress import Progress
from edgeprune.report.front import write_front
from edgeprune.result import Front, FrontPoint, Result
from edgeprune.run import Run, default_path


def optimize_front(config: Config, output: Path | None, *, resume: bool, progress: Progress) -> Front:
    """One run for each latency budget of `config`, the largest first, in folders of `output` named after them.

    Layer times are measured once. A budget below the floor is a point that was not met; the others are not lost. Writes
    front.json and front.html beside the runs. Raises UsageError for budgets that are written twice or cannot be read.
    """
    each = {one.latency or "": one for one in each_budget(config)}
    limits = {text: limit for text, one in each.items() if (limit := one.budget().get("latency")) is not None}
    if len(each) < len(each_budget(config)):
        raise UsageError(f"--latency {config.latency} names a budget twice.", "Give each budget once.")
    if len({limit.relative for limit in limits.values()}) > 1:
        raise UsageError(f"--latency {config.latency} mixes times and shares.", "Write all in ms, or all in %.")
    first = next(iter(each.values()))
    folder = output or default_path(first, resume).with_suffix(".front")
    Run.check_place(folder)
    points: list[FrontPoint] = []
    for text in sorted(limits, key=lambda text: -limits[text].value):
        progress.stage(f"Budget {text}")
        place = folder / text.replace("%", "pct")
        try:
            result = optimize_config(each[text], place, resume=resume and place.exists(), progress=progress)
        except BudgetNotMet as missed:
            points.append(FrontPoint(asked=text, met=False, outcome=str(missed), path=None))
            progress.note(str(missed))
            continue
        dense, points = result, [*points, _point(text, place, result)]
    if not any(point.path for point in points):
        raise BudgetNotMet(f"No network meets any of {config.latency}.", "Give larger budgets; --plan shows the floor.")
    front = Front(
        model=dense.model,
        primary_metric=dense.primary_metric,
        dense_metric=_metric(dense, dense.dense.metrics),
        dense_ms=dense.dense.latency_ms.median if dense.dense.latency_ms else None,
        kind="emulated" if dense.device.get("kind") == "emulated" else "measured",
        points=points,
    )
    write_text(folder / "front.json", front.model_dump_json(indent=2) + "\n")
    write_front(front, folder / "front.html")
    return front


def _point(text: str, place: Path, result: Result) -> FrontPoint:
    latency = next(r for r in result.budget.requirements if r.kind == "latency")
    return FrontPoint(
        asked=text,
        met=result.met,
        outcome=result.outcome,
        path=str(place),
        ms=latency.achieved,
        ratio=latency.ratio,
        val_metric=_metric(result, result.pruned.val_metrics),
        metric=_metric(result, result.pruned.metrics),
        macs=result.pruned.macs,
        params=result.pruned.params,
    )


def _metric(result: Result, metrics: dict[str, float]) -> float | None:
    return metrics.get(result.primary_metric)
