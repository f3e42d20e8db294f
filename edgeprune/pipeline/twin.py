"""One network in float32 and in the number format of the run: metrics, size and latency of both files, side by side."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from converters.artifact import Artifact
from edgeprune.pipeline.file_network import FileNetwork
from edgeprune.pipeline.files import NetworkFiles, measured_format
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.judge import latency_stats
from edgeprune.pipeline.quantize import CALIBRATION_IMAGES
from edgeprune.pipeline.watch import scalars
from edgeprune.result import Quantization, Twin
from edgeprune.run import Run
from edgeprune.sources.batches import loaders
from edgeprune.targets.target import Target, on_each
from profilers.measurement import Latency, Measurement, Ratio


@dataclass(frozen=True)
class Pair:
    """Measurements of the float32 file and of the shipped one (the same where the run does not quantise)."""

    full: Measurement
    shipped: Measurement
    ratio: Ratio


def measures(job: Job) -> bool:
    """Can this target be measured from here?"""
    return job.config.target != "ios"


def watch(job: Job) -> Any:
    """What tells the progress of a measurement."""

    def told(name: str, latency: Latency) -> None:
        job.progress.advance(latency.n, 2000, f"{name} {latency.median:.3f} ms")

    return told


def measure_pairs(job: Job, run: Run, label: str, files: NetworkFiles) -> list[Pair]:
    """Both files of the run's runtime, in turns, on every target; none where it cannot be measured from here."""
    full, shipped = (kind[measured_format(job)].artifact for kind in (files.full, files.shipped))

    def measure(target: Target) -> Pair:
        if full is shipped:
            only = target.measure({"dense": full}, on_progress=watch(job))["dense"]
            return Pair(only, only, Ratio(1.0, (1.0, 1.0), (1.0,)))
        return Pair(*target.compare(full, shipped, on_progress=watch(job)))

    targets = job.targets.all
    pairs = on_each(targets, measure)
    for target, pair in zip(targets, pairs, strict=True):
        where = label if len(targets) == 1 else f"{label}, {target.name}"
        if full is not shipped:
            run.record(f"{where}, {shipped.precision}", pair.shipped.to_json())
        run.record(where, pair.full.to_json())
    return pairs


def file_network(job: Job, network: nn.Module, artifact: Artifact) -> FileNetwork | None:
    """The file as a network that the task can evaluate; None where its runtime is not on this machine."""
    if artifact.format == "coreml" and job.config.target != "mac":
        return None
    return FileNetwork(artifact, network, job.example_inputs, job.config.threads)


def make_twin(
    job: Job, network: nn.Module, val_metrics: dict[str, float], files: NetworkFiles, pair: Pair | None
) -> Twin | None:
    """The comparison on val; None where the run does not quantise. `val_metrics` are those of `network`."""
    full, shipped = (kind[measured_format(job)].artifact for kind in (files.full, files.shipped))
    if full is shipped:
        return None
    as_network = file_network(job, network, shipped)
    metrics = None if as_network is None else scalars(job.task.evaluate(as_network, loaders(job.data)[1]))
    if metrics is not None:
        primary = job.task.primary
        found = f"{metrics[primary]:.4f} in {shipped.precision}, {val_metrics[primary]:.4f} in float32"
        job.progress.note(f"val {primary} {found}")
    return Twin(
        precision=shipped.precision,
        float_latency_ms=latency_stats(pair.full) if pair else None,
        latency_ms=latency_stats(pair.shipped) if pair else None,
        ratio=pair.ratio.median if pair else None,
        ratio_ci95=pair.ratio.ci95 if pair else None,
        float_size_bytes=full.size_bytes,
        size_bytes=shipped.size_bytes,
        float_val_metrics=val_metrics,
        val_metrics=metrics,
    )


def quantization(job: Job, dense: Twin | None, pruned: Twin | None) -> Quantization | None:
    """What the number format cost and gained; None where the run does not quantise."""
    if dense is None or job.config.quantize == "none":
        return None
    images = CALIBRATION_IMAGES if job.config.quantize == "int8" else None
    note = in_words(pruned or dense, job.config.target)
    return Quantization(quantize=job.config.quantize, calibration_images=images, dense=dense, pruned=pruned, note=note)


def in_words(twin: Twin, target: str) -> str:
    """Whether the number format is faster or slower than float32 on this target; said only if the interval says it."""
    if twin.ratio is None or twin.ratio_ci95 is None:
        return f"{twin.precision} was not compared with float32 by the clock: {target} is not measured here."
    low, high = twin.ratio_ci95
    if low > 1:
        return (
            f"{twin.precision} is slower than float32 on this target: {twin.ratio:.2f} times its latency. "
            "Without --quantize the same network is faster here."
        )
    if high < 1:
        return f"{twin.precision} is {1 / twin.ratio:.2f} times faster than float32 on this target."
    return f"{twin.precision} and float32 are equally fast on this target, as far as can be measured."
