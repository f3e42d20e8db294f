"""Fine-tuning of all weights, distilled from the dense network where the recipe says so."""

from dataclasses import dataclass

from torch import nn

from edgeprune.recover.finetune import FinetuneResult
from edgeprune.recover.work import Length, Work


@dataclass(frozen=True)
class Finetune:
    """Batch-norm statistics, then training: what most recipes do."""

    def check(self, length: Length) -> None:
        """Any length of training will do."""

    def __call__(self, work: Work, network: nn.Module) -> FinetuneResult:
        """Train `network` in place; it ends with its best weights by val."""
        work.reestimate(network)
        return work.finetune(network)
