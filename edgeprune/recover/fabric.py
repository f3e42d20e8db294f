"""Training by several processes that share every batch, or in mixed precision: Lightning Fabric.

A batch is as large as it is for one process: each of them gets a share, gradients are averaged by DDP, batch norms see
the whole batch. So number of steps, learning rates, order of the images and augmentation are those of one process.
"""

import atexit
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from edgeprune.config import Config
from edgeprune.errors import EnvironmentProblem
from edgeprune.processes import processes
from edgeprune.recover.engine import ALONE, Engine
from edgeprune.recover.hardware import choose
from edgeprune.recover.synced_norm import SyncedBatchNorm
from edgeprune.sources.shares import shares
from edgeprune.task import call

T = TypeVar("T")
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
_PATIENCE = timedelta(days=30)  # the others wait while process 0 searches, converts and measures


def make_engine(config: Config, device: torch.device) -> Engine:
    """What computes the steps of a run's trainings in this process. Raises EnvironmentProblem (see `choose`)."""
    own, precision = processes(config), choose(config.precision, device.type)
    if own.world == 1 and precision == "32":
        return ALONE
    return fabric_engine(device.type, precision, own.devices, own.nodes)


@cache
def fabric_engine(accelerator: str, precision: str, devices: int, nodes: int) -> "FabricEngine":
    """One a process: the group is formed once. `accelerator` cpu, cuda or mps; `precision` 32, bf16 or 16.

    More than one device needs the environment of torchrun. Raises EnvironmentProblem where Fabric is not installed.
    """
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError as error:
        raise missing() from error
    if devices * nodes == 1:
        return FabricEngine(Fabric(accelerator=accelerator, devices=1, precision=PRECISIONS[precision]))  # type: ignore[arg-type]
    _join(accelerator)
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=DDPStrategy(forward_sync_buffers=False, find_unused_parameters=True),
        precision=PRECISIONS[precision],  # type: ignore[arg-type]
        plugins=[TorchElasticEnvironment()],
    )
    return FabricEngine(fabric)


def _join(accelerator: str) -> None:
    """Form the group, which Fabric then finds. Its keys have a prefix of their own in each start of it: torchrun keeps
    one store for all of them, and without one a process looks for those that were ended (seen with torch 2.14).
    """
    store, rank, world = next(iter(rendezvous("env://")))
    prefix = f"edgeprune/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{world}"
    gpu = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if accelerator == "cuda" else None
    dist.init_process_group(
        "nccl" if gpu else "gloo", store=PrefixStore(prefix, store), rank=rank, world_size=world, device_id=gpu
    )
    atexit.register(dist.destroy_process_group)


def missing() -> EnvironmentProblem:
    """What to say where Fabric is not installed."""
    return EnvironmentProblem(
        "Training by several processes or in mixed precision needs lightning-fabric, which is not installed.",
        'Install it with: pip install "edgeprune[distributed]"',
    )


class FabricEngine(Engine):
    """The processes of `fabric`. Everything but `training` has to be called by all of them, in the same order."""

    def __init__(self, fabric: Any) -> None:
        fabric.launch()
        self.fabric, self.device = fabric, fabric.device
        self.rank, self.world = fabric.global_rank, fabric.world_size
        self.restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
        self._stepping: dict[int, Any] = {}
        self._words: Any = dist.new_group(backend="gloo", timeout=_PATIENCE) if self.world > 1 else None

    @contextmanager
    def training(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Callable[[Any], Any]]:
        """DDP, in which a parameter may be reached by no loss; where none is trained, the model itself."""
        if not any(parameter.requires_grad for parameter in model.parameters()):
            yield lambda inputs: call(model, inputs)
            return
        wrapped, self._stepping[id(optimizer)] = self.fabric.setup(model, optimizer)

        def forward(inputs: Any) -> Any:
            if self.world == 1:
                return call(wrapped, inputs)
            with SyncedBatchNorm():
                return call(wrapped, inputs)

        try:
            yield forward
        finally:
            del self._stepping[id(optimizer)]

    def batches(self, loader: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any, float]]:
        """The shares of this process. After the first batch, whose reading may draw, each has noise of its own."""
        for number, batch in enumerate(shares(loader, self.rank, self.world)):
            if number == 0 and self.rank:
                torch.manual_seed(torch.initial_seed() + self.rank * 15_485_863)
            yield batch

    def precision(self) -> AbstractContextManager[Any]:
        """Fabric's autocast."""
        context: AbstractContextManager[Any] = self.fabric.autocast()
        return context

    def mean(self, loss: Tensor, weight: float) -> float:
        """The weighted mean over the processes."""
        return float(self.fabric.all_reduce(loss.detach().float() * weight, reduce_op="mean").item())

    def backward(self, loss: Tensor, weight: float, optimizer: torch.optim.Optimizer) -> None:
        """Gradients averaged over the processes, and not scaled any more where float16 scales them."""
        self.fabric.backward(loss * weight)
        if hasattr(self.fabric.strategy.precision, "unscale_gradients"):
            self.fabric.strategy.precision.unscale_gradients(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Fabric's step, which knows about scaled gradients."""
        self._stepping[id(optimizer)].step()

    @torch.no_grad()
    def same(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those of process 0, in place."""
        if self.world > 1:
            for tensor in tensors.values():
                whole = tensor.contiguous()
                dist.broadcast(whole, 0, group=self._words if whole.device.type == "cpu" else None)
                if whole is not tensor:
                    tensor.copy_(whole)
        return tensors

    def shared(self, make: Callable[[], T]) -> T:
        """As JSON text, without pickle."""
        if self.world == 1:
            return make()
        value = make() if self.rank == 0 else None
        told = json.dumps(value).encode() if self.rank == 0 else b""
        size = torch.tensor([len(told)])
        dist.broadcast(size, 0, group=self._words)
        text = torch.zeros(int(size), dtype=torch.uint8)
        if self.rank == 0:
            text = torch.tensor(list(told), dtype=torch.uint8)
        dist.broadcast(text, 0, group=self._words)
        return value if self.rank == 0 else json.loads(bytes(text.tolist()))  # type: ignore[return-value]
