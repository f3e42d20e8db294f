"""`edgeprune convert`: a network in, files for phones out, each proved on real inputs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeprune.cli.options import option, quiet_option

if TYPE_CHECKING:
    from edgeprune.errors import EdgePruneError

EPILOG = """[bold]Examples[/bold]

Several formats, proved on the digits of scikit-learn:

  edgeprune convert builtin:resnet8 --weights digits.safetensors --data builtin:digits --to litert,coreml,onnx

The pruned network of a run, as int8, calibrated and judged on the run's own data:

  edgeprune convert runs/demo --to litert,executorch --quantize int8 -o phone

Any architecture, without data: random inputs of this shape, and weights worth comparing:

  edgeprune convert torchvision:mobilenet_v2 --weights net.safetensors --input-shape 3x224x224 --to coreml

[bold]Exit codes[/bold]: 0 done, 1 our bug, 2 usage or an operation the format lacks, 3 environment, 6 parity failed
"""

_IN, _HOW, _OUT = "Model and data", "Conversion", "Output"


def convert(
    model: Annotated[
        str,
        typer.Argument(
            help="torchvision:NAME, timm:NAME, builtin:resnet20, file.py:function, x.pt2, x.onnx, or a run's folder.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str, option("--to", help="litert,executorch,coreml,onnx: one or several.", panel=_HOW, metavar="LIST")
    ],
    weights: Annotated[
        Path | None,
        option("--weights", help="Trained weights: .safetensors or a state dict.", panel=_IN, metavar="FILE"),
    ] = None,
    data: Annotated[
        str | None,
        option("--data", help="Judge (and calibrate) on this; a run knows its own.", panel=_IN, metavar="SPEC"),
    ] = None,
    input_shape: Annotated[
        str | None,
        option("--input-shape", help="Instead of data: random inputs, 3x224x224.", panel=_IN, metavar="CxHxW"),
    ] = None,
    image_size: Annotated[
        int | None, option("--image-size", help="Edge of the square input, pixels.", panel=_IN, metavar="PIXELS")
    ] = None,
    mean: Annotated[
        str | None, option("--mean", help="Normalisation mean: 0.45 or 0.485,0.456,0.406.", panel=_IN, metavar="X")
    ] = None,
    std: Annotated[
        str | None, option("--std", help="Normalisation deviation, one value or three.", panel=_IN, metavar="X")
    ] = None,
    quantize: Annotated[
        str | None,
        option(
            "--quantize",
            help="fp16, int8, int8-weights, palettize (Core ML, 6 bits) or none; default none, Core ML fp16.",
            panel=_HOW,
            metavar="HOW",
        ),
    ] = None,
    via: Annotated[
        str, option("--via", help="LiteRT: litert-torch (default) or onnx2tf (`make onnx2tf`).", panel=_HOW)
    ] = "litert-torch",
    backend: Annotated[
        str, option("--backend", help="ExecuTorch: xnnpack (default), coreml, vulkan or qnn.", panel=_HOW)
    ] = "xnnpack",
    allow_portable: Annotated[
        bool, option("--allow-portable", help="ExecuTorch: let refused operations run slowly.", panel=_HOW)
    ] = False,
    nhwc: Annotated[bool, option("--nhwc", help="LiteRT: images enter as (N, H, W, C).", panel=_HOW)] = False,
    image_input: Annotated[
        bool, option("--image-input", help="Core ML: take an image, and normalise it inside.", panel=_HOW)
    ] = False,
    max_batch: Annotated[
        int, option("--max-batch", help="Take batches from 1 to this (not LiteRT).", panel=_HOW, metavar="N")
    ] = 1,
    sides: Annotated[
        str | None,
        option("--sides", help="Take images of these heights and widths (not LiteRT).", panel=_HOW, metavar="LOW,HIGH"),
    ] = None,
    calibration: Annotated[
        int, option("--calibration", help="Images that int8 is calibrated on (default 256).", panel=_HOW, metavar="N")
    ] = 256,
    check: Annotated[
        int,
        option("--check", help="Validation images a reduced file is judged on (2000).", panel=_HOW, metavar="N"),
    ] = 2000,
    output: Annotated[
        Path, option("-o", "--output", help="Folder for the files (default converted).", panel=_OUT, metavar="DIR")
    ] = Path("converted"),
    name: Annotated[
        str | None, option("--name", help="Name of the files without suffix.", panel=_OUT, metavar="NAME")
    ] = None,
    jobs: Annotated[
        int | None, option("--jobs", help="Formats at a time (default: one a core).", panel=_OUT, metavar="N")
    ] = None,
    fresh: Annotated[bool, option("--fresh", help="Convert again, whatever is remembered.", panel=_OUT)] = False,
    quiet: Annotated[bool, quiet_option(_OUT)] = False,
    json: Annotated[
        bool, option("--json", help="Result as JSON on stdout, everything else on stderr.", panel=_OUT)
    ] = False,
) -> None:
    """Convert a network to mobile formats, look into every file, and prove it on real inputs."""
    from edgeprune.cli.failure import reported
    from edgeprune.input_shape import read_input_shape

    with reported(json):
        settings = {
            "weights": None if weights is None else str(weights),
            "data": data,
            "input_shape": None if input_shape is None else (1, *read_input_shape(input_shape)),
            "image_size": image_size,
            "mean": _numbers(mean, float, "--mean"),
            "std": _numbers(std, float, "--std"),
            "delegate": backend,
            "via": via,
            "allow_portable": allow_portable,
            "nhwc": nhwc,
            "image_input": image_input,
            "max_batch": max_batch,
            "sides": _sides(sides),
            "calibration": calibration,
            "check": check,
        }
        _run(model, to, quantize, output, name, jobs, fresh, quiet, json, settings)


def _numbers(text: str | None, kind: Any, option: str) -> tuple[Any, ...] | None:
    from edgeprune.errors import UsageError

    try:
        return None if text is None else tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no list of numbers.", "Write them with commas: 1,3,224,224.") from error


def _sides(text: str | None) -> tuple[int, int] | None:
    from edgeprune.errors import UsageError

    found = _numbers(text, int, "--sides")
    if found is not None and len(found) != 2:
        raise UsageError(f"--sides {text!r} is no range.", "Write the smallest and the largest side: 96,224.")
    return found


def _run(
    model: str,
    to: str,
    quantize: str | None,
    output: Path,
    name: str | None,
    jobs: int | None,
    fresh: bool,
    quiet: bool,
    as_json: bool,
    settings: dict[str, Any],
) -> None:
    import os

    from edgeprune.cli.progress import make_progress
    from edgeprune.conversion.check import check_request, formats_of
    from edgeprune.conversion.request import make_request
    from edgeprune.conversion.side_by_side import convert_all

    requests = [make_request(model, fmt, output, name, quantize, **settings) for fmt in formats_of(to)]
    for request in requests:
        check_request(request)
    jobs = jobs or min(len(requests), os.cpu_count() or 1)
    with make_progress(quiet) as progress:
        outcomes = convert_all(requests, output / "convert.log", jobs, not fresh, progress)
    by_format = {request.format: outcome for request, outcome in zip(requests, outcomes, strict=True)}
    if not as_json:
        _show(by_format)
    if problem := _problem(by_format):
        from edgeprune.cli.failure import tell

        tell(problem.message, problem.cure, problem.exit_code, as_json, {"formats": by_format})
        raise typer.Exit(problem.exit_code)
    if as_json:
        import json

        typer.echo(json.dumps({"formats": by_format}, indent=2))


def _show(by_format: dict[Any, dict[str, Any]]) -> None:
    from rich.console import Console

    from edgeprune.conversion.table import render

    done = {fmt: outcome for fmt, outcome in by_format.items() if "error" not in outcome}
    if done:
        Console().print(render(done))


def _problem(by_format: dict[Any, dict[str, Any]]) -> "EdgePruneError | None":
    """The first failure, the others named in it; None if there is none."""
    from edgeprune.errors import EdgePruneError

    failed = {fmt: outcome["error"] for fmt, outcome in by_format.items() if "error" in outcome}
    if not failed:
        return None

    first = next(iter(failed.values()))
    message = "; ".join(f"{fmt}: {error['message']}" for fmt, error in failed.items())
    problem = EdgePruneError(message, first["cure"])
    problem.exit_code = first["exit_code"]
    return problem
