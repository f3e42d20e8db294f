"""Several budgets at once for people: a table on the terminal and a picture of accuracy over latency."""

from html import escape
from pathlib import Path

import plotly.graph_objects as go
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.answers import Front
from edgeprune.files import write_text
from edgeprune.report import facts, text

_STYLES = {True: "green", False: "red"}


def render_front(front: Front) -> RenderableType:
    """One line a budget; 80 columns wide at most."""
    name = front.primary_metric
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("budget")
    for column in ("latency", "of dense", f"{facts.metric_name(name)}, val", "final", "MACs", "met"):
        table.add_column(column, justify="right")
    table.add_row(
        "dense", text.milliseconds(front.dense_ms), "100.0 %", "", facts.metric_text(name, front.dense_metric), "", ""
    )
    for point in front.points:
        known = point.path is not None
        table.add_row(
            Text(point.asked),
            text.milliseconds(point.ms) if known else "",
            text.percent(point.ratio, 1) if known else "",
            facts.metric_text(name, point.val_metric) if known else "",
            facts.metric_text(name, point.metric) if known else "",
            text.count(point.macs) if known else "",
            Text("yes" if point.met else "no", style=_STYLES[point.met]),
        )
    places = [Text(f"{point.asked}: {point.path or point.outcome}") for point in front.points]
    heading = Text(f"{front.model}, latencies {front.kind}; choose by val", style="bold")
    return Group(heading, table, *places, *_answer(front))


def _answer(front: Front) -> list[Text]:
    """What `--max-drop` asked for."""
    if front.max_drop is None:
        return []
    name = facts.metric_name(front.primary_metric).lower()
    asked = f"at most {front.max_drop:g} points of {name} lost on val"
    chosen = next((point for point in front.points if point.asked == front.chosen), None)
    if chosen is None or chosen.drop is None:
        least = min((point.drop for point in front.points if point.drop is not None), default=None)
        known = "" if least is None else f"; the mildest that was tried lost {least:.2f}"
        return [Text(f"No faster network with {asked}{known}. Try --epochs, or --latency 90%.", style="red")]
    of_dense = f"{text.percent(chosen.ratio, 1)} of dense, {-chosen.drop:+.2f} points on val"
    return [Text(f"The fastest with {asked}: {of_dense}, in {chosen.path}", style="green")]


def write_front(front: Front, path: Path) -> None:
    """The picture as an HTML file that needs no network."""
    points = [point for point in front.points if point.ms is not None and point.val_metric is not None]
    points.sort(key=lambda point: point.ms or 0.0)
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[point.ms for point in points],
            y=[point.val_metric for point in points],
            text=[escape(point.asked) for point in points],
            mode="lines+markers+text",
            textposition="top center",
            name="pruned",
        )
    )
    name = escape(facts.metric_name(front.primary_metric))
    figure.update_layout(
        title=f"{escape(front.model)}: {name} on val over latency ({front.kind})",
        xaxis={"title": "Latency, ms", "rangemode": "tozero"},
        yaxis={"title": f"{name} on val"},
        template="plotly_white",
    )
    if front.dense_ms is not None:
        figure.add_vline(x=front.dense_ms, line_dash="dot", annotation_text="dense")
    if front.max_drop is not None and front.dense_val_metric is not None:
        figure.add_hline(
            y=front.dense_val_metric - front.max_drop / 100,
            line_dash="dot",
            annotation_text=f"dense - {front.max_drop:g} points",
        )
    write_text(path, figure.to_html(include_plotlyjs=True, full_html=True))
