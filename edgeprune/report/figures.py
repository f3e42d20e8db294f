"""The pictures of the report as Plotly figure specifications (plain dicts: `data`, `layout`).

Colours are names of the page's CSS variables ("--pruned"), resolved in the browser, so that one file is readable in
light and in dark. Names from outside are HTML-escaped, because Plotly reads a little HTML in its texts.
"""

from collections.abc import Mapping
from html import escape
from math import isfinite, nan
from statistics import median
from typing import Any

from edgeprune.report import facts
from edgeprune.report.drawing import Spec, axes, bar, categories, dashed, height_of, padded, short
from edgeprune.report.method_figures import pq_index
from edgeprune.result import Network, Result

SHOWN_CLASSES = 40
SHOWN_LAYERS = 40
COURSE_POINTS = 50
BINS = 80


def all_figures(result: Result, measurements: Mapping[str, Mapping[str, Any]]) -> dict[str, Spec]:
    """Every picture that the result has data for, by name."""
    made = {
        "tradeoff": tradeoff(result),
        "rounds": rounds(result),
        "widths": widths(result),
        "layers": layers(result),
        "recall": recall(result),
        "confusion": confusion(result),
        "histogram": histogram(measurements),
        "course": course(measurements),
        "recovery": recovery(result),
        "pq_index": pq_index(result),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def tradeoff(result: Result) -> Spec | None:
    """Primary metric over latency: dense, pruned (median, p10 to p90) and the latency budget."""
    points = (("dense", result.dense), ("pruned", result.pruned))
    traces = [trace for name, network in points if (trace := _point(result, name, network))]
    if not traces:
        return None
    ends = [y for trace in traces for y in trace["y"]]
    known = facts.METRICS.get(result.primary_metric)
    traces += _candidates(result, padded(ends)[0])
    layout = axes(320, "Latency, ms", f"{known}, %" if known else escape(result.primary_metric))
    layout["xaxis"]["rangemode"] = "tozero"
    layout["yaxis"] |= {"nticks": 6, "range": padded(ends)}
    limit = facts.requirement(result, "latency")
    if limit is not None and limit.unit == "ms":
        layout["shapes"] = [dashed(x0=limit.limit, x1=limit.limit, y0=0, y1=1, yref="paper")]
        widest = max(network.latency_ms.p90 for _, network in points if network.latency_ms is not None)
        left = limit.limit < 0.5 * widest  # no room for words on that side
        side = {"xanchor": "left", "xshift": 4} if left else {"xanchor": "right", "xshift": -4}
        layout["annotations"] = [
            {"x": limit.limit, "y": 1, "yref": "paper", "text": f"budget {limit.limit:.3g} ms", "showarrow": False}
            | {"yanchor": "top", "font": {"color": "--budget"}, **side}
        ]
    return {"data": traces, "layout": layout}


def _candidates(result: Result, floor: float) -> list[Spec]:
    """The candidates of the search on the lower edge, for none was trained: open as predicted, filled as timed."""
    made = []
    for label, symbol, values in (
        ("candidates, predicted", "triangle-up-open", [r.predicted_ms for r in result.search.rounds]),
        (f"candidates, {facts.evidence(result)}", "triangle-up", [r.measured_ms for r in result.search.rounds]),
    ):
        seen = [(str(i + 1), ms) for i, ms in enumerate(values) if ms is not None]
        if seen:
            trace: Spec = {"type": "scatter", "mode": "markers", "name": label, "x": [ms for _, ms in seen]}
            trace |= {"y": [floor] * len(seen), "text": [number for number, _ in seen], "cliponaxis": False}
            trace |= {"marker": {"size": 9, "color": "--budget", "symbol": symbol}}
            made.append({**trace, "hovertemplate": f"{label} %{{text}}: %{{x:.4g}} ms, untrained<extra></extra>"})
    return made


def _point(result: Result, name: str, network: Network) -> Spec | None:
    value, stats = facts.primary(result, network), network.latency_ms
    if value is None or stats is None:
        return None
    shown = 100 * value if result.primary_metric in facts.METRICS else value
    error = {"type": "data", "symmetric": False, "array": [stats.p90 - stats.median]}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [stats.median],
        "y": [shown],
        "error_x": {**error, "arrayminus": [stats.median - stats.p10], "color": f"--{name}", "thickness": 1.5},
        "marker": {"size": 13, "color": f"--{name}", "symbol": "circle" if name == "pruned" else "diamond"},
        "hovertemplate": f"{name}: %{{y:.4g}} at %{{x:.4g}} ms<extra></extra>",
    }


def rounds(result: Result) -> Spec | None:
    """The candidates of the search: predicted against measured latency; on the diagonal the prediction was right."""
    seen = [r for r in result.search.rounds if r.predicted_ms is not None and r.measured_ms is not None]
    if not seen:
        return None
    limit = facts.requirement(result, "latency")
    share = limit is not None and limit.asked.endswith("%") and all(r.measured_ratio for r in seen)
    unit = "% of dense" if share else "ms"
    known = facts.evidence(result)
    scale = [100 * (r.measured_ratio or 0.0) / (r.measured_ms or 1.0) if share else 1.0 for r in seen]
    predicted = [k * (r.predicted_ms or 0.0) for k, r in zip(scale, seen, strict=True)]
    measured = [k * (r.measured_ms or 0.0) for k, r in zip(scale, seen, strict=True)]
    low, high = 0.95 * min(predicted + measured), 1.05 * max(predicted + measured)
    order = [str(i + 1) for i in range(len(seen))]
    layout = axes(320, f"Predicted, {unit}", f"{known.capitalize()}, {unit}")
    layout["shapes"] = [dashed(x0=low, x1=high, y0=low, y1=high, color="--faint")]
    if limit is not None and limit.unit == "ms":
        budget = (
            100 * limit.limit / result.dense.latency_ms.median if share and result.dense.latency_ms else limit.limit
        )
        layout["shapes"].append(dashed(x0=0, x1=1, xref="paper", y0=budget, y1=budget))
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "name": "candidates",
        "x": predicted,
        "y": measured,
        "text": order,
        "textposition": "top center",
        "marker": {"size": 9, "color": "--pruned"},
        "hovertemplate": "candidate %{text}: predicted %{x:.4g}, " + known + " %{y:.4g} " + unit + "<extra></extra>",
    }
    return {"data": [trace], "layout": {**layout, "showlegend": False}}


def widths(result: Result) -> Spec | None:
    """Units of every channel group, before and after."""
    groups = facts.widths(result)
    if not groups:
        return None
    names = [escape(short(name)) for name in groups]
    bars = [
        bar("dense", names, [dense for dense, _ in groups.values()], "--dense-soft", 0.8),
        bar("kept", names, [kept for _, kept in groups.values()], "--pruned", 0.45),
    ]
    layout = axes(height_of(len(names)), "Units", "")
    layout["barmode"] = "overlay"
    return {"data": bars, "layout": categories(layout, names)}


def layers(result: Result) -> Spec | None:
    """Where the milliseconds go: the predicted time of the slowest layers, dense and pruned."""
    slowest = sorted(result.search.layers, key=lambda layer: -layer.dense_ms)[:SHOWN_LAYERS]
    shown = [layer for layer in result.search.layers if layer in slowest]
    if not shown:
        return None
    names = [escape(short(layer.name)) for layer in shown]
    bars = [
        bar("dense", names, [layer.dense_ms for layer in shown], "--dense-soft", 0.8),
        bar("pruned", names, [layer.predicted_ms for layer in shown], "--pruned", 0.45),
    ]
    layout = axes(height_of(len(names)), "Predicted, ms", "")
    return {"data": bars, "layout": categories({**layout, "barmode": "overlay"}, names)}


def recall(result: Result) -> Spec | None:
    """Recall of every class with 95 % intervals, dense and pruned; of many classes those that lost most."""
    rows = recall_rows(result)
    if not rows:
        return None
    shown = rows[:SHOWN_CLASSES]
    names = [escape(short(name)) for name, _, _ in shown]
    bars = [
        bar("dense", names, [_as_percent(dense) for _, dense, _ in shown], "--dense-soft", None),
        bar("pruned", names, [_as_percent(pruned) for _, _, pruned in shown], "--pruned", None),
    ]
    for drawn, network in zip(bars, (result.dense, result.pruned), strict=True):
        ends = facts.recall_intervals(network, result)
        if ends:
            drawn["error_x"] = _whiskers(drawn["x"], [ends.get(name) for name, _, _ in shown])
    layout = axes(height_of(len(names), 30), f"Recall on {escape(result.data.final_split)}, %", "")
    layout["barmode"] = "group"
    layout["xaxis"]["range"] = [0, 100]
    return {"data": bars, "layout": categories(layout, names)}


def _whiskers(centres: list[float | None], ends: list[tuple[float, float] | None]) -> Spec:
    pairs = [
        (0.0, 0.0) if c is None or e is None else (c - 100 * e[0], 100 * e[1] - c)
        for c, e in zip(centres, ends, strict=True)
    ]
    sides = {"arrayminus": [max(0.0, low) for low, _ in pairs], "array": [max(0.0, high) for _, high in pairs]}
    return {"type": "data", "symmetric": False, **sides, "color": "--ink", "thickness": 1, "width": 3}


def confusion(result: Result) -> Spec | None:
    """The pruned network's answers by true class, as shares of the class; hovering tells the dense network's too."""
    dense, pruned, names = result.dense.confusion, result.pruned.confusion, result.data.class_names
    if dense is None or pruned is None or len(pruned) > SHOWN_CLASSES:
        return None
    labels = [escape(short(name, 14)) for name in names or map(str, range(len(pruned)))]
    shares = [[count / max(1, sum(row)) for count in row] for row in pruned]
    hover = "%{y} taken for %{x}: %{customdata[1]} of %{customdata[2]} (dense %{customdata[0]})<extra></extra>"
    trace: Spec = {
        "type": "heatmap",
        "x": labels,
        "y": labels,
        "z": shares,
        "zmin": 0,
        "zmax": 1,
        "customdata": [
            [[a, b, sum(after)] for a, b in zip(before, after, strict=True)]
            for before, after in zip(dense, pruned, strict=True)
        ],
        "text": [[str(count) if count else "" for count in row] for row in pruned],
        "texttemplate": "%{text}" if len(labels) <= 20 else "",
        "colorscale": [[0, "--paper"], [1, "--pruned"]],
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": hover,
    }
    layout = axes(max(360, height_of(len(labels), 26)), "Answer of the pruned network", "True class")
    layout["xaxis"] |= {"showgrid": False, "type": "category", "tickangle": -45}
    layout["yaxis"] |= {"showgrid": False, "type": "category", "autorange": "reversed"}
    return {"data": [trace], "layout": layout}


def recall_rows(result: Result) -> list[tuple[str, float | None, float | None]]:
    """(class, dense recall, pruned recall); the order of the classes, or by loss of recall where they are many."""
    dense, pruned = result.dense.per_class_recall, result.pruned.per_class_recall
    if dense is None or pruned is None:
        return []
    names = result.data.class_names or [str(i) for i in range(len(pruned))]
    rows = list(zip(names, dense, pruned, strict=False))
    return rows if len(rows) <= SHOWN_CLASSES else sorted(rows, key=_recall_change)


def _recall_change(row: tuple[str, float | None, float | None]) -> float:
    _, dense, pruned = row
    return 0.0 if dense is None or pruned is None else pruned - dense


def histogram(measurements: Mapping[str, Mapping[str, Any]]) -> Spec | None:
    """Every raw latency sample of the final measurement.

    Where some runs were held up, the picture opens on those below twice the 90th percentile, and says how many lie
    beyond: all are in it, a double click shows them.
    """
    kept = {name: list(measurements.get(name, {}).get("samples_ms") or ()) for name in ("dense", "pruned")}
    every = [ms for samples in kept.values() for ms in samples]
    if not every:
        return None
    tenths = [sorted(samples)[int(0.9 * (len(samples) - 1))] for samples in kept.values() if samples]
    low, high = min(every), min(max(every), 2 * max(tenths))
    bins = {"start": low, "end": max(every) + (high - low) / BINS, "size": (high - low) / BINS or 1.0}
    traces: list[Spec] = [
        {
            "type": "histogram",
            "name": name,
            "x": samples,
            "marker": {"color": f"--{name}"},
            "opacity": 0.7,
            "xbins": bins,
        }
        for name, samples in kept.items()
        if samples
    ]
    layout = {**axes(280, "Latency of one run, ms", "Runs"), "barmode": "overlay"}
    if beyond := sum(ms > high for ms in every):
        layout["xaxis"]["range"] = [low - 0.02 * (high - low), high]
        text = f"{beyond} of {len(every)} runs took longer, up to {max(every):.3g} ms"
        corner = {"x": 1, "y": 1, "xref": "paper", "yref": "paper", "xanchor": "right", "yanchor": "top"}
        layout["annotations"] = [{**corner, "text": text, "showarrow": False, "font": {"color": "--faint", "size": 12}}]
    return {"data": traces, "layout": layout}


def course(measurements: Mapping[str, Mapping[str, Any]]) -> Spec | None:
    """Latency in the course of the final measurement: medians of consecutive samples, so that a drift shows."""
    traces = []
    for name in ("dense", "pruned"):
        samples = list(measurements.get(name, {}).get("samples_ms") or ())
        if len(samples) >= 2 * COURSE_POINTS:
            step = len(samples) // COURSE_POINTS
            parts = [samples[i : i + step] for i in range(0, step * COURSE_POINTS, step)]
            style = {"color": f"--{name}"}
            trace: Spec = {"type": "scatter", "mode": "lines", "name": name, "line": style}
            traces.append({**trace, "x": [step * i for i in range(len(parts))], "y": [median(part) for part in parts]})
    layout = axes(260, "Runs since the start", "Median latency, ms")
    layout["yaxis"]["rangemode"] = "tozero"
    return {"data": traces, "layout": layout} if traces else None


def recovery(result: Result) -> Spec | None:
    """The primary metric on val after every epoch of recovery, with the dense network's value as a line."""
    if result.recovery is None:
        return None
    name = result.primary_metric
    scale = 100.0 if name in facts.METRICS else 1.0
    points = [
        (i + 1, scale * epoch[name]) for i, epoch in enumerate(result.recovery.epochs) if isfinite(epoch.get(name, nan))
    ]
    if not points:
        return None
    known = facts.METRICS.get(name)
    layout = axes(280, "Epoch", f"{known} on val, %" if known else f"{escape(name)} on val")
    layout["xaxis"]["dtick"] = max(1, len(points) // 8)
    dense = result.dense.val_metrics.get(name)
    if dense is not None and isfinite(dense):
        layout["shapes"] = [dashed(x0=0, x1=1, xref="paper", y0=scale * dense, y1=scale * dense, color="--dense")]
        shown = [*(y for _, y in points), scale * dense]
        layout["yaxis"]["range"] = padded(shown)  # Plotly's own range would ignore the line
    trace: Spec = {"type": "scatter", "mode": "lines+markers", "name": "pruned", "x": [x for x, _ in points]}
    trace |= {"y": [y for _, y in points], "line": {"color": "--pruned"}, "marker": {"color": "--pruned", "size": 7}}
    return {"data": [trace], "layout": {**layout, "showlegend": False}}


def _as_percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
