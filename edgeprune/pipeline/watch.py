"""What is told of search and training while they work: progress, with the best so far, and curves."""

import math
from collections.abc import Callable
from typing import Any

from edgeprune.graph import Coupling
from edgeprune.pipeline.job import Job
from edgeprune.result import Result
from edgeprune.search.limits import Latency
from edgeprune.search.loop import MAX_ROUNDS, Round


def watch_search(job: Job, coupling: Coupling, latency: Latency | None, tag: str) -> Callable[[Round], None]:
    """`on_round` of a search, curves under `tag`: the best so far is the candidate of least loss within the budget."""
    best: Round | None = None

    def on_round(done: Round) -> None:
        nonlocal best
        points = {"predicted_ms": done.predicted_ms, "loss": done.loss, "macs": float(coupling.macs(done.counts))}
        if done.measured is not None and latency is not None:
            points["measured_ms"] = done.measured.ms
            if done.within(latency.budget) and (best is None or done.loss < best.loss):
                best = done
            so_far = f"best {best.measured.ms:.3f} ms" if best is not None and best.measured else "none fits yet"
            job.progress.advance(done.number, MAX_ROUNDS, f"candidates, {so_far}")
            job.progress.note(
                f"candidate {done.number}: {done.predicted_ms:.3f} ms predicted, {done.measured.ms:.3f} ms "
                f"{job.targets.all[0].kind}, {done.measured.upper / latency.budget:.1%} of the budget"
            )
        for name, value in points.items():
            if math.isfinite(value):
                job.curves.add(f"{tag}/{name}", value, done.number)

    return on_round


def watch_training(job: Job, tag: str) -> dict[str, Any]:
    """`on_step` and `on_epoch` of a training: progress, and curves under `tag`."""
    best_so_far = 0.0

    def on_step(step: int, total: int, loss: float) -> None:
        job.curves.add(f"{tag}/loss", loss, step)
        job.progress.advance(step, total, f"best {best_so_far:.4f}, loss {loss:.3f}")

    def on_epoch(epoch: int, total: int, metrics: dict[str, Any], best: float) -> None:
        nonlocal best_so_far
        best_so_far, primary = best, job.task.primary
        for name, value in scalars(metrics).items():
            job.curves.add(f"{tag}/val {name}", value, epoch)
        if epoch:
            job.progress.note(f"epoch {epoch}/{total}: val {primary} {metrics[primary]:.4f}, best {best:.4f}")

    return {"on_step": on_step, "on_epoch": on_epoch}


def draw_result(job: Job, result: Result) -> None:
    """What the run came to, as curves of one point."""
    for name, network in (("dense", result.dense), ("pruned", result.pruned)):
        points = dict(network.metrics)
        if network.latency_ms is not None:
            points["latency_ms"] = network.latency_ms.median
        for key, value in points.items():
            job.curves.add(f"{name}/{key}", value, 0)


def scalars(metrics: dict[str, Any]) -> dict[str, float]:
    """The metrics that are single numbers; `n`, the number of images, is none."""
    return {key: float(value) for key, value in metrics.items() if isinstance(value, int | float) and key != "n"}
