"""The trainings of a run by name, as orders that one process or each of a group carries out."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from torch import nn

from edgeprune.config import Config
from edgeprune.files import save_tensors, write_text
from edgeprune.graph import Coupling, Trace, Widths
from edgeprune.pipeline.controls import CONTROLS, control
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.train import recover
from edgeprune.processes import processes
from edgeprune.run import Run

RECOVER = "recover"
Training = Callable[[Job, Trace, Coupling, Widths, Path, int], tuple[nn.Module, Widths, BaseModel]]
TRAININGS: dict[str, Training] = {RECOVER: recover, **{name: control(name) for name in CONTROLS}}


@dataclass(frozen=True)
class Order:
    """A training of TRAININGS from `widths` (JSON); where its checkpoint lies, and where weights and, if they may have
    become others, final widths go; `attempt` of the run that it is, from 0.

    `config`: the settings of the run, without the serial numbers of phones.
    """

    name: str
    config: dict[str, Any]
    widths: str
    checkpoint: str
    weights: str
    removed: str | None
    attempt: int = 0


def train(
    job: Job, run: Run, traced: Trace, coupling: Coupling, widths: Widths, name: str, *, checkpoint: Path,
    weights: Path, removed: Path | None = None, attempt: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """The entry of a training in result.json; its network is in `weights`, its final widths are in `removed`.

    It is done by this process, by it and the others that torchrun started, or by a group that is started for it.
    Goes on from the checkpoint if it is there, and leaves it. Raises the errors of trainings, and EnvironmentProblem
    where a group could not be kept going.
    """
    own = processes(job.config)
    config = job.config.model_copy(update={"serial": []}).model_dump()
    final = None if removed is None else str(removed)
    order = Order(name, config, widths.to_json(), str(checkpoint), str(weights), final, attempt)
    if own.world == 1:
        return carry_out(job, traced, coupling, order)
    if own.launched:
        job.engine.shared(lambda: asdict(order))
        return carry_out(job, traced, coupling, order)
    from edgeprune.pipeline.launch import launch

    return launch(asdict(order), own.devices, run.path / "state" / "training.log", job.progress, job.curves)


def carry_out(job: Job, traced: Trace, coupling: Coupling, order: Order) -> dict[str, Any]:
    """Train; of a group all processes do, and the first writes."""
    widths = Widths.from_json(order.widths)
    network, final, entry = TRAININGS[order.name](job, traced, coupling, widths, Path(order.checkpoint), order.attempt)
    if job.engine.rank == 0:
        save_network(network, Path(order.weights))
        if order.removed is not None:
            write_text(Path(order.removed), final.to_json())
    return json.loads(entry.model_dump_json())  # type: ignore[no-any-return]


def save_network(network: nn.Module, path: Path) -> None:
    """The state dict as safetensors, whole or not at all; tied tensors are written once a name."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    save_tensors(state, path)


def settings(order: Order) -> Config:
    """The settings of the run that an order is from."""
    return Config(**order.config)
