"""`edgeprune groups`: which channels of a network can only go together, and why some cannot go at all."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

EPILOG = """[bold]Examples[/bold]

The channel groups of a network, what ties them, what is frozen and why:

  edgeprune groups torchvision:mobilenet_v2

The same in Model Explorer (pip install ai-edge-model-explorer): open groups/model.pt2, then load node-data.json:

  edgeprune groups net.py:make --input-shape 1x28x28 -o groups
"""


def groups(
    model: Annotated[
        str, typer.Argument(help="torchvision:NAME, file.py:function, x.pt2, x.onnx, ...", metavar="MODEL")
    ],
    input_shape: Annotated[
        list[str] | None,
        typer.Option("--input-shape", help="C x H x W of an input, e.g. 3x224x224 (default); one for each input."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for model.pt2 and node-data.json.", metavar="DIR")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The groups as JSON on stdout.")] = False,
) -> None:
    """Show the channel groups of a network: members, widths, who ties them, why some are frozen."""
    from edgeprune.cli.failure import reported

    with reported(json):
        _run(model, input_shape or [], output, json)


def _run(spec: str, shapes: list[str], output: Path | None, as_json: bool) -> None:
    from rich.console import Console

    from edgeprune.graph import find_groups, trace
    from edgeprune.report.groups import groups_entry, node_data, render_groups
    from edgeprune.sources.example import example_inputs
    from edgeprune.sources.models import load_model

    inputs = example_inputs(shapes)
    network = load_model(spec, in_channels=inputs[0].shape[1]).float().eval()
    traced = trace(network, inputs)
    coupling = find_groups(traced)
    if output is not None:
        import torch

        from edgeprune.files import disk_trouble, whole, write_json
        from edgeprune.graph.trace import export

        with disk_trouble(output):
            output.mkdir(parents=True, exist_ok=True)
        with whole(output / "model.pt2") as partial, partial.open("wb") as file:
            torch.export.save(export(network, inputs), file)
        write_json(output / "node-data.json", node_data(coupling))
    if as_json:
        typer.echo(jsonlib.dumps(groups_entry(coupling), indent=2))
        return
    Console().print(render_groups(coupling))
    if output is not None:
        typer.echo(f"Wrote {output / 'model.pt2'} and {output / 'node-data.json'} (Model Explorer).", err=True)
