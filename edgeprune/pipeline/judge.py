"""Is the budget met? Judged on the final, trained, converted file, in fresh processes, against the dense file."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeprune.quantity import BASE_UNIT, Limit, Statistic
from edgeprune.result import LatencyStats, Requirement
from profilers.measurement import Latency, Measurement, Ratio

MIB = 2.0**20


@dataclass(frozen=True)
class Costs:
    """What one network costs; None where it was not measured."""

    macs: int
    params: int
    size_bytes: int
    latency: LatencyStats | None = None
    peak_memory_mib: float | None = None


def latency_stats(measurement: Measurement) -> LatencyStats:
    """The part of a measurement that result.json keeps."""
    latency = measurement.latency
    return LatencyStats(
        median=latency.median,
        p10=latency.p10,
        p90=latency.p90,
        n=latency.n,
        ci95=latency.ci95,
        p90_ci95=latency.p90_ci95,
    )


def upper_end(statistic: Statistic, latency: LatencyStats | Latency) -> float:
    """The upper end of the 95 % interval of what an absolute latency limit is about, ms."""
    interval = latency.ci95 if statistic == "median" else latency.p90_ci95
    return interval[1] if interval is not None else latency.p90


@dataclass(frozen=True)
class Row:
    """Dense and pruned on one target: `kind` labels what was measured there, `device` names it if there are several."""

    dense: Costs
    pruned: Costs
    ratio: Ratio | None
    kind: str = "measured"
    device: str | None = None


def judge_all(limits: Sequence[Limit], rows: Sequence[Row]) -> list[Requirement]:
    """Every limit: latency and memory on each target, what is counted once."""
    found = []
    for limit in limits:
        for row in rows if limit.kind in ("latency", "memory") else rows[:1]:
            requirement = judge(limit, row.dense, row.pruned, row.ratio, row.kind)
            found.append(requirement.model_copy(update={"device": row.device}))
    return found


def judge(limit: Limit, dense: Costs, pruned: Costs, ratio: Ratio | None, kind: str = "measured") -> Requirement:
    """One limit against what was reached.

    Latency is met when the upper end of the 95 % interval lies within the limit: that of the median (or of the 90th
    percentile) for an absolute limit, that of the paired A-B-B-A ratio for a relative one.
    """
    before, after = _amounts(limit, dense), _amounts(limit, pruned)
    resolved = limit.absolute(before) if before is not None else limit.value
    share = after / before if after is not None and before else None
    interval: tuple[float, float] | None = None
    source = "counted"
    if limit.kind in ("latency", "memory"):
        source = kind if after is not None else "not measured"
    used = after / resolved if after is not None else None
    if limit.kind == "latency" and pruned.latency is not None and ratio is not None:
        share, interval = ratio.median, ratio.ci95
        used = (interval[1] if limit.relative else upper_end(limit.statistic, pruned.latency)) / limit.value
    met = used <= 1 if used is not None else None
    return Requirement(
        kind=limit.kind,
        asked=limit.text,
        limit=resolved,
        achieved=after,
        unit=BASE_UNIT[limit.kind],
        ratio=share,
        ratio_ci95=interval,
        used=used,
        source=source,  # type: ignore[arg-type]
        met=met,
        note=_note(limit, resolved, after, share, met),
    )


def _amounts(limit: Limit, costs: Costs) -> float | None:
    if limit.kind == "latency":
        return getattr(costs.latency, limit.statistic) if costs.latency else None
    if limit.kind == "memory":
        return costs.peak_memory_mib * MIB if costs.peak_memory_mib is not None else None
    return float(costs.size_bytes if limit.kind == "file_size" else costs.macs)


def _note(limit: Limit, resolved: float, after: float | None, share: float | None, met: bool | None) -> str:
    if after is None:
        return "not measured"
    used = share / limit.value if limit.relative and share is not None else after / resolved
    text = f"{used * 100:.0f} % of the budget"
    if met is False and used <= 1:
        return f"{text}, but its 95 % interval reaches beyond it"
    return text
