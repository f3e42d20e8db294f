"""Converting one network to the formats of a run, and proving every file: parity, widths, size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

import converters
from converters.artifact import SUFFIXES, Artifact, Format
from converters.inspection import Inspection, check_smaller
from converters.parity import parity
from converters.weights import check_weights
from edgeprune.errors import ParityError
from edgeprune.pipeline.job import Job
from edgeprune.result import ArtifactResult, ParityResult


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


def convert_and_prove(job: Job, network: nn.Module, name: str, folder: Path) -> dict[str, Proved]:
    """`network` as folder/name.SUFFIX in every format of the run, each proved on real inputs.

    Raises ParityError when a file answers something else, converters' errors when a format cannot hold the network.
    """
    formats: Sequence[Format] = job.config.chosen_formats()  # type: ignore[assignment]
    proved: dict[str, Proved] = {}
    for index, fmt in enumerate(formats):
        job.progress.advance(index, len(formats), fmt)
        artifact = converters.convert(network, job.example_inputs, fmt, folder / f"{name}{SUFFIXES[fmt]}")
        proved[fmt] = Proved(artifact, converters.inspect(artifact.path, fmt), _prove(job, network, artifact))
    return proved


def _prove(job: Job, network: nn.Module, artifact: Artifact) -> ParityResult:
    if artifact.format == "coreml":
        weights = check_weights(artifact, network, job.example_inputs)
        if not weights.passed:
            raise ParityError(f"{artifact.path.name}: {weights.reason}", "Please report this model.")
        return ParityResult(max_rel_error=weights.max_abs_error, inputs=0, compared="weights")
    outputs = parity(artifact, network, job.real_inputs())
    if not outputs.passed:
        raise ParityError(
            f"{artifact.path.name} does not answer what the network answers: {outputs.reason}",
            "Leave this format out with --formats, and please report this model.",
        )
    return ParityResult(max_rel_error=outputs.max_rel_error, inputs=outputs.inputs, compared="outputs")


def require_smaller(dense: dict[str, Proved], pruned: dict[str, Proved]) -> None:
    """Raise ParityError unless every pruned file is smaller than its dense twin: else nothing was won."""
    for fmt, proved in pruned.items():
        failures = check_smaller(dense[fmt].inspection, proved.inspection)
        if failures:
            raise ParityError(
                f"{proved.artifact.path.name} gained nothing: {'; '.join(failures)}.", "Please report this."
            )
