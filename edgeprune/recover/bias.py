"""FLAP's recovery: the means of removed channels go into biases, and nothing is trained (methods.md section 10)."""

from dataclasses import dataclass

from torch import nn

from edgeprune.errors import UsageError
from edgeprune.recover.compensate import compensate
from edgeprune.recover.finetune import FinetuneResult
from edgeprune.recover.work import Length, Work
from edgeprune.sources.batches import calibration_batches

_BATCH = 64


@dataclass(frozen=True)
class BiasCompensation:
    """Means over `images` training images (or those of `--calibration`); the paper takes 1024 samples."""

    images: int = 1024

    takes_calibration = True

    def __post_init__(self) -> None:
        if self.images < 1:
            raise UsageError(f"images: {self.images}", "give 1 or more; 1024 is the paper's number")

    def check(self, length: Length) -> None:
        """Any length of training will do."""

    def __call__(self, work: Work, network: nn.Module) -> FinetuneResult:
        """Change biases and running means of `network`, in place, then train what epochs there are."""
        batches = calibration_batches(work.calibration or work.data, self.images, _BATCH, work.seed)
        done = compensate(work.dense, network, work.widths, batches)
        work.note(f"means of removed channels went into {len(done.biases)} biases and {len(done.norms)} batch norms")
        if done.lost:
            work.note(f"no bias takes the means of channels that these layers read: {', '.join(done.lost)}")
        work.reestimate(network)
        return work.finetune(network)
