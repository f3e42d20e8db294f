"""Load a network, convert it to one format, look into the file, and prove it on real inputs."""

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import converters
from converters.artifact import Artifact
from converters.conversion import remove
from converters.divergence import first_divergence
from converters.dynamic import variants
from converters.errors import NotInterpreted
from converters.options import Inputs, Options
from converters.parity import parity
from converters.weights import check_weights
from edgeprune.conversion.read_files import Fingerprints, fingerprints, watched
from edgeprune.conversion.request import Request
from edgeprune.errors import ParityError, UsageError
from edgeprune.sources.data import Data, load_data
from edgeprune.sources.models import load_model
from edgeprune.sources.samples import calibration_inputs, validation_inputs

FLOAT_INPUTS = 8  # enough to see a wrong kernel; agreement and accuracy need the validation set


@dataclass(frozen=True)
class Subject:
    """The network and the inputs to judge it by: `samples` of batch size 1, with `labels` where they are classes."""

    model: nn.Module
    data: Data | None
    samples: list[Inputs]
    labels: list[int] | None


def convert_one(request: Request) -> tuple[dict[str, Any], Fingerprints]:
    """The outcome of a request as plain JSON values, and what it was made of.

    Raises the errors of the sources and the converters.
    """
    with watched() as seen:
        subject = _load(request)
        calibration = (
            calibration_inputs(subject.data, request.calibration, request.seed)
            if request.quantize == "int8" and subject.data is not None
            else []
        )
    seen |= _known_inputs(request)
    options = Options(
        quantize=request.quantize,  # type: ignore[arg-type]
        calibration=calibration,
        delegate=request.delegate,  # type: ignore[arg-type]
        allow_portable=request.allow_portable,
        nhwc=request.nhwc,
        via=request.via,  # type: ignore[arg-type]
        image=(subject.data.mean, subject.data.std) if request.image_input and subject.data else None,
        max_batch=request.max_batch,
        sides=None if request.sides is None else (request.sides[0], request.sides[1]),
    )
    artifact = converters.convert(subject.model, subject.samples[0], request.format, request.path, options)
    inspection = converters.inspect(artifact.path, request.format)
    runs_here = request.format != "executorch" or request.delegate == "xnnpack"
    outcome = {
        "artifact": artifact.to_json(),
        "inspection": asdict(inspection),
        "parity": _prove(artifact, subject, options) if runs_here else _not_run(request.delegate),
        "data": _about(subject.data),
        "cached": False,
    }
    return outcome, fingerprints(seen)


def _known_inputs(request: Request) -> set[str]:
    """Files that are read without telling Python: safetensors opens them itself."""
    names = ("config.yaml", "result.json", "model.safetensors", "widths.json")
    of_run = [os.path.join(request.model, name) for name in names] if os.path.isdir(request.model) else []
    return {os.path.abspath(path) for path in (request.weights, *of_run) if path is not None}


def _prove(artifact: Artifact, subject: Subject, options: Options) -> dict[str, Any]:
    """The evidence that the file computes what the network computes. Raises ParityError, and removes the file."""
    samples, labels = subject.samples, subject.labels
    if artifact.precision == "float32":
        samples, labels = samples[:FLOAT_INPUTS], None
    try:
        found = parity(artifact, subject.model, samples, labels=labels)
        evidence = {"compared": _COMPARED.get(artifact.format, "outputs"), **asdict(found)}
    except NotInterpreted as gap:
        weights = check_weights(artifact, subject.model, samples[0])
        evidence = {"compared": f"weights alone, since {gap.message}", "inputs": 0} | {
            "max_rel_error": weights.max_abs_error, "passed": weights.passed, "reason": weights.reason
        }  # fmt: skip
    for what, others in variants(samples[:FLOAT_INPUTS], options).items() if evidence["passed"] else ():
        found = parity(artifact, subject.model, others)
        if not found.passed:
            evidence |= {"passed": False, "reason": f"with {what}: {found.reason}"}
    if not evidence["passed"]:
        remove(artifact.path)
        where = _first_layer(evidence["reason"], subject, artifact, options)
        raise ParityError(
            f"{artifact.path.name} does not answer what the network answers, and was removed: "
            f"{evidence['reason']}{where}",
            _cure(evidence["reason"], artifact.precision),
        )
    return evidence


def _first_layer(reason: str, subject: Subject, artifact: Artifact, options: Options) -> str:
    if "proves nothing" in reason:
        return ""
    found = first_divergence(subject.model, subject.samples, artifact.format, options)
    return f"; {found}" if found else "; no single layer stands out"


def _not_run(delegate: str) -> dict[str, Any]:
    why = f"nothing: ExecuTorch's {delegate} backend does not run on this machine"
    return {"compared": why, "inputs": 0, "max_rel_error": None, "passed": True, "reason": ""}


_COMPARED = {} if sys.platform == "darwin" else {"coreml": "outputs of the reference interpreter"}


def _cure(reason: str, precision: str) -> str:
    if "proves nothing" in reason:
        return "Give trained weights (--weights) and real inputs (--data): an untrained network answers almost nothing."
    if precision == "float32":
        return "Leave this format out, and please report this model."
    return "Quantise less (--quantize fp16 or none), or calibrate on more images (--calibration)."


def _load(request: Request) -> Subject:
    data = _data(request)
    if Path(request.model).is_dir():
        from edgeprune.api import load

        model = load(request.model)
    else:
        classes = len(data.class_names) or None if data else None
        channels = data.input_shape[0] if data else (request.input_shape or (1, 3))[1]
        model = load_model(request.model, request.weights, num_classes=classes, in_channels=channels)
    model = model.float().cpu().eval()
    if data is None:
        if request.input_shape is None:
            raise UsageError(
                "No data and no input shape given.", "Pass --data SPEC, or --input-shape 3x224x224 for random inputs."
            )
        generator = torch.Generator().manual_seed(request.seed)
        samples: list[Inputs] = [(torch.randn(request.input_shape, generator=generator),) for _ in range(FLOAT_INPUTS)]
        return Subject(model, None, samples, None)
    real, labels = validation_inputs(data, request.check)
    return Subject(model, data, real, labels)


def _data(request: Request) -> Data | None:
    spec, size, mean, std = request.data, request.image_size, request.mean, request.std
    if spec is None and (Path(request.model) / "config.yaml").is_file():
        from edgeprune.config import make_config, read_config_file

        config = make_config(read_config_file(Path(request.model) / "config.yaml"))
        spec, size = config.data, config.image_size
        mean = None if config.mean is None else tuple(config.mean)
        std = None if config.std is None else tuple(config.std)
    return None if spec is None else load_data(spec, image_size=size, mean=mean, std=std, seed=request.seed)


def _about(data: Data | None) -> dict[str, Any] | None:
    if data is None:
        return None
    return {"name": data.name, "labels": list(data.class_names), "mean": list(data.mean), "std": list(data.std)}
