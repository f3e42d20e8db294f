"""How many processes train, on how many machines: what settings ask for, and what torchrun tells. Imports no torch."""

import os
from dataclasses import dataclass

from edgeprune.config import Config
from edgeprune.errors import UsageError

RESTARTS = 3  # of a group that lost a worker, where we start it ourselves; under torchrun --max-restarts decides


@dataclass(frozen=True)
class Processes:
    """`devices` processes on each of `nodes` machines. `launched`: torchrun started this one, which has `rank`."""

    devices: int = 1
    nodes: int = 1
    launched: bool = False
    rank: int = 0

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes


def processes(config: Config) -> Processes:
    """Those of a run. Raises UsageError where torchrun started others than were asked for, and where several machines
    are asked for without it.
    """
    asked = {"devices": config.devices, "nodes": config.nodes}
    if "TORCHELASTIC_RUN_ID" in os.environ:
        world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        found = {"devices": local, "nodes": world // local}
        for name, number in asked.items():
            if number is not None and number != found[name]:
                raise UsageError(
                    f"--{name} {number}, but torchrun started {local} process(es) on {world // local} machine(s) each.",
                    f"Leave out --{name}, or give torchrun the same number.",
                )
        return Processes(**found, launched=world > 1, rank=int(os.environ["RANK"]))
    if (config.nodes or 1) > 1:
        raise UsageError(
            f"--nodes {config.nodes}: the machines do not know where to meet.",
            f"Start this on each of them, HOST being one of them: {torchrun(config)}",
        )
    return Processes(config.devices or 1)


def torchrun(config: Config) -> str:
    """The command that starts the processes of several machines."""
    return (
        f"torchrun --nnodes {config.nodes or 1} --nproc-per-node {config.devices or 1} --rdzv-backend c10d "
        f"--rdzv-endpoint HOST:29500 --max-restarts {RESTARTS} -m edgeprune optimize ..."
    )


def restarted() -> bool:
    """Whether torchrun has started this process again, after one of the group was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
