"""What `optimize --masked` shows: the density, the properties that the paper promises, the accuracy. No speed."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.answers import MaskedResult


def render_masked(result: MaskedResult) -> RenderableType:
    """The result as a Rich renderable, 80 columns wide at most."""
    count = f"{result.weights['alive']:,} of {result.weights['weights']:,} weights"
    head = Text(f"{result.recipe}, masked: {count} stay ({result.density:.2%}). Nothing gets faster.", style="bold")
    metric = result.primary_metric
    values = f"{result.dense[metric]:.4f} dense, {result.masked[metric]:.4f} masked"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what the method promises", overflow="fold")
    table.add_column("holds", no_wrap=True)
    table.add_column("found", overflow="fold")
    for entry in result.properties:
        table.add_row(Text(entry.what), "yes" if entry.holds else Text("NO", style="bold red"), Text(entry.found))
    facts = [Text(f"{key}: {_short(value)}", style="dim") for key, value in result.facts.items()]
    notes = [Text(note, style="dim") for note in result.notes]
    return Group(head, Text(f"{metric} on {result.split}: {values}, {result.epochs} epochs"), table, *facts, *notes)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    return str(value)
