"""What a target can do, and how targets come from settings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Protocol, TypeVar, runtime_checkable

from converters.artifact import Artifact
from edgeprune.config import Config
from edgeprune.progress import Progress
from edgeprune.search.cost_table import Prober
from profilers import protocol
from profilers.measurement import Kind, Latency, Measurement, Ratio, Window
from profilers.side_by_side import side_by_side
from profilers.store import LayerCosts, Store

OnProgress = Callable[[str, Latency], None]
S = TypeVar("S")
T = TypeVar("T")


class Bench(Protocol):
    """Many candidates against one reference, fast."""

    def ratio(self, candidate: Artifact, seconds: float = 1.0) -> tuple[Ratio, Latency]:
        """(candidate / reference paired over A-B-B-A rounds, the candidate's latency in ms)."""
        ...


@runtime_checkable
class WideBench(Bench, Protocol):
    """A bench that measures several candidates at once."""

    def ratios(self, candidates: Sequence[Artifact], seconds: float = 1.0) -> list[tuple[Ratio, Latency]]:
        """`ratio` of each, in order."""
        ...


def ratios(bench: Bench, candidates: Sequence[Artifact], seconds: float) -> list[tuple[Ratio, Latency]]:
    """`ratio` of each, in order: at once where the bench can."""
    if isinstance(bench, WideBench):
        return bench.ratios(candidates, seconds)
    return [bench.ratio(candidate, seconds) for candidate in candidates]


class Target(Protocol):
    """A machine that files are measured on. `name` tells it apart from others of the run; `kind` labels its numbers."""

    name: str
    kind: Kind

    @property
    def trips(self) -> int | None:
        """adb round trips so far; None where there are none."""
        ...

    @property
    def width(self) -> int:
        """Files that it measures at once."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What happened so far that makes its numbers doubtful, in words, beside the flags of measurements."""
        ...

    def fingerprint(self) -> str:
        """What its speed depends on, hashed."""
        ...

    def measure(
        self, artifacts: Mapping[str, Artifact], *, memory: bool = True, on_progress: OnProgress | None = None
    ) -> dict[str, Measurement]:
        """Latency and peak memory of files, interleaved, by name."""
        ...

    def compare(
        self, reference: Artifact, candidate: Artifact, *, on_progress: OnProgress | None = None
    ) -> tuple[Measurement, Measurement, Ratio]:
        """Two files, and the paired ratio candidate / reference."""
        ...

    def sustain(self, artifact: Artifact, seconds: float) -> Iterator[Window]:
        """Run a file back to back, a window of some seconds after the other."""
        ...

    def bench(self, reference: Artifact) -> AbstractContextManager[Bench]:
        """For a search loop."""
        ...

    def prober(self) -> AbstractContextManager[Prober]:
        """Measures single layers."""
        ...

    def layer_costs(self, store: Store) -> LayerCosts:
        """The costs of single layers that are known of it."""
        ...


def on_each(these: Sequence[S], ask: Callable[[S], T]) -> list[T]:
    """`ask` of every target (or its bench), phones side by side; the answers in their order."""
    return side_by_side(these, ask)


P90_RUNS = 300


def protocol_for(config: Config) -> protocol.Protocol:
    """When enough is measured: a 90th percentile needs 300 runs."""
    limit = config.budget().get("latency")
    needs_more = limit is not None and limit.statistic == "p90"
    return replace(protocol.FULL, min_runs=P90_RUNS) if needs_more else protocol.FULL


class Targets:
    """The targets of a run; phones are connected when they are first asked for, and let go on leaving."""

    def __init__(self, config: Config, progress: Progress) -> None:
        self._config, self._progress = config, progress
        self._open: list[Target] | None = None
        self._stack = ExitStack()

    @property
    def all(self) -> list[Target]:
        """Every target; none for one that cannot be measured from here (ios)."""
        if self._open is None:
            self._open = self._connect()
        return self._open

    @property
    def trips(self) -> int | None:
        """adb round trips of all targets so far; None if there are none."""
        counts = [target.trips for target in self._open or [] if target.trips is not None]
        return sum(counts) if counts else None

    @property
    def notes(self) -> list[str]:
        """What happened so far that makes numbers doubtful, with the target's name where there are several."""
        these = self._open or []
        return [f"{each.name}: {note}" if len(these) > 1 else note for each in these for note in each.notes]

    def close(self) -> None:
        """Let the phones go. They may be asked for again."""
        self._stack.close()
        self._open = None

    def _connect(self) -> list[Target]:
        if self._config.target == "host":
            from edgeprune.targets.host import HostTarget

            return [HostTarget(self._config.threads, protocol_for(self._config))]
        if self._config.target == "mac":
            from edgeprune.targets.mac import MacTarget

            return [MacTarget(protocol_for(self._config))]
        if self._config.farm is not None:
            from edgeprune.targets import farm

            return list(farm.connect(self._config, self._progress, self._stack))
        if self._config.target == "android":
            from edgeprune.targets.phones import connect

            return list(connect(self._config, self._progress, self._stack))
        return []
