"""The stages of `optimize` after the search, each resumable: dense baseline, training, files, judgement."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

import profilers.host as host
from converters.artifact import Artifact
from edgeprune.files import save_tensors
from edgeprune.graph import Coupling, Widths
from edgeprune.pipeline.files import NetworkFiles, convert_and_prove, measured_format, require_smaller
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.judge import Costs, judge, latency_stats
from edgeprune.pipeline.state import DenseStage, FilesStage, JudgeStage, TrainStage, reload_files
from edgeprune.pipeline.train import recover, scalars
from edgeprune.pipeline.twin import make_twin, measure_pair, measures, watch
from edgeprune.result import Recovery, Twin
from edgeprune.run import Run
from edgeprune.sources.batches import loaders
from profilers.measurement import Measurement


def dense_stage(job: Job, run: Run, coupling: Coupling) -> tuple[DenseStage, NetworkFiles]:
    """Evaluate the dense network on val, convert it, look at its latency, and judge it: it may be fast enough.

    What is judged is the dense file as the run would ship it, against the float32 one.
    """
    found = run.done("dense")
    if found is not None:
        stage = DenseStage(**found)
        return stage, reload_files(run, stage.files)
    _, val, _ = loaders(job.data, job.batch_size, job.config.seed)
    metrics = scalars(job.task.evaluate(job.model, val))
    job.progress.note(f"dense: val {job.task.primary} {metrics[job.task.primary]:.4f}")
    files = convert_and_prove(job, job.model, "dense", run.artifacts)
    before, after = (
        Costs(coupling.macs({}), coupling.params({}), kind[measured_format(job)].artifact.size_bytes)
        for kind in (files.full, files.shipped)
    )
    pair = measure_pair(job, run, "dense, first look", files)
    if pair is not None:
        before, after = _with(before, pair.full), _with(after, pair.shipped)
        job.progress.note(f"dense: {pair.full.latency.median:.3f} ms, {job.config.threads} thread(s)")
    twin = make_twin(job, job.model, metrics, files, pair)
    if twin is not None and pair is not None:
        job.progress.note(f"dense in {twin.precision}: {pair.shipped.latency.median:.3f} ms")
    stage = DenseStage(
        val_metrics=metrics,
        macs=before.macs,
        params=before.params,
        files=files.to_results("dense", run.path),
        latency_ms=pair.full.latency.median if pair else None,
        first_look=[judge(limit, before, after, pair.ratio if pair else None) for limit in job.budget.limits],
        shipped_ms=pair.shipped.latency.median if pair else None,
        twin=twin,
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
    job: Job, run: Run, pruned: nn.Module, dense: NetworkFiles, attempt: int
) -> tuple[FilesStage, NetworkFiles]:
    """The trained network in every format, each proved against torch and smaller than its dense twin."""
    found = run.done(f"files-{attempt}")
    if found is not None:
        stage = FilesStage(**found)
        return stage, reload_files(run, stage.files)
    files = convert_and_prove(job, pruned, "pruned", run.attempt(attempt), twins=False)
    require_smaller(dense.shipped, files.shipped)
    stage = FilesStage(files=files.to_results("pruned", run.path))
    run.finish(f"files-{attempt}", stage.model_dump())
    return stage, files


def judge_stage(
    job: Job,
    run: Run,
    dense: tuple[Costs, Artifact],
    pruned: tuple[Costs, Artifact],
    name: str,
    make_pruned_twin: Callable[[], Twin | None] = lambda: None,
) -> JudgeStage:
    """Measure dense and pruned once more, interleaved in fresh processes, and compare with the budget.

    `dense` is the float32 file, `pruned` the one that is shipped; `make_pruned_twin` compares that with float32.
    """
    found = run.done(f"judge-{name}")
    if found is not None:
        return JudgeStage(**found)
    before, after, ratio = dense[0], pruned[0], None
    device: dict[str, Any] = {}
    conditions: dict[str, Any] = {}
    flags: list[str] = []
    if measures(job):
        reference, candidate, ratio = host.compare(
            dense[1], pruned[1], threads=job.config.threads, on_progress=watch(job)
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
        twin=make_pruned_twin(),
    )
    run.finish(f"judge-{name}", stage.model_dump())
    return stage


def _with(costs: Costs, measured: Measurement) -> Costs:
    return Costs(costs.macs, costs.params, costs.size_bytes, latency_stats(measured), measured.peak_memory_mib)
