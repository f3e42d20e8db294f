"""Winning accuracy back: start weights by schedule, batch-norm statistics, then training."""

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgeprune.graph import Widths
from edgeprune.pipeline.job import Job
from edgeprune.recover import batchnorm
from edgeprune.recover.finetune import finetune
from edgeprune.recover.reconstruct import reconstruct
from edgeprune.result import Recovery
from edgeprune.schedule import SCHEDULES
from edgeprune.sources.batches import calibration_batches, loaders

_BN_IMAGES = 2000
_REPAIR_BATCHES, _REPAIR_BATCH = 16, 16


def repair(job: Job, pruned: nn.Module, widths: Widths) -> None:
    """Fit the weights of `pruned`, in place and in closed form, if the recipe says so."""
    kind, seed = job.recipe.recover.repair, job.config.seed
    if kind is None:
        return
    if kind == "noise":
        generator = torch.Generator().manual_seed(seed)
        shapes = [(_REPAIR_BATCH, *tensor.shape[1:]) for tensor in job.example_inputs]
        drawn = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(_REPAIR_BATCHES)]
        inputs: list[Any] = [tensors[0] if len(tensors) == 1 else tuple(tensors) for tensors in drawn]
    else:
        data = job.calibration or job.data
        inputs = [x for x, _ in calibration_batches(data, _REPAIR_BATCHES * _REPAIR_BATCH, _REPAIR_BATCH, seed)]
    fitted = reconstruct(job.model, pruned, widths, inputs)
    seen = "noise" if kind == "noise" else job.config.calibration or "training images"
    job.progress.note(f"{len(fitted)} layers fitted in closed form on {seen}")


def recover(job: Job, pruned: nn.Module, checkpoint: Path, widths: Widths | None = None) -> Recovery:
    """Train `pruned` in place; it ends with its best weights by val. Continues from `checkpoint` if there is one.

    `widths`: what was removed, for recipes that repair in closed form before they train.
    """
    started = time.monotonic()
    config, recipe, primary = job.config, job.recipe, job.task.primary
    train, val, _ = loaders(job.data, job.batch_size, config.seed)
    before = scalars(job.task.evaluate(pruned, val))
    primary = job.task.primary or primary
    SCHEDULES[recipe.schedule](pruned, config.seed)
    if widths is not None:
        repair(job, pruned, widths)
    from_scratch = recipe.schedule == "at_init"
    if not from_scratch and recipe.recover.reestimate:
        batchnorm.reestimate(pruned, calibration_batches(job.data, _BN_IMAGES, job.batch_size, config.seed))
    after_bn = scalars(job.task.evaluate(pruned, val))
    best_so_far = after_bn[primary]

    def on_step(step: int, total: int, loss: float) -> None:
        job.progress.advance(step, total, f"best {primary} {best_so_far:.4f}, loss {loss:.3f}")

    def on_epoch(epoch: int, total: int, metrics: dict[str, Any], best: float) -> None:
        nonlocal best_so_far
        best_so_far = best
        if epoch:
            job.progress.note(f"epoch {epoch}/{total}: val {primary} {metrics[primary]:.4f}, best {best:.4f}")

    outcome = finetune(
        pruned,
        train,
        val,
        job.task,
        epochs=recipe.recover.epochs if config.epochs is None else config.epochs,
        lr=config.lr or recipe.recover.lr,
        teacher=job.model if recipe.recover.alpha > 0 else None,
        alpha=recipe.recover.alpha,
        tau=recipe.recover.tau,
        seed=config.seed,
        device=job.device,
        on_step=on_step,
        on_epoch=on_epoch,
        resume_path=checkpoint,
        acceptable=job.guard.holds if job.guard is not None else None,
    )
    return Recovery(
        schedule=recipe.schedule,
        epochs=[
            {"epoch": e.epoch, "loss": e.loss, **scalars(e.metrics)} for e in outcome.history if e.loss is not None
        ],
        before=before,
        after_bn=after_bn,
        after=scalars(outcome.history[outcome.best_epoch].metrics),
        seconds=time.monotonic() - started,
    )


def scalars(metrics: dict[str, Any]) -> dict[str, float]:
    """The metrics that are single numbers; `n`, the number of images, is none."""
    return {key: float(value) for key, value in metrics.items() if isinstance(value, int | float) and key != "n"}
