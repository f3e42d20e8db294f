"""From the stages' findings to result.json."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from torch import nn

from converters.artifact import Artifact
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.judge import Costs
from edgeprune.pipeline.state import DenseStage, JudgeStage, SearchStage
from edgeprune.pipeline.twin import file_network, quantization
from edgeprune.pipeline.watch import scalars
from edgeprune.result import ArtifactResult, BudgetOutcome, Control, DataInfo, Network, Recovery, Result, Twin
from edgeprune.sources.batches import loaders

_TOOLS = (
    "edgeprune", "torch", "torchvision", "litert-torch", "ai-edge-litert", "ai-edge-quantizer", "executorch",
    "coremltools", "numpy", "scipy",
)  # fmt: skip


def tool_versions() -> dict[str, str]:
    """Versions of what made the numbers; what is not installed is left out."""
    found = {}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found


def final_metrics(job: Job, networks: dict[str, nn.Module]) -> tuple[str, dict[str, dict[str, Any]]]:
    """Metrics of each network on test, which is read here and nowhere else; on val where there is no test."""
    _, val, test = loaders(job.data, job.batch_size, job.config.seed)
    split = val if test is None else test
    found = {name: job.task.evaluate(network, split) for name, network in networks.items()}
    return ("val" if test is None else "test"), found


def network_entry(metrics: dict[str, Any], val: dict[str, float], costs: Costs) -> Network:
    """The entry of one network."""
    return Network(
        accuracy=metrics.get("accuracy"),
        balanced_accuracy=metrics.get("balanced_accuracy"),
        macro_f1=metrics.get("macro_f1"),
        per_class_recall=metrics.get("per_class_recall"),
        confusion=metrics.get("confusion"),
        metrics=scalars(metrics),
        val_metrics=val,
        macs=costs.macs,
        params=costs.params,
        size_bytes=costs.size_bytes,
        latency_ms=costs.latency,
        peak_memory_mib=costs.peak_memory_mib,
    )


def data_info(job: Job, final_split: str) -> DataInfo:
    """What is known of the data."""
    splits = {"train": job.data.train, "val": job.data.val, "test": job.data.test}
    sizes = {name: _size(split) for name, split in splits.items() if split is not None}
    return DataInfo(
        name=job.data.name,
        sizes=sizes,
        class_names=list(job.data.class_names) or None,
        input_shape=list(job.data.input_shape),
        mean=list(job.data.mean) or None,
        std=list(job.data.std) or None,
        long_tail=job.config.long_tail,
        final_split=final_split,
    )


def _size(split: Any) -> int:
    dataset = getattr(split, "dataset", split)
    return len(dataset) if hasattr(dataset, "__len__") else 0


class Began(NamedTuple):
    """When this process took up the run: the date for people, and a clock that nobody sets for the seconds."""

    when: datetime
    moment: float

    @classmethod
    def now(cls) -> "Began":
        """This moment."""
        return cls(datetime.now(UTC), time.monotonic())


def assemble(
    job: Job,
    *,
    began: Began,
    dense: DenseStage,
    search: SearchStage,
    recovery: Recovery | None,
    files: list[ArtifactResult],
    judged: JudgeStage,
    pruned: nn.Module,
    judged_files: tuple[Artifact, Artifact],
    dense_shipped: Artifact,
    outcome: str,
    controls: Mapping[str, tuple[Control, nn.Module]] | None = None,
) -> Result:
    """The whole result. `judged_files` are the dense and the pruned file that were judged.

    Where the run quantises, `pruned` is described by its file: the metrics are those of the file, run in its runtime.
    `dense_shipped` is the dense network's file in the same number format.
    """
    networks = {"dense": job.model, "pruned": pruned}
    if dense.twin is not None:
        networks |= _as_networks(job, {"dense": (job.model, dense_shipped), "pruned": (pruned, judged_files[1])})
    controls = controls or {}
    split, metrics = final_metrics(job, networks | {name: network for name, (_, network) in controls.items()})
    dense_twin, pruned_twin = (
        _complete(twin, metrics, name) for name, twin in (("dense", dense.twin), ("pruned", judged.twin))
    )
    shipped = pruned_twin or dense_twin
    val = (shipped.val_metrics if shipped else None) or (recovery.after if recovery else dense.val_metrics)
    warnings = [*search.notes, *judged.flags]
    if shipped is not None and "pruned file" not in metrics:
        warnings.append(
            f"Accuracy is that of the float32 network: the {shipped.precision} file cannot run on this machine."
        )
    sizes = [artifact.size_bytes for artifact in judged_files]
    dense_costs = Costs(dense.macs, dense.params, sizes[0], judged.dense_latency, judged.dense_memory_mib)
    pruned_costs = Costs(search.macs, search.params, sizes[1], judged.pruned_latency, judged.pruned_memory_mib)
    return Result(
        edgeprune_version=version("edgeprune"),
        command=job.command,
        started=began.when.isoformat(timespec="seconds"),
        seconds=time.monotonic() - began.moment,
        seed=job.config.seed,
        recipe=job.recipe.name,
        model=job.config.model or type(job.model).__name__,
        primary_metric=job.task.primary,
        data=data_info(job, split),
        target=job.config.target,
        runtime=job.config.runtime if job.config.target != "ios" else "coreml",
        threads=job.config.threads if job.config.target != "mac" else 0,
        budget=BudgetOutcome(text=str(job.budget), requirements=judged.requirements),
        met=judged.met,
        outcome=outcome,
        dense=network_entry(metrics["dense"], dense.val_metrics, dense_costs),
        pruned=network_entry(metrics.get("pruned file", metrics["pruned"]), val, pruned_costs),
        widths=search.widths,
        groups=search.groups,
        proof=search.proof,
        artifacts=files,
        search=search.summary,
        recovery=recovery,
        warnings=warnings,
        versions=tool_versions(),
        device=judged.device,
        conditions=judged.conditions,
        quantization=quantization(job, dense_twin, pruned_twin),
        controls=[c.model_copy(update={"metrics": scalars(metrics[name])}) for name, (c, _) in controls.items()],
    )


def _as_networks(job: Job, files: dict[str, tuple[nn.Module, Artifact]]) -> dict[str, nn.Module]:
    """The files as networks, named "dense file" and "pruned file": those that can run here."""
    found = {f"{name} file": file_network(job, network, artifact) for name, (network, artifact) in files.items()}
    return {name: network for name, network in found.items() if network is not None}


def _complete(twin: Twin | None, metrics: dict[str, dict[str, Any]], name: str) -> Twin | None:
    """The twin with its metrics on the final split."""
    if twin is None:
        return None
    of_file = metrics.get(f"{name} file")
    final = {"float_metrics": scalars(metrics[name]), "metrics": None if of_file is None else scalars(of_file)}
    return twin.model_copy(update=final)
