"""`report.html`: what a run found, as a page."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from edgeprune.files import write_text
from edgeprune.report import facts, figures
from edgeprune.report.page import page
from edgeprune.result import Result

_COUNTERS = ("monotonic_s", "busy_s", "steal_s")  # since boot: of use only as differences, which the flags tell


def write_report(result: Result, path: Path, measurements: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Write the report of a run.

    `measurements` may hold the final measurements as `Measurement.to_json()` gives them, under "dense" and "pruned":
    raw samples, conditions and flags are shown from it. Raises EnvironmentProblem when `path` cannot be written.
    """
    write_text(path, render(result, measurements or {}))


def render(result: Result, measurements: Mapping[str, Mapping[str, Any]]) -> str:
    """The HTML text. Everything that comes from outside is escaped."""
    return page(
        "report.html",
        figures.all_figures(result, measurements),
        {"plain": _plain, "metrics": _metrics},
        result=result,
        title=f"{result.model}: {result.budget.text}",
        headline=facts.headline(result).replace(" %", "\u00a0%").replace(" ms", "\u00a0ms"),
        evidence=facts.evidence(result),
        static=result.target == "ios" or facts.evidence(result) == "not measured",
        rows=facts.comparison(result),
        columns=facts.columns(result),
        twins=facts.twin_rows(result),
        budget=facts.budget_rows(result),
        widths=facts.widths(result),
        recalls=figures.recall_rows(result),
        shown_classes=figures.SHOWN_CLASSES,
        shown_layers=figures.SHOWN_LAYERS,
        conditions=_conditions(result, measurements),
        flags=_flags(result, measurements),
        started=_started(result.started),
        runtimes=facts.RUNTIMES,
    )


def _conditions(result: Result, measurements: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    seen = {
        f"{name}, {moment}": measurements[name].get(f"conditions_{moment}")
        for name in ("dense", "pruned")
        for moment in ("before", "after")
        if name in measurements
    }
    stated = {key: value for key, value in result.conditions.items() if not (seen and key in ("before", "after"))}
    rows = {**result.device, **stated, **seen}
    return {key.replace("_", " "): _plain(value) for key, value in rows.items() if value not in (None, "", [], {}, ())}


def _flags(result: Result, measurements: Mapping[str, Mapping[str, Any]]) -> list[str]:
    flags = [f"{name}: {flag}" for name in ("dense", "pruned") for flag in measurements.get(name, {}).get("flags", ())]
    return [flag for flag in flags if flag not in result.warnings]


def _plain(value: Any) -> str:
    """JSON types as a reader would write them down; what is unknown is left out."""
    if isinstance(value, Mapping):
        known = {str(key): part for key, part in value.items() if part is not None and key not in _COUNTERS}
        return ", ".join(f"{key.replace('_', ' ')} {_plain(part)}" for key, part in known.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _metrics(values: Mapping[str, float]) -> str:
    return ", ".join(
        f"{facts.metric_name(key).lower()} {facts.metric_text(key, value)}" for key, value in values.items()
    )


def _started(moment: str) -> str:
    try:
        return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return moment
