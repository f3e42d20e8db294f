"""`edgeprune diagnose`: the slim network of a run is recovered twice, with two seeds, and the two are compared."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.config import make_settings
from edgeprune.diagnose.connectivity import cka, connectivity
from edgeprune.diagnose.regime import Regime, regime
from edgeprune.diagnose.sam import sharpness_aware_step
from edgeprune.errors import UsageError
from edgeprune.finished import read_widths
from edgeprune.pipeline.job import Job, job_from_config
from edgeprune.progress import Progress
from edgeprune.recover import batchnorm
from edgeprune.recover.finetune import MOMENTUM, parameter_groups, warmup_cosine
from edgeprune.sources.batches import calibration_batches, loaders
from edgeprune.sources.models import load_weights
from edgeprune.task import call, device_of, logits_of, to_device

_IMAGES = 2000


@dataclass(frozen=True)
class Case:
    """One dense network or one rho: two recoveries of its slim network. `metrics` are their primary metrics on val."""

    name: str
    lmc: float
    cka: float
    agreement: float
    metrics: tuple[float, float]
    errors: tuple[float, ...]

    @property
    def regime(self) -> Regime:
        """By LMC and CKA."""
        return regime(self.lmc, self.cka)

    @property
    def mean(self) -> float:
        """Mean primary metric."""
        return sum(self.metrics) / 2


@dataclass(frozen=True)
class Diagnosis:
    """`load`: what was pruned, as shares that are left. `temperature`: what the training did. `best`: of the cases."""

    run: str
    metric: str
    load: dict[str, float]
    temperature: dict[str, float]
    cases: tuple[Case, ...]

    @property
    def best(self) -> Case:
        """The case of the best regime, and of equals the one with the highest mean metric."""
        return min(self.cases, key=lambda case: (case.regime.rank, -case.mean))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        cases = [{**asdict(c), "regime": c.regime.name, "advice": c.regime.advice} for c in self.cases]
        return {
            "run": self.run, "metric": self.metric, "load": self.load, "temperature": self.temperature,
            "cases": cases, "best": self.best.name,
        }  # fmt: skip


def diagnose(
    run: Path,
    progress: Progress,
    *,
    epochs: int | None = None,
    checkpoints: Sequence[Path] = (),
    rhos: Sequence[float] = (0.0,),
) -> Diagnosis:
    """Two recoveries (seeds of the run and the next) for each dense network and each rho of SAM.

    `checkpoints`: other weights of the dense architecture in place of the run's; the channels are those that the run
    kept. `epochs`: of each recovery (default: the run's). Raises UsageError for a run without a pruned network or made
    from Python objects.
    """
    if not (run / "result.json").is_file():
        raise UsageError(f"{run} is not a finished run.", "Give the run directory of `edgeprune optimize`.")
    config = make_settings({}, run / "config.yaml")
    if config.model is None or config.data is None:
        raise UsageError(f"{run} was made from Python objects: it cannot be trained again.", "Use optimize's specs.")
    if any(rho < 0 for rho in rhos):
        raise UsageError(f"rho {min(rhos):g} is negative", "0 is plain training; 0.05 is usual")
    widths = read_widths(run)
    if not widths.kept:
        raise UsageError(f"{run} delivered the dense network: nothing was pruned.", "Diagnose a run that pruned.")
    job = job_from_config(config, progress)
    length = job.training.epochs if epochs is None else epochs
    cases = []
    starts: list[Path | None] = [*checkpoints] or [None]
    for weights in starts:
        dense = job.model if weights is None else load_weights(copy.deepcopy(job.model), weights).eval()
        for rho in rhos:
            name = "the run's network" if weights is None else str(weights)
            name += f", rho {rho:g}" if len(rhos) > 1 else ""
            progress.stage(f"Two recoveries of {name}")
            cases.append(_case(job, name, widths.apply(dense), length, rho))
    sizes = [sum(p.numel() for p in network.parameters()) for network in (widths.apply(job.model), job.model)]
    batch, lr = float(job.batch_size), job.training.lr
    return Diagnosis(
        str(run),
        job.task.primary,
        {"parameters": sizes[0] / sizes[1]},
        {"recovery_epochs": float(length), "batch_size": batch, "learning_rate": lr},
        tuple(cases),
    )


def _case(job: Job, name: str, slim: nn.Module, epochs: int, rho: float) -> Case:
    images = calibration_batches(job.data, _IMAGES, job.batch_size, job.config.seed)
    twins = [_recovered(job, copy.deepcopy(slim), images, epochs, rho, job.config.seed + i) for i in range(2)]
    metrics = [float(job.val_metrics(twin)[job.task.primary]) for twin in twins]
    found = connectivity(
        twins[0],
        twins[1],
        lambda network: 1 - float(job.val_metrics(network)[job.task.primary]),
        lambda network: batchnorm.reestimate(network, images),
    )
    one, other = (_outputs(twin, images) for twin in twins)
    agreement = float((one.argmax(1) == other.argmax(1)).double().mean())
    case = Case(name, found.lmc, cka(one, other), agreement, (metrics[0], metrics[1]), found.errors)
    job.progress.note(f"{name}: LMC {case.lmc:+.4f}, CKA {case.cka:.4f}, regime {case.regime.name}")
    return case


def _recovered(job: Job, slim: nn.Module, images: Any, epochs: int, rho: float, seed: int) -> nn.Module:
    """Trained with plain SGD or SAM, in the order and with the augmentation of this seed; the last weights count."""
    train, _, _ = loaders(job.data, job.batch_size, seed)
    batchnorm.reestimate(slim, images)
    slim.to(job.device)
    optimizer = torch.optim.SGD(parameter_groups(slim), lr=job.training.lr, momentum=MOMENTUM, nesterov=True)
    steps = max(1, epochs * len(train))  # type: ignore[arg-type]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, steps))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch in range(1, epochs + 1):
            if hasattr(train, "epoch"):
                train.epoch = epoch
            slim.train()
            for inputs, targets in train:
                x, y = to_device(inputs, job.device), to_device(targets, job.device)
                sharpness_aware_step(slim.parameters(), optimizer, partial(_loss, job, slim, x, y), rho)
                schedule.step()
    return slim.cpu().eval()


def _loss(job: Job, network: nn.Module, inputs: Any, targets: Any) -> Tensor:
    return job.task.loss(call(network, inputs), targets)


def _outputs(network: nn.Module, batches: Any) -> Tensor:
    with torch.inference_mode():
        return torch.cat([logits_of(call(network, to_device(x, device_of(network)))).cpu() for x, _ in batches])
