"""What schedules and recoveries work with: the dense network, the chosen widths, the data, the training."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.graph import Coupling, Widths
from edgeprune.recipe import Recovery
from edgeprune.recover import batchnorm
from edgeprune.recover.engine import ALONE, Engine
from edgeprune.recover.finetune import Acceptable, Epoch, FinetuneResult, finetune
from edgeprune.sources.batches import Batch, calibration_batches
from edgeprune.sources.data import Data
from edgeprune.task import Task

BN_IMAGES = 2000

Remove = Callable[[nn.Module, dict[str, Tensor]], tuple[nn.Module, Widths]]
Rank = Callable[[nn.Module], dict[str, Tensor]]


@dataclass(frozen=True)
class Work:
    """One pruned network to be made and trained.

    `dense`: the trained dense network (do not change it: copy). `kept`: group -> units that stay, as the search chose
    them; their number is fixed, which ones they are may be chosen anew. `remove(network, kept)`: the surgery of a
    network with the dense one's architecture, proved. `rank(network)`: the recipe's scores of its channels. `training`:
    what is left to train: epochs, learning rate, distillation. `checkpoint`: the file of the next training.
    """

    dense: nn.Module
    coupling: Coupling
    kept: dict[str, Tensor]
    remove: Remove
    rank: Rank
    data: Data
    task: Task
    train: Iterable[Batch]
    val: Iterable[Batch]
    example_inputs: tuple[Tensor, ...]
    training: Recovery
    widths: Widths = field(default_factory=Widths)
    batch_size: int = 128
    seed: int = 0
    device: torch.device | None = None
    engine: Engine = ALONE
    checkpoint: Path | None = None
    acceptable: Acceptable | None = None
    calibration: Data | None = None
    on_step: Callable[[int, int, float], None] | None = None
    on_epoch: Callable[[int, int, dict[str, Any], float], None] | None = None
    note: Callable[[str], None] = lambda _: None

    @property
    def counts(self) -> dict[str, int]:
        """Units to keep, by group."""
        return {group: len(units) for group, units in self.kept.items()}

    def reestimate(self, network: nn.Module) -> None:
        """Batch-norm statistics from training images, in place, if the recipe wants it."""
        if self.training.reestimate:
            batchnorm.reestimate(network, calibration_batches(self.data, BN_IMAGES, self.batch_size, self.seed))

    def finetune(self, network: nn.Module, **changes: Any) -> FinetuneResult:
        """Train in place, with the recipe's settings but for `changes`: arguments of `finetune`, and `train_loader`."""
        settings: dict[str, Any] = {
            "train_loader": self.train,
            "epochs": self.training.epochs,
            "lr": self.training.lr,
            "teacher": self.dense if self.training.alpha > 0 else None,
            "alpha": self.training.alpha,
            "tau": self.training.tau,
            "seed": self.seed,
            "device": self.device,
            "engine": self.engine,
            "on_step": self.on_step,
            "on_epoch": self.on_epoch,
            "resume_path": self.checkpoint,
            "acceptable": self.acceptable,
        }
        settings |= changes
        return finetune(network, settings.pop("train_loader"), self.val, self.task, **settings)

    def after(self, start: "Start", checkpoint: Path | None) -> "Work":
        """The work that is left for the recovery: a schedule has used its share of the epochs, and may have removed
        other channels.
        """
        left = self.training.model_copy(update={"epochs": self.training.epochs - len(start.epochs)})
        return replace(self, training=left, widths=start.widths, checkpoint=checkpoint)


@dataclass(frozen=True)
class Start:
    """What a schedule hands to the recovery: the slim network, what was removed, and the epochs that took.

    `facts`: what the schedule found on its way (JSON), for the result and the report.
    """

    network: nn.Module
    widths: Widths
    epochs: tuple[Epoch, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Length:
    """How long a training is: what a schedule has to fit into."""

    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.epochs * self.steps_per_epoch
