"""The phones of a farm as targets: equal phones are one target, and what can be parted is done on all of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from converters.artifact import Artifact
from edgeprune.config import Config
from edgeprune.errors import UsageError
from edgeprune.progress import Progress
from edgeprune.search.cost_table import Prober
from edgeprune.targets.cores import cores_named
from edgeprune.targets.kept import keep
from edgeprune.targets.target import Bench, OnProgress, protocol_for
from profilers.android.facts import Facts
from profilers.errors import DeviceError, RuntimeNotInstalled
from profilers.farm import beside
from profilers.farm.beside import How, Parcel, Told
from profilers.farm.cluster import Farm
from profilers.farm.labels import FarmPhone
from profilers.layers import LayerKey
from profilers.measurement import Kind, Latency, Measurement, Ratio, Window
from profilers.store import LayerCosts, Store

BESIDE = (
    "Ray has attached this run to a phone of this host and ends it with that phone: better run it on the head of the "
    "cluster, or on a machine without phones"
)
LEAST_LAYERS = 8  # of a piece of work: bringing the files takes as long as measuring some layers
PIECES = 2  # for each phone: one that is lost or slow costs less


class FarmTarget:
    """All phones of one kind. What is compared is measured on one phone; layers and candidates go to any.

    `name` is the model's: which phone did it is in each measurement (`serial_sha256`).
    """

    def __init__(self, farm: Farm, phones: Sequence[FarmPhone], facts: Facts, how: How, progress: Progress) -> None:
        self._farm, self._facts, self._how, self._progress = farm, facts, how, progress
        self._of_kind, self._litert = phones[0].kind, phones[0].litert
        self.name = f"{facts.name} (farm)"
        self.kind: Kind = facts.kind
        self.trips = 0
        self.notes: list[str] = []

    @property
    def width(self) -> int:
        """Phones that are there now."""
        return max(1, sum(phone.kind == self._of_kind for phone in self._farm.phones()))

    def ask(self, work: Any, each: Sequence[Sequence[Any]], doing: str = "") -> list[Any]:
        """What the work found for each, in order; its notes and trips are kept."""

        def done(count: int) -> None:
            if doing:
                self._progress.advance(count, len(each), f"{doing} on {self.width} phones")

        told: list[Told[Any]] = self._farm.ask_all(self._of_kind, work, self._how, each, done)
        for one in told:
            self.trips += one.trips
            self.notes += [note for note in one.notes if note not in self.notes]
        return [one.found for one in told]

    def put(self, artifact: Artifact) -> Any:
        """A file that is needed often, brought to the cluster once."""
        return self._farm.send(Parcel.of(artifact))

    def fingerprint(self) -> str:
        """The phone model's, with the cores that are used, as over a cable."""
        cores = self._how.cores
        return self._facts.fingerprint() + (f"-{sum(1 << core for core in cores):x}" if cores else "")

    def measure(
        self, artifacts: Mapping[str, Artifact], *, memory: bool = True, on_progress: OnProgress | None = None
    ) -> dict[str, Measurement]:
        """In fresh processes, interleaved, on one phone."""
        parcels = {name: Parcel.of(artifact) for name, artifact in artifacts.items()}
        (measured,) = self.ask(beside.measure_files, [(parcels, memory)])
        kept = keep(self.fingerprint(), [(artifacts[name], found) for name, found in measured.items()])
        return dict(zip(measured, self._shown(dict(zip(measured, kept, strict=True)), on_progress), strict=True))

    def compare(
        self, reference: Artifact, candidate: Artifact, *, on_progress: OnProgress | None = None
    ) -> tuple[Measurement, Measurement, Ratio]:
        """In fresh processes, interleaved, on one phone."""
        ((one, other, ratio),) = self.ask(beside.compare_files, [(Parcel.of(reference), Parcel.of(candidate))])
        one, other = keep(self.fingerprint(), [(reference, one), (candidate, other)])
        self._shown({"reference": one, "candidate": other}, on_progress)
        return one, other, ratio

    def sustain(self, artifact: Artifact, seconds: float) -> Iterator[Window]:
        """On one phone; told when it has ended."""
        (windows,) = self.ask(beside.sustain_file, [(Parcel.of(artifact), seconds)])
        yield from windows

    def bench(self, reference: Artifact) -> AbstractContextManager[Bench]:
        """Each candidate on any phone, paired with the reference there."""
        return nullcontext(FarmBench(self, reference))

    def prober(self) -> AbstractContextManager[Prober]:
        """Layers parted over all phones."""
        return nullcontext(FarmProber(self))

    def layer_costs(self, store: Store) -> LayerCosts:
        """As of a phone over a cable: a farm reads what was measured on a desk, and the other way round."""
        if self._how.runner != "native":
            raise RuntimeNotInstalled("The cost table is measured by the native runner.", "Use --runner native.")
        return store.layer_costs(self.fingerprint(), "litert (glibc)", self._litert, self._how.threads)

    def _shown(self, measured: Mapping[str, Measurement], on_progress: OnProgress | None) -> list[Measurement]:
        for name, found in measured.items():
            if on_progress is not None:
                on_progress(name, found.latency)
        return list(measured.values())


class FarmBench:
    """Candidates against one reference, each on one phone, many at once."""

    def __init__(self, target: FarmTarget, reference: Artifact) -> None:
        self._target, self._reference = target, target.put(reference)

    def ratio(self, candidate: Artifact, seconds: float = 1.0) -> tuple[Ratio, Latency]:
        """See `Bench`."""
        return self.ratios([candidate], seconds)[0]

    def ratios(self, candidates: Sequence[Artifact], seconds: float = 1.0) -> list[tuple[Ratio, Latency]]:
        """See `WideBench`."""
        each = [(self._reference, Parcel.of(candidate), seconds) for candidate in candidates]
        return self._target.ask(beside.time_candidate, each)


class FarmProber:
    """Single layers, a share for every phone."""

    def __init__(self, target: FarmTarget) -> None:
        self._target = target

    def time_ms(self, keys: Sequence[LayerKey]) -> list[float]:
        """Milliseconds of each layer; equal keys are timed once."""
        distinct = list(dict.fromkeys(keys))
        found = self._target.ask(
            beside.time_layers, [(part,) for part in parted(distinct, self._target.width)], "layers"
        )
        costs = dict(zip(distinct, (cost.ms for part in found for cost in part), strict=True))
        return [costs[key] for key in keys]


def parted(keys: Sequence[LayerKey], phones: int) -> list[list[LayerKey]]:
    """Pieces of work of about one size, `PIECES` a phone, of `LEAST_LAYERS` where there are few."""
    size = max(LEAST_LAYERS, -(-len(keys) // (PIECES * phones)))
    return [list(keys[start : start + size]) for start in range(0, len(keys), size)]


def connect(config: Config, progress: Progress, stack: ExitStack) -> Iterator[FarmTarget]:
    """A target for each kind of phone that is meant. Raises FarmError, DeviceError, UsageError, RuntimeNotInstalled."""
    assert config.farm is not None
    farm = Farm(config.farm)
    stack.callback(farm.close)
    if farm.beside_a_phone():
        progress.note(BESIDE)
    for phones in chosen(farm.phones(), config.phone_model):
        how = How(config.threads, (), config.runner, protocol_for(config))
        facts = farm.ask(phones[0].kind, beside.look, how).found
        cores = cores_named(config.cores, facts.clusters)
        if facts.emulated:
            progress.note(f"{facts.name} is emulated: its numbers are not a phone's")
        progress.note(f"the farm at {config.farm} has {len(phones)} phones like {facts.name}")
        yield FarmTarget(farm, phones, facts, How(config.threads, cores, config.runner, how.protocol), progress)


def chosen(phones: Sequence[FarmPhone], models: Sequence[str]) -> list[list[FarmPhone]]:
    """The phones by kind: of the models named (a part of the name will do), else of the only kind.

    Raises DeviceError when there are none, or several kinds and none is named; UsageError for a model not there.
    """
    if not phones:
        raise DeviceError("The farm has no phone.", "Give it some: edgeprune farm join ADDRESS, on a host with phones.")
    kinds: dict[str, list[FarmPhone]] = {}
    for phone in phones:
        kinds.setdefault(phone.kind, []).append(phone)
    listed = "; ".join(f"{len(these)} x {these[0].name}, Android {these[0].android}" for these in kinds.values())
    if not models:
        if len(kinds) > 1:
            cure = "Pass --phone-model NAME; repeated, the budget has to hold on each."
            raise DeviceError(f"The farm has {len(kinds)} kinds of phones: {listed}.", cure)
        return list(kinds.values())
    found: dict[str, list[FarmPhone]] = {}
    for model in models:
        fitting = {kind: these for kind, these in kinds.items() if model.lower() in these[0].name.lower()}
        if not fitting:
            raise UsageError(f"No phone of the farm is a {model}; it has {listed}.", "See `edgeprune farm list`.")
        found |= fitting
    return list(found.values())
