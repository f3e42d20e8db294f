"""Who computes the steps of a training: this process alone. `FabricEngine` is several that share every batch."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class Engine:
    """This process alone, in float32: every method does the plain thing.

    `rank`: 0 is the process that evaluates, writes and reports. `device`: None leaves the choice to others.
    """

    rank = 0
    restarts = 0
    device: torch.device | None = None

    @contextmanager
    def training(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Callable[[Any], Any]]:  # noqa: ARG002
        """What to call with a batch's inputs, in place of the model, as long as the block lasts."""
        from edgeprune.task import call

        yield lambda inputs: call(model, inputs)

    def batches(self, loader: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any, float]]:
        """(inputs, targets, weight) of this process's share of every batch; the weight is that of its mean loss."""
        for inputs, targets in loader:
            yield inputs, targets, 1.0

    def precision(self) -> AbstractContextManager[Any]:
        """Around what runs beside the model: a teacher."""
        return nullcontext()

    def mean(self, loss: Tensor, weight: float) -> float:  # noqa: ARG002
        """The loss of the whole batch."""
        return loss.item()

    def backward(self, loss: Tensor, weight: float, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """Gradients of the whole batch's loss, where the optimizer's parameters keep them."""
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Move the weights."""
        optimizer.step()

    def same(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those of process 0, in every process."""
        return tensors

    def shared(self, make: Callable[[], T]) -> T:
        """What `make` returns in process 0, in every process (JSON types); the others do not call it."""
        return make()


ALONE = Engine()
