"""The pictures of `edgeprune compare`, as Plotly figure specifications; see `edgeprune.report.figures`."""

from html import escape
from math import degrees

import torch

from edgeprune.diagnose.comparison import Comparison
from edgeprune.diagnose.corruptions import CORRUPTIONS, SEVERITIES
from edgeprune.diagnose.robustness import Answers
from edgeprune.report import facts
from edgeprune.report.drawing import Spec, axes, bar, categories, dashed, height_of
from edgeprune.result import Network

COLOURS = 6


def all_figures(found: Comparison, shown: list[int]) -> dict[str, Spec]:
    """Every picture that there is data for, by name; `shown` are the images that pictures of samples show."""
    made = {
        "tradeoff": tradeoff(found),
        "severity": severity(found),
        "geometry": geometry(found, shown),
        "margins": margins(found, shown),
        "drift": drift(found),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def colour(found: Comparison, network: str) -> str:
    """Dense networks are grey; every run's pruned network has a colour of its own, as long as there are some."""
    owners = [name for name, pair in found.pairs.items() if pair[1] == network]
    return f"--run-{list(found.runs).index(owners[0]) % COLOURS}" if owners else "--dense"


def tradeoff(found: Comparison) -> Spec | None:
    """Primary metric on the final split over latency (median, p10 to p90): dense and pruned of every run."""
    metric = next(iter(found.runs.values())).primary_metric
    scale = 100 if metric in facts.METRICS else 1
    traces: list[Spec] = []
    for index, (name, result) in enumerate(found.runs.items()):
        for kind, network in (("dense", result.dense), ("pruned", result.pruned)):
            value, stats = facts.primary(result, network), network.latency_ms
            if value is not None and stats is not None:
                colour = f"--run-{index % COLOURS}"
                traces.append(_point(f"{name}, {kind}", kind, colour, stats.median, scale * value, network))
    if not traces:
        return None
    known = sorted({facts.evidence(result) for result in found.runs.values() if result.pruned.latency_ms})
    layout = axes(
        360, f"Latency, ms ({', '.join(known)})", escape(facts.metric_name(metric)) + (", %" if scale > 1 else "")
    )
    layout["xaxis"]["rangemode"] = "tozero"
    return {"data": traces, "layout": layout}


def _point(name: str, kind: str, colour: str, x: float, y: float, network: Network) -> Spec:
    assert network.latency_ms is not None
    error = {"type": "data", "symmetric": False, "array": [network.latency_ms.p90 - x], "thickness": 1.5}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name),
        "x": [x],
        "y": [y],
        "error_x": {**error, "arrayminus": [x - network.latency_ms.p10], "color": colour},
        "marker": {"size": 12, "color": colour, "symbol": "circle" if kind == "pruned" else "diamond-open"},
        "hovertemplate": f"{escape(name)}: %{{y:.4g}} at %{{x:.4g}} ms<extra></extra>",
    }


def severity(found: Comparison) -> Spec | None:
    """Accuracy over severity, the mean of all corruptions; severity 0 is clean."""
    if not found.answers:
        return None
    traces = []
    for name, answer in found.answers.items():
        means = [sum(answer.corrupted[c][i] for c in CORRUPTIONS) / len(CORRUPTIONS) for i in range(len(SEVERITIES))]
        style = {"color": colour(found, name)}
        trace = {"type": "scatter", "mode": "lines+markers", "name": escape(name), "x": [0, *SEVERITIES]}
        traces.append({**trace, "y": [100 * v for v in (answer.accuracy, *means)], "line": style, "marker": style})
    layout = axes(360, "Severity of the corruption", "Accuracy, %")
    layout["xaxis"]["dtick"] = 1
    return {"data": traces, "layout": layout}


def geometry(found: Comparison, shown: list[int]) -> Spec | None:
    """One mark an image and network: the norm of its features over their angle to the vector of its class."""
    traces = []
    for name, answer in found.answers.items():
        if answer.geometry is not None:
            right = (answer.predicted == found.targets)[shown]
            trace = _samples(found, name, shown)
            trace["x"] = [round(degrees(v), 3) for v in answer.geometry.own[shown].tolist()]
            trace["y"] = [float(f"{v:.5g}") for v in answer.geometry.norm[shown].tolist()]
            trace["marker"]["symbol"] = ["circle" if ok else "x" for ok in right.tolist()]
            traces.append(trace)
    layout = axes(440, "Angle to the true class, degrees", "Norm of the features")
    return {"data": traces, "layout": layout} if traces else None


def margins(found: Comparison, shown: list[int]) -> Spec | None:
    """One mark an image and run: the logit margin of the pruned network over that of the dense one."""
    traces = []
    for dense, pruned in found.pairs.values():
        before, after = found.answers[dense].geometry, found.answers[pruned].geometry
        if before is not None and after is not None:
            trace = _samples(found, pruned, shown)
            trace["x"] = [float(f"{v:.5g}") for v in before.logit_margin[shown].tolist()]
            trace["y"] = [float(f"{v:.5g}") for v in after.logit_margin[shown].tolist()]
            traces.append(trace)
    layout = axes(440, "Logit margin, dense", "Logit margin, pruned")
    ends = {"color": "--faint"}
    layout["shapes"] = [
        dashed(x0=0, x1=0, y0=0, y1=1, yref="paper", **ends),
        dashed(x0=0, x1=1, xref="paper", y0=0, y1=0, **ends),
    ]
    return {"data": traces, "layout": layout} if traces else None


def _samples(found: Comparison, network: str, shown: list[int]) -> Spec:
    """A trace of one mark an image; `customdata` is its place among those shown."""
    names = [escape(found.class_names[target]) for target in found.targets[shown].tolist()]
    hover = f"%{{text}}, {escape(network)}: %{{x:.4g}}, %{{y:.4g}}<extra></extra>"
    marker = {"size": 7, "color": colour(found, network), "opacity": 0.65}
    style = {"type": "scatter", "mode": "markers", "name": escape(network), "marker": marker}
    return {**style, "text": names, "hovertemplate": hover, "customdata": list(range(len(shown)))}


def drift(found: Comparison) -> Spec | None:
    """By how many degrees severity 3 of every corruption turns the features, the mean over the images."""
    traces = [
        bar(escape(name), list(CORRUPTIONS), [degrees(a.drift[c]) for c in CORRUPTIONS], colour(found, name), None)
        for name, a in found.answers.items()
        if a.drift is not None
    ]
    if not traces:
        return None
    layout = axes(height_of(len(CORRUPTIONS), 12 + 10 * len(traces)), "Mean turn, degrees", "")
    return {"data": traces, "layout": categories({**layout, "barmode": "group"}, list(CORRUPTIONS))}


def fragile(found: Comparison, run: str, most: int) -> list[int]:
    """Images that the run's dense network recognises and its pruned one does not, the dense one's surest first."""
    before, after = (found.answers[name] for name in found.pairs[run])
    lost = torch.nonzero((before.predicted == found.targets) & (after.predicted != found.targets))[:, 0]
    sure = _sureness(before)[lost]
    return [int(i) for i in lost[sure.argsort(descending=True)][:most]]


def _sureness(answer: Answers) -> torch.Tensor:
    return torch.zeros(len(answer.predicted)) if answer.geometry is None else answer.geometry.logit_margin
