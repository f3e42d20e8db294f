"""What each finished stage leaves in the run directory (state/STAGE.json), so that --resume repeats nothing."""

from pydantic import BaseModel

from converters.artifact import Artifact, sha256
from converters.inspection import inspect
from edgeprune.errors import UsageError
from edgeprune.pipeline.files import NetworkFiles, Proved
from edgeprune.result import ArtifactResult, Groups, LatencyStats, Recovery, Requirement, SearchSummary, Twin
from edgeprune.run import Run


class DenseStage(BaseModel):
    """The dense network: metrics on val, its files, its latency, ms (a first look: the final one is measured anew).

    `latency_ms` is that of the float32 file, to which relative budgets refer, `shipped_ms` that of the file in the
    run's number format; `twin` compares the two where they differ. With several targets these are the first one's, and
    `each_ms` and `each_shipped_ms` those of all.
    """

    val_metrics: dict[str, float]
    macs: int
    params: int
    files: list[ArtifactResult]
    latency_ms: float | None
    first_look: list[Requirement]
    shipped_ms: float | None = None
    twin: Twin | None = None
    each_ms: list[float] = []
    each_shipped_ms: list[float] = []


class SearchStage(BaseModel):
    """The chosen widths: channels kept by group (`counts` in units), how they were found, and the surgery's proof."""

    counts: dict[str, int]
    widths: dict[str, dict[str, int]]
    groups: Groups
    macs: int
    params: int
    proof: dict[str, float | None]
    summary: SearchSummary
    notes: list[str]


class TrainStage(BaseModel):
    """How the pruned network was trained; its weights are in the attempt's model.safetensors."""

    recovery: Recovery


class FilesStage(BaseModel):
    """The pruned network's files."""

    files: list[ArtifactResult]


class JudgeStage(BaseModel):
    """The final measurement of dense and pruned, in fresh processes."""

    requirements: list[Requirement]
    dense_latency: LatencyStats | None
    pruned_latency: LatencyStats | None
    dense_memory_mib: float | None
    pruned_memory_mib: float | None
    device: dict[str, object]
    conditions: dict[str, object]
    flags: list[str]
    twin: Twin | None = None

    @property
    def met(self) -> bool:
        """True when every requirement was checked and holds."""
        return all(requirement.met for requirement in self.requirements)

    @property
    def affordable(self) -> bool:
        """True when every limit of cost holds, whatever became of the recall of classes."""
        return all(requirement.met for requirement in self.requirements if requirement.kind != "class_recall")

    @property
    def used(self) -> float:
        """Share of the limit that is used most; above 1 it is missed."""
        return max((requirement.used for requirement in self.requirements if requirement.used is not None), default=0.0)


def reload_files(run: Run, entries: list[ArtifactResult]) -> NetworkFiles:
    """The files of a finished stage, read again. Raises UsageError when one was changed since."""
    full: dict[str, Proved] = {}
    reduced: dict[str, Proved] = {}
    for entry in entries:
        path = run.path / entry.path
        inspection = inspect(path, entry.format)  # type: ignore[arg-type]
        artifact = Artifact(
            entry.format,  # type: ignore[arg-type]
            path,
            inspection.inputs,
            inspection.outputs,
            entry.precision,
            entry.sha256,
            entry.size_bytes,
            entry.versions,
        )
        if sha256(path) != entry.sha256:
            raise UsageError(f"{path} was changed since the run wrote it.", "Start a new run with another -o.")
        kind = full if entry.precision == "float32" else reduced
        kind[entry.format] = Proved(artifact, inspection, entry.parity)
    return NetworkFiles(full, reduced or full)
