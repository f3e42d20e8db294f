"""One turn: a fresh process on the phone that loads one file, warms up, runs it, and reports every sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from converters.artifact import Artifact
from profilers.errors import MeasurementError

STARTUP_S = 60.0  # loading a file and whatever else is not timed


@dataclass(frozen=True)
class Turn:
    """What to run and for how long: until `min_runs` and `min_seconds`, at most `max_runs` and `max_seconds`.

    `cores` are the cores to run on, () for any.
    """

    artifact: Artifact
    threads: int = 1
    cores: tuple[int, ...] = ()
    warmup_runs: int = 10
    warmup_seconds: float = 1.0
    min_runs: int = 20
    max_runs: int = 2000
    min_seconds: float = 0.0
    max_seconds: float = 60.0

    @property
    def longest_s(self) -> float:
        """When to give the process up, seconds."""
        return STARTUP_S + 2 * (self.warmup_seconds + self.max_seconds)


class Report(BaseModel):
    """What a turn found. Times in ms; `samples_ns` in ns; memory in MiB, None where it cannot be known.

    `peak_mib` is what loading and running added at most, `pss_mib` the whole process with the model loaded (the app's).
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")

    load_ms: float = Field(ge=0)
    first_ms: float = Field(gt=0)
    samples_ns: list[PositiveInt] = Field(min_length=1)
    runtime: str
    runtime_version: str
    threads: PositiveInt
    delegate: str
    affinity: list[int]
    peak_mib: float | None = Field(ge=0)
    pss_mib: float | None = Field(default=None, ge=0)

    @property
    def samples_ms(self) -> list[float]:
        """The samples in ms."""
        return [sample / 1e6 for sample in self.samples_ns]


OnReport = Callable[[Turn, Report], None]


class Runner(Protocol):
    """Who runs files on a phone. A context manager: leaving it removes what it put there, but for its own program."""

    name: str
    libc: str

    def put(self, artifacts: Sequence[Artifact]) -> None:
        """Bring files to the phone. Raises DeviceError."""
        ...

    def drop(self, artifacts: Sequence[Artifact]) -> None:
        """Files that will not be run again: they are removed with the next `run`, or on leaving."""
        ...

    def run(self, turns: Sequence[Turn], on_report: OnReport | None = None) -> list[Report]:
        """One process a turn, one after the other. Raises DeviceError, MeasurementError, RuntimeNotInstalled."""
        ...

    def recover(self) -> None:
        """After the phone went away and came back: end what still runs there. Raises DeviceError."""
        ...


def reasons(error: ValidationError) -> str:
    """What is wrong with a reply, in words."""
    problems = [f"{'.'.join(map(str, p['loc'])) or 'reply'}: {p['msg']}" for p in error.errors()[:3]]
    return "; ".join(problems)


def distrust(what: str, found: str) -> MeasurementError:
    """The error for a reply that cannot be true."""
    return MeasurementError(
        f"The phone's answer cannot be believed ({what}): {found[:300]}",
        "Measure again; if it stays so, remove /data/local/tmp/edgeprune from the phone.",
    )
