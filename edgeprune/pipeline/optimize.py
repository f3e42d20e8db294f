"""The order of the stages. Each is real, each leaves what --resume needs, and `met` is decided on the final file."""

import time
from pathlib import Path

from torch import nn

from edgeprune.config import Config
from edgeprune.files import write_text
from edgeprune.graph import Coupling, Trace, find_groups, trace
from edgeprune.pipeline.choose import search_stage, unpruned
from edgeprune.pipeline.files import Proved
from edgeprune.pipeline.job import Job, job_from_config
from edgeprune.pipeline.judge import Costs
from edgeprune.pipeline.stages import dense_stage, files_stage, judge_stage, measured_format, train_stage
from edgeprune.pipeline.state import DenseStage, JudgeStage, SearchStage
from edgeprune.pipeline.summary import assemble
from edgeprune.progress import Progress
from edgeprune.report.html import write_report
from edgeprune.result import Recovery, Result
from edgeprune.run import Run, default_path

_ATTEMPTS = 2
_SAFETY = 0.98  # a second solve aims this far below what the first one missed


def optimize_config(config: Config, output: Path | None, *, resume: bool, progress: Progress) -> Result:
    """One run from settings. See `optimize_job`."""
    progress.stage("Loading model and data")
    return optimize_job(job_from_config(config, progress), output, resume=resume)[0]


def optimize_job(job: Job, output: Path | None, *, resume: bool = False) -> tuple[Result, nn.Module, Path]:
    """Run all stages; returns the result, the network (eval mode, CPU) and the run directory.

    Raises the errors of the stages; a run directory in which nothing was finished is removed then.
    """
    started = time.time()
    job.progress.stage("Tracing the network and its channel groups")
    traced = trace(job.model, job.example_inputs)
    coupling = find_groups(traced)
    run = Run.open(output or default_path(job.config, resume), job.config, resume=resume)
    try:
        result, network = _stages(job, run, traced, coupling, started)
        return result, network, run.path
    except BaseException:
        run.discard()
        raise
    finally:
        run.close()


def _stages(job: Job, run: Run, traced: Trace, coupling: Coupling, started: float) -> tuple[Result, nn.Module]:
    job.progress.stage("Dense baseline: evaluate, convert, measure")
    dense, dense_files = dense_stage(job, run, coupling)
    if all(requirement.met for requirement in dense.first_look):
        return _deliver_dense(job, run, coupling, dense, dense_files, started)
    scale = 1.0
    for attempt in range(_ATTEMPTS):
        job.progress.stage("Searching widths: solve, build, convert, measure")
        search, widths = search_stage(job, run, traced, coupling, dense, dense_files, scale, attempt)
        job.progress.stage("Winning accuracy back")
        recovery, pruned = train_stage(job, run, widths, attempt)
        job.progress.stage("Converting and proving the files")
        files, pruned_files = files_stage(job, run, pruned, dense_files, attempt)
        job.progress.stage("Measuring dense and pruned in fresh processes")
        judged = _judge(job, run, dense, dense_files, search, pruned_files, attempt)
        if judged.met:
            break
        scale *= _SAFETY * _overshoot(judged)
        job.progress.note("outside the budget: " + "; ".join(r.note for r in judged.requirements if r.met is False))
    write_text(run.path / "widths.json", widths.to_json())
    outcome = "met" if judged.met else "not met: this is the closest network that was found"
    entries = [*dense.files, *files.files]
    return _finish(
        job, run, dense, search, recovery, entries, judged, pruned, (dense_files, pruned_files), outcome, started
    )


def _deliver_dense(
    job: Job, run: Run, coupling: Coupling, dense: DenseStage, files: dict[str, Proved], started: float
) -> tuple[Result, nn.Module]:
    job.progress.note("the dense network already meets the budget: nothing is pruned")
    search = unpruned(coupling)
    judged = _judge(job, run, dense, files, search, files, 0)
    outcome = "the dense network already meets the budget; nothing was pruned"
    return _finish(job, run, dense, search, None, dense.files, judged, job.model, (files, files), outcome, started)


def _judge(
    job: Job,
    run: Run,
    dense: DenseStage,
    dense_files: dict[str, Proved],
    search: SearchStage,
    pruned_files: dict[str, Proved],
    attempt: int,
) -> JudgeStage:
    before, after = (files[measured_format(job)].artifact for files in (dense_files, pruned_files))
    return judge_stage(
        job,
        run,
        (Costs(dense.macs, dense.params, before.size_bytes), before),
        (Costs(search.macs, search.params, after.size_bytes), after),
        attempt,
    )


def _overshoot(judged: JudgeStage) -> float:
    """By how much the next solve has to aim lower: limit / achieved, of the limit missed most."""
    worst = 1.0
    for requirement in judged.requirements:
        if requirement.met is False and requirement.achieved:
            relative = requirement.limit / requirement.achieved
            worst = min(worst, relative)
    return worst


def _finish(
    job: Job,
    run: Run,
    dense: DenseStage,
    search: SearchStage,
    recovery: Recovery | None,
    entries: list,  # type: ignore[type-arg]
    judged: JudgeStage,
    pruned: nn.Module,
    files: tuple[dict[str, Proved], dict[str, Proved]],
    outcome: str,
    started: float,
) -> tuple[Result, nn.Module]:
    job.progress.stage("Reading the test set once, writing the report")
    sizes = tuple(side[measured_format(job)].artifact.size_bytes for side in files)
    result = assemble(
        job,
        started=started,
        dense=dense,
        search=search,
        recovery=recovery,
        files=entries,
        judged=judged,
        pruned=pruned,
        sizes=(sizes[0], sizes[1]),
        outcome=outcome,
    )
    write_text(run.path / "result.json", result.model_dump_json(indent=2) + "\n")
    write_report(result, run.path / "report.html", run.measurements())
    return result, pruned
