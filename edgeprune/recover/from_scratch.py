"""Scratch-E and Scratch-B: the pruned architecture from random weights (Liu et al. 2019; methods.md section 4)."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from edgeprune.errors import UsageError
from edgeprune.recover.finetune import FinetuneResult
from edgeprune.recover.scratch import reinitialise
from edgeprune.recover.work import Length, Work


@dataclass(frozen=True)
class Scratch:
    """Draw fresh weights and train without a teacher, learning rate x 0.1 after a half and three quarters.

    `equal`: as many "epochs" as the recipe has (Scratch-E), which should be those of the dense network, or as much
    "compute": epochs x dense MACs / pruned MACs (Scratch-B), at most `cap` times as many (2 on ImageNet in the paper,
    no cap on CIFAR).
    """

    equal: Literal["epochs", "compute"] = "epochs"
    cap: float | None = None

    def __post_init__(self) -> None:
        if self.equal not in ("epochs", "compute") or (self.cap is not None and self.cap < 1):
            raise UsageError(f"equal {self.equal!r}, cap {self.cap}", "equal: epochs or compute; cap: 1 or more")

    def check(self, length: Length) -> None:
        """Raise UsageError without any training: fresh weights know nothing."""
        if length.epochs < 1:
            raise UsageError("training from scratch has 0 epochs", "give --epochs: those of the dense network")

    def __call__(self, work: Work, network: nn.Module) -> FinetuneResult:
        """Train `network` in place."""
        reinitialise(network, work.seed)
        epochs = self.epochs(work.training.epochs, work.coupling.macs(), work.coupling.macs(work.counts))
        return work.finetune(network, epochs=epochs, teacher=None, alpha=0.0, rate=step_decay)

    def epochs(self, dense_epochs: int, dense_macs: int, pruned_macs: int) -> int:
        """int(dense epochs x dense MACs / pruned MACs) for equal compute."""
        if self.equal == "epochs":
            return dense_epochs
        factor = dense_macs / pruned_macs
        return int(dense_epochs * (factor if self.cap is None else min(self.cap, factor)))


def step_decay(step: int, steps: int) -> float:
    """Share of the peak learning rate: 1, 0.1 from the half of the training on, 0.01 from three quarters on."""
    return 0.1 ** ((2 * step >= steps) + (4 * step >= 3 * steps))
