"""A run under torchrun: one process leads it, the others wait and serve in its trainings."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from edgeprune.config import Config
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.trainings import Order, carry_out, settings
from edgeprune.processes import processes
from edgeprune.recover.engine import Engine
from edgeprune.recover.fabric import make_engine
from edgeprune.recover.hardware import training_device
from edgeprune.result import Result

_LEADER_FIRST_S = 3.0  # where all fail alike, the leader says why before torchrun ends it


@contextmanager
def led(config: Config, make_job: Callable[[Config], Job]) -> Iterator[bool]:
    """True in the process that does the run: the only one, or of rank 0. The others carry out its orders, with jobs
    that `make_job` makes of their settings, until the leader's block ends; then they get False.
    """
    own = processes(config)
    if not own.launched:
        yield True
        return
    engine = make_engine(config, training_device(config.accelerator, own.devices))
    if own.rank:
        _serve(engine, make_job)
        yield False
        return
    try:
        yield True
    finally:
        with suppress(RuntimeError):  # a process that is gone cannot be dismissed
            engine.shared(lambda: None)


def everywhere(config: Config, result: Result | None) -> Result:
    """The leader's result in all processes; only its own knows the network and the run directory."""
    own = processes(config)
    if not own.launched:
        assert result is not None
        return result
    engine = make_engine(config, training_device(config.accelerator, own.devices))
    text = engine.shared(lambda: result.model_dump_json() if result else "")
    return result or Result.model_validate_json(text)


def _nothing() -> dict[str, Any] | None:
    return None


def _serve(engine: Engine, make_job: Callable[[Config], Job]) -> None:
    while (told := engine.shared(_nothing)) is not None:
        try:
            order = Order(**told)
            job = make_job(settings(order))
            traced, coupling = job.groups()
            carry_out(job, traced, coupling, order)
        except Exception:
            time.sleep(_LEADER_FIRST_S)
            raise
