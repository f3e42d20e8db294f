"""The order of the stages. Each is real, each leaves what --resume needs, and `met` is decided on the final file."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from edgeprune.bundle import write_bundle
from edgeprune.config import Config
from edgeprune.curves import open_curves
from edgeprune.errors import BudgetNotMet
from edgeprune.files import write_text
from edgeprune.finished import read_result
from edgeprune.graph import Coupling, Trace, Widths
from edgeprune.pipeline.choose import search_stage, unpruned
from edgeprune.pipeline.files import NetworkFiles, measured_format
from edgeprune.pipeline.job import Job, job_from_config
from edgeprune.pipeline.judge import Costs
from edgeprune.pipeline.publish import publish, restore
from edgeprune.pipeline.reach import check_reach
from edgeprune.pipeline.stages import control_stage, dense_stage, files_stage, judge_stage, train_stage
from edgeprune.pipeline.state import DenseStage, JudgeStage, SearchStage
from edgeprune.pipeline.summary import Began, assemble
from edgeprune.pipeline.trainings import save_network
from edgeprune.pipeline.twin import make_twin, measure_pairs, measures
from edgeprune.pipeline.watch import draw_result
from edgeprune.progress import Progress
from edgeprune.report.html import write_report
from edgeprune.result import ArtifactResult, Control, Recovery, Result, Twin
from edgeprune.run import Run, default_path
from edgeprune.scratch import scratch

_ATTEMPTS = 2
_SAFETY = 0.98  # a second solve aims this far below what the first one missed


@dataclass(frozen=True)
class Delivered:
    """The network that a run ends with, its files, and how it was judged. `attempt` is None for the dense one."""

    attempt: int | None
    search: SearchStage
    widths: Widths
    recovery: Recovery | None
    network: nn.Module
    entries: list[ArtifactResult]
    files: NetworkFiles
    judged: JudgeStage

    def outcome(self, quantize: str) -> str:
        """What became of the budget, in words."""
        if self.attempt is None:
            how = "" if quantize == "none" else f" as {quantize}"
            return f"the dense network{how} already meets the budget; nothing was pruned"
        return "met" if self.judged.met else "not met: this is the closest network that was found"


def optimize_config(config: Config, output: Path | None, *, resume: bool, progress: Progress) -> Result:
    """One run from settings. See `optimize_job`."""
    Run.check_place(output or default_path(config, resume))
    progress.stage("Loading model and data")
    return optimize_job(job_from_config(config, progress), output, resume=resume)


def optimize_job(job: Job, output: Path | None, *, resume: bool = False) -> Result:
    """Run all stages. The result knows its network (`module`: eval mode, CPU) and its run directory (`path`).

    Resuming a finished run repeats nothing and returns its result. Raises the errors of the stages; a run directory in
    which nothing was finished, or in which nothing can be since the budget is below the floor, is removed then.
    """
    began = Began.now()
    job.progress.stage("Tracing the network and its channel groups")
    traced, coupling = job.groups()
    check_reach(job, coupling)
    run = Run.open(output or default_path(job.config, resume), job.config, resume=resume)
    if resume and run.created:
        job.progress.note(f"there was nothing to resume in {run.path}: this run starts from the beginning")
    try:
        job.curves = open_curves(job.config.log, run.path)
        with scratch(run.path / ".scratch"), closing(job.curves):
            return _stages(job, run, traced, coupling, began)
    except BudgetNotMet:
        run.discard(finished_too=True)
        raise
    except BaseException:
        run.discard()
        raise
    finally:
        job.targets.close()
        run.close()


def _stages(job: Job, run: Run, traced: Trace, coupling: Coupling, began: Began) -> Result:
    run.keep_method(job.recipe)
    if (run.path / "result.json").exists():
        job.progress.note("this run is finished: nothing was left to do")
        return _finished(job, run)
    job.progress.stage("Dense baseline")
    dense, dense_files = dense_stage(job, run, coupling)
    delivered = None
    if all(requirement.met for requirement in dense.first_look):
        delivered = _deliver_dense(job, run, coupling, dense, dense_files)
    if delivered is None or not delivered.judged.met:
        delivered = _deliver_pruned(job, run, traced, coupling, dense, dense_files)
    controls = {}
    if delivered.attempt is not None:
        controls = control_stage(job, run, traced, coupling, delivered.widths)
    return _write(job, run, dense, dense_files, delivered, controls, began)


def _deliver_pruned(
    job: Job, run: Run, traced: Trace, coupling: Coupling, dense: DenseStage, dense_files: NetworkFiles
) -> Delivered:
    """The first solve that meets the budget once it is trained and converted, else the closest of all."""
    scale = 1.0
    attempts: list[Delivered] = []
    for attempt in range(_ATTEMPTS):
        job.progress.stage("Searching widths")
        try:
            search, widths = search_stage(job, run, traced, coupling, dense, dense_files, scale, attempt)
        except BudgetNotMet as error:
            if not attempts:
                raise
            job.progress.note(f"no second solve: {error}")
            break
        job.progress.stage("Winning accuracy back")
        recovery, pruned, widths = train_stage(job, run, traced, coupling, widths, attempt)
        job.progress.stage("Converting and proving the files")
        entries, files = files_stage(job, run, pruned, dense_files, attempt)
        job.progress.stage("Measuring dense and pruned" if measures(job) else "Counting costs")
        make_pruned_twin = partial(_pruned_twin, job, run, pruned, recovery, files, attempt)
        judged = _judge(job, run, dense, dense_files, search, files, pruned, str(attempt), make_pruned_twin)
        attempts.append(Delivered(attempt, search, widths, recovery, pruned, entries.files, files, judged))
        if judged.affordable:  # a class that was left behind is not helped by a narrower network
            break
        missed = "; ".join(f"{r.kind} {r.note}" for r in judged.requirements if r.met is False)
        job.progress.note(f"outside the budget ({missed})" + (": one more solve" if attempt + 1 < _ATTEMPTS else ""))
        scale *= _SAFETY / judged.used
    return min(attempts, key=lambda delivered: delivered.judged.used)


def _pruned_twin(
    job: Job, run: Run, pruned: nn.Module, recovery: Recovery, files: NetworkFiles, attempt: int
) -> Twin | None:
    if files.full is files.shipped:
        return None
    pair = next(iter(measure_pairs(job, run, f"pruned in float32, {attempt}", files)), None)
    return make_twin(job, pruned, recovery.after, files, pair)


def _deliver_dense(job: Job, run: Run, coupling: Coupling, dense: DenseStage, files: NetworkFiles) -> Delivered:
    job.progress.note("the dense network already meets the budget: nothing is pruned")
    search = unpruned(coupling)
    judged = _judge(job, run, dense, files, search, files, job.model, "dense")
    return Delivered(None, search, Widths(), None, job.model, [], files, judged)


def _judge(
    job: Job,
    run: Run,
    dense: DenseStage,
    dense_files: NetworkFiles,
    search: SearchStage,
    pruned_files: NetworkFiles,
    network: nn.Module,
    name: str,
    make_pruned_twin: Callable[[], Twin | None] = lambda: None,
) -> JudgeStage:
    before, after = (kind[measured_format(job)].artifact for kind in (dense_files.full, pruned_files.shipped))
    return judge_stage(
        job,
        run,
        (Costs(dense.macs, dense.params, before.size_bytes), before),
        (Costs(search.macs, search.params, after.size_bytes), after),
        network,
        name,
        make_pruned_twin,
    )


def _write(
    job: Job,
    run: Run,
    dense: DenseStage,
    dense_files: NetworkFiles,
    delivered: Delivered,
    controls: dict[str, tuple[Control, nn.Module]],
    began: Began,
) -> Result:
    job.progress.stage("Reading test, writing the report")
    if delivered.attempt is None:
        entries = delivered.entries
        save_network(delivered.network, run.path / "model.safetensors")
    else:
        entries = publish(run, delivered.attempt, delivered.entries)
    before, after = (kind[measured_format(job)].artifact for kind in (dense_files.full, delivered.files.shipped))
    result = assemble(
        job,
        began=began,
        dense=dense,
        search=delivered.search,
        recovery=delivered.recovery,
        files=[*dense.files, *entries],
        judged=delivered.judged,
        pruned=delivered.network,
        judged_files=(before, after),
        dense_shipped=dense_files.shipped[measured_format(job)].artifact,
        outcome=delivered.outcome(job.config.quantize),
        controls=controls,
    )
    draw_result(job, result)
    write_text(run.path / "widths.json", delivered.widths.to_json())
    rows, name = run.measurements(), "dense" if delivered.attempt is None else str(delivered.attempt)
    final = {network: rows[f"{network}, {name}"] for network in ("dense", "pruned") if f"{network}, {name}" in rows}
    write_report(result, run.path / "report.html", final)
    write_bundle(run.path, result, job.data, job.config.data)
    write_text(run.path / "result.json", result.model_dump_json(indent=2) + "\n")
    run.drop_attempts()
    return result.with_network(delivered.network, run.path)


def _finished(job: Job, run: Run) -> Result:
    run.drop_attempts()
    result = read_result(run.path)
    return result.with_network(restore(run.path, job.model), run.path)
