"""OBSPA's recovery: the layers that read pruned channels are fitted in closed form (methods.md section 12)."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from edgeprune.errors import UsageError
from edgeprune.recover.finetune import FinetuneResult
from edgeprune.recover.reconstruct import reconstruct
from edgeprune.recover.work import Length, Work
from edgeprune.sources.batches import calibration_batches

_BATCHES, _BATCH = 16, 16


@dataclass(frozen=True)
class ClosedForm:
    """Fit on `inputs`: "data" (training images, or those of `--calibration`) or "noise"; then as fine-tuning does."""

    inputs: Literal["data", "noise"] = "data"

    def __post_init__(self) -> None:
        if self.inputs not in ("data", "noise"):
            raise UsageError(f"closed-form fits on data or on noise, not on {self.inputs!r}", "inputs: data")

    @property
    def takes_calibration(self) -> bool:
        """Whether `--calibration` means something."""
        return self.inputs == "data"

    def check(self, length: Length) -> None:
        """Any length of training will do."""

    def __call__(self, work: Work, network: nn.Module) -> FinetuneResult:
        """Fit the weights of `network`, in place, then train what epochs there are."""
        fitted = reconstruct(work.dense, network, work.widths, self._batches(work))
        seen = "noise" if self.inputs == "noise" else work.calibration.name if work.calibration else "training images"
        work.note(f"{len(fitted)} layers fitted in closed form on {seen}")
        work.reestimate(network)
        return work.finetune(network)

    def _batches(self, work: Work) -> list[Any]:
        if self.inputs == "data":
            data = work.calibration or work.data
            return [x for x, _ in calibration_batches(data, _BATCHES * _BATCH, _BATCH, work.seed)]
        generator = torch.Generator().manual_seed(work.seed)
        shapes = [(_BATCH, *tensor.shape[1:]) for tensor in work.example_inputs]
        drawn = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(_BATCHES)]
        return [tensors[0] if len(tensors) == 1 else tuple(tensors) for tensors in drawn]
