"""`edgeprune devices`: the phones that adb sees, what they are, and what to do about those that are not ready."""

from typing import Annotated, Any

import typer

EPILOG = """[bold]Examples[/bold]

  edgeprune devices

As JSON, for scripts:

  edgeprune devices --json

[bold]Exit codes[/bold]: 0 done, also without a phone; 5 adb is missing, too old or does not answer
"""


def devices(json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False) -> None:
    """List the attached phones: serial, model, SoC, Android, ABI, cores by cluster, state and its cure."""
    from edgeprune.cli.failure import reported

    with reported(json):
        _run(json)


def _run(as_json: bool) -> None:
    from profilers.android.adb import Adb
    from profilers.android.devices import ATTACH, attached

    adb = Adb()
    found = [_describe(adb, phone) for phone in attached(adb)]
    if as_json:
        import json

        typer.echo(json.dumps({"devices": found}, indent=2))
        return
    from rich.console import Console

    Console().print(_table(found) if found else f"No phone. {ATTACH}", highlight=False)


def _describe(adb: Any, phone: Any) -> dict[str, Any]:
    """One phone, as far as it tells: a phone that is not ready has only its state and the cure."""
    from profilers.android.adb import Phone
    from profilers.android.facts import read_facts
    from profilers.errors import DeviceError

    row = {"serial": phone.serial, "state": "ready" if phone.ready else phone.state, "cure": phone.cure}
    if not phone.ready:
        return row
    try:
        facts = read_facts(Phone(adb, phone.serial))
    except DeviceError as error:
        return {**row, "state": error.message, "cure": error.cure}
    clusters = [{"cores": list(c.cores), "max_mhz": c.max_mhz, "capacity": c.capacity} for c in facts.clusters]
    return {
        **row,
        "model": facts.name,
        "soc": facts.soc,
        "android": facts.android,
        "sdk": facts.sdk,
        "abi": facts.abis[0] if facts.abis else "",
        "clusters": clusters,
        "memory_mib": facts.memory_mib,
        "free_mib": facts.free_mib,
        "emulated": facts.emulated,
    }


def _table(found: list[dict[str, Any]]) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = []
    for row in found:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim", min_width=8)
        table.add_column(overflow="fold")
        head = Text(str(row["serial"]), style="bold")
        if row.get("emulated"):
            head.append("  emulated: not a phone", style="yellow")
        facts = {
            "model": row.get("model"),
            "SoC": row.get("soc"),
            "Android": f"{row['android']} (API {row['sdk']}), {row['abi']}" if "android" in row else None,
            "cores": _cores(row["clusters"]) if "clusters" in row else None,
            "state": row["state"] + (f": {row['cure']}" if row["cure"] else ""),
        }
        for name, value in facts.items():
            if value:
                table.add_row(name, Text(str(value)))
        parts += [head, table]
    return Group(*parts)


def _cores(clusters: list[dict[str, Any]]) -> str:
    words = []
    for cluster in clusters:
        mask = sum(1 << core for core in cluster["cores"])
        speed = f" at {cluster['max_mhz'] / 1000:.2f} GHz" if cluster["max_mhz"] else ""
        words.append(f"{len(cluster['cores'])}{speed} (--cores {mask:x})")
    return ", ".join(words)
