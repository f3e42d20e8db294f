"""Fine-tuning: SGD with Nesterov momentum under warm-up and cosine decay, with or without a teacher."""

import copy
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.recover.checkpoint import Checkpoint
from edgeprune.recover.distill import distillation_loss
from edgeprune.recover.engine import ALONE, Engine
from edgeprune.task import Task, call, to_device

MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
WARMUP = 0.1

OnStep = Callable[[int, int, float], None]
Acceptable = Callable[[dict[str, Any]], bool]
OnEpoch = Callable[[int, int, dict[str, Any], float], None]
Rate = Callable[[int, int], float]


class Companion(Protocol):
    """What acts while a network trains: masks that prune gradually, a penalty on some parameters."""

    def before_step(self, step: int) -> None:
        """After the gradients of that step (from 1) were computed, before the weights move."""
        ...

    def after_step(self, step: int, optimizer: torch.optim.SGD) -> None:
        """After the weights have moved."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint has to hold beside the weights."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from there."""
        ...


@dataclass(frozen=True)
class Epoch:
    """One epoch: its number (0: before training), mean training loss (None for 0) and the metrics on val."""

    epoch: int
    loss: float | None
    metrics: dict[str, Any]


@dataclass(frozen=True)
class FinetuneResult:
    """What a fine-tuning did. `best_epoch` is the one whose weights the model now has; `seconds` of this process,
    `facts` (JSON) what a recovery found on its way.
    """

    best_epoch: int
    best: float
    history: tuple[Epoch, ...]
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"best {self.best:.4f} after epoch {self.best_epoch} of {len(self.history) - 1}, {self.seconds:.0f} s"


def finetune(
    model: nn.Module,
    train_loader: Iterable[tuple[Any, Any]],
    val_loader: Iterable[tuple[Any, Any]],
    task: Task,
    *,
    epochs: int,
    lr: float,
    teacher: nn.Module | None = None,
    alpha: float = 0.5,
    tau: float = 4.0,
    seed: int = 0,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None,
    resume_path: Path | None = None,
    acceptable: Acceptable | None = None,
    companion: Companion | None = None,
    since: int = 0,
    rate: Rate | None = None,
    engine: Engine = ALONE,
) -> FinetuneResult:
    """Trains the model in place; the weights best on val's primary metric stay in it (epoch 0: before training);
    an epoch whose metrics are `acceptable` is better than any that is not, and none before `since` counts.

    `lr` is the peak of the schedule, `rate(step, steps)` the share of it (default: `warmup_cosine`). `companion` acts
    between gradients and steps. `teacher` (eval mode, same augmented view) adds distillation by `alpha` and `tau`.
    The result depends on the seed only, given the number of threads. With `resume_path` a checkpoint is written after
    every epoch and continued from. `on_step(step, total, loss)`, `on_epoch(epoch, total, metrics, best)`. The model
    comes back in eval mode on the device it came from. `engine`: several processes, each of which calls this with the
    same arguments; process 0 evaluates and writes. Raises UsageError on a loss that is not finite, and on a checkpoint
    of other settings.
    """
    torch.set_flush_denormal(True)
    started = time.monotonic()
    device = device or torch.device("cpu")
    home = next(model.parameters()).device
    model.to(device).to(memory_format=torch.channels_last)
    if teacher is not None:
        teacher = copy.deepcopy(teacher).to(device).to(memory_format=torch.channels_last).eval()
    optimizer = torch.optim.SGD(parameter_groups(model), lr=lr, momentum=MOMENTUM, nesterov=True)
    steps = max(1, epochs * len(train_loader))  # type: ignore[arg-type]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (rate or warmup_cosine)(step, steps))
    settings = {
        "epochs": epochs, "lr": lr, "alpha": alpha, "tau": tau, "seed": seed, "steps": steps,
        "distilled": teacher is not None,
    }  # fmt: skip
    history: list[Epoch] = []
    best_state: dict[str, Tensor] = {}

    def finish(epoch: int, loss: float | None) -> None:
        nonlocal best_state
        engine.same(model.state_dict())
        metrics = engine.shared(lambda: task.evaluate(model, val_loader))
        task.primary = task.primary or next(iter(metrics))
        history.append(Epoch(epoch, loss, metrics))
        best = best_of(history, task.primary, acceptable, since)
        if best is history[-1]:
            best_state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if resume_path is not None and engine.rank == 0:
            record = {"settings": settings, "history": [asdict(entry) for entry in history]}
            beside = companion.state() if companion is not None else {}
            Checkpoint(model.state_dict(), best_state, _momentum(model, optimizer), record, beside).save(resume_path)
        if on_epoch is not None:
            on_epoch(epoch, epochs, metrics, best.metrics[task.primary])

    if resume_path is not None and engine.shared(resume_path.exists):
        checkpoint = Checkpoint.load(resume_path)
        history, best_state = _resume(
            resume_path,
            checkpoint,
            settings,
            model,
            optimizer,
            schedule,
            len(train_loader),  # type: ignore[arg-type]
        )
        if companion is not None:
            companion.restore(checkpoint.beside)
        task.primary = task.primary or next(iter(history[0].metrics))
    else:
        finish(0, None)
    with torch.random.fork_rng(devices=[]), engine.training(model, optimizer) as forward:
        for epoch in range(len(history), epochs + 1):
            torch.manual_seed(seed * 1_000_003 + epoch)
            if hasattr(train_loader, "epoch"):
                train_loader.epoch = epoch
            model.train()
            done = (epoch - 1) * len(train_loader)  # type: ignore[arg-type]
            total_loss, count = 0.0, 0
            for step, (inputs, targets, weight) in enumerate(engine.batches(train_loader), start=done + 1):
                inputs, targets = to_device(inputs, device), to_device(targets, device)
                loss = _loss(forward, teacher, task, inputs, targets, alpha, tau, engine)
                value = engine.mean(loss, weight)
                if not math.isfinite(value):
                    raise UsageError(
                        f"the loss became {value} at step {step} of {steps} (epoch {epoch})",
                        f"lower the learning rate (now {lr:g}) or check the data for NaN",
                    )
                optimizer.zero_grad(set_to_none=True)
                engine.backward(loss, weight, optimizer)
                if companion is not None:
                    companion.before_step(step)
                engine.step(optimizer)
                if companion is not None:
                    companion.after_step(step, optimizer)
                schedule.step()
                total_loss, count = total_loss + value, count + 1
                if on_step is not None:
                    on_step(step, steps, value)
            finish(epoch, total_loss / max(1, count))
    model.load_state_dict(best_state)
    model.to(home).to(memory_format=torch.contiguous_format).eval()
    best = best_of(history, task.primary, acceptable, since)
    return FinetuneResult(best.epoch, best.metrics[task.primary], tuple(history), time.monotonic() - started)


def best_of(history: list[Epoch], primary: str, acceptable: Acceptable | None = None, since: int = 0) -> Epoch:
    """The acceptable epoch from `since` on with the highest primary metric, the latest of equals: it has seen lower
    learning rates. Of all these epochs if none is acceptable; the last one before them.
    """
    late = [entry for entry in history if entry.epoch >= since] or history[-1:]
    fine = [entry for entry in late if acceptable is None or acceptable(entry.metrics)]
    return max(fine or late, key=lambda entry: (entry.metrics[primary], entry.epoch))


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Two groups: matrices and kernels with weight decay, vectors (biases, norms, scales) without."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]


def warmup_cosine(step: int, steps: int) -> float:
    """Share of the peak learning rate at a step: a linear rise over the first tenth, then half a cosine to 0."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _loss(
    forward: Callable[[Any], Any], teacher: nn.Module | None, task: Task, inputs: Any, targets: Any,
    alpha: float, tau: float, engine: Engine,
) -> Tensor:  # fmt: skip
    outputs = forward(inputs)
    if teacher is None:
        return task.loss(outputs, targets)
    with torch.no_grad(), engine.precision():
        reference = call(teacher, inputs)
    return distillation_loss(task, outputs, reference, targets, alpha, tau)


def _momentum(model: nn.Module, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    buffers = {name: optimizer.state[p].get("momentum_buffer") for name, p in model.named_parameters()}
    return {name: buffer for name, buffer in buffers.items() if buffer is not None}


def _resume(
    path: Path,
    checkpoint: Checkpoint,
    settings: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.SGD,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    steps_per_epoch: int,
) -> tuple[list[Epoch], dict[str, Tensor]]:
    theirs = checkpoint.record["settings"]
    different = [
        f"{key} {theirs.get(key)} there, {value} now" for key, value in settings.items() if theirs.get(key) != value
    ]
    own = model.state_dict()
    if different or {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in checkpoint.model.items()}:
        raise UsageError(
            f"{path} is of another fine-tuning ({'; '.join(different) or 'another network'})",
            "resume with the settings it was started with, or start a new run",
        )
    history = [Epoch(**entry) for entry in checkpoint.record["history"]]
    model.load_state_dict(checkpoint.model)
    parameters = dict(model.named_parameters())
    for name, buffer in checkpoint.momentum.items():
        parameter = parameters[name]
        optimizer.state[parameter]["momentum_buffer"] = buffer.to(parameter)
    for _ in range((len(history) - 1) * steps_per_epoch):
        optimizer._opt_called = True  # type: ignore[attr-defined]
        schedule.step()
    return history, {name: tensor.to(own[name].device) for name, tensor in checkpoint.best.items()}
