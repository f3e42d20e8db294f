"""What the report says, before it is HTML or a terminal table: the headline, the comparison, the budget.

Honesty rules: "faster" only if the 95 % interval of the paired ratio excludes 1; numbers of an emulated phone and
numbers that were not measured are called so wherever they appear.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from edgeprune.report import text
from edgeprune.result import ArtifactResult, LatencyStats, Network, Requirement, Result, Twin

Evidence = Literal["measured", "emulated", "not measured"]

RUNTIMES = {"litert": "LiteRT", "executorch": "ExecuTorch", "coreml": "Core ML"}
KINDS = {
    "latency": "Latency",
    "memory": "Peak memory",
    "file_size": "File size",
    "macs": "MACs",
    "class_recall": "Class recall",
}
METRICS = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro-F1"}


@dataclass(frozen=True)
class Row:
    """One line of the table dense against pruned; `change` is a ratio for costs and a difference for metrics."""

    label: str
    dense: str
    pruned: str
    change: str
    detail: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class TwinRow:
    """One line of the table float32 against the number format of the run, for one network."""

    label: str
    full: str
    reduced: str
    change: str


@dataclass(frozen=True)
class BudgetRow:
    """One limit: what was asked, what it came to, what was reached, how that is known."""

    label: str
    asked: str
    bound: Literal["at most", "at least"]
    limit: str
    achieved: str
    ratio: str
    source: str
    verdict: Literal["met", "not met", "unknown"]
    note: str


def evidence(result: Result) -> Evidence:
    """How latency and memory of this run are known."""
    if any(r.source == "emulated" for r in result.budget.requirements) or result.device.get("kind") == "emulated":
        return "emulated"
    measured = (result.dense.latency_ms, result.pruned.latency_ms)
    return "not measured" if None in measured else "measured"


def requirement(result: Result, kind: str) -> Requirement | None:
    """The limit of one kind, if the run had one."""
    return next((r for r in result.budget.requirements if r.kind == kind), None)


def primary(result: Result, network: Network) -> float | None:
    """The metric that the run maximised, on the final split; None where it is no finite number."""
    name = result.primary_metric
    value = getattr(network, name) if name in METRICS else None
    value = network.metrics.get(name) if value is None else value
    return value if value is not None and isfinite(value) else None


def metric_name(name: str) -> str:
    """A metric's name as people write it."""
    return METRICS.get(name, name.replace("_", " "))


def metric_text(name: str, value: float | None) -> str:
    """Known metrics as percentages, the user's own as they are."""
    if value is None:
        return "n/a"
    return text.percent(value) if name in METRICS else f"{value:.4g}"


def metric_change(name: str, dense: float | None, pruned: float | None) -> str:
    """Points for known metrics, a plain difference for the user's own."""
    if dense is None or pruned is None:
        return ""
    return text.points(pruned - dense) if name in METRICS else f"{pruned - dense:+.4g}"


def latency_ratio(result: Result) -> tuple[float, tuple[float, float] | None] | None:
    """Latency of pruned over dense: the paired ratio with its 95 % interval if there is one, else that of medians."""
    limit = requirement(result, "latency")
    if limit is not None and limit.ratio is not None:
        return limit.ratio, limit.ratio_ci95
    dense, pruned = result.dense.latency_ms, result.pruned.latency_ms
    return (pruned.median / dense.median, None) if dense and pruned else None


def widths(result: Result) -> dict[str, tuple[int, int]]:
    """Units of every channel group: (dense, kept), in the order of the network where that is known."""
    notes = result.groups.pruned + result.groups.clamped + result.groups.frozen
    known = {note.name: (note.dense, note.kept) for note in notes}
    stated = {name: (w["dense"], w["kept"]) for name, w in result.widths.items() if {"dense", "kept"} <= w.keys()}
    return {**stated, **{name: pair for name, pair in known.items() if name not in stated}}


def recall_intervals(network: Network, result: Result) -> dict[str, tuple[float, float] | None]:
    """95 % interval (Wilson) of the recall of every class; None where the split has none of it, empty if unknown."""
    from scipy.stats import binomtest

    if network.confusion is None:
        return {}
    names = result.data.class_names or [str(i) for i in range(len(network.confusion))]
    found: dict[str, tuple[float, float] | None] = {}
    for index, (name, row) in enumerate(zip(names, network.confusion, strict=False)):
        ends = binomtest(row[index], sum(row)).proportion_ci(method="wilson") if sum(row) else None
        found[name] = None if ends is None else (float(ends.low), float(ends.high))
    return found


def unpruned(result: Result) -> bool:
    """Whether the delivered network is the dense one."""
    return result.pruned.params == result.dense.params and result.pruned.macs == result.dense.macs


def where(result: Result) -> str:
    """Who measured: device, runtime, threads."""
    device = result.device.get("name") or result.device.get("soc") or result.target
    parts = [device, RUNTIMES.get(result.runtime, result.runtime)]
    if result.threads:
        parts.append(f"{result.threads} thread{'' if result.threads == 1 else 's'}")
    return ", ".join(parts)


def columns(result: Result) -> tuple[str, str]:
    """What the table compares: the network that went in and the one that came out, with their number formats."""
    if result.quantization is None:
        return "dense", "pruned"
    out = "dense" if unpruned(result) else "pruned"
    return "dense, float32", f"{out}, {result.quantization.dense.precision}"


def twin_rows(result: Result) -> list[TwinRow]:
    """What the number format costs and gains, dense network first; empty where the run did not quantise."""
    if result.quantization is None:
        return []
    named = {"dense": result.quantization.dense, "pruned": result.quantization.pruned}
    return [row for name, twin in named.items() if twin is not None for row in _rows_of_twin(result, name, twin)]


def shipped(result: Result) -> list[ArtifactResult]:
    """The files that the run is for: of the pruned network, or of a dense one that only had to be quantised."""
    if result.quantization is None:
        return [artifact for artifact in result.artifacts if artifact.network == "pruned"]
    network = "dense" if unpruned(result) else "pruned"
    return [a for a in result.artifacts if a.network == network and a.precision != "float32"]


def _rows_of_twin(result: Result, name: str, twin: Twin) -> list[TwinRow]:
    metric = result.primary_metric
    before, after = twin.float_metrics.get(metric), (twin.metrics or {}).get(metric)
    ratio = "" if twin.ratio is None else text.percent(twin.ratio, 1)
    shown = metric_text(metric, after) if twin.metrics is not None else text.MISSING
    return [
        TwinRow(
            f"{name}, {metric_name(metric).lower()}",
            metric_text(metric, before),
            shown,
            metric_change(metric, before, after),
        ),
        TwinRow(f"{name}, latency", _median(twin.float_latency_ms), _median(twin.latency_ms), ratio),
        TwinRow(
            f"{name}, file size",
            text.size(twin.float_size_bytes),
            text.size(twin.size_bytes),
            text.percent(twin.size_bytes / twin.float_size_bytes, 1),
        ),
    ]


def _median(stats: LatencyStats | None) -> str:
    return text.milliseconds(stats.median if stats else None)


def headline(result: Result) -> str:
    """One plain sentence: met or not, from what to what, at what accuracy, measured where."""
    return f"{_verdict(result)} {_cost(result)}{_quality(result)}{_provenance(result)}."


def _verdict(result: Result) -> str:
    if unpruned(result):
        return "Nothing was pruned:" if result.met else "Budget not met, and nothing was pruned:"
    return "Budget met:" if result.met else "Budget not met:"


def _cost(result: Result) -> str:
    dense, pruned = result.dense, result.pruned
    if dense.latency_ms is not None and pruned.latency_ms is not None and (ratio := latency_ratio(result)):
        before, after = text.milliseconds(dense.latency_ms.median), text.milliseconds(pruned.latency_ms.median)
        if unpruned(result) and result.quantization is None:
            return f"the dense {result.model} takes {after} (asked: {result.budget.text})"
        the, reference = ("the dense ", "float32") if unpruned(result) else ("", "dense")
        shown = f"{text.percent(ratio[0], 1)} of {reference}; asked: {result.budget.text}"
        return f"{the}{_name(result)} takes {after} instead of {before} ({shown}){_speed(result, ratio)}"
    macs = f"{text.count(pruned.macs)} MACs"
    if unpruned(result):
        return f"the dense {result.model} has {macs} (asked: {result.budget.text})"
    share = text.percent(pruned.macs / dense.macs, 1)
    return f"{result.model} has {macs} instead of {text.count(dense.macs)} ({share}; asked: {result.budget.text})"


def _name(result: Result) -> str:
    return result.model if result.quantization is None else f"{result.model} in {result.quantization.quantize}"


def _speed(result: Result, ratio: tuple[float, tuple[float, float] | None]) -> str:
    value, interval = ratio
    if interval is None or evidence(result) == "emulated":
        return ""
    if interval[1] < 1:
        return f", {1 / value:.2f} times faster"
    return ", slower" if interval[0] > 1 else ", no measurable difference"


def _quality(result: Result) -> str:
    name = result.primary_metric
    dense, pruned = primary(result, result.dense), primary(result, result.pruned)
    if pruned is None:
        return ""
    shown = f", at {metric_text(name, pruned)} {metric_name(name).lower()} on {result.data.final_split}"
    if dense is None or (unpruned(result) and result.quantization is None):
        return shown
    change = metric_change(name, dense, pruned).replace(" pts", " points")
    return f"{shown} (dense {metric_text(name, dense)}, {change})"


def _provenance(result: Result) -> str:
    if evidence(result) == "not measured":
        return "; latency and memory were not measured"
    if evidence(result) == "emulated":
        return f"; timed on an emulated phone ({where(result)}): these are not a phone's numbers"
    return f", measured on {where(result)}"


def comparison(result: Result) -> list[Row]:
    """The table dense against pruned: metrics on the final split first, then costs."""
    return _metric_rows(result) + _cost_rows(result)


def _metric_rows(result: Result) -> list[Row]:
    dense, pruned = result.dense, result.pruned
    rows = []
    for name, label in METRICS.items():
        before, after = getattr(dense, name), getattr(pruned, name)
        if before is not None or after is not None:
            change = metric_change(name, before, after)
            rows.append(Row(label, metric_text(name, before), metric_text(name, after), change))
    for name in dict.fromkeys([*dense.metrics, *pruned.metrics]):
        if name not in METRICS:
            before, after = dense.metrics.get(name), pruned.metrics.get(name)
            change = metric_change(name, before, after)
            rows.append(Row(metric_name(name), metric_text(name, before), metric_text(name, after), change))
    return rows


def _cost_rows(result: Result) -> list[Row]:
    dense, pruned = result.dense, result.pruned
    mark = " (emulated)" if evidence(result) == "emulated" else ""
    ratio = latency_ratio(result)
    latency = Row(
        f"Latency, median{mark}",
        text.milliseconds(dense.latency_ms.median if dense.latency_ms else None),
        text.milliseconds(pruned.latency_ms.median if pruned.latency_ms else None),
        text.percent(ratio[0], 1) if ratio else "",
        (_spread(dense), _spread(pruned)),
    )
    return [
        latency,
        _ratio_row(f"Peak memory{mark}", text.mebibytes, dense.peak_memory_mib, pruned.peak_memory_mib),
        _ratio_row("MACs", text.count, dense.macs, pruned.macs),
        _ratio_row("Parameters", text.count, dense.params, pruned.params),
        _ratio_row("File size", text.size, dense.size_bytes, pruned.size_bytes),
    ]


def _spread(network: Network) -> str:
    stats = network.latency_ms
    return f"{text.significant(stats.p10)} to {text.significant(stats.p90)}" if stats else ""


def _ratio_row(label: str, show: Callable[[float | None], str], dense: float | None, pruned: float | None) -> Row:
    change = text.percent(pruned / dense, 1) if dense and pruned is not None else ""
    return Row(label, show(dense), show(pruned), change)


def budget_rows(result: Result) -> list[BudgetRow]:
    """Every limit of the run, with how its achieved value is known."""
    return [_budget_row(r) for r in result.budget.requirements]


def _budget_row(r: Requirement) -> BudgetRow:
    ratio = "" if r.ratio is None else text.percent(r.ratio, 1)
    if r.ratio is not None and r.ratio_ci95 is not None:
        ratio += f" ({100 * r.ratio_ci95[0]:.1f} to {100 * r.ratio_ci95[1]:.1f})"
    verdict: Literal["met", "not met", "unknown"] = "unknown" if r.met is None else "met" if r.met else "not met"
    limit, achieved = text.quantity(r.limit, r.unit), text.quantity(r.achieved, r.unit)
    bound: Literal["at most", "at least"] = "at least" if r.kind == "class_recall" else "at most"
    label = f"{KINDS[r.kind]} on {r.device}" if r.device else KINDS[r.kind]
    return BudgetRow(label, r.asked, bound, limit, achieved, ratio, r.source, verdict, r.note)
