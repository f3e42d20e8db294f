"""The command line: one file per command. Nothing heavy is imported before a command runs."""

import sys

import typer

from edgeprune.cli import completion_bash
from edgeprune.cli.app import app as app_commands
from edgeprune.cli.check import EPILOG as CHECK_EPILOG
from edgeprune.cli.check import check
from edgeprune.cli.compare import EPILOG as COMPARE_EPILOG
from edgeprune.cli.compare import compare
from edgeprune.cli.completion import attach
from edgeprune.cli.convert import EPILOG as CONVERT_EPILOG
from edgeprune.cli.convert import convert
from edgeprune.cli.devices import EPILOG as DEVICES_EPILOG
from edgeprune.cli.devices import devices
from edgeprune.cli.diagnose import EPILOG as DIAGNOSE_EPILOG
from edgeprune.cli.diagnose import diagnose
from edgeprune.cli.doctor import EPILOG as DOCTOR_EPILOG
from edgeprune.cli.doctor import doctor
from edgeprune.cli.farm import app as farm_commands
from edgeprune.cli.groups import EPILOG as GROUPS_EPILOG
from edgeprune.cli.groups import groups
from edgeprune.cli.init import EPILOG as INIT_EPILOG
from edgeprune.cli.init import init
from edgeprune.cli.inspect import EPILOG as INSPECT_EPILOG
from edgeprune.cli.inspect import inspect
from edgeprune.cli.measurements import app as measurements_commands
from edgeprune.cli.methods import EPILOG as METHODS_EPILOG
from edgeprune.cli.methods import methods
from edgeprune.cli.optimize import EPILOG, optimize
from edgeprune.cli.profile import EPILOG as PROFILE_EPILOG
from edgeprune.cli.profile import profile
from edgeprune.cli.prune import EPILOG as PRUNE_EPILOG
from edgeprune.cli.prune import prune
from edgeprune.cli.table import app as table_commands

app = typer.Typer(
    name="edgeprune",
    help="Make a trained CNN fast on a phone: slimmer, measured on the target, in every mobile format.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command(epilog=EPILOG)(optimize)
app.command(epilog=INIT_EPILOG)(init)
app.command(epilog=PRUNE_EPILOG)(prune)
app.command(epilog=METHODS_EPILOG)(methods)
app.command(epilog=GROUPS_EPILOG)(groups)
app.command(epilog=CONVERT_EPILOG)(convert)
app.command(epilog=INSPECT_EPILOG)(inspect)
app.command(epilog=DEVICES_EPILOG)(devices)
app.command(epilog=PROFILE_EPILOG)(profile)
app.command(epilog=CHECK_EPILOG)(check)
app.command(epilog=COMPARE_EPILOG)(compare)
app.command(epilog=DIAGNOSE_EPILOG)(diagnose)
app.command(epilog=DOCTOR_EPILOG)(doctor)
app.add_typer(measurements_commands, name="measurements")
app.add_typer(app_commands, name="app")
app.add_typer(table_commands, name="table")
app.add_typer(farm_commands, name="farm")
attach(app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version as installed

        typer.echo(f"edgeprune {installed('edgeprune')}")
        raise typer.Exit


@app.callback()
def _top(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", is_eager=True, callback=_version
    ),
) -> None: ...


def main() -> None:
    """Entry point of the `edgeprune` program."""
    if completion_bash.asked():
        completion_bash.complete(app)
    if "--json" not in sys.argv[1:]:
        app()
    try:
        code = app(standalone_mode=False)
    except Exception as error:  # click's own, which typer brings along under a name that changes
        if not hasattr(error, "format_message"):
            raise
        from edgeprune.cli.failure import tell

        tell(error.format_message(), "See `edgeprune COMMAND --help`.", 2, as_json=True)
        code = 2
    sys.exit(code if isinstance(code, int) else 0)
