"""How a command ends when something goes wrong: a message, a cure, an exit code; JSON if asked."""

import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

INTERRUPTED = 130


@contextmanager
def reported(as_json: bool, *, resumable: bool = False) -> Iterator[None]:
    """Turn errors that a user can act on into text on stderr (and JSON on stdout) and an exit code.

    `resumable` says that the command takes --resume.
    """
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt as stop:
        cure = "Run the same command with --resume to go on from here." if resumable else ""
        tell("Interrupted.", cure, INTERRUPTED, as_json)
        raise typer.Exit(INTERRUPTED) from stop
    except Exception as error:
        from edgeprune.errors import explain

        problem = explain(error)
        if problem is None:
            traceback.print_exc(file=sys.stderr)
            tell(
                f"This is a bug in EdgePrune: {type(error).__name__}: {error}",
                "Please report it with the lines above.",
                1,
                as_json,
            )
            raise typer.Exit(1) from error
        again = " Then run again with --resume." if resumable and problem.cure.startswith("Free some space") else ""
        tell(problem.message, problem.cure + again, problem.exit_code, as_json)
        raise typer.Exit(problem.exit_code) from error


def tell(message: str, cure: str, code: int, as_json: bool, facts: dict[str, Any] | None = None) -> None:
    """Message and cure on stderr, and if asked the one JSON object of a failure on stdout.

    `facts`: what the command found all the same; it stands beside the error, in the same object.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    console.print(Text("error: ", style="bold red").append(message, style="default"))
    if cure:
        console.print(Text(f"       {cure}"))
    if as_json:
        error = {"error": {"exit_code": code, "message": message, "cure": cure}}
        sys.stdout.write(json.dumps({**(facts or {}), **error}) + "\n")
