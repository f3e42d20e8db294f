"""`edgeprune check`: a gate for CI. The committed files of a run are measured and evaluated again."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.options import Quiet, option

EPILOG = """[bold]Examples[/bold]

Fail the build when the committed network is no longer fast or good enough:

  edgeprune check runs/demo --latency 20ms

On the lab's phone, which the run was made for:

  edgeprune check runs/demo --serial R58M123ABCD

[bold]Exit codes[/bold]: 0 all holds, 2 usage, 3 environment, 4 budget or accuracy no longer met, 5 device
"""


def check(
    run: Annotated[Path, typer.Argument(help="The directory of a finished run.", show_default=False)],
    latency: Annotated[
        str | None, typer.Option("--latency", help="Instead of the run's: 20ms, p90:20ms, 50%.", metavar="BUDGET")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="host or android, instead of the run's.", metavar="TARGET")
    ] = None,
    serial: Annotated[list[str] | None, option("--serial", help="Phone; may be repeated.", panel="Options")] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads, instead of the run's.", metavar="N")
    ] = None,
    drop: Annotated[
        float, typer.Option(help="How far the metric may fall: 0.005 is half a point.", min=0.0, max=1.0)
    ] = 0.005,
    accuracy: Annotated[
        bool, typer.Option("--accuracy/--no-accuracy", help="Evaluate the file on the run's test data.")
    ] = True,
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Measure the files of a finished run again, and fail if they no longer meet the budget or the accuracy."""
    changes: dict[str, Any] = {"latency": latency, "target": target, "serial": serial or None, "threads": threads}
    from edgeprune.cli.failure import reported

    with reported(json):
        passed = _run(run, changes, drop, accuracy, quiet, json)
    if not passed:
        raise typer.Exit(4)


def _run(run: Path, changes: dict[str, Any], drop: float, accuracy: bool, quiet: bool, as_json: bool) -> bool:
    from rich.console import Console
    from rich.text import Text

    from edgeprune.cli.progress import make_progress
    from edgeprune.profiling.check import check_run

    with make_progress(quiet) as progress:
        found = check_run(run, changes, progress, drop=drop, accuracy=accuracy)
    if as_json:
        import json

        typer.echo(json.dumps(found.to_json(), indent=2))
        return found.passed
    from edgeprune.report.text import quantity

    console = Console()
    for r in found.requirements:
        shown = f"{quantity(r.achieved, r.unit)} of at most {quantity(r.limit, r.unit)}"
        where = f" on {r.device}" if r.device else ""
        _line(console, bool(r.met), f"{r.kind.replace('_', ' ')} {r.asked}: {shown} ({r.source}){where}, {r.note}")
    if found.accuracy is not None:
        a = found.accuracy
        _line(console, a.fine, f"{a.metric} of the file on {a.split}: {a.now:.4f}, recorded {a.recorded:.4f}")
    for flag in found.flags:
        console.print(Text(f"     {flag}", style="yellow"))
    return found.passed


def _line(console: Any, fine: bool, words: str) -> None:
    from rich.text import Text

    console.print(Text("ok   " if fine else "FAIL ", style="green" if fine else "red").append(words, style="default"))
