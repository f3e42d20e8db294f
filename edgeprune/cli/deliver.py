"""How `optimize` ends: what it found is shown, brought to the phone if that was asked for, and told as exit code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer


def deliver(
    found: Any,
    render: Callable[[Any], Any],
    as_json: bool,
    serials: list[str],
    to_install: list[Path],
    quiet: bool = False,
) -> None:
    """Show what was found (`render` makes a table of it), bring these runs to the phones, end with both exit codes."""
    if not as_json:
        show(found, render, as_json)
    if to_install:
        _install(found, as_json, serials, to_install, quiet)
    if as_json:
        show(found, render, as_json)
    if not found.met:
        raise typer.Exit(4)


def _install(found: Any, as_json: bool, serials: list[str], runs: list[Path], quiet: bool) -> None:
    """The app on the phones. A failure leaves the finished runs as they are, and says how to go on."""
    import shlex

    from edgeprune.apk.ship import ship
    from edgeprune.cli.failure import tell
    from edgeprune.cli.progress import make_progress
    from edgeprune.errors import explain

    try:
        with make_progress(quiet) as progress:
            folder = runs[0] if len(runs) == 1 else runs[0].parent
            facts = ship(runs, folder / "app.apk", serials, progress)
            progress.note(f"the app is on the phone: {facts.path}, {facts.size_bytes / 1e6:.1f} MB")
    except Exception as error:
        problem = explain(error)
        if problem is None:
            raise
        named = [word for serial in serials for word in ("--serial", serial)]
        again = shlex.join(["edgeprune", "app", "run", *map(str, runs), *named])
        cure = f"{problem.cure} The run is finished; then: {again}"
        tell(problem.message, cure, problem.exit_code, as_json, found.model_dump(mode="json"))
        raise typer.Exit(problem.exit_code) from error


def show(found: Any, render: Callable[[Any], Any], as_json: bool) -> None:
    """As a table, or as the one JSON object on stdout."""
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    from rich.console import Console

    Console().print(render(found))
