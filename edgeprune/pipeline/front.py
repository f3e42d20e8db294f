"""Several latency budgets in one go: a run for each, and the front of accuracy over latency that they make."""

import json
import math
from pathlib import Path
from typing import Any

from edgeprune.answers import Front, FrontPoint
from edgeprune.config import Config, each_budget
from edgeprune.errors import BudgetNotMet, UsageError
from edgeprune.files import write_json, write_text
from edgeprune.pipeline.optimize import optimize_config
from edgeprune.pipeline.plan import plan_config
from edgeprune.progress import Progress
from edgeprune.report.front import write_front
from edgeprune.result import Result
from edgeprune.run import Run, default_path

WIDEST, LEAST = 0.8, 0.1  # of the dense latency: where the budgets of --pareto begin, and where they end at the latest
ABOVE_FLOOR = 1.1
_BUDGETS, _MISSED = "budgets.json", "missed.json"


class Runs:
    """The runs of a front, one a budget, in folders named after the budgets; layer times are measured once."""

    def __init__(self, config: Config, output: Path | None, *, resume: bool, progress: Progress, name: str) -> None:
        """`name` stands for the budgets in the default folder's name.

        Raises UsageError for a folder that holds something where nothing is resumed.
        """
        self._config, self._resume, self._progress = config, resume, progress
        self.folder = front_folder(config, output, resume, name)
        self.points: list[FrontPoint] = []
        self._missed: dict[str, str] = _read(self.folder / _MISSED) or {}
        self._dense: Result | None = None

    def run(self, budget: str) -> FrontPoint:
        """One whole run; a budget below the floor is a point that was not met, and is not searched again."""
        self._progress.stage(f"Budget {budget}")
        if budget in self._missed:
            return self._miss(budget, self._missed[budget])
        place = self.folder / budget.replace("%", "pct")
        config = self._config.model_copy(update={"latency": budget})
        try:
            result = optimize_config(config, place, resume=self._resume and place.exists(), progress=self._progress)
        except BudgetNotMet as missed:
            self._missed[budget] = str(missed)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / _MISSED, self._missed)
            return self._miss(budget, str(missed))
        self._dense = result
        self.points.append(_point(budget, place, result))
        return self.points[-1]

    def _miss(self, budget: str, why: str) -> FrontPoint:
        self._progress.note(why)
        self.points.append(FrontPoint(asked=budget, met=False, outcome=why, path=None))
        return self.points[-1]

    def finish(self, max_drop: float | None = None, chosen: FrontPoint | None = None) -> Front:
        """Write front.json and front.html. Raises BudgetNotMet where no budget had a network."""
        dense = self._dense
        if dense is None:
            asked = ", ".join(point.asked for point in self.points)
            raise BudgetNotMet(f"No network meets any of {asked}.", "Give larger budgets; --plan shows the floor.")
        front = Front(
            model=dense.model,
            primary_metric=dense.primary_metric,
            dense_metric=_metric(dense, dense.dense.metrics),
            dense_val_metric=_metric(dense, dense.dense.val_metrics),
            dense_ms=dense.dense.latency_ms.median if dense.dense.latency_ms else None,
            kind="emulated" if dense.device.get("kind") == "emulated" else "measured",
            points=self.points,
            max_drop=max_drop,
            chosen=chosen.asked if chosen else None,
        )
        write_text(self.folder / "front.json", front.model_dump_json(indent=2) + "\n")
        write_front(front, self.folder / "front.html")
        return front


def front_folder(config: Config, output: Path | None, resume: bool, name: str) -> Path:
    """Where the runs of a front go; `name` stands for the budgets. Nothing is made.

    Raises UsageError for a folder that holds something where nothing is resumed.
    """
    folder = output or default_path(config, resume, f"{name}.front")
    Run.check_place(folder)
    if not resume and folder.is_dir() and any(folder.iterdir()):
        cure = "Choose another -o, or pass --resume to finish a front."
        raise UsageError(f"{folder} is there already and is not empty.", cure)
    return folder


def front_name(config: Config) -> str:
    """What stands for the budgets in a front's folder.

    Raises UsageError for budgets that are written twice, mixed, or cannot be read.
    """
    if config.pareto is not None:
        return f"pareto-{config.pareto}"
    if config.max_drop is not None:
        return f"max-drop-{config.max_drop:g}"
    return largest_first(config)[0]


def largest_first(config: Config) -> list[str]:
    """The latency budgets of a front. Raises UsageError as `front_name`."""
    each = {one.latency or "": one for one in each_budget(config)}
    limits = {text: limit for text, one in each.items() if (limit := one.budget().get("latency")) is not None}
    if len(each) < len(each_budget(config)):
        raise UsageError(f"--latency {config.latency} names a budget twice.", "Give each budget once.")
    if len({limit.relative for limit in limits.values()}) > 1:
        raise UsageError(f"--latency {config.latency} mixes times and shares.", "Write all in ms, or all in %.")
    return sorted(limits, key=lambda text: -limits[text].value)


def optimize_front(config: Config, output: Path | None, *, resume: bool, progress: Progress) -> Front:
    """One run for each latency budget of `config`, the largest first.

    Raises UsageError for budgets that are written twice, mixed, or cannot be read.
    """
    budgets = largest_first(config)
    runs = Runs(config, output, resume=resume, progress=progress, name=front_name(config))
    for text in budgets:
        runs.run(text)
    return runs.finish()


def optimize_pareto(config: Config, output: Path | None, *, resume: bool, progress: Progress) -> Front:
    """`config.pareto` runs, their budgets at equal factors from 80 % of dense to a tenth above the measured floor.

    The budgets are kept in budgets.json, so that a resumed front asks for the same ones. Raises UsageError where a
    front of another number is to be resumed.
    """
    count, name = config.pareto or 0, front_name(config)
    config = config.model_copy(update={"pareto": None})
    runs = Runs(config, output, resume=resume, progress=progress, name=name)
    file = runs.folder / _BUDGETS
    kept = _read(file) or {"pareto": count, "budgets": pareto_budgets(_floor(config, progress), count)}
    if kept["pareto"] != count:
        cure = f"Resume it with --pareto {kept['pareto']}, or give another -o."
        raise UsageError(f"{runs.folder} holds a front of {kept['pareto']} budgets, not {count}.", cure)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, kept)
    for text in kept["budgets"]:
        runs.run(text)
    return runs.finish()


def pareto_budgets(floor: float, count: int) -> list[str]:
    """`count` budgets at equal factors, whole percents, the largest first. `floor`: the least share of dense."""
    least = min(max(floor * ABOVE_FLOOR, LEAST), WIDEST)
    shares = [WIDEST * math.exp(math.log(least / WIDEST) * i / max(1, count - 1)) for i in range(count)]
    return list(dict.fromkeys(f"{math.ceil(100 * share - 1e-9)}%" for share in shares))


def _floor(config: Config, progress: Progress) -> float:
    return plan_config(config, progress).floor_share


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _point(text: str, place: Path, result: Result) -> FrontPoint:
    before, after = _metric(result, result.dense.val_metrics), _metric(result, result.pruned.val_metrics)
    latency = next(r for r in result.budget.requirements if r.kind == "latency")
    return FrontPoint(
        asked=text,
        met=result.met,
        outcome=result.outcome,
        path=str(place),
        ms=latency.achieved,
        ratio=latency.ratio,
        val_metric=after,
        metric=_metric(result, result.pruned.metrics),
        drop=100 * (before - after) if before is not None and after is not None else None,
        macs=result.pruned.macs,
        params=result.pruned.params,
    )


def _metric(result: Result, metrics: dict[str, float]) -> float | None:
    return metrics.get(result.primary_metric)
