"""`edgeprune prune`: a slimmer network at once, without training and without a target."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.answers import PruneResult
    from edgeprune.pipeline.prune import Ranking

EPILOG = """[bold]Examples[/bold]

Half of the channels of every group, then see what was pruned, frozen and clamped:

  edgeprune prune --model torchvision:resnet18 --weights resnet18.safetensors --ratio 0.5 -o slim

Half of the MACs, all channels in one ranking, the stem left alone:

  edgeprune prune --model net.py:make --weights net.safetensors --macs 50% --allocate global --keep 'stem*' -o slim

The widths of another run on fresh weights:

  edgeprune prune --model net.py:make --weights other.safetensors --widths runs/net/widths.json -o again
"""


def prune(
    model: Annotated[
        str, typer.Option("--model", help="torchvision:NAME, file.py:function, x.pt2, x.onnx, ...", metavar="SPEC")
    ],
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Trained weights: .safetensors or a state dict.", metavar="FILE")
    ] = None,
    ratio: Annotated[
        float | None, typer.Option("--ratio", help="Share of the channels to remove, e.g. 0.5.", metavar="SHARE")
    ] = None,
    macs: Annotated[
        str | None, typer.Option("--macs", help="Prune down to these MACs: 50% or 300M.", metavar="BUDGET")
    ] = None,
    widths: Annotated[
        Path | None,
        typer.Option("--widths", help="Apply this widths.json; nothing is ranked.", metavar="FILE"),
    ] = None,
    score: Annotated[str, typer.Option("--score", help="Criterion that ranks channels.", metavar="NAME")] = "l2",
    allocate: Annotated[str, typer.Option("--allocate", help="uniform or global.", metavar="NAME")] = "uniform",
    multiple: Annotated[int, typer.Option("--multiple", min=1, help="Widths are multiples of this.")] = 8,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Layers that keep their channels: 'features.0*', 'conv1=24'; may be repeated."),
    ] = None,
    min_channels: Annotated[int, typer.Option("--min-channels", min=1, help="No group gets narrower.")] = 1,
    max_ratio: Annotated[
        float, typer.Option("--max-ratio", min=0, max=1, help="Largest share of a group that may go.")
    ] = 1.0,
    data: Annotated[
        str | None, typer.Option("--data", help="Data for beta-rank and taylor; see optimize.", metavar="SPEC")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", help="Edge of the square input of --data, pixels.")
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option("--input-shape", help="C x H x W without data, e.g. 3x224x224 (default); one for each input."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of random ranking and of data splits.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for widths.json and model.safetensors.", metavar="DIR")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="What was done as JSON on stdout.")] = False,
) -> None:
    """Prune a network without training: write widths.json and model.safetensors, tell what was done."""
    settings = dict(locals())
    from edgeprune.cli.failure import reported

    with reported(json):
        _run(**settings)


def _run(*, output: Path | None, json: bool, **settings: Any) -> None:
    from rich.console import Console

    from edgeprune.report.prune import render_prune

    result = _prune(output=output, **settings)
    if json:
        typer.echo(result.model_dump_json(indent=2))
        return
    Console().print(render_prune(result))
    if output is not None:
        typer.echo(f"Wrote {output / 'widths.json'} and {output / 'model.safetensors'}.", err=True)


def _prune(
    *,
    model: str,
    weights: Path | None,
    ratio: float | None,
    macs: str | None,
    widths: Path | None,
    score: str,
    allocate: str,
    multiple: int,
    keep: list[str] | None,
    min_channels: int,
    max_ratio: float,
    data: str | None,
    image_size: int | None,
    input_shape: list[str] | None,
    seed: int,
    output: Path | None,
) -> "PruneResult":
    from edgeprune.errors import UsageError
    from edgeprune.graph import Protection
    from edgeprune.pipeline.prune import Goal, prune_network, prune_to_widths
    from edgeprune.quantity import parse_limit
    from edgeprune.sources.models import load_model

    if output is not None and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} is there already and is not an empty folder.", "Choose another -o.")
    if widths is not None and (ratio is not None or macs is not None):
        raise UsageError("--widths says all widths.", "Leave out --ratio and --macs.")
    goal = None if widths else Goal(ratio, parse_limit("macs", macs) if macs else None, allocate, multiple)
    inputs, ranking, classes, channels = _inputs(score, data, image_size, input_shape or [], seed)
    network = load_model(model, weights, num_classes=classes, in_channels=channels).float().eval()
    if goal is None:
        assert widths is not None
        pruned = prune_to_widths(network, inputs, widths)
    else:
        pruned = prune_network(network, inputs, goal, ranking, Protection(tuple(keep or ()), min_channels, max_ratio))
    if output is not None:
        pruned.save(output)
    return pruned.summary(model)


def _inputs(
    score: str, data: str | None, image_size: int | None, shapes: list[str], seed: int
) -> "tuple[tuple[Tensor, ...], Ranking, int | None, int | None]":
    """Example inputs, how to rank, and the classes and input channels that the data ask for."""
    from edgeprune.pipeline.prune import Ranking
    from edgeprune.sources.batches import calibration_batches
    from edgeprune.sources.data import load_data
    from edgeprune.sources.example import example_inputs
    from edgeprune.task import Classification

    if data is None:
        tensors = example_inputs(shapes)
        return tensors, Ranking(score, seed=seed), None, tensors[0].shape[1]
    loaded = load_data(data, image_size=image_size, seed=seed)
    batches = list(calibration_batches(loaded, 256, 64, seed))
    inputs = batches[0][0]
    tensors = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    task = Classification(len(loaded.class_names), loaded.class_names)
    ranking = Ranking(score, batches, task, seed)
    return tuple(t[:1] for t in tensors), ranking, len(loaded.class_names) or None, loaded.input_shape[0]
