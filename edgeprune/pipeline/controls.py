"""`--control scratch`: the same widths trained from random weights, to be seen beside the pruned network."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from edgeprune.graph import Coupling, Trace, Widths
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.train import make_work
from edgeprune.pipeline.watch import scalars
from edgeprune.recover.from_scratch import Scratch
from edgeprune.result import Control

CONTROLS = {"scratch-e": Scratch("epochs"), "scratch-b": Scratch("compute")}
LR = 0.1  # where --lr does not say another: of the paper's training from scratch


def control(name: str) -> Callable[[Job, Trace, Coupling, Widths, Path, int], tuple[nn.Module, Widths, Control]]:
    """The training of one control: (network, the widths it was given, its entry); it goes on from a checkpoint."""

    def train(
        job: Job, traced: Trace, coupling: Coupling, widths: Widths, checkpoint: Path, _attempt: int = 0
    ) -> tuple[nn.Module, Widths, Control]:
        started = time.monotonic()
        network = widths.apply(job.model)
        work = make_work(job, traced, coupling, widths, name)
        epochs = job.config.dense_epochs or work.training.epochs
        training = work.training.model_copy(update={"epochs": epochs, "lr": job.config.lr or LR})
        outcome = CONTROLS[name](replace(work, training=training, checkpoint=checkpoint), network)
        entry = Control(
            name=name,
            epochs=len(outcome.history) - 1,
            val_metrics=scalars(outcome.history[outcome.best_epoch].metrics),
            metrics={},
            seconds=time.monotonic() - started,
            processes=job.trained_by,
        )
        return network, widths, entry

    return train
