"""What all stages of a run share: settings, network, data, task and where to tell progress."""

import shlex
import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.allocate.rules import RULES
from edgeprune.config import Budget, Config
from edgeprune.curves import Curves, NoCurves
from edgeprune.errors import UsageError
from edgeprune.graph import Coupling, Protection, Trace, find_groups, protect, trace
from edgeprune.guard import ClassGuard, make_guard
from edgeprune.processes import processes
from edgeprune.progress import Progress
from edgeprune.recipe import Recipe, load_recipe
from edgeprune.recipe import Recovery as TrainingSettings
from edgeprune.recover import RECOVERIES
from edgeprune.recover.engine import Engine
from edgeprune.recover.fabric import make_engine
from edgeprune.recover.hardware import choose, training_device
from edgeprune.recover.work import Length
from edgeprune.registry import make
from edgeprune.result import Processes
from edgeprune.schedule import SCHEDULES
from edgeprune.score import criterion_of
from edgeprune.score.bn_scale import NORMS
from edgeprune.search.loop import WidthSearch
from edgeprune.sources.batches import default_batch_size, gather, loaders
from edgeprune.sources.data import Data, is_loader, labels_of, load_data
from edgeprune.sources.models import load_model
from edgeprune.targets.target import Targets
from edgeprune.task import Classification, Task, load_task
from profilers.android.serials import without

_PARITY_INPUTS = 8


@dataclass
class Job:
    """One run of `optimize`. `model` is the trained dense network: float32, on the CPU, in eval mode."""

    config: Config
    budget: Budget
    recipe: Recipe
    model: nn.Module
    data: Data
    task: Task
    device: torch.device
    progress: Progress
    command: str
    example: tuple[Tensor, ...] | None = None
    calibration: Data | None = None
    curves: Curves = field(default_factory=NoCurves)
    targets: Targets = field(init=False)

    def __post_init__(self) -> None:
        self.targets = Targets(self.config, self.progress)

    @property
    def batch_size(self) -> int:
        """Images a training step: as set, else by the number of training images."""
        return self.config.batch_size or default_batch_size(self.data)

    @cached_property
    def guard(self) -> ClassGuard | None:
        """What the recall of classes must not fall below, if asked for. Raises UsageError (see `make_guard`)."""
        config = self.config
        if config.min_class_recall is None and config.max_class_drop is None:
            return None
        return make_guard(
            config.min_class_recall, config.max_class_drop, self.val_metrics(self.model), self.data.class_names
        )

    @property
    def training(self) -> TrainingSettings:
        """The recipe's training, with what the user set instead."""
        own, config = self.recipe.recover, self.config
        epochs = own.epochs if config.epochs is None else config.epochs
        return own.model_copy(update={"epochs": epochs, "lr": config.lr or own.lr})

    @cached_property
    def schedule(self) -> Any:
        """What prunes, by the recipe. Raises UsageError for settings it does not have."""
        return make(self.recipe.schedule, SCHEDULES)

    @cached_property
    def recovery(self) -> Any:
        """What trains, by the recipe. Raises UsageError for settings it does not have."""
        return make(self.recipe.recover, RECOVERIES)

    @cached_property
    def engine(self) -> Engine:
        """Who computes the steps of a training: this process, or with others the group that torchrun made of them.

        Raises EnvironmentProblem for a precision that the device lacks, and without Fabric where it is needed.
        """
        return make_engine(self.config, self.device)

    @property
    def trained_by(self) -> Processes:
        """What result.json says about it."""
        own = processes(self.config)
        return Processes(
            devices=own.devices,
            nodes=own.nodes,
            world_size=own.world,
            accelerator=self.device.type,
            precision=choose(self.config.precision, self.device.type),
            restarts=self.engine.restarts,
        )

    def val_metrics(self, network: nn.Module) -> dict[str, Any]:
        """All metrics of a network on val."""
        return self.task.evaluate(network, loaders(self.data, self.batch_size, self.config.seed)[1])

    @property
    def example_inputs(self) -> tuple[Tensor, ...]:
        """The input that files are made for: the user's, or the first of val, with batch size 1."""
        return self.example if self.example is not None else self.real_inputs(1)[0]

    def groups(self) -> tuple[Trace, Coupling]:
        """The exported network and its channel groups, those that the user protects frozen."""
        traced = trace(self.model, self.example_inputs)
        config = self.config
        return traced, protect(
            find_groups(traced), Protection(tuple(config.keep), config.min_channels, config.max_ratio)
        )

    def real_inputs(self, count: int = _PARITY_INPUTS) -> list[tuple[Tensor, ...]]:
        """The first `count` inputs of val, each with batch size 1."""
        if not is_loader(self.data.val):
            size = min(count, len(self.data.val))  # type: ignore[arg-type]
            inputs, _ = gather(self.data.val, torch.arange(size))
        else:
            inputs, _ = next(iter(self.data.val))
        tensors = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        return [tuple(t[i : i + 1] for t in tensors) for i in range(min(count, len(tensors[0])))]


def job_from_config(config: Config, progress: Progress) -> Job:
    """Load what the settings name: network, weights, data, task. Raises UsageError."""
    if config.model is None or config.data is None:
        raise UsageError("No model or no data given.", "Pass --model SPEC and --data SPEC.")
    data = load_data(
        config.data,
        image_size=config.image_size,
        mean=config.mean,
        std=config.std,
        long_tail=config.long_tail,
        seed=config.seed,
    )
    classes = len(data.class_names) or None
    model = load_model(config.model, config.weights, num_classes=classes, in_channels=data.input_shape[0])
    task = load_task(config.task) if config.task else Classification(len(data.class_names), data.class_names)
    command = "edgeprune " + shlex.join(without(sys.argv[1:], config.serial))
    return make_job(config, model, data, task, progress, command)


def make_job(
    config: Config,
    model: nn.Module,
    data: Data,
    task: Task,
    progress: Progress,
    command: str,
    example: tuple[Tensor, ...] | None = None,
) -> Job:
    """A job from objects. Raises UsageError when the network does not fit the data or holds NaN."""
    recipe = load_recipe(config.recipe, **config.axes())
    job = Job(
        config,
        config.budget(),
        recipe,
        model.float().cpu().eval(),
        data,
        task,
        training_device(config.accelerator),
        progress,
        command,
        example,
    )
    _check_weights(model)
    _check_forward(job)
    job.guard  # noqa: B018 - what cannot be asked for is said before any work
    _check_recipe(job)
    job.calibration = _calibration(job)
    return job


def _check_recipe(job: Job) -> None:
    """Raise UsageError for a recipe whose training does not fit, or which needs labels where there are none."""
    train = loaders(job.data, job.batch_size, job.config.seed)[0]
    length = Length(job.training.epochs, len(train))  # type: ignore[arg-type]
    make(job.recipe.allocate, {**RULES, "latency": WidthSearch})  # settings it does not have are told here
    criterion_of(job.recipe.score.name, job.recipe.score.settings)
    job.schedule.check(length)
    job.recovery.check(length)
    parts = (job.schedule, job.recovery)
    if any(getattr(part, "needs_norms", False) for part in parts) and not _has_norms(job.model):
        raise UsageError(
            f"The recipe {job.recipe.name} works on the scales of norm layers, and the network has none.",
            "Choose another --recipe, or --schedule one_shot.",
        )
    if any(getattr(part, "alone", False) for part in parts) and processes(job.config).world > 1:
        raise UsageError(
            f"The recipe {job.recipe.name} trains at its clients, not in a group of processes.",
            "Leave out --devices and --nodes.",
        )
    classes = bool(job.recipe.score.settings.get("class_balanced"))
    classes = classes or any(getattr(part, "needs_classes", False) for part in parts)
    if classes and (is_loader(job.data.train) or labels_of(job.data.train) is None):
        raise UsageError(
            f"The recipe {job.recipe.name} needs the class of every image, and the training data has no class labels.",
            "Give a dataset with integer labels, or another --recipe.",
        )


def _has_norms(model: nn.Module) -> bool:
    return any(isinstance(module, NORMS) and module.weight is not None for module in model.modules())


def _calibration(job: Job) -> Data | None:
    """Other images for a closed-form repair, normalised like the network's own."""
    spec, own = job.config.calibration, job.data
    if spec is None:
        return None
    if not getattr(job.recovery, "takes_calibration", False):
        raise UsageError(f"The recipe {job.recipe.name} looks at no calibration data.", "Leave out --calibration.")
    mean, std = own.mean or None, own.std or None
    data = load_data(spec, image_size=job.config.image_size, mean=mean, std=std, seed=job.config.seed)
    if data.input_shape != own.input_shape:
        raise UsageError(
            f"--calibration {spec} gives {data.input_shape}, the network takes {own.input_shape}.",
            "Give images of the same shape; --image-size scales those of a folder.",
        )
    return data


def _check_weights(model: nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UsageError(
                f"The weights hold NaN or infinity: {name}.", "Give the weights of a training run that converged."
            )


def _check_forward(job: Job) -> None:
    shapes: list[Any] = [tuple(tensor.shape) for tensor in job.example_inputs]
    try:
        with torch.inference_mode():
            job.model(*job.example_inputs)
    except (RuntimeError, TypeError, ValueError) as error:
        raise UsageError(
            f"The model does not take inputs of shape {', '.join(map(str, shapes))}: {error}",
            "Check --image-size, the number of channels, and that the data fit the model.",
        ) from error
