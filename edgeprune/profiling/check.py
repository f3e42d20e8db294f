"""`edgeprune check`: does a finished run still keep its promises? Its files are measured and evaluated again."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.artifact import Artifact
from edgeprune.config import Config, make_config, read_config_file
from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.finished import read_result
from edgeprune.pipeline.file_network import FileNetwork
from edgeprune.pipeline.job import job_from_config
from edgeprune.pipeline.judge import Costs, Row, judge_all, latency_stats
from edgeprune.pipeline.publish import restore
from edgeprune.pipeline.summary import final_metrics
from edgeprune.profiling.subjects import artifact_of
from edgeprune.progress import Progress
from edgeprune.report.facts import shipped
from edgeprune.result import Requirement, Result
from edgeprune.targets.target import Target, Targets, on_each
from profilers.measurement import Measurement


@dataclass(frozen=True)
class Accuracy:
    """The primary metric of the shipped file now, and the one recorded; `fine` if it fell by no more than allowed."""

    metric: str
    split: str
    recorded: float
    now: float
    fine: bool


@dataclass(frozen=True)
class Checked:
    """What was found again."""

    run: str
    requirements: list[Requirement]
    accuracy: Accuracy | None
    flags: list[str]

    @property
    def passed(self) -> bool:
        """True if every limit holds and the accuracy is what it was."""
        fine = self.accuracy is None or self.accuracy.fine
        return fine and all(requirement.met for requirement in self.requirements)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "run": self.run,
            "passed": self.passed,
            "requirements": [requirement.model_dump() for requirement in self.requirements],
            "accuracy": None if self.accuracy is None else self.accuracy.__dict__,
            "flags": self.flags,
        }


def check_run(
    run: Path, changes: dict[str, Any], progress: Progress, *, drop: float = 0.005, accuracy: bool = True
) -> Checked:
    """Measure and evaluate the files of a finished run again. `changes`: settings in place of the run's own.

    `drop` is how far the primary metric may fall below the recorded one. Raises UsageError for a run that is not there
    or was changed, EnvironmentProblem for a target that cannot be measured here, DeviceError, MeasurementError.
    """
    result = read_result(run)
    config = make_config({**changes}, run / "config.yaml")
    if config.target == "ios":
        raise EnvironmentProblem("A run for iOS is not measured here.", "Pass --target host or android.")
    if not config.budget().limits:
        raise UsageError("No budget to check.", "Pass --latency 20ms.")
    dense, pruned = _files(run, result, config)
    progress.stage("Measuring dense and pruned again")
    with closing(Targets(config, progress)) as targets:
        rows, flags = _measure(result, targets.all, dense, pruned, progress)
    found: Accuracy | None = None
    classes: list[Requirement] = []
    if accuracy:
        progress.stage("Evaluating the file again")
        found, classes = _evaluate(run, result, pruned, progress, drop)
    return Checked(str(run), [*judge_all(config.budget().limits, rows), *classes], found, flags)


def _files(run: Path, result: Result, config: Config) -> tuple[Artifact, Artifact]:
    """The float32 file of the dense network and the shipped file, unchanged since the run wrote them."""
    dense = [a for a in result.artifacts if a.network == "dense" and a.precision == "float32"]
    found = []
    for entries in (dense, shipped(result) or dense):
        entry = next((a for a in entries if a.format == config.runtime), None)
        if entry is None:
            raise UsageError(f"{run} has no {config.runtime} file to check.", "Run optimize with that --runtime.")
        artifact = artifact_of(run / entry.path, entry.precision, (entry.format,))
        if artifact.sha256 != entry.sha256:
            raise UsageError(f"{artifact.path} was changed since the run wrote it.", "Commit the files as they were.")
        found.append(artifact)
    return found[0], found[1]


def _measure(
    result: Result, targets: Sequence[Target], dense: Artifact, pruned: Artifact, progress: Progress
) -> tuple[list[Row], list[str]]:
    def told(name: str, latency: Any) -> None:
        progress.advance(min(latency.n, 2000), 2000, f"{name} {latency.median:.3f} ms")

    rows, flags = [], []
    measured = on_each(targets, lambda target: target.compare(dense, pruned, on_progress=told))
    for target, (before, after, ratio) in zip(targets, measured, strict=True):
        one, other = _costs(result.dense, dense, before), _costs(result.pruned, pruned, after)
        rows.append(Row(one, other, ratio, target.kind, target.name))
        flags += [f"{target.name}: {flag}" for flag in after.flags]
    return rows, flags


def _costs(network: Any, artifact: Artifact, found: Measurement) -> Costs:
    return Costs(network.macs, network.params, artifact.size_bytes, latency_stats(found), found.peak_memory_mib)


def _evaluate(
    run: Path, result: Result, artifact: Artifact, progress: Progress, drop: float
) -> tuple[Accuracy, list[Requirement]]:
    """The primary metric of the file on the final split, and its recall by class on val if the run has a floor."""
    config = make_config(read_config_file(run / "config.yaml"))
    if config.model is None or config.data is None:
        raise UsageError(f"{run} was made from Python objects: its data cannot be loaded.", "Pass --no-accuracy.")
    job = job_from_config(config, progress)
    network = FileNetwork(artifact, restore(run, job.model), job.example_inputs, config.threads)
    split, metrics = final_metrics(job, {"file": network})
    metric = job.task.primary
    now, recorded = float(metrics["file"][metric]), result.pruned.metrics[metric]
    classes = [job.guard.requirement(job.val_metrics(network))] if job.guard is not None else []
    return Accuracy(metric, split, recorded, now, now >= recorded - drop), classes
