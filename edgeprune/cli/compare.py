"""`edgeprune compare`: finished runs side by side, as a table, a page or JSON."""

from pathlib import Path
from typing import Annotated

import typer

from edgeprune.cli.options import Quiet

EPILOG = """[bold]Examples[/bold]

Two recipes at one budget, as a page to look at:

  edgeprune compare runs/beta-rank runs/l1 -o compare.html

The numbers alone, on more images:

  edgeprune compare runs/beta-rank runs/l1 --images 2000 --json

[bold]Exit codes[/bold]: 0 done, 2 usage, 3 environment
"""


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Directories of finished runs.", show_default=False)],
    images: Annotated[
        int, typer.Option("--images", min=1, help="Images of the final split that are corrupted.", metavar="N")
    ] = 500,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The page: one file, no network.", metavar="FILE")
    ] = Path("compare.html"),
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout, no table and no page.")] = False,
) -> None:
    """Compare runs: accuracy, latency, memory, size, robustness to corruptions, and the geometry of features."""
    from edgeprune.cli.failure import reported

    with reported(json):
        _run(runs, images, output, quiet, json)


def _run(runs: list[Path], images: int, output: Path, quiet: bool, as_json: bool) -> None:
    import json

    from rich.console import Console

    from edgeprune.cli.progress import make_progress
    from edgeprune.pipeline.compare import compare as compare_runs
    from edgeprune.report.compare import render
    from edgeprune.report.compare_html import write_page

    with make_progress(quiet) as progress:
        found = compare_runs(runs, progress, images=images)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    write_page(found, output)
    Console().print(render(found))
    typer.echo(f"\nPage        {output}")
