"""`edgeprune profile`: latency and memory of converted files, on this machine or on phones."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.options import option, quiet_option

EPILOG = """[bold]Examples[/bold]

A file on this machine, with one thread and with four:

  edgeprune profile model.tflite --threads 1,4

Dense and pruned of a run, on the attached phone's big cores:

  edgeprune profile runs/demo --target android --cores big

How it holds out, and where the time goes with Google's own program:

  edgeprune profile model.tflite --target android --sustained 5min

  edgeprune profile model.tflite --target android --runner benchmark_model --binary ./benchmark_model --per-op

Core ML: on a Mac, and a script to take to one from anywhere else:

  edgeprune profile runs/demo --target mac

  edgeprune profile runs/demo --target ios -o bench

[bold]Exit codes[/bold]: 0 done, 2 usage, 3 a delegate or runner that is not there, 4 --latency not met, 5 device
"""
_WHERE, _HOW, _OUT = "Where", "How", "Output"


def profile(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="A run directory, or .tflite, .pte, .mlpackage files.", show_default=False, metavar="FILE|RUN..."
        ),
    ],
    target: Annotated[str, typer.Option(help="host, android, mac or ios.", rich_help_panel=_WHERE)] = "host",
    serial: Annotated[
        list[str] | None, option("--serial", help="Phone; may be repeated: side by side.", panel=_WHERE, metavar="S")
    ] = None,
    runner: Annotated[
        str, typer.Option(help="native, app, benchmark_model or executor_runner.", rich_help_panel=_WHERE)
    ] = "native",
    binary: Annotated[
        Path | None, option("--binary", help="The program of an official runner.", panel=_WHERE, metavar="FILE")
    ] = None,
    delegate: Annotated[str, typer.Option(help="cpu or gpu.", rich_help_panel=_WHERE)] = "cpu",
    cores: Annotated[
        str | None, option("--cores", help="A phone's cores: big, little or a mask.", panel=_WHERE, metavar="CORES")
    ] = None,
    runtime: Annotated[
        str | None, option("--runtime", help="Of a run: litert or executorch.", panel=_WHERE, metavar="NAME")
    ] = None,
    threads: Annotated[str, typer.Option(help="Thread counts: 1 or 1,4.", rich_help_panel=_HOW)] = "1",
    runs: Annotated[
        int | None, option("--runs", help="Least number of runs (100; 300 for p90).", panel=_HOW, metavar="N")
    ] = None,
    quick: Annotated[bool, option("--quick", help="30 runs, one round.", panel=_HOW)] = False,
    sustained: Annotated[
        str | None, option("--sustained", help="Back to back for so long: 5min.", panel=_HOW, metavar="TIME")
    ] = None,
    per_op: Annotated[bool, option("--per-op", help="Time of each operation (benchmark_model).", panel=_HOW)] = False,
    latency: Annotated[
        str | None, option("--latency", help="Compare with a budget: 20ms, p90:20ms.", panel=_HOW, metavar="BUDGET")
    ] = None,
    wait: Annotated[str, typer.Option(help="Longest wait for a cool, charged phone.", rich_help_panel=_HOW)] = "10min",
    output: Annotated[
        Path | None, option("-o", "--output", help="Folder for --target ios (bench_ios).", panel=_OUT, metavar="DIR")
    ] = None,
    quiet: Annotated[bool, quiet_option(_OUT)] = False,
    json: Annotated[bool, option("--json", help="Everything, samples too, as JSON on stdout.", panel=_OUT)] = False,
) -> None:
    """Measure latency and memory of converted files: fresh processes, in turns, every sample kept."""
    given = dict(locals())
    from edgeprune.cli.failure import reported

    with reported(json):
        (_write if target == "ios" else _run)(given)


def _run(given: dict[str, Any]) -> None:
    from edgeprune.cli.progress import make_progress
    from edgeprune.profiling.order import Order
    from edgeprune.profiling.subjects import read_subjects

    order = Order.read(
        **{key: value for key, value in given.items() if key not in ("files", "runtime", "quiet", "json")}
    )
    _check_there(given["files"])
    subjects = read_subjects(given["files"], given["runtime"], apple=order.target == "mac")
    with make_progress(given["quiet"]) as progress:
        found = order.carry_out(subjects, progress)
    if given["json"]:
        import json

        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        from rich.console import Console

        Console().print(found.render())
    if found.missed:
        raise typer.Exit(4)


def _write(given: dict[str, Any]) -> None:
    """Nothing is measured for iOS from here: a folder is written that is taken to a Mac."""
    from edgeprune.errors import UsageError
    from edgeprune.profiling.ios import SCRIPT, write_bench
    from edgeprune.profiling.subjects import read_subjects

    meant = {"files", "target", "output", "quiet", "json"}
    defaults = {"runner": "native", "delegate": "cpu", "threads": "1", "wait": "10min"}
    extra = [key for key, value in given.items() if key not in meant and value and value != defaults.get(key)]
    if extra:
        name = extra[0].replace("_", "-")
        raise UsageError(
            f"--{name} means nothing with --target ios.", f"Leave it out; {SCRIPT} has options of its own."
        )
    folder = write_bench(read_subjects(given["files"], apple=True), given["output"] or Path("bench_ios"))
    if given["json"]:
        import json

        typer.echo(json.dumps({"schema_version": "1.0", "folder": str(folder), "script": SCRIPT, "measurements": []}))
        return
    typer.echo(
        f"{folder}: not measured; Core ML runs on macOS only. Take the folder to a Mac, then\n"
        f"  python3 {SCRIPT}                                # there, on the Mac itself\n"
        f"  python3 {SCRIPT} --device iphone --team TEAM    # there, on the iPhone attached to it\n"
        "  edgeprune measurements import measurements.jsonl     # here, with the file that it wrote"
    )


def _check_there(files: list[Path]) -> None:
    from edgeprune.errors import UsageError

    absent = [str(file) for file in files if not file.exists()]
    if absent:
        runs = ", ".join(sorted(str(result.parent) for result in Path("runs").glob("*/result.json")))
        cure = f"Finished runs here: {runs}." if runs else "Give a .tflite, a .pte, or the directory of a finished run."
        raise UsageError(f"There is no {' and no '.join(absent)}.", cure)
