"""`edgeprune measurements`: what is in the store, out of it and into it, so that a lab's phones fill one table."""

from pathlib import Path
from typing import Annotated, Any

import typer

EPILOG = """[bold]Examples[/bold]

  edgeprune measurements list

Take what was measured here to another machine:

  edgeprune measurements export lab.jsonl

  edgeprune measurements import lab.jsonl
"""

app = typer.Typer(help="List, export and import measurements and layer costs.", no_args_is_help=True, epilog=EPILOG)
_JSON = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.command("list", epilog=EPILOG)
def list_(json: _JSON = False) -> None:
    """Show what was measured, by device; times of emulated phones are called so."""
    from edgeprune.cli.failure import reported

    with reported(json):
        _list(json)


@app.command("export", epilog=EPILOG)
def export(
    file: Annotated[Path, typer.Argument(help="JSON Lines to write.", show_default=False)], json: _JSON = False
) -> None:
    """Write everything in the store to a file of JSON Lines. Serial numbers are in it only hashed."""
    from edgeprune.cli.failure import reported

    with reported(json):
        from edgeprune.errors import UsageError
        from edgeprune.files import write_text
        from profilers.exchange import dump
        from profilers.store import Store

        if not file.absolute().parent.is_dir() or file.is_dir():
            problem = f"{file} is a folder" if file.is_dir() else f"there is no folder {file.parent}"
            raise UsageError(f"Nothing was written: {problem}.", "Give a file in a folder that is there.")
        lines = list(dump(Store()))
        write_text(file, "".join(line + "\n" for line in lines))
        _tell(json, f"{len(lines)} lines written to {file}", {"lines": len(lines)})


@app.command("import", epilog=EPILOG)
def import_(
    file: Annotated[Path, typer.Argument(help="JSON Lines of `export`.", show_default=False)], json: _JSON = False
) -> None:
    """Take in a file of JSON Lines: all of it or nothing; what is known already is not taken twice."""
    from edgeprune.cli.failure import reported

    with reported(json):
        from edgeprune.errors import UsageError
        from profilers.exchange import BadLine, take_in
        from profilers.store import Store

        cure = "Give a file that `edgeprune measurements export FILE` wrote."
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}.", cure) from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{file} is no text.", cure) from error
        try:
            counts = take_in(Store(), text.splitlines())
        except BadLine as error:
            raise UsageError(f"{file}, line {error.number}: {error}", f"Nothing was taken in. {cure}") from error
        words = (
            f"{counts.measurements} measurements, {counts.layers} layer costs taken in, {counts.known} known already"
        )
        _tell(json, words, counts.__dict__)


def _tell(as_json: bool, words: str, facts: dict[str, Any]) -> None:
    if as_json:
        import json

        typer.echo(json.dumps(facts))
    else:
        typer.echo(words)


def _list(as_json: bool) -> None:
    from profilers.exchange import listing
    from profilers.store import Store

    rows = listing(Store())
    if as_json:
        import json

        typer.echo(json.dumps({"measurements": rows}, indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from edgeprune.report.text import significant

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("device", "file", "runtime"):
        table.add_column(column, overflow="fold")
    for column in ("threads", "median ms", "kind", "when"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        median = significant(row["median_ms"])
        when = (row["when"] or "")[:10]
        cells = (row["runtime"], str(row["threads"]), median, row["kind"], when)
        table.add_row(Text(row["device"]), Text(row["name"] or row["sha256"][:10]), *cells)
    Console().print(table if rows else "Nothing was measured yet.")
