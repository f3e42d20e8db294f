"""`edgeprune farm`: a lab of phones as one Ray cluster: give it this host's phones, see which it has."""

from typing import Annotated, Any

import typer

EPILOG = """[bold]Examples[/bold]

On one machine of the lab, once:

  ray start --head --port=6379 --num-cpus=0

On every host with phones (it runs until Ctrl-C):

  edgeprune farm join lab-1:6379

On a machine without phones, to work with theirs:

  ray start --address=lab-1:6379 --num-cpus=0
  edgeprune farm list lab-1:6379
  edgeprune optimize --target android --farm lab-1:6379 --latency 20ms
"""

app = typer.Typer(
    help="A lab of phones through Ray: join it, list it.", no_args_is_help=True, epilog=EPILOG, rich_markup_mode="rich"
)
Address = Annotated[str, typer.Argument(help="Head of the Ray cluster.", metavar="HOST[:PORT]", show_default=False)]


@app.command(epilog=EPILOG)
def join(
    address: Address,
    serial: Annotated[
        list[str] | None,
        typer.Option("--serial", help="Only this phone; may be repeated.", metavar="SERIAL", show_default=False),
    ] = None,
) -> None:
    """Give the phones of this host to the farm, also those that are attached later, until Ctrl-C."""
    from edgeprune.cli.failure import reported

    with reported(False):
        import signal

        from profilers.farm.join import Host

        def ask_to_end(*_: object) -> None:
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, ask_to_end)
        host = Host(address, typer.echo, serial or [])
        typer.echo(f"Phones of this host join {address} as they are attached; Ctrl-C lets them go.")
        try:
            host.run()
        except KeyboardInterrupt:
            typer.echo("All phones have left.")


@app.command("list", epilog=EPILOG)
def list_(address: Address, json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False) -> None:
    """List the phones of the farm, and how many of a kind are free now. Serial numbers stay on their hosts."""
    from edgeprune.cli.failure import reported

    with reported(json):
        _list(address, json)


def _list(address: str, as_json: bool) -> None:
    from contextlib import closing
    from dataclasses import asdict

    from profilers.farm.cluster import Farm

    with closing(Farm(address)) as farm:
        phones = farm.phones()
        free = {kind: farm.free(kind) for kind in dict.fromkeys(phone.kind for phone in phones)}
    if as_json:
        import json

        rows = [{**asdict(phone), "model": phone.name} for phone in phones]
        typer.echo(json.dumps({"phones": rows, "free": free}, indent=2))
        return
    from rich.console import Console

    Console().print(_table(phones, free) if phones else "No phone has joined: edgeprune farm join ADDRESS.")


def _table(phones: list[Any], free: dict[str, int]) -> Any:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("phone", "Android", "SoC", "serial", "host", "LiteRT"):
        table.add_column(column, overflow="fold")
    for phone in phones:
        mark = " (emulated)" if phone.measures == "emulated" else ""
        cells = (phone.name + mark, phone.android, phone.soc, phone.serial_sha256[:6], phone.host, phone.litert)
        table.add_row(*map(Text, cells))
    counts = []
    for kind, number in free.items():
        these = [phone for phone in phones if phone.kind == kind]
        counts.append(Text(f"{these[0].name}: {len(these)}, {number} free"))
    return Group(table, *counts)
