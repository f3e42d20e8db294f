"""`--log tensorboard`: the curves of a run while it works, for whoever watches several runs at once."""

from pathlib import Path
from typing import Any, Protocol

from edgeprune.errors import EnvironmentProblem
from edgeprune.files import disk_trouble

FOLDER = "tensorboard"


class Curves(Protocol):
    """Receiver of numbers that change over a run."""

    def add(self, tag: str, value: float, step: int) -> None:
        """One point of the curve `tag`, such as "training/loss"."""

    def close(self) -> None:
        """Nothing more comes."""


class NoCurves:
    """Nobody watches."""

    def add(self, tag: str, value: float, step: int) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing to do."""


class TensorBoard:
    """Event files that `tensorboard --logdir` shows; a resumed run adds another one to the folder.

    Raises EnvironmentProblem where tensorboard is not installed or the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        check_installed()
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        with disk_trouble(folder):
            self._writer: Any = SummaryWriter(str(folder))

    def add(self, tag: str, value: float, step: int) -> None:
        """Written by a thread of its own, at the latest after two minutes."""
        with disk_trouble(self._folder):
            self._writer.add_scalar(tag, value, step)

    def close(self) -> None:
        """Write what is left."""
        with disk_trouble(self._folder):
            self._writer.close()


def check_installed() -> None:
    """Raise EnvironmentProblem unless tensorboard is there."""
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise EnvironmentProblem(
            "--log tensorboard needs tensorboard, which is not installed.",
            'Install it with: pip install "edgeprune[tensorboard]", or leave --log out.',
        )


def open_curves(log: str | None, run: Path) -> Curves:
    """What `--log` asks for, in the run's directory."""
    return TensorBoard(run / FOLDER) if log == "tensorboard" else NoCurves()
