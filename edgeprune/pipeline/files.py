"""Converting one network to the formats of a run, and proving every file: parity, widths, size."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

import converters
from converters.artifact import SUFFIXES, Artifact, Format
from converters.errors import ConversionError, NotInterpreted
from converters.inspection import Inspection, check_smaller
from converters.options import PRECISIONS, Options
from converters.parity import parity
from converters.weights import check_weights
from edgeprune.errors import ParityError
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.quantize import calibration, options
from edgeprune.result import ArtifactResult, ParityResult
from edgeprune.sources.samples import validation_inputs

_JUDGED_IMAGES = 2000  # of val, for a reduced file: agreement and accuracy need many


@dataclass(frozen=True)
class Proved:
    """A converted file, what is in it, and the evidence that it computes what the network computes."""

    artifact: Artifact
    inspection: Inspection
    parity: ParityResult

    def to_result(self, network: Any, root: Path) -> ArtifactResult:
        """The entry for result.json, its path relative to `root`."""
        artifact = self.artifact
        return ArtifactResult(
            network=network,
            format=artifact.format,
            path=str(artifact.path.relative_to(root)),
            sha256=artifact.sha256,
            size_bytes=artifact.size_bytes,
            precision=artifact.precision,
            parity=self.parity,
            delegated_share=self.inspection.delegated_share,
            transposes=self.inspection.transposes,
            versions=artifact.versions,
        )


@dataclass(frozen=True)
class NetworkFiles:
    """The files of one network by format: `full` in float32, `shipped` as the run delivers them.

    They are the same unless the run quantises; then `full` may hold the run's own runtime alone.
    """

    full: dict[str, Proved]
    shipped: dict[str, Proved]

    def to_results(self, network: Any, root: Path) -> list[ArtifactResult]:
        """Entries for result.json, each file once."""
        kinds = [self.full] if self.shipped is self.full else [self.full, self.shipped]
        return [proved.to_result(network, root) for kind in kinds for proved in kind.values()]


def measured_format(job: Job) -> Format:
    """The format whose file is measured and judged."""
    return job.config.runtime if job.config.target != "ios" else _formats(job)[0]


def _formats(job: Job) -> Sequence[Format]:
    return job.config.chosen_formats()  # type: ignore[return-value]


def convert_and_prove(job: Job, network: nn.Module, name: str, folder: Path, *, twins: bool = True) -> NetworkFiles:
    """`network` as folder/name.SUFFIX in every format of the run, each proved on real inputs.

    A run that quantises gets folder/name-int8.SUFFIX besides; `twins=False` then keeps float32 to the run's own
    runtime. Raises ParityError when a file answers something else, converters' errors when a format cannot hold the
    network.
    """
    quantize = job.config.quantize
    if quantize == "none":
        full = _convert(job, network, folder, name, {fmt: Options() for fmt in _formats(job)})
        return NetworkFiles(full, full)
    kept = _formats(job) if twins else [measured_format(job)]
    inputs = calibration(job)
    reduced = {fmt: options(job, inputs) for fmt in _formats(job)}
    shipped = _convert(job, network, folder, f"{name}-{quantize}", reduced)  # first: it is what may be refused
    return NetworkFiles(_convert(job, network, folder, name, {fmt: Options() for fmt in kept}), shipped)


def _convert(
    job: Job, network: nn.Module, folder: Path, name: str, wanted: Mapping[Format, Options]
) -> dict[str, Proved]:
    proved: dict[str, Proved] = {}
    for index, (fmt, how) in enumerate(wanted.items()):
        job.progress.advance(index, len(wanted), f"{fmt} {PRECISIONS[how.quantize]}")
        artifact = _written(job, network, fmt, folder / f"{name}{SUFFIXES[fmt]}", how)
        proved[fmt] = Proved(artifact, converters.inspect(artifact.path, fmt), _prove(job, network, artifact))
    return proved


def _written(job: Job, network: nn.Module, fmt: Format, path: Path, how: Options) -> Artifact:
    """The file. Core ML's int8 is int8 weights where the reference interpreter cannot find the ranges of the rest."""
    try:
        return converters.convert(network, job.example_inputs, fmt, path, how)
    except ConversionError as error:
        if not isinstance(error.__cause__, NotInterpreted):
            raise
        job.progress.note(f"{error.message}: it gets int8 weights and float16 activations")
        weights_only = replace(how, quantize="int8-weights", calibration=())
        return converters.convert(network, job.example_inputs, fmt, path, weights_only)


def _prove(job: Job, network: nn.Module, artifact: Artifact) -> ParityResult:
    """Float32 on a few inputs, a reduced file on the validation set; Core ML by the reference interpreter, or at least
    its weights."""
    samples, labels = job.real_inputs(), None
    if artifact.precision != "float32":
        samples, labels = validation_inputs(job.data, _JUDGED_IMAGES)
    try:
        found = parity(artifact, network, samples, labels=labels)
    except NotInterpreted:
        return _prove_weights(job, network, artifact)
    if not found.passed:
        raise _failed(artifact, found.reason)
    compared = "interpreted" if artifact.format == "coreml" and sys.platform != "darwin" else "outputs"
    return ParityResult(
        max_rel_error=found.max_rel_error,
        inputs=found.inputs,
        compared=compared,  # type: ignore[arg-type]
        agreement=found.agreement,
        snr_db=found.snr_db,
    )


def _prove_weights(job: Job, network: nn.Module, artifact: Artifact) -> ParityResult:
    weights = check_weights(artifact, network, job.example_inputs)
    if not weights.passed:
        raise ParityError(f"{artifact.path.name}: {weights.reason}", "Please report this model.")
    return ParityResult(max_rel_error=weights.max_abs_error, inputs=0, compared="weights")


def _failed(artifact: Artifact, reason: str) -> ParityError:
    if "of the model itself" in reason:
        return ParityError(
            f"{artifact.path.name} cannot be proved: {reason}. Training is the cause, not the conversion: torch itself "
            "answers so",
            "Give trained weights; of a pruned network, more --epochs, a lower --lr, or a larger budget.",
        )
    cure = "Leave this format out with --formats, and please report this model."
    if artifact.precision != "float32":
        cure = "Ask for less with --quantize fp16 or none, or leave this format out with --formats."
    return ParityError(f"{artifact.path.name} does not answer what the network answers: {reason}", cure)


def require_smaller(dense: dict[str, Proved], pruned: dict[str, Proved]) -> None:
    """Raise ParityError unless every pruned file is smaller than its dense twin: else nothing was won."""
    for fmt, proved in pruned.items():
        failures = check_smaller(dense[fmt].inspection, proved.inspection)
        if failures:
            raise ParityError(
                f"{proved.artifact.path.name} gained nothing: {'; '.join(failures)}.", "Please report this."
            )
