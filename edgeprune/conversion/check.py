"""What can be known to be wrong with a request before any process is started. Imports no torch."""

from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from converters.artifact import SUFFIXES, Format
from converters.options import Options
from edgeprune.conversion.request import Request
from edgeprune.errors import EnvironmentProblem, UsageError

_MODULES: dict[str, tuple[str, ...]] = {
    "litert": ("litert_torch", "ai_edge_litert"),
    "executorch": ("executorch",),
    "coreml": ("coremltools",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


def formats_of(text: str) -> tuple[Format, ...]:
    """litert,coreml as formats, each once. Raises UsageError."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in SUFFIXES:
            close = get_close_matches(name, list(SUFFIXES), n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Known are {', '.join(SUFFIXES)}."
            raise UsageError(f"unknown format {name!r}", hint)
    if not names:
        raise UsageError("--to names no format.", f"Known are {', '.join(SUFFIXES)}.")
    return tuple(names)  # type: ignore[arg-type]


def check_request(request: Request) -> None:
    """Raise the error that the conversion would run into later: missing extras, missing files, nothing to run on."""
    options = Options(
        quantize=request.quantize,  # type: ignore[arg-type]
        delegate=request.delegate,  # type: ignore[arg-type]
        nhwc=request.nhwc,
        via=request.via,  # type: ignore[arg-type]
        image=((), ()) if request.image_input else None,
        max_batch=request.max_batch,
        sides=request.sides,
    )
    options.check(request.format)
    missing = [module for module in _MODULES[request.format] if find_spec(module) is None]
    if missing:
        raise EnvironmentProblem(
            f"Format {request.format} needs {', '.join(missing)}, which is not installed.",
            f'Install it with: pip install "edgeprune[{request.format}]"',
        )
    model = Path(request.model)
    if model.is_dir() and not (model / "result.json").is_file():
        raise UsageError(f"{model} is not a finished run.", "Give the run directory of `edgeprune optimize`.")
    if request.weights is not None and not Path(request.weights).is_file():
        raise UsageError(f"There is no weights file {request.weights}.", "Check --weights.")
    if request.data is None and not model.is_dir():
        if request.input_shape is None:
            raise UsageError(
                "No data and no input shape given.", "Pass --data SPEC, or --input-shape 3x224x224 for random inputs."
            )
        if request.quantize == "int8":
            raise UsageError("int8 needs real inputs to find the range of every activation.", "Pass --data SPEC.")
        if request.image_input:
            raise UsageError("An image input needs the normalisation of real data.", "Pass --data SPEC.")
    for option, value in (("--calibration", request.calibration), ("--check", request.check)):
        if value < 2:
            raise UsageError(f"{option} {value} proves nothing.", "Give a hundred or more.")
