"""What `edgeprune prune` shows: MACs and parameters before and after, and what became of the channel groups."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.answers import PruneResult
from edgeprune.report import text

_SHOWN = 20


def render_prune(result: PruneResult) -> RenderableType:
    """The result as a Rich renderable, 80 columns wide at most."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for column in ("dense", "pruned", "kept"):
        table.add_column(column, justify="right")
    for name, amounts in (("MACs", result.macs), ("Parameters", result.params)):
        share = f"{amounts['pruned'] / amounts['dense']:.1%}" if amounts["dense"] else ""
        table.add_row(name, text.count(amounts["dense"]), text.count(amounts["pruned"]), share)
    groups = result.groups
    done = f"{len(groups.pruned)} of {len(result.widths)} channel groups pruned"
    proved = f", surgery proved (error {result.proof['max_rel_error']:.0e})" if groups.pruned else ""
    head = Text(f"{result.model}: {done}{proved}. Not trained, not measured.", style="bold")
    lines = [Text(f"{note.name}: {note.dense} -> {note.kept}") for note in groups.pruned[:_SHOWN]]
    if len(groups.pruned) > _SHOWN:
        lines.append(Text(f"... and {len(groups.pruned) - _SHOWN} more; all of them with --json"))
    lines += [Text(f"Frozen: {note.name} ({note.dense}), it {note.reason}", style="dim") for note in groups.frozen]
    lines += [Text(f"Clamped: {note.name} ({note.kept}), {note.reason}", style="dim") for note in groups.clamped]
    return Group(head, table, *lines)
