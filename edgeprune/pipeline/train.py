"""From widths to a trained slim network: the recipe's schedule makes it, the recipe's recovery trains it."""

import time
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from edgeprune.graph import Coupling, ProofError, Trace, Widths, kept_units, prune_proved
from edgeprune.pipeline.choose import channel_scores
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.watch import scalars, watch_training
from edgeprune.recover.finetune import Epoch
from edgeprune.recover.work import Work
from edgeprune.result import Recovery
from edgeprune.sources.batches import loaders


def recover(
    job: Job, traced: Trace, coupling: Coupling, widths: Widths, checkpoint: Path, attempt: int = 0
) -> tuple[nn.Module, Widths, Recovery]:
    """The slim network with its best weights by val, and what was removed: a schedule may rank the channels anew.

    Continues from `checkpoint` (of the recovery; that of the schedule lies beside it) if there is one.
    """
    started = time.monotonic()
    beside = checkpoint.with_name(f"{checkpoint.stem}-schedule{checkpoint.suffix}")
    again = f"-{attempt + 1}" if attempt else ""
    work = make_work(job, traced, coupling, widths, f"training{again}")
    start = job.schedule(replace(work, checkpoint=beside, **watch_training(job, f"schedule{again}")))
    before = scalars(job.task.evaluate(start.network, work.val))
    outcome = job.recovery(work.after(start, checkpoint), start.network)
    trained = [_entry(epoch, 0) for epoch in start.epochs]
    trained += [_entry(epoch, len(start.epochs)) for epoch in outcome.history if epoch.loss is not None]
    recovery = Recovery(
        schedule=job.recipe.schedule.name,
        epochs=trained,
        before=before,
        after_bn=scalars(outcome.history[0].metrics),
        after=scalars(outcome.history[outcome.best_epoch].metrics),
        seconds=time.monotonic() - started,
        facts={**start.facts, **outcome.facts},
        processes=job.trained_by,
    )
    return start.network, start.widths, recovery


def make_work(job: Job, traced: Trace, coupling: Coupling, widths: Widths, tag: str = "training") -> Work:
    """What schedules and recoveries need to know of a run; without a checkpoint. `tag` heads the curves."""
    train, val, _ = loaders(job.data, job.batch_size, job.config.seed)

    def remove(network: nn.Module, kept: dict[str, Tensor]) -> tuple[nn.Module, Widths]:
        slim, removed, proof = prune_proved(network, traced, coupling, kept)
        if proof.frozen:
            raise ProofError(f"the channels ranked anew could not be proved: {proof.frozen}", "use --schedule one_shot")
        return slim, removed

    def rank(network: nn.Module) -> dict[str, Tensor]:
        return job.engine.same(channel_scores(job, coupling, network))

    return Work(
        dense=job.model,
        coupling=coupling,
        kept=kept_units(coupling, widths),
        remove=remove,
        rank=rank,
        data=job.data,
        task=job.task,
        train=train,
        val=val,
        example_inputs=job.example_inputs,
        training=job.training,
        widths=widths,
        batch_size=job.batch_size,
        seed=job.config.seed,
        device=job.engine.device or job.device,
        engine=job.engine,
        acceptable=job.guard.holds if job.guard is not None else None,
        calibration=job.calibration,
        note=job.progress.note,
        **watch_training(job, tag),
    )


def _entry(epoch: Epoch, offset: int) -> dict[str, float]:
    return {"epoch": epoch.epoch + offset, "loss": epoch.loss or 0.0, **scalars(epoch.metrics)}
