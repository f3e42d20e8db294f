"""The end of a run on the terminal: headline, table, budget, where the files lie. Fits 80 columns."""

from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.report import facts
from edgeprune.report.text import percent
from edgeprune.result import Result

_STYLES = {"met": "green", "not met": "red", "unknown": "yellow"}


def render(result: Result, run_dir: Path | None = None) -> RenderableType:
    """What to print with Rich. Text from outside is never read as markup.

    `run_dir` is where the run was written; without it, what the result knows of that.
    """
    parts: list[RenderableType] = []
    if facts.evidence(result) == "not measured":
        parts.append(Text("Not measured: static report.", style="yellow"))
    parts.append(Text(facts.headline(result), style="bold"))
    if result.outcome not in ("", "met"):
        parts.append(Text(result.outcome))
    parts += [Text(), _comparison(result), _budget(result)]
    if result.quantization is not None:
        parts += [Text(), Text(result.quantization.note), _number_formats(result)]
    if result.controls:
        parts += [Text(), Text("The same widths from random weights:"), _controls(result)]
    parts += [Text(f"Warning: {warning}", style="yellow") for warning in result.warnings]
    parts += [Text(), _files(result, run_dir)]
    return Group(*parts)


def as_text(result: Result) -> str:
    """The same as plain text of 80 columns."""
    console = Console(width=80, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render(result))
    return capture.get()


def _comparison(result: Result) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in (*facts.columns(result), "change"):
        table.add_column(name, justify="right")
    for row in facts.comparison(result):
        table.add_row(Text(row.label), row.dense, row.pruned, row.change)
        if any(row.detail):
            table.add_row(Text("  p10 to p90", style="dim"), *(Text(cell, style="dim") for cell in row.detail), "")
    return table


def _number_formats(result: Result) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("float32", result.quantization.dense.precision if result.quantization else "", "change"):
        table.add_column(name, justify="right")
    for row in facts.twin_rows(result):
        table.add_row(Text(row.label), row.full, row.reduced, row.change)
    return table


def _controls(result: Result) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("", result.primary_metric, "epochs"):
        table.add_column(name, justify="right" if name else "left")
    epochs = len(result.recovery.epochs) if result.recovery else 0
    table.add_row("pruned", percent(result.pruned.metrics.get(result.primary_metric)), str(epochs))
    for control in result.controls:
        table.add_row(control.name, percent(control.metrics.get(result.primary_metric)), str(control.epochs))
    return table


def _budget(result: Result) -> Text:
    text = Text()
    for number, row in enumerate(facts.budget_rows(result)):
        text.append("\n" if number else "")
        text.append(f"{row.label} {row.asked}: ")
        text.append(row.verdict, style=_STYLES[row.verdict])
        text.append(f", {row.achieved} of {row.bound} {row.limit} ({row.source})")
        text.append(f", {row.note}" if row.note else "")
    return text


def _files(result: Result, run_dir: Path | None) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    folder = run_dir or result.path or Path()
    table.add_row("Report", Text(str(folder / "report.html")))
    table.add_row("Result", Text(str(folder / "result.json")))
    for artifact in facts.shipped(result):
        table.add_row(facts.RUNTIMES.get(artifact.format, artifact.format), Text(str(folder / artifact.path)))
    return table
