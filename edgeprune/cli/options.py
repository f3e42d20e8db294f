"""An option of a command: its flags, its help, and the panel that it stands in."""

from typing import Any

import typer


def option(*flags: str, help: str, panel: str, metavar: str | None = None) -> Any:
    """`typer.Option` whose default, None, is told in the help's own words where it matters."""
    return typer.Option(*flags, help=help, rich_help_panel=panel, metavar=metavar, show_default=False)
