"""From the stages' findings to result.json."""

import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import nn

from edgeprune.pipeline.job import Job
from edgeprune.pipeline.judge import Costs
from edgeprune.pipeline.state import DenseStage, JudgeStage, SearchStage
from edgeprune.pipeline.train import scalars
from edgeprune.result import ArtifactResult, BudgetOutcome, DataInfo, Network, Recovery, Result
from edgeprune.sources.batches import loaders

_TOOLS = (
    "edgeprune", "torch", "torchvision", "litert-torch", "ai-edge-litert", "executorch", "coremltools", "numpy", "scipy"
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


def final_metrics(job: Job, networks: list[nn.Module]) -> tuple[str, list[dict[str, Any]]]:
    """Metrics of each network on test, which is read here and nowhere else; on val where there is no test."""
    _, val, test = loaders(job.data, job.batch_size, job.config.seed)
    split = val if test is None else test
    return ("val" if test is None else "test"), [job.task.evaluate(network, split) for network in networks]


def network_entry(metrics: dict[str, Any], val: dict[str, float], costs: Costs) -> Network:
    """The entry of one network."""
    return Network(
        accuracy=metrics.get("accuracy"),
        balanced_accuracy=metrics.get("balanced_accuracy"),
        macro_f1=metrics.get("macro_f1"),
        per_class_recall=metrics.get("per_class_recall"),
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


def assemble(
    job: Job,
    *,
    started: float,
    dense: DenseStage,
    search: SearchStage,
    recovery: Recovery | None,
    files: list[ArtifactResult],
    judged: JudgeStage,
    pruned: nn.Module,
    sizes: tuple[int, int],
    outcome: str,
) -> Result:
    """The whole result. `sizes` are the bytes of the dense and the pruned file that were judged."""
    split, (before, after) = final_metrics(job, [job.model, pruned])
    dense_costs = Costs(dense.macs, dense.params, sizes[0], judged.dense_latency, judged.dense_memory_mib)
    pruned_costs = Costs(search.macs, search.params, sizes[1], judged.pruned_latency, judged.pruned_memory_mib)
    return Result(
        edgeprune_version=version("edgeprune"),
        command=job.command,
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=time.time() - started,
        seed=job.config.seed,
        recipe=job.recipe.name,
        model=job.config.model or type(job.model).__name__,
        primary_metric=job.task.primary,
        data=data_info(job, split),
        target=job.config.target,
        runtime=job.config.runtime if job.config.target != "ios" else "coreml",
        threads=job.config.threads,
        budget=BudgetOutcome(text=str(job.budget), requirements=judged.requirements),
        met=judged.met,
        outcome=outcome,
        dense=network_entry(before, dense.val_metrics, dense_costs),
        pruned=network_entry(after, recovery.after if recovery else dense.val_metrics, pruned_costs),
        widths=search.widths,
        groups=search.groups,
        proof=search.proof,
        artifacts=files,
        search=search.summary,
        recovery=recovery,
        warnings=[*search.notes, *judged.flags],
        versions=tool_versions(),
        device=judged.device,
        conditions=judged.conditions,
    )
