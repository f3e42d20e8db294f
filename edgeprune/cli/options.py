"""An option of a command: its flags, its help, and the panel that it stands in."""

from typing import Annotated, Any

import typer


def option(*flags: str, help: str, panel: str, metavar: str | None = None) -> Any:
    """`typer.Option` whose default, None, is told in the help's own words where it matters."""
    return typer.Option(*flags, help=help, rich_help_panel=panel, metavar=metavar, show_default=False)


def quiet_option(panel: str) -> Any:
    """`--quiet`, the same for every command that shows progress."""
    return option("-q", "--quiet", help="No progress: only the result, and errors.", panel=panel)


Quiet = Annotated[bool, quiet_option("Options")]
