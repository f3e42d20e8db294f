"""Phones over adb as targets."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

from converters.artifact import Artifact
from edgeprune.config import Config
from edgeprune.progress import Progress
from edgeprune.search.cost_table import Prober
from edgeprune.targets.cores import cores_named
from edgeprune.targets.kept import keep
from edgeprune.targets.target import Bench, OnProgress, protocol_for
from profilers.android.bench import PhoneBench
from profilers.android.devices import open_phones
from profilers.android.layer_probe import PhoneProber
from profilers.android.measure import compare, measure
from profilers.android.native_runner import NativeRunner
from profilers.android.open_station import open_station
from profilers.android.station import Station
from profilers.android.sustained import sustain
from profilers.errors import RuntimeNotInstalled
from profilers.measurement import Kind, Measurement, Ratio, Window
from profilers.protocol import FULL, Protocol
from profilers.store import LayerCosts, Store


class PhoneTarget:
    """Measures with `profilers.android`. Named by its model and the hash of its serial number."""

    width = 1

    def __init__(self, station: Station, threads: int, cores: tuple[int, ...] = (), protocol: Protocol = FULL) -> None:
        self.station, self._threads, self._cores, self._protocol = station, threads, cores, protocol
        self.name = f"{station.facts.name} ({station.facts.serial_sha256[:6]})"
        self.kind: Kind = station.facts.kind

    @property
    def trips(self) -> int:
        """adb round trips so far."""
        return self.station.phone.trips

    @property
    def notes(self) -> Sequence[str]:
        """Broken connections, and doubts while candidates and layers were timed."""
        return self.station.notes

    def fingerprint(self) -> str:
        """The phone model's, with the cores that are used."""
        return self.station.facts.fingerprint() + (
            f"-{sum(1 << core for core in self._cores):x}" if self._cores else ""
        )

    def measure(
        self, artifacts: Mapping[str, Artifact], *, memory: bool = True, on_progress: OnProgress | None = None
    ) -> dict[str, Measurement]:
        """In fresh processes, interleaved."""
        measured = measure(
            self.station,
            dict(artifacts),
            threads=self._threads,
            cores=self._cores,
            protocol=self._protocol,
            memory=memory,
            on_progress=on_progress,
        )
        kept = keep(self.fingerprint(), [(artifacts[name], found) for name, found in measured.items()])
        return dict(zip(measured, kept, strict=True))

    def compare(
        self, reference: Artifact, candidate: Artifact, *, on_progress: OnProgress | None = None
    ) -> tuple[Measurement, Measurement, Ratio]:
        """In fresh processes, interleaved."""
        one, other, ratio = compare(
            self.station,
            reference,
            candidate,
            threads=self._threads,
            cores=self._cores,
            protocol=self._protocol,
            on_progress=on_progress,
        )
        one, other = keep(self.fingerprint(), [(reference, one), (candidate, other)])
        return one, other, ratio

    def sustain(self, artifact: Artifact, seconds: float) -> Iterator[Window]:
        """Windows of at most 10 s, a process each."""
        return sustain(self.station, artifact, seconds, threads=self._threads, cores=self._cores)

    def bench(self, reference: Artifact) -> AbstractContextManager[Bench]:
        """Two round trips a candidate, and one for the phone's conditions."""
        return PhoneBench(self.station, reference, self._threads, self._cores)

    def prober(self) -> AbstractContextManager[Prober]:
        """All layers of a batch in one process."""
        return PhoneProber(self.station, self._threads, self._cores)

    def layer_costs(self, store: Store) -> LayerCosts:
        """By fingerprint and the native runner's LiteRT. Raises RuntimeNotInstalled with another runner."""
        runner = self.station.runner
        if not isinstance(runner, NativeRunner):
            raise RuntimeNotInstalled("The cost table is measured by the native runner.", "Use --runner native.")
        return store.layer_costs(self.fingerprint(), "litert (glibc)", runner.version("litert"), self._threads)


def connect(config: Config, progress: Progress, stack: ExitStack) -> Iterator[PhoneTarget]:
    """The phones of a run, ready to measure. Raises DeviceError, RuntimeNotInstalled, UsageError."""

    def waiting(waited_s: float, of_s: float, why: str) -> None:
        progress.advance(waited_s, of_s, f"waiting for the phone: {why}")

    for phone in open_phones(config.serial):
        station = stack.enter_context(open_station(phone, config.runner))
        station.on_wait = waiting
        if station.facts.emulated:
            progress.note(f"{station.facts.name} is emulated: its numbers are not a phone's")
        cores = cores_named(config.cores, station.facts.clusters)
        yield PhoneTarget(station, config.threads, cores, protocol_for(config))
