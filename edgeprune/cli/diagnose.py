"""`edgeprune diagnose`: which of the three regimes of pruning a run is in, and what to change about the training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeprune.cli.options import Quiet

if TYPE_CHECKING:
    from edgeprune.pipeline.diagnose import Diagnosis

EPILOG = """[bold]Examples[/bold]

Two short recoveries of the run's slim network, compared:

  edgeprune diagnose runs/demo --epochs 3

Which of several dense networks to prune, and which rho of SAM to recover with:

  edgeprune diagnose runs/demo --checkpoint short.safetensors --checkpoint long.safetensors
  edgeprune diagnose runs/demo --rho 0 --rho 0.05 --rho 0.1

[bold]Exit codes[/bold]: 0 done, 2 usage, 3 environment
"""


def diagnose(
    run: Annotated[Path, typer.Argument(help="The directory of a finished run.", show_default=False)],
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Epochs of each of the two recoveries (default: the run's).", metavar="N"),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="Other weights of the dense network; may be repeated.", metavar="FILE"),
    ] = None,
    rho: Annotated[
        list[float] | None, typer.Option("--rho", help="SAM's radius; may be repeated. 0: plain training.", metavar="R")
    ] = None,
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Recover a run's slim network twice and tell from the two whether to train the dense one longer or shorter."""
    from edgeprune.cli.failure import reported

    with reported(json):
        _run(run, epochs, checkpoint or [], tuple(rho or (0.0,)), quiet, json)


def _run(
    run: Path, epochs: int | None, checkpoints: list[Path], rhos: tuple[float, ...], quiet: bool, as_json: bool
) -> None:
    import json

    from edgeprune.cli.progress import make_progress
    from edgeprune.pipeline.diagnose import diagnose as diagnose_run

    with make_progress(quiet) as progress:
        found = diagnose_run(run, progress, epochs=epochs, checkpoints=checkpoints, rhos=rhos)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        _show(found)


def _show(found: "Diagnosis") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, table = Console(), Table(box=None, header_style="dim")
    for name in ("network", "LMC", "CKA", "agreement", found.metric, "regime"):
        table.add_column(name, justify="left" if name in ("network", "regime") else "right")
    for case in found.cases:
        numbers = (f"{case.lmc:+.4f}", f"{case.cka:.4f}", f"{case.agreement:.1%}", f"{case.mean:.4f}")
        table.add_row(Text(case.name), *numbers, case.regime.name)
    console.print(table)
    load = ", ".join(f"{name} {value:.1%}" for name, value in found.load.items())
    training = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in found.temperature.items())
    console.print(Text(f"load (left of the dense network): {load}; temperature: {training}"))
    chosen = f"{found.best.name}: " if len(found.cases) > 1 else ""
    console.print(Text(f"{chosen}regime {found.best.regime.name}: {found.best.regime.advice}"))
    console.print(Text("The thresholds of the regimes are ours; LMC and errors are of val.", style="dim"))
