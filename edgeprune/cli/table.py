"""`edgeprune table`: the cost table that a search predicts with: build it, look at it, check it against the clock."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeprune.cli.options import Quiet

if TYPE_CHECKING:
    from edgeprune.config import Config
    from edgeprune.pipeline.cost_model import Subject

EPILOG = """[bold]Examples[/bold]

Measure every layer of a network at the widths that matter, and keep the times:

  edgeprune table build torchvision:mobilenet_v2

The same on a phone, all of it again:

  edgeprune table build torchvision:mobilenet_v2 --target android --fresh

Where do the milliseconds go, as a picture:

  edgeprune table show torchvision:mobilenet_v2 -o table.html

How far can predictions be trusted? 200 random networks, predicted and then measured:

  edgeprune table check torchvision:mobilenet_v2
"""

app = typer.Typer(
    help="Layer times on a target: build, show, check against the clock.",
    no_args_is_help=True,
    epilog=EPILOG,
    rich_markup_mode="rich",
)

Model = Annotated[str, typer.Argument(help="torchvision:NAME, file.py:function, x.onnx, ...", metavar="MODEL")]
Weights = Annotated[Path | None, typer.Option("--weights", help="Trained weights.", metavar="FILE")]
Shapes = Annotated[
    list[str] | None, typer.Option("--input-shape", help="C x H x W, e.g. 3x224x224 (default).", metavar="SHAPE")
]
Where = Annotated[str, typer.Option("--target", help="host or android.", metavar="TARGET")]
Threads = Annotated[int, typer.Option("--threads", help="Threads of the runtime.", min=1)]
Serial = Annotated[
    list[str] | None, typer.Option("--serial", help="Phone; may be repeated.", metavar="SERIAL", show_default=False)
]
Farm = Annotated[
    str | None,
    typer.Option("--farm", help="Ray cluster of a lab's phones.", metavar="HOST:PORT", show_default=False),
]
PhoneModel = Annotated[
    list[str] | None,
    typer.Option("--phone-model", help="Of the farm; may be repeated.", metavar="NAME", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Result as JSON on stdout.")]


@app.command(epilog=EPILOG)
def build(
    model: Model,
    weights: Weights = None,
    input_shape: Shapes = None,
    target: Where = "host",
    threads: Threads = 1,
    serial: Serial = None,
    farm: Farm = None,
    phone_model: PhoneModel = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is known.")] = False,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Measure the layers of a network on the target, and keep the times for every later search."""
    _table(model, weights, input_shape, _settings(target, threads, serial, farm, phone_model), quiet, json, fresh=fresh)


@app.command(epilog=EPILOG)
def show(
    model: Model,
    weights: Weights = None,
    input_shape: Shapes = None,
    target: Where = "host",
    threads: Threads = 1,
    serial: Serial = None,
    farm: Farm = None,
    phone_model: PhoneModel = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Picture of every layer, HTML.", metavar="FILE")
    ] = None,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Show what each layer costs at which widths; what is not known is measured."""
    _table(
        model, weights, input_shape, _settings(target, threads, serial, farm, phone_model), quiet, json, output=output
    )


@app.command(epilog=EPILOG)
def check(
    model: Model,
    weights: Weights = None,
    input_shape: Shapes = None,
    target: Where = "host",
    runtime: Annotated[str, typer.Option("--runtime", help="litert or executorch.", metavar="NAME")] = "litert",
    threads: Threads = 1,
    serial: Serial = None,
    farm: Farm = None,
    phone_model: PhoneModel = None,
    networks: Annotated[int, typer.Option("--networks", help="Random networks to measure.", min=1)] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the widths.", min=0)] = 0,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Predict random networks, measure them, and say how often the prediction was right."""
    from edgeprune.cli.failure import reported

    with reported(json):
        from edgeprune.cli.progress import make_progress
        from edgeprune.pipeline.cost_model import check_tables
        from edgeprune.report.cost_table import render_check

        config = _config({**_settings(target, threads, serial, farm, phone_model), "runtime": runtime})
        with make_progress(quiet) as progress:
            subject = _subject(model, weights, input_shape)
            found = check_tables(subject, config, progress, vectors=networks, seed=seed)
        _print(found, [render_check(entry) for entry in found], json)


def _table(
    model: str,
    weights: Path | None,
    shapes: list[str] | None,
    settings: dict[str, Any],
    quiet: bool,
    json: bool,
    *,
    fresh: bool = False,
    output: Path | None = None,
) -> None:
    from edgeprune.cli.failure import reported

    with reported(json):
        from edgeprune.cli.progress import make_progress
        from edgeprune.pipeline.cost_model import build_tables
        from edgeprune.report.cost_table import render_table, write_plot

        config = _config(settings)
        with make_progress(quiet) as progress:
            found = build_tables(_subject(model, weights, shapes), config, progress, fresh=fresh)
        if output is not None:
            write_plot(found[0], output)
        _print(found, [render_table(entry) for entry in found], json)
        if output is not None:
            typer.echo(f"Wrote {output}.", err=True)


def _settings(
    target: str, threads: int, serial: list[str] | None, farm: str | None, phone_model: list[str] | None
) -> dict[str, Any]:
    phones = {"serial": serial or [], "farm": farm, "phone_model": phone_model or []}
    return {"target": target, "threads": threads, **phones}


def _config(settings: dict[str, Any]) -> "Config":
    from edgeprune.config import make_settings
    from edgeprune.errors import UsageError

    if settings["target"] == "ios":
        raise UsageError("Nothing can be measured on ios from here.", "Use --target host or --target android.")
    return make_settings(settings)


def _subject(model: str, weights: Path | None, shapes: list[str] | None) -> "Subject":
    from edgeprune.pipeline.cost_model import Subject
    from edgeprune.sources.example import example_inputs
    from edgeprune.sources.models import load_model

    inputs = example_inputs(shapes or [])
    if not shapes:
        typer.echo("Input 3x224x224; --input-shape for another, such as 1x28x28.", err=True)
    return Subject(model, load_model(model, weights, in_channels=inputs[0].shape[1]).float().eval(), inputs)


def _print(found: list[Any], rendered: list[Any], as_json: bool) -> None:
    import json

    from rich.console import Console

    if as_json:
        typer.echo(json.dumps([entry.model_dump(mode="json") for entry in found], indent=2))
        return
    for entry in rendered:
        Console().print(entry)
