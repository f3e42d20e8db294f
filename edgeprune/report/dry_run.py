"""What `optimize --dry-run` shows on the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.answers import DryRun
from edgeprune.report.text import count


def render_dry_run(found: DryRun) -> RenderableType:
    """As a Rich renderable; long lines fold."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    images = ", ".join(f"{'?' if n is None else n} {name}" for name, n in found.images.items())
    shape = "x".join(map(str, found.input_shape))
    classes = f", {found.classes} classes" if found.classes else ""
    rows = [
        ("Model", f"{found.model}: {count(found.macs)} MACs, {count(found.params)} parameters"),
        ("", f"{found.groups} channel groups can be pruned"),
        ("Data", f"{found.data}: {images}; {shape}{classes}"),
        *(("Target", target) for target in found.targets),
        ("Budget", found.budget),
        ("Recipe", f"{found.recipe}, seed {found.seed}"),
        *(("Stages" if number == 1 else "", f"{number}. {stage}") for number, stage in enumerate(found.stages, 1)),
        ("Output", found.output),
    ]
    if found.done:
        rows.append(("Done", f"{', '.join(found.done)}: not repeated"))
    for name, text in rows:
        table.add_row(name, Text(text))
    return Group(table, Text(), Text("Dry run: nothing was trained, measured or written."))
