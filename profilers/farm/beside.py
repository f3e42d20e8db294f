"""What runs beside a phone of the farm: a task on its Ray node. Stateless, so that any phone of its kind may do it.

Files travel as bytes with the task: hosts need no common disk. Nothing here imports torch.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from converters.artifact import SUFFIXES, Artifact
from profilers.android.adb import Adb, Phone
from profilers.android.bench import PhoneBench
from profilers.android.facts import Facts, read_facts
from profilers.android.layer_probe import PhoneProber
from profilers.android.measure import compare, measure
from profilers.android.open_station import open_station
from profilers.android.serials import digest
from profilers.android.station import Station
from profilers.android.sustained import sustain
from profilers.errors import ConnectionLost, ProfilerError
from profilers.farm.labels import SERIAL
from profilers.layers import LayerCost, LayerKey
from profilers.measurement import Latency, Measurement, Ratio, Window
from profilers.protocol import FULL, Protocol

T = TypeVar("T")


@dataclass(frozen=True)
class How:
    """The settings of a run that the phone's side needs."""

    threads: int = 1
    cores: tuple[int, ...] = ()
    runner: str = "native"
    protocol: Protocol = FULL


@dataclass(frozen=True)
class Parcel:
    """An artifact with its bytes."""

    artifact: Artifact
    content: bytes

    @classmethod
    def of(cls, artifact: Artifact) -> "Parcel":
        """Read from disk."""
        return cls(artifact, artifact.path.read_bytes())

    def unpack(self, folder: Path) -> Artifact:
        """On this host's disk."""
        path = folder / f"{self.artifact.sha256}{SUFFIXES[self.artifact.format]}"
        path.write_bytes(self.content)
        return replace(self.artifact, path=path)


@dataclass(frozen=True)
class Told(Generic[T]):
    """What a task found, what makes it doubtful, and its adb round trips."""

    found: T
    notes: tuple[str, ...]
    trips: int


def look(how: How) -> Told[Facts]:
    """The phone's facts, less its serial number."""
    del how
    phone = _phone()
    return Told(replace(read_facts(phone), serial=""), (), phone.trips)


def time_layers(how: How, keys: Sequence[LayerKey]) -> Told[list[LayerCost]]:
    """Costs of single layers, in order."""

    def ask(station: Station) -> list[LayerCost]:
        with PhoneProber(station, how.threads, how.cores) as prober:
            return prober.costs(keys)

    return _told(how, ask)


def time_candidate(how: How, reference: Parcel, candidate: Parcel, seconds: float) -> Told[tuple[Ratio, Latency]]:
    """A candidate paired with the reference on one phone, as `PhoneBench.ratio`."""

    def ask(station: Station) -> tuple[Ratio, Latency]:
        with _files(reference, candidate) as (one, other), PhoneBench(station, one, how.threads, how.cores) as bench:
            return bench.ratio(other, seconds)

    return _told(how, ask)


def measure_files(how: How, parcels: Mapping[str, Parcel], memory: bool) -> Told[dict[str, Measurement]]:
    """Files by name, interleaved on one phone."""

    def ask(station: Station) -> dict[str, Measurement]:
        with _files(*parcels.values()) as files:
            return measure(station, dict(zip(parcels, files, strict=True)), **_options(how), memory=memory)

    return _told(how, ask)


def compare_files(how: How, reference: Parcel, candidate: Parcel) -> Told[tuple[Measurement, Measurement, Ratio]]:
    """Two files, interleaved on one phone, and their paired ratio."""

    def ask(station: Station) -> tuple[Measurement, Measurement, Ratio]:
        with _files(reference, candidate) as (one, other):
            return compare(station, one, other, **_options(how))

    return _told(how, ask)


def sustain_file(how: How, parcel: Parcel, seconds: float) -> Told[list[Window]]:
    """A file back to back for so long."""

    def ask(station: Station) -> list[Window]:
        with _files(parcel) as (file,):
            return list(sustain(station, file, seconds, threads=how.threads, cores=how.cores))

    return _told(how, ask)


def _options(how: How) -> dict[str, Any]:
    return {"threads": how.threads, "cores": how.cores, "protocol": how.protocol}


def _phone() -> Phone:
    """The phone of this node. One that is away is waited for as long as a broken connection is."""
    phone = Phone(Adb(), os.environ[SERIAL])
    if not phone.come_back():
        raise ConnectionLost("A phone of the farm went away.", "Attach it again; others go on meanwhile.")
    return phone


def _told(how: How, ask: Callable[[Station], T]) -> Told[T]:
    phone = _phone()
    try:
        with open_station(phone, how.runner) as station:
            found = ask(station)
            return Told(found, tuple(station.notes), phone.trips)
    except ProfilerError as error:
        error.message = error.message.replace(phone.serial, digest(phone.serial)[:6])  # it is shown elsewhere
        error.args = (error.message,)
        raise


@contextmanager
def _files(*parcels: Parcel) -> Iterator[list[Artifact]]:
    with tempfile.TemporaryDirectory(prefix="edgeprune-farm-") as folder:
        yield [parcel.unpack(Path(folder)) for parcel in parcels]
