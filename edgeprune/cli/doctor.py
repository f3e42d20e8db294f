"""`edgeprune doctor`: is everything there that measuring and converting need, and if not, what to do."""

from typing import Annotated

import typer

EPILOG = """[bold]Examples[/bold]

  edgeprune doctor

[bold]Exit codes[/bold]: 0 nothing is wrong (what is absent may be needed by others only), 3 something is
"""

_STYLES = {"ok": "green", "not": "red", "absent": "dim"}


def doctor(json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False) -> None:
    """Check extras, disk, adb, the native runners and every phone: each line is fine or says the fix."""
    from edgeprune.cli.failure import reported

    with reported(json):
        found = _run(json)
    if "not" in found:
        raise typer.Exit(3)


def _run(as_json: bool) -> list[str]:
    from dataclasses import asdict

    from rich.console import Console
    from rich.text import Text

    from edgeprune.doctor import examine

    findings = []
    console = Console()
    for finding in examine():
        findings.append(finding)
        if not as_json:
            line = Text(f"{finding.state:<7}", style=_STYLES[finding.state])
            console.print(line.append(f"{finding.what}: {finding.found}", style="default"))
            if finding.fix:
                console.print(Text(f"       {finding.fix}"))
    if as_json:
        import json

        typer.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}, indent=2))
    return [finding.state for finding in findings]
