"""`--control scratch`: the same widths trained from random weights, to be seen beside the pruned network."""

import time
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from edgeprune.graph import Coupling, Trace, Widths
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stages import save_network
from edgeprune.pipeline.train import make_work
from edgeprune.pipeline.watch import scalars
from edgeprune.recover.from_scratch import Scratch
from edgeprune.result import Control
from edgeprune.run import Run

CONTROLS = {"scratch-e": Scratch("epochs"), "scratch-b": Scratch("compute")}
LR = 0.1  # where --lr does not say another: of the paper's training from scratch


def control_stage(
    job: Job, run: Run, traced: Trace, coupling: Coupling, widths: Widths
) -> dict[str, tuple[Control, nn.Module]]:
    """Each control's network, trained and in eval mode, by name; none where the run asks for none. Resumable."""
    found = {}
    for name, scratch in CONTROLS.items() if job.config.control == "scratch" else ():
        weights = run.path / "state" / f"{name}.safetensors"
        network = widths.apply(job.model)
        done = run.done(name)
        if done is not None:
            network.load_state_dict(load_file(weights))
            found[name] = (Control(**done), network.eval())
            continue
        job.progress.note(f"control {name}: the same widths from random weights")
        entry = _train(job, traced, coupling, widths, name, scratch, network, weights)
        save_network(network, weights)
        run.finish(name, entry.model_dump())
        found[name] = (entry, network.eval())
    return found


def _train(
    job: Job, traced: Trace, coupling: Coupling, widths: Widths, name: str, scratch: Scratch, network: nn.Module,
    weights: Path,
) -> Control:  # fmt: skip
    started = time.monotonic()
    checkpoint = weights.with_suffix(".checkpoint")
    work = make_work(job, traced, coupling, widths, name)
    epochs = job.config.dense_epochs or work.training.epochs
    training = work.training.model_copy(update={"epochs": epochs, "lr": job.config.lr or LR})
    outcome = scratch(replace(work, training=training, checkpoint=checkpoint), network)
    checkpoint.unlink(missing_ok=True)
    return Control(
        name=name,
        epochs=len(outcome.history) - 1,
        val_metrics=scalars(outcome.history[outcome.best_epoch].metrics),
        metrics={},
        seconds=time.monotonic() - started,
    )
