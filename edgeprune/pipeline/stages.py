"""The stages of `optimize` after the search, each resumable: dense baseline, training, files, judgement."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

import profilers.host as host
from converters.artifact import Artifact
from edgeprune.files import save_tensors
from edgeprune.graph import Coupling, Widths
from edgeprune.pipeline.files import Proved, convert_and_prove, require_smaller
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.judge import Costs, judge, latency_stats
from edgeprune.pipeline.state import DenseStage, FilesStage, JudgeStage, TrainStage, reload_files
from edgeprune.pipeline.train import recover, scalars
from edgeprune.result import Recovery
from edgeprune.run import Run
from edgeprune.sources.batches import loaders
from profilers.measurement import Latency, Measurement, Ratio


def measured_format(job: Job) -> str:
    """The format whose file is measured and judged."""
    return job.config.runtime if job.config.target != "ios" else job.config.chosen_formats()[0]


def measures(job: Job) -> bool:
    """Can this target be measured from here?"""
    return job.config.target == "host"


def dense_stage(job: Job, run: Run, coupling: Coupling) -> tuple[DenseStage, dict[str, Proved]]:
    """Evaluate the dense network on val, convert it, look at its latency, and judge it: it may be fast enough."""
    found = run.done("dense")
    if found is not None:
        stage = DenseStage(**found)
        return stage, reload_files(run, stage.files)
    _, val, _ = loaders(job.data, job.batch_size, job.config.seed)
    metrics = scalars(job.task.evaluate(job.model, val))
    job.progress.note(f"dense: val {job.task.primary} {metrics[job.task.primary]:.4f}")
    files = convert_and_prove(job, job.model, "dense", run.artifacts)
    file = files[measured_format(job)]
    costs = Costs(coupling.macs({}), coupling.params({}), file.artifact.size_bytes)
    measurement = None
    if measures(job):
        measurement = _measure(job, file.artifact)
        run.record("dense, first look", measurement.to_json())
        costs = Costs(
            costs.macs, costs.params, costs.size_bytes, latency_stats(measurement), measurement.peak_memory_mib
        )
        job.progress.note(f"dense: {measurement.latency.median:.3f} ms, {job.config.threads} thread(s)")
    stage = DenseStage(
        val_metrics=metrics,
        macs=costs.macs,
        params=costs.params,
        files=[proved.to_result("dense", run.path) for proved in files.values()],
        latency_ms=measurement.latency.median if measurement else None,
        first_look=[judge(limit, costs, costs, Ratio(1.0, (1.0, 1.0), (1.0,))) for limit in job.budget.limits],
    )
    run.finish("dense", stage.model_dump())
    return stage, files


def train_stage(job: Job, run: Run, widths: Widths, attempt: int) -> tuple[Recovery, nn.Module]:
    """The pruned network with its accuracy won back; its weights go to the attempt's model.safetensors."""
    pruned, weights = widths.apply(job.model), run.attempt(attempt) / "model.safetensors"
    checkpoint = run.path / "state" / f"train-{attempt}.checkpoint"
    found = run.done(f"train-{attempt}")
    if found is not None:
        checkpoint.unlink(missing_ok=True)
        pruned.load_state_dict(load_file(weights))
        return TrainStage(**found).recovery, pruned.eval()
    recovery = recover(job, pruned, checkpoint, widths)
    save_network(pruned, weights)
    run.finish(f"train-{attempt}", TrainStage(recovery=recovery).model_dump())
    checkpoint.unlink(missing_ok=True)
    return recovery, pruned


def save_network(network: nn.Module, path: Path) -> None:
    """The state dict as safetensors, whole or not at all; tied tensors are written once a name."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    save_tensors(state, path)


def files_stage(
    job: Job, run: Run, pruned: nn.Module, dense: dict[str, Proved], attempt: int
) -> tuple[FilesStage, dict[str, Proved]]:
    """The trained network in every format, each proved against torch and smaller than its dense twin."""
    found = run.done(f"files-{attempt}")
    if found is not None:
        stage = FilesStage(**found)
        return stage, reload_files(run, stage.files)
    files = convert_and_prove(job, pruned, "pruned", run.attempt(attempt))
    require_smaller(dense, files)
    stage = FilesStage(files=[proved.to_result("pruned", run.path) for proved in files.values()])
    run.finish(f"files-{attempt}", stage.model_dump())
    return stage, files


def judge_stage(
    job: Job, run: Run, dense: tuple[Costs, Artifact], pruned: tuple[Costs, Artifact], name: str
) -> JudgeStage:
    """Measure dense and pruned once more, interleaved in fresh processes, and compare with the budget."""
    found = run.done(f"judge-{name}")
    if found is not None:
        return JudgeStage(**found)
    before, after, ratio = dense[0], pruned[0], None
    device: dict[str, Any] = {}
    conditions: dict[str, Any] = {}
    flags: list[str] = []
    if measures(job):
        reference, candidate, ratio = host.compare(
            dense[1], pruned[1], threads=job.config.threads, on_progress=_watch(job)
        )
        both = (("dense", reference), ("pruned", candidate))
        for network, measurement in both:
            run.record(f"{network}, {name}", measurement.to_json())
        before, after = _with(before, reference), _with(after, candidate)
        facts = candidate.to_json()
        device = facts["device"]
        conditions = {"before": facts["conditions_before"], "after": facts["conditions_after"]}
        flags = [f"{network}: {flag}" for network, m in both for flag in m.flags]
    stage = JudgeStage(
        requirements=[judge(limit, before, after, ratio) for limit in job.budget.limits],
        dense_latency=before.latency,
        pruned_latency=after.latency,
        dense_memory_mib=before.peak_memory_mib,
        pruned_memory_mib=after.peak_memory_mib,
        device=device,
        conditions={**conditions, "ratio": ratio.median if ratio else None},
        flags=flags,
    )
    run.finish(f"judge-{name}", stage.model_dump())
    return stage


def _with(costs: Costs, measured: Measurement) -> Costs:
    return Costs(costs.macs, costs.params, costs.size_bytes, latency_stats(measured), measured.peak_memory_mib)


def _measure(job: Job, artifact: Artifact) -> Measurement:
    return host.measure({"dense": artifact}, threads=job.config.threads, on_progress=_watch(job))["dense"]


def _watch(job: Job) -> Any:
    def watch(name: str, latency: Latency) -> None:
        job.progress.advance(latency.n, 2000, f"{name} {latency.median:.3f} ms")

    return watch
