"""The stages of `optimize` after the search, each resumable: dense baseline, training, files, judgement."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from converters.artifact import Artifact
from edgeprune.graph import Coupling, Trace, Widths
from edgeprune.pipeline.controls import CONTROLS
from edgeprune.pipeline.files import NetworkFiles, convert_and_prove, measured_format, require_smaller
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.judge import Costs, Row, judge_all, latency_stats
from edgeprune.pipeline.state import DenseStage, FilesStage, JudgeStage, TrainStage, reload_files
from edgeprune.pipeline.trainings import RECOVER, train
from edgeprune.pipeline.twin import make_twin, measure_pairs, watch
from edgeprune.pipeline.watch import scalars
from edgeprune.result import Control, Recovery, Twin
from edgeprune.run import Run
from edgeprune.sources.batches import loaders
from edgeprune.targets.target import Target, on_each
from profilers.measurement import Measurement, Ratio


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
    pairs = measure_pairs(job, run, "dense, first look", files)
    pair = pairs[0] if pairs else None
    for target, each in zip(job.targets.all, pairs, strict=True):
        threads = "Core ML" if job.config.target == "mac" else f"{job.config.threads} thread(s)"
        where = threads + (f", {target.name}" if job.config.target == "android" else "")
        job.progress.note(f"dense: {each.full.latency.median:.3f} ms {target.kind}, {where}")
    rows = [
        _row(job, target, _with(before, each.full), _with(after, each.shipped), each.ratio)
        for target, each in zip(job.targets.all, pairs, strict=True)
    ]
    twin = make_twin(job, job.model, metrics, files, pair)
    if twin is not None and pair is not None:
        job.progress.note(f"dense in {twin.precision}: {pair.shipped.latency.median:.3f} ms")
    stage = DenseStage(
        val_metrics=metrics,
        macs=before.macs,
        params=before.params,
        files=files.to_results("dense", run.path),
        latency_ms=pair.full.latency.median if pair else None,
        first_look=judge_all(job.budget.limits, rows or [Row(before, after, None)]),
        shipped_ms=pair.shipped.latency.median if pair else None,
        twin=twin,
        each_ms=[each.full.latency.median for each in pairs],
        each_shipped_ms=[each.shipped.latency.median for each in pairs],
    )
    run.finish("dense", stage.model_dump())
    return stage, files


def train_stage(
    job: Job, run: Run, traced: Trace, coupling: Coupling, widths: Widths, attempt: int
) -> tuple[Recovery, nn.Module, Widths]:
    """The pruned network with its accuracy won back, and what was removed in the end.

    Its weights go to the attempt's model.safetensors.
    """
    folder = run.attempt(attempt)
    weights, removed = folder / "model.safetensors", folder / "widths.json"
    checkpoint = run.path / "state" / f"train-{attempt}.checkpoint"
    if run.done(f"train-{attempt}") is None:
        entry = train(
            job, run, traced, coupling, widths, RECOVER,
            checkpoint=checkpoint, weights=weights, removed=removed, attempt=attempt,
        )  # fmt: skip
        run.finish(f"train-{attempt}", TrainStage(recovery=Recovery(**entry)).model_dump())
    recovery = TrainStage(**run.done(f"train-{attempt}")).recovery  # type: ignore[arg-type]
    final = Widths.from_json(removed.read_text(encoding="utf-8"))
    for file in checkpoint.parent.glob(f"{checkpoint.stem}*{checkpoint.suffix}"):
        file.unlink()
    return recovery, _loaded(final.apply(job.model), weights), final


def control_stage(
    job: Job, run: Run, traced: Trace, coupling: Coupling, widths: Widths
) -> dict[str, tuple[Control, nn.Module]]:
    """Each control's network, trained and in eval mode, by name; none where the run asks for none."""
    found = {}
    for name in CONTROLS if job.config.control == "scratch" else ():
        weights = run.path / "state" / f"{name}.safetensors"
        checkpoint = weights.with_suffix(".checkpoint")
        if run.done(name) is None:
            job.progress.note(f"control {name}: the same widths from random weights")
            run.finish(name, train(job, run, traced, coupling, widths, name, checkpoint=checkpoint, weights=weights))
        checkpoint.unlink(missing_ok=True)
        found[name] = Control(**run.done(name)), _loaded(widths.apply(job.model), weights)  # type: ignore[arg-type]
    return found


def _loaded(network: nn.Module, weights: Path) -> nn.Module:
    network.load_state_dict(load_file(weights))
    return network.eval()


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
    final: nn.Module,
    name: str,
    make_pruned_twin: Callable[[], Twin | None] = lambda: None,
) -> JudgeStage:
    """Measure dense and pruned once more, interleaved in fresh processes, and compare with the budget.

    `dense` is the float32 file, `pruned` the one that is shipped; `make_pruned_twin` compares that with float32.
    `final` is the network itself, whose recall by class is looked at on val if the run has a guard.
    """
    found = run.done(f"judge-{name}")
    if found is not None:
        return JudgeStage(**found)
    targets = job.targets.all
    measured = on_each(targets, lambda t: t.compare(dense[1], pruned[1], on_progress=watch(job)))
    rows, flags = [], []
    device: dict[str, Any] = {}
    conditions: dict[str, Any] = {}
    for number, (target, (reference, candidate, ratio)) in enumerate(zip(targets, measured, strict=True)):
        rows.append(_row(job, target, _with(dense[0], reference), _with(pruned[0], candidate), ratio))
        where = f", {target.name}" if number else ""
        for network, measurement in (("dense", reference), ("pruned", candidate)):
            run.record(f"{network}, {name}{where}", measurement.to_json())
            flags += [f"{network}{where}: {flag}" for flag in measurement.flags]
        if not number:
            facts = candidate.to_json()
            device = {**facts["device"], "kind": target.kind}
            conditions = {"before": facts["conditions_before"], "after": facts["conditions_after"]}
    first = rows[0] if rows else Row(dense[0], pruned[0], None)
    guarded = [job.guard.requirement(job.val_metrics(final))] if job.guard is not None else []
    if job.targets.trips is not None:
        conditions["adb_round_trips"] = job.targets.trips
    stage = JudgeStage(
        requirements=[*judge_all(job.budget.limits, rows or [first]), *guarded],
        dense_latency=first.dense.latency,
        pruned_latency=first.pruned.latency,
        dense_memory_mib=first.dense.peak_memory_mib,
        pruned_memory_mib=first.pruned.peak_memory_mib,
        device=device,
        conditions={**conditions, "ratio": first.ratio.median if first.ratio else None},
        flags=flags,
        twin=make_pruned_twin(),
    )
    run.finish(f"judge-{name}", stage.model_dump())
    return stage


def _row(job: Job, target: Target, dense: Costs, pruned: Costs, ratio: Ratio) -> Row:
    return Row(dense, pruned, ratio, target.kind, target.name if len(job.targets.all) > 1 else None)


def _with(costs: Costs, measured: Measurement) -> Costs:
    return Costs(costs.macs, costs.params, costs.size_bytes, latency_stats(measured), measured.peak_memory_mib)
