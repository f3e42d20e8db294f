"""A cost table for people: which layers cost what, how much narrower ones save, and how well it predicts."""

from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.answers import TableCheck, TableResult
from edgeprune.files import write_text
from edgeprune.report import text

_SHOWN = 15
_COLUMNS = 3


def render_table(result: TableResult) -> RenderableType:
    """The dearest layers, dense and at their narrowest; 80 columns wide at most."""
    head = Text.assemble(
        (result.model, "bold"),
        f" on {result.target}, LiteRT, {result.threads} thread(s): {result.measured_now} layers {result.kind} now, "
        f"{result.known_before} known from before",
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", overflow="ellipsis", no_wrap=True, max_width=30)
    for column in ("op", "in", "out", "dense, ms", "narrowest, ms"):
        table.add_column(column, justify="left" if column == "op" else "right")
    ranked = sorted(result.layers, key=lambda layer: -layer.ms[-1][-1])
    for layer in ranked[:_SHOWN]:
        dense, least = (text.milliseconds(ms).removesuffix(" ms") for ms in (layer.ms[-1][-1], layer.ms[0][0]))
        table.add_row(layer.name, layer.op, str(layer.c_in), str(layer.c_out), dense, least)
    rest = len(ranked) - _SHOWN
    return Group(head, table, Text(f"and {rest} more layers" if rest > 0 else ""))


def render_check(check: TableCheck) -> RenderableType:
    """The shares, beside those of the clock itself."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "within 10 %", "within 5 %", "networks"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row(
        f"predicted against {check.kind}", f"{check.within_10:.1%}", f"{check.within_5:.1%}", str(check.vectors)
    )
    table.add_row(
        "the same file twice", f"{check.clock_within_10:.1%}", f"{check.clock_within_5:.1%}", str(check.repeated)
    )
    where = f"{check.model} on {check.target}, {check.runtime}, {check.threads} thread(s)"
    return Group(Text(f"{where}; random widths drawn after fitting, files {check.candidates}"), table)


def write_plot(result: TableResult, path: Path) -> None:
    """One small picture a layer, a line for each number of input channels: an HTML file that needs no network."""
    layers = [layer for layer in result.layers if len(layer.outs) > 1 or len(layer.ins) > 1]
    rows = max(1, -(-len(layers) // _COLUMNS))
    figure = make_subplots(
        rows=rows, cols=_COLUMNS, subplot_titles=[layer.name for layer in layers], vertical_spacing=0.25 / rows
    )
    for number, layer in enumerate(layers):
        for c_in, line in zip(layer.ins, layer.ms, strict=True):
            wide = len(layer.outs) > 1
            trace = go.Scatter(
                x=layer.outs if wide else layer.ins,
                y=line if wide else [ms[0] for ms in layer.ms],
                name=f"{c_in} in",
                mode="lines+markers",
                showlegend=False,
            )
            figure.add_trace(trace, row=number // _COLUMNS + 1, col=number % _COLUMNS + 1)
            if not wide:
                break
    title = f"{result.model} on {result.target}: ms of single layers ({result.kind}) against their channels"
    figure.update_layout(title=title, height=240 * rows + 80, template="plotly_white")
    write_text(path, figure.to_html(include_plotlyjs=True, full_html=True))
